"""Text positions beyond CLIP's 77: knowledge-preserved stretching (Long-CLIP, arXiv:2403.15378)."""

import torch
from torch import Tensor

KEPT = 20


def stretch_positions(table: Tensor, length: int) -> Tensor:
    """A positional table for `length` tokens: the first 20 rows kept, the others linearly interpolated.

    Row t >= 20 reads the source at 20 + (t - 20) / ratio, with ratio = (length - 20) / (N - 20): exactly 4
    from 77 to 248, as in Long-CLIP. Past the last source row, the last step is continued. A `length` within
    the table cuts it; in a causal text tower, the remaining rows keep their meaning.

    Args:
        table: [N, D], N > 20.
        length: rows wanted.

    Returns:
        [length, D], of the table's type and device.
    """
    rows = table.shape[0]
    if length <= rows:
        return table[:length].clone()
    # Integers: in floating point, a position that is a source row could fall just short of it.
    steps = torch.arange(length - KEPT, device=table.device) * (rows - KEPT)
    left = KEPT + steps // (length - KEPT)
    share = ((steps % (length - KEPT)) / (length - KEPT)).to(table.dtype)[:, None]
    source = torch.cat([table, 2 * table[-1:] - table[-2:-1]])
    return torch.cat([table[:KEPT], source[left] + share * (source[left + 1] - source[left])])

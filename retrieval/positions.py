"""Resizes image position embeddings to another input size."""

import math

from torch import Tensor, cat
from torch.nn.functional import interpolate

from ctgi.errors import CtgiError


def resize_positions(table: Tensor, grid: tuple[int, int], source: tuple[int, int] | None = None) -> Tensor:
    """A positional table for another patch grid: the class token is kept, the rest interpolated.

    Bilinear with half-pixel centers and no antialiasing, as IRRA and its followers do (open_clip itself uses
    bicubic interpolation with antialiasing, which gives other features).

    Args:
        table: [1 + n * m, D], a class token and a grid, row-major.
        grid: (rows, columns) of patches wanted.
        source: (n, m); a square if left out.

    Returns:
        [1 + rows * columns, D].

    Raises:
        CtgiError: the table does not have such a grid.
    """
    patches = table.shape[0] - 1
    rows, columns = source or (math.isqrt(patches),) * 2
    if rows * columns != patches:
        raise CtgiError(
            f"these weights are for {patches} image patches, not {rows} x {columns}: "
            "set image_size under [retriever] to the (height, width) they were trained with"
        )
    old = table[1:].T.reshape(1, -1, rows, columns)  # [1, D, n, m]
    new = interpolate(old, size=grid, mode="bilinear", align_corners=False)
    return cat([table[:1], new[0].flatten(1).T])

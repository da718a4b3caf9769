import numpy as np
import pytest
import torch

from ctgi.errors import CtgiError
from ctgi.retrieval.long_text import stretch_positions
from ctgi.retrieval.positions import resize_positions


def test_parity_longclip_pes(golden) -> None:
    for case in golden("longclip_pes"):
        stretched = stretch_positions(torch.from_numpy(case["pe77"]), 248)
        np.testing.assert_allclose(stretched.numpy(), case["pe248_float32"], rtol=0, atol=1e-6)


def test_parity_posembed_resize(golden) -> None:
    for case in golden("posembed_resize"):
        for source, wanted, grid in (
            ("src", "out_24x8", (24, 8)),
            ("src_7x7_d32", "out_7x7_to_31x10_d32", (31, 10)),
            ("src_7x7_d32", "out_7x7_to_12x4_d32", (12, 4)),
        ):
            resized = resize_positions(torch.from_numpy(case[source]), grid)
            np.testing.assert_allclose(resized.numpy(), case[wanted], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("length", "ratio"), [(134, 2), (191, 3), (248, 4), (400, 380 / 57)])
def test_a_straight_line_stays_straight(length: int, ratio: float) -> None:
    table = torch.arange(77, dtype=torch.float64)[:, None]
    wanted = [t if t < 20 else 20 + (t - 20) / ratio for t in range(length)]
    torch.testing.assert_close(stretch_positions(table, length)[:, 0], torch.tensor(wanted, dtype=torch.float64))


def test_rows_of_the_source_come_back_exactly() -> None:
    table = torch.randn(77, 8)
    assert torch.equal(stretch_positions(table, 248)[20::4], table[20:])
    assert torch.equal(stretch_positions(table, 50), table[:50])


def test_a_grid_that_is_no_square_must_be_told() -> None:
    table = torch.randn(9, 4)
    assert resize_positions(table, (8, 4), (4, 2)).shape == (33, 4)
    with pytest.raises(CtgiError, match="8 image patches"):
        resize_positions(table, (8, 4))

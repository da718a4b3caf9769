from pathlib import Path

import pytest
from PIL import Image

from ctgi.errors import ImageError
from ctgi.retrieval.images import ImageRef, digest
from ctgi.tools.candidate_sheet import candidate_sheet

COLORS = ("red", "lime", "blue")


@pytest.fixture
def refs(tmp_path: Path) -> list[ImageRef]:
    """Images of three colors: tall, wide, and small."""
    found = []
    for color, size in zip(COLORS, ((40, 100), (300, 60), (8, 16)), strict=True):
        path = tmp_path / f"{color}.png"
        Image.new("RGB", size, color).save(path)
        found.append(ImageRef(str(path), digest(str(path))))
    return found


def test_candidates_stand_side_by_side_in_their_order(tmp_path: Path, refs: list[ImageRef]) -> None:
    sheet = candidate_sheet(refs, tmp_path / "sheets")
    assert digest(sheet.path) == sheet.sha256
    with Image.open(sheet.path) as image:
        assert image.size == (3 * 172 + 12, 424)
        middles = [image.getpixel((12 + place * 172 + 80, 30)) for place in range(3)]
    for color, seen in zip(((255, 0, 0), (0, 255, 0), (0, 0, 255)), middles, strict=True):
        assert max(abs(one - other) for one, other in zip(color, seen, strict=True)) < 30


def test_the_same_candidates_are_one_file(tmp_path: Path, refs: list[ImageRef]) -> None:
    folder = tmp_path / "sheets"
    assert candidate_sheet(refs, folder) == candidate_sheet(refs, folder)
    assert candidate_sheet(refs[::-1], folder) != candidate_sheet(refs, folder)
    assert len([*folder.iterdir()]) == 2


def test_a_candidate_that_changed_is_no_candidate(tmp_path: Path, refs: list[ImageRef]) -> None:
    Path(refs[0].path).write_bytes(Path(refs[1].path).read_bytes())
    with pytest.raises(ImageError):
        candidate_sheet(refs, tmp_path / "sheets")

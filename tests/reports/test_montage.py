"""The picture of a search: where its images, frames and words stand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageColor

from ctgi.records import SearchRecord
from ctgi.reports.montage import ACCENT, ANCHOR, GAP, MARGIN, PHOTO, RIGHT, WIDTH, WRONG, write_montage

Search = Callable[..., dict[str, Any]]
LINE, HEADING, LABEL, BETWEEN = 32, 42, 52, 28
FIRST_ROW = MARGIN + HEADING + LINE
SECOND_ROW = FIRST_ROW + PHOTO[1] + LABEL + BETWEEN + HEADING + LINE


def montage(result: dict[str, Any], folder: Path, **options: Any) -> Image.Image:
    write_montage(SearchRecord.from_json(result), folder / "montage.png", **options)
    with Image.open(folder / "montage.png") as image:
        assert image.format == "PNG"
        return image.convert("RGB")


def at(image: Image.Image, place: int, row: int, dx: int, dy: int) -> tuple[int, ...]:
    pixel = image.getpixel((MARGIN + place * (PHOTO[0] + GAP) + dx, row + dy))
    assert isinstance(pixel, tuple)
    return pixel


def greys(image: Image.Image, row: int) -> list[int]:
    """Which of `people` stand in a row: the grey of each middle / 10."""
    return [at(image, place, row, PHOTO[0] // 2, PHOTO[1] // 2 + 40)[0] // 10 for place in range(10)]


def colors(image: Image.Image) -> set[tuple[int, int, int]]:
    counted = image.getcolors(maxcolors=1 << 24)
    assert counted is not None
    return {color for _, color in counted if isinstance(color, tuple)}  # type: ignore[misc]


def test_rows_stand_before_and_after(search: Search, tmp_path: Path) -> None:
    image = montage(search(), tmp_path)
    assert image.size == (WIDTH, SECOND_ROW + PHOTO[1] + LABEL + MARGIN)
    well = 23  # the empty place of p05, grey 236
    assert greys(image, FIRST_ROW) == [1, 2, 3, 4, well, 6, 7, 8, 9, 10]
    assert greys(image, SECOND_ROW) == [4, 1, 12, 2, 3, 6, 7, 8, 9, 10]


def test_frames_tell_anchor_right_and_wrong(search: Search, people: list[str], tmp_path: Path) -> None:
    plain = montage(search(), tmp_path)
    assert at(plain, 0, SECOND_ROW, 1, 100) == ImageColor.getrgb(ANCHOR)
    assert ImageColor.getrgb(RIGHT) not in colors(plain)
    judged = montage(search(), tmp_path, relevant=lambda path: path == people[0])
    assert at(judged, 1, SECOND_ROW, 1, 100) == at(judged, 0, FIRST_ROW, 1, 100) == ImageColor.getrgb(RIGHT)
    assert at(judged, 0, SECOND_ROW, 1, 100) == ImageColor.getrgb(WRONG)


def test_added_words_have_their_color(search: Search, tmp_path: Path) -> None:
    words = (MARGIN, SECOND_ROW - LINE - 12, WIDTH, SECOND_ROW - 12)
    assert ImageColor.getrgb(ACCENT) in colors(montage(search(), tmp_path).crop(words))
    same = search(refined_query="woman with a bag")
    assert ImageColor.getrgb(ACCENT) not in colors(montage(same, tmp_path).crop(words))


def test_without_refinement_there_is_one_row(search: Search, tmp_path: Path) -> None:
    image = montage(search(refined_query=None, anchors=[]), tmp_path)
    assert image.height == FIRST_ROW + PHOTO[1] + LABEL + MARGIN


@pytest.mark.parametrize(
    "query",
    ["红色的包 " * 20, "مرحبا امرأة", "👩\u200d🦰", "\udcff\x00\x1b[31m\u202e", "x" * 3000, "", "w\n" * 5000],
)
def test_any_text_fits(search: Search, people: list[str], tmp_path: Path, query: str) -> None:
    Path(people[1]).write_bytes(b"no image")
    result = search(query=query, refined_query=None, anchors=[])
    result["results"][0]["path"] = f"/gone/{query}"
    lines = (montage(result, tmp_path).height - (FIRST_ROW - LINE + PHOTO[1] + LABEL + MARGIN)) / LINE
    assert lines in range(1, 7)
    assert lines == 6 or len(query) < 1000

"""Filters and groups on LanceDB: what SQLite says of a folder's images, LanceDB says of its rows."""

import json
import re
from pathlib import Path

import pytest

from ctgi.config import RetrieverSettings
from ctgi.errors import ArgumentError
from ctgi.retrieval.gallery import Gallery, build_gallery, kind_of, open_gallery
from ctgi.retrieval.lance.filters import translated
from ctgi.retrieval.lance.known import shown_name, stored_name
from ctgi.retrieval.ranking import Refinement
from tests.support.color_encoder import ColorEncoder

ENCODER = ColorEncoder()
SETTINGS = RetrieverSettings(batch_size=3)
ROWS = (
    {"camera": "north", "track": 1, "time": "2026-11-02T08:15:00+01:00", "height": 1.5, "a.b": "x"},
    {"camera": "North", "track": 2, "time": "2026-11-02T09:15:00Z", "height": 2, "a.b": "it's"},
    {"camera": "south", "track": 1, "time": "2026-11-03", "height": None, "code": "007"},
    {"camera": None, "track": 2, "height": -3.25, "code": "5"},
    {"camera": "50%", "track": None, "time": "2026-11-05 10:00:00", "code": "6"},
    {"camera": "sea\\side", "track": 3, "height": 1e3, "vector": "own", "box": [1, 2], "code": 7},
    {},
)
PUSHED = (
    "camera = 'north'", "camera <> 'north'", "camera in ('north', 'south')", "not camera = 'north'", "track = 1",
    "track > 1.5", "track in (1, 2.5)", "track between 1 and 2.5", "height >= 2 or height < -1", "height = '2'",
    "camera like 'N%'", "camera not like '%th'", "camera is null", "camera notnull and track isnull", "camera not null",
    "time >= '2026-11-02T07:30:00Z' and time < '2026-11-03T00:00:01'", '"a.b" = \'it\'\'s\'', "[a.b] is not null",
    "vector = 'own'", "CAMERA == 'north' AND (track != 2 OR NOT (height > 1))", "path like '%.png'", "track not in (1)",
    "track not between 2 and 3", "track = -1", "height > -4", "code = '007'", "track = '2'",
)  # fmt: skip
ANSWERED = (
    "camera like 'sea\\%'", "lower(camera) = 'north'", "track + 1 = 2", "code = 5", "track < height",
    "camera glob 'n*'", "json_extract(box, '$[0]') = 1", "track = 99999999999999999999", "camera like '5!%' escape '!'",
    "track is 1", "coalesce(camera, 'none') = 'none'",
)  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Gallery, Gallery]:
    from PIL import Image

    folder = tmp_path_factory.mktemp("narrowed")
    people = folder / "people"
    people.mkdir()
    for number in range(8):
        Image.new("RGB", (8, 16), (30 * number, 200 - 20 * number, 5 * number)).save(people / f"{number}.png")
    lines = [json.dumps({"path": f"{number}.png"} | row) for number, row in enumerate(ROWS)]
    (folder / "seen.jsonl").write_text("\n".join([*lines, '{"path": "gone.png", "camera": "west"}']) + "\n")
    (people / "sources.jsonl").write_text('{"path": "7.png", "camera": "east", "source": "a.mp4"}\n')
    (folder / "seen.jsonl").rename(people / "seen.jsonl")
    for out in (str(people / ".ctgi"), f"lance:{folder}/db"):
        report = build_gallery([str(people)], out, ENCODER, SETTINGS)
        known = kind_of(out).update_columns(Path(report.folder), [people / "seen.jsonl"])
        assert known is not None
        assert (known.unmatched, known.mixed) == (1, {"code": "007"})
    return open_gallery(people, ENCODER), open_gallery(f"lance:{folder}/db", ENCODER)


def found(gallery: Gallery, refinement: Refinement | None = None) -> list[tuple[str, float, int | None]]:
    candidates = gallery.search("a man in red", 8, refinement).candidates
    return [(Path(one.image.path).name, round(one.score, 6), one.rank_before) for one in candidates]


def columns_of(gallery: Gallery) -> dict[str, tuple[str, str]]:
    names = ("camera", "track", "time", "height", "a.b", "code", "vector", "box", "source")
    kinds = dict.fromkeys(names, "text") | {"track": "whole", "height": "real"}
    assert set(gallery.column_names()) == set(names)
    return {name: (f"`{name}`", kind) for name, kind in kinds.items()} | {"path": ("path", "text")}


@pytest.mark.parametrize("where", [*PUSHED, *ANSWERED])
def test_a_filter_leaves_what_it_leaves_of_a_folder(both: tuple[Gallery, Gallery], where: str) -> None:
    folder, lance = (gallery.narrowed(where) for gallery in both)
    assert folder.narrowing == lance.narrowing
    assert found(lance) == found(folder)
    pushed = translated(where, columns_of(lance))  # type: ignore[arg-type]
    assert (pushed is not None) == (where in PUSHED)


@pytest.mark.parametrize(
    "where",
    ["camara = 'n'", "camera = \"north\"", "camera", "1; drop table images", "camera = 'x", "(track = 1", "",
     "time > '5.11.2026'", "load_extension('x')", "camera = 'a') or (1 = 1", "height = 'tall'", "camera = null",
     "time > 5", "camera >= 5", "track = 'one'", "height", "1 < track < 3", "camera = ", "strftime('%H', time) > 8"],
)  # fmt: skip
def test_faults_are_told_as_for_a_folder(both: tuple[Gallery, Gallery], where: str) -> None:
    told = []
    for gallery in both:
        with pytest.raises(ArgumentError) as fault:
            gallery.narrowed(where)
        told.append(re.split("; the columns|, such as", str(fault.value))[0])
    assert told[0] == told[1]


@pytest.mark.parametrize("group", ["track", "CAMERA", "a.b", "path", "vector"])
def test_of_a_group_the_best_is_ranked(both: tuple[Gallery, Gallery], group: str) -> None:
    folder, lance = (gallery.narrowed(group=group) for gallery in both)
    assert folder.narrowing == lance.narrowing
    assert found(lance) == found(folder)
    assert [len(one.search("a man in red", 2).candidates) for one in (folder, lance)] == [2, 2]


@pytest.mark.parametrize("mode", ["refined", "final"])
def test_eq_7_counts_only_what_passes(both: tuple[Gallery, Gallery], mode: str) -> None:
    shas = tuple(image.sha256 for image in both[0].refs())
    refinement = Refinement("a woman in yellow", (shas[2], shas[5]), 0.6, mode)
    for where, group in (("track < 3", None), (None, "track"), ("track is not null", "track")):
        folder, lance = (gallery.narrowed(where, group) for gallery in both)
        assert found(lance, refinement) == found(folder, refinement)


def test_nothing_passes(both: tuple[Gallery, Gallery]) -> None:
    for where in ("camera = 'nowhere'", "lower(camera) = 'nowhere'"):
        narrowed = both[1].narrowed(where)
        assert narrowed.narrowing is not None
        assert narrowed.narrowing.images == 0
        assert found(narrowed) == []


@pytest.mark.parametrize("name", ["a.b", "vector", "path%", "%2E", "_rowid", "Ab c", "quo`te", "%vector", 'dq"x', "é"])
def test_any_name_of_a_column_is_kept(name: str) -> None:
    assert shown_name(stored_name(name)) == name
    assert not {".", "`"} & set(stored_name(name))


@pytest.mark.parametrize("narrowing", [(None, None), ("track < 3", None), (None, "track"), ("track = 99", None)])
def test_captions_are_searched_too(both: tuple[Gallery, Gallery], narrowing: tuple[str | None, str | None]) -> None:
    images = [*both[0].refs()]
    captions = {image.sha256: f"a man in {color}" for image, color in zip(images, ("red", "blue", "red"), strict=False)}
    refinement = Refinement("a woman in yellow", (images[3].sha256,), 0.6, "refined")
    folder, lance = (gallery.with_captions(captions.get, 0.4) for gallery in both)
    assert folder[1] == lance[1] == 3
    assert found(lance[0]) == found(folder[0]) != found(both[0])
    narrowed = [gallery.narrowed(*narrowing) if any(narrowing) else gallery for gallery, _ in (folder, lance)]
    for asked in (None, refinement):
        assert found(narrowed[1], asked) == found(narrowed[0], asked)
    assert "captions_crc32" in narrowed[1].identity

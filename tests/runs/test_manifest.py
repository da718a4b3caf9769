"""The manifest of a collection: every image read once, whoever asks, however often."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ctgi.errors import CtgiError
from ctgi.reading import Json
from ctgi.retrieval.finding import find_sources
from ctgi.retrieval.images import digest
from ctgi.retrieval.sources.found import Found
from ctgi.runs import manifest as module
from ctgi.runs.events import Logged
from ctgi.runs.manifest import Listed, Manifest
from ctgi.runs.shards import Shard, parts_of

GIVEN: Json = {"inputs": ["people"]}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images whose content was read, in order."""
    paths: list[str] = []

    def noted(path: str) -> str:
        paths.append(path)
        return digest(path)

    monkeypatch.setattr(module, "digest", noted)
    return paths


def update(manifest: Manifest, people: Path) -> Listed:
    return manifest.update([*find_sources([str(people)])], Logged())


def paths(manifest: Manifest, count: int) -> list[str]:
    return [row.path for index in range(count) for row in manifest.rows(Shard(index + 1, count))]


def test_each_image_is_read_once_and_belongs_to_one_shard(tmp_path: Path, people: Path, read: list[str]) -> None:
    manifest = Manifest(tmp_path / "new" / "m.jsonl", GIVEN)
    assert update(manifest, people) == Listed(8, new=8)
    everything = [one.path for one in find_sources([str(people)])]
    assert read == everything
    assert update(manifest, people) == Listed(8)
    assert sorted(paths(manifest, 3)) == paths(manifest, 1) == everything
    assert sum(manifest.count(Shard(index, 3)) for index in (1, 2, 3)) == 8
    assert read == everything
    for row in manifest.rows(Shard(1, 1)):
        assert row.sha256 == digest(row.path)


def test_only_what_changed_is_read_again(tmp_path: Path, people: Path, read: list[str]) -> None:
    manifest = Manifest(tmp_path / "m.jsonl", GIVEN)
    update(manifest, people)
    read.clear()
    shutil.copy(people / "0_a.png", people / "new.png")
    shutil.copy(people / "0_a.png", people / "1_a.png")
    (people / "2_a.png").unlink()
    assert update(manifest, people) == Listed(8, new=1, changed=1, gone=1)
    assert sorted(read) == [str(people / "1_a.png"), str(people / "new.png")]
    rows = {row.path: row.sha256 for row in manifest.rows(Shard(1, 1))}
    assert {Path(path).name for path in rows} == {one.name for one in people.iterdir()}
    assert rows[str(people / "1_a.png")] == rows[str(people / "new.png")] == rows[str(people / "0_a.png")]


@pytest.mark.parametrize("years", [-20, 200])
def test_a_clock_that_is_wrong_hides_no_change(tmp_path: Path, people: Path, read: list[str], years: int) -> None:
    """A file written by a machine whose clock is ahead or behind; then one of the same size, with an earlier time."""
    manifest, image = Manifest(tmp_path / "m.jsonl", GIVEN), people / "0_a.png"
    odd = int((1.8e9 + years * 3.15e7) * 1e9)
    os.utime(image, ns=(odd, odd))
    update(manifest, people)
    read.clear()
    assert update(manifest, people) == Listed(8)
    content = image.read_bytes()
    image.write_bytes(content[:-1] + b"!")
    os.utime(image, ns=(odd - 1, odd - 1))
    assert update(manifest, people) == Listed(8, changed=1)
    assert read == [str(image)]


def test_an_image_that_cannot_be_read_has_no_row_and_is_tried_again(tmp_path: Path, people: Path) -> None:
    manifest = Manifest(tmp_path / "m.jsonl", GIVEN)
    (people / "empty.png").touch()
    for _ in range(2):
        listed = update(manifest, people)
        assert [error.reason for error in listed.failed] == ["the file is empty (0 bytes)"]
        assert listed.images == 8
    assert len(paths(manifest, 1)) == 8
    shutil.copy(people / "0_a.png", people / "empty.png")
    assert update(manifest, people) == Listed(9, new=1)


@pytest.mark.parametrize("cut", [1, 30, 100])
def test_a_kill_while_it_is_made_costs_one_image(tmp_path: Path, people: Path, read: list[str], cut: int) -> None:
    manifest = Manifest(tmp_path / "m.jsonl", GIVEN)
    update(manifest, people)
    whole = manifest.path.read_bytes()
    manifest.path.write_bytes(whole[:-cut])
    read.clear()
    assert update(manifest, people) == Listed(8, new=1)
    assert read == [str(people / "3_b.png")]
    assert manifest.path.read_bytes() == whole


def test_rows_are_of_the_images_that_were_named(tmp_path: Path, people: Path, read: list[str]) -> None:
    """Another run with other images takes the manifest over; the first one does not caption those."""
    manifest = Manifest(tmp_path / "m.jsonl", GIVEN)
    update(manifest, people)
    other = Manifest(manifest.path, {"inputs": ["other"]})
    one = str(people / "0_a.png")
    read.clear()
    assert other.update([Found(one)], Logged()) == Listed(1, gone=7)
    assert read == []
    assert paths(other, 2) == [one]
    with pytest.raises(CtgiError, match="lists other images, of a run begun meanwhile"):
        paths(manifest, 1)


def test_a_row_that_somebody_spoiled_is_no_image(tmp_path: Path, people: Path) -> None:
    manifest = Manifest(tmp_path / "m.jsonl", GIVEN)
    update(manifest, people)
    manifest.path.write_bytes(manifest.path.read_bytes().replace(b'"mtime_ns"', b"mtime_ns", 1))
    with pytest.raises(CtgiError, match="a line that is no row: delete the file"):
        paths(manifest, 1)
    with pytest.raises(CtgiError, match="no such file"):
        paths(Manifest(tmp_path / "none.jsonl", GIVEN), 1)


def test_of_several_processes_one_makes_it(tmp_path: Path, people: Path) -> None:
    """Three begin at once; each image has one row, and one process alone read it."""
    code = (
        "import sys; from pathlib import Path; from ctgi.runs.manifest import Manifest; from ctgi.runs.events import "
        "Logged; from ctgi.retrieval.finding import find_sources\n"
        "listed = Manifest(Path('m.jsonl'), {'inputs': ['people']}).update([*find_sources(sys.argv[1:])], Logged())\n"
        "print(listed.new)"
    )
    command = [sys.executable, "-c", code, str(people)]
    runs = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sorted(int(run.communicate()[0]) for run in runs) == [0, 0, 8]
    rows = (tmp_path / "m.jsonl").read_text().splitlines()[1:]
    assert len({json.loads(row)["path"] for row in rows}) == len(rows) == 8


def test_part_files_are_told_by_their_names(tmp_path: Path) -> None:
    out = tmp_path / "captions.jsonl"
    parts = [Shard(1, 2), Shard(2, 10), Shard(10, 10)]
    others = ["captions.0-of-2.jsonl", "captions.3-of-2.jsonl", "captions.jsonl", "x.1-of-2.jsonl", "captions.1-of-2"]
    for name in [*others, *(part.file(out).name for part in parts)]:
        (tmp_path / name).touch()
    assert parts_of(out) == [(part, part.file(out)) for part in parts]
    assert parts_of(tmp_path / "none" / "captions.jsonl") == []

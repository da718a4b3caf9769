"""`ctgi captions`: how far the parts of a collection are, and one file of them."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ctgi.captions import read_captions
from ctgi.retrieval.finding import find_sources
from ctgi.retrieval.images import digest
from ctgi.runs.captions_file import open_captions
from ctgi.runs.events import Logged
from ctgi.runs.manifest import Manifest, manifest_of
from ctgi.runs.shards import Shard, shard_of
from tests.support.commands import Run

OUT = Path("captions.jsonl")


def listed(people: Path) -> list[str]:
    images = [*find_sources([str(people)])]
    Manifest(manifest_of(OUT), {"inputs": [str(people)]}).update(images, Logged())
    return [image.path for image in images]


def write(file: Path, path: str, caption: str = "a man", sha256: str = "") -> None:
    record = {"path": path, "sha256": sha256 or digest(path), "caption": caption}
    with file.open("a") as lines:
        lines.write(json.dumps(record) + "\n")


def part_of(path: str, count: int = 3) -> Path:
    return shard_of(digest(path), count).file(OUT)


def merged() -> list[tuple[str, str]]:
    return [(line.path, line.caption) for line in read_captions(OUT)]


def test_parts_come_together_in_the_order_of_the_images(ctgi: Run, people: Path) -> None:
    paths = listed(people)
    for path in reversed(paths):
        write(part_of(path), path, Path(path).name)
    done = ctgi("captions", "merge", "--json")
    assert (done.code, done.json["images"], done.json["added"], done.json["missing"]) == (0, 8, 8, 0)
    assert merged() == [(path, Path(path).name) for path in paths]
    before = OUT.read_bytes()
    again = ctgi("captions", "merge")
    assert again.code == 0
    assert "8 images from 3 parts: 0 added, 8 were there, 0 duplicates" in again.out
    assert OUT.read_bytes() == before


def test_what_is_missing_is_named_and_the_rest_is_merged(ctgi: Run, people: Path) -> None:
    paths = listed(people)
    gone = part_of(paths[0])
    there = [path for path in paths if part_of(path) != gone]
    for path in there:
        write(part_of(path), path)
    write(part_of(there[-1]), there[-1], caption=" ")  # emptied by hand: the one with words counts
    status = ctgi("captions", "status", "--json").json
    assert (status["images"], status["captioned"]) == (8, len(there))
    assert {part["file"]: part["images"] - part["captioned"] for part in status["parts"]}[str(gone)] == 8 - len(there)
    told = ctgi("captions", "status").out
    assert f"{len(there)} of 8 images have a caption" in told
    assert f"{gone.name}" in told
    assert "not begun" in told
    done = ctgi("captions", "merge")
    assert done.code == 1
    assert (
        f"{8 - len(there)} images have no caption yet, of {gone.name} ({8 - len(there)}): run ctgi caption" in done.out
    )
    assert merged() == [(path, "a man") for path in there]


def test_an_image_has_one_record_that_of_its_content(ctgi: Run, people: Path) -> None:
    """It was captioned, changed, and captioned again; the collection was divided otherwise meanwhile."""
    paths = listed(people)
    for path in paths:
        write(Shard(2, 2).file(OUT), path, "of two parts")
        write(part_of(path), path, "of three parts")
    write(Shard(1, 3).file(OUT), paths[3], "of the content before", "0" * 64)
    write(OUT, paths[5], "by hand")
    write(OUT, "deleted.png", "of an image that is gone", "1" * 64)
    with Shard(2, 3).file(OUT).open("a") as file:
        file.write('{"path": "to')
    done = ctgi("captions", "merge", "--json")
    assert done.code == 0
    wanted = [(path, "by hand" if path == paths[5] else "of three parts") for path in paths]
    assert merged() == [*wanted, ("deleted.png", "of an image that is gone")]
    counts = {name: done.json[name] for name in ("images", "added", "already", "duplicates", "torn", "unlisted")}
    assert counts == {"images": 9, "added": 7, "already": 2, "duplicates": 8, "torn": 1, "unlisted": 1}
    assert "cut off, as by a kill: left out" in done.err


def test_an_image_that_changed_since_its_caption_is_missing(ctgi: Run, people: Path) -> None:
    """What was said of the content before is kept, but not passed off as a caption of the present one."""
    paths = listed(people)
    for path in paths[1:]:
        write(part_of(path), path)
    write(part_of(paths[0]), paths[0], "of the content before", "0" * 64)
    with OUT.open("a") as file:
        file.write(json.dumps({"path": paths[1], "caption": "by hand, of whatever lies there"}) + "\n")
    status = ctgi("captions", "status", "--json").json
    assert (status["images"], status["captioned"]) == (8, 7)
    done = ctgi("captions", "merge", "--json")
    assert (done.code, done.json["images"], done.json["missing"]) == (1, 8, 1)
    assert done.json["missing_parts"] == {part_of(paths[0]).name: 1}
    assert [caption for _, caption in merged()][:2] == ["of the content before", "by hand, of whatever lies there"]


def test_without_a_manifest_absent_parts_are_named(ctgi: Run, people: Path) -> None:
    image = str(people / "0_a.png")
    write(Shard(2, 3).file(OUT), image)
    done = ctgi("captions", "merge")
    assert done.code == 1
    assert "2 parts are missing: captions.1-of-3.jsonl, captions.3-of-3.jsonl" in done.out
    assert merged() == [(image, "a man")]
    assert "run ctgi caption with --shard or --ray first" in ctgi("captions", "status").err


def test_what_people_corrected_in_parts_comes_along(ctgi: Run, people: Path) -> None:
    paths = listed(people)
    for number, path in enumerate(paths):
        write(part_of(path), path)
        entry = {"path": path, "sha256": digest(path), "field": "caption", "was": "a man", "now": f"number {number}"}
        with Path(part_of(path).name.replace("captions", "corrections")).open("a") as file:
            file.write(json.dumps({**entry, "at": f"2026-01-0{number + 1}"}) + "\n")
    for _ in range(2):
        assert ctgi("captions", "merge").code == 0
        corrections = [json.loads(line)["now"] for line in Path("corrections.jsonl").read_text().splitlines()]
        assert corrections == [f"number {number}" for number in range(8)]


def test_a_part_that_is_being_written_is_waited_for_by_the_person(ctgi: Run, people: Path) -> None:
    path = listed(people)[0]
    with open_captions(part_of(path)) as file:
        file.append({"path": path, "sha256": digest(path), "caption": "a man"})
        done = ctgi("captions", "merge")
    assert done.code == 2
    assert f"{part_of(path).name}: a ctgi caption is writing this file" in done.err
    assert not OUT.exists()


def test_a_clock_ahead_of_ours_wrote_the_last_record_just_now(ctgi: Run, people: Path) -> None:
    path = listed(people)[0]
    write(part_of(path), path)
    os.utime(part_of(path), (9e9, 9e9))
    parts = {part["file"]: part["idle_s"] for part in ctgi("captions", "status", "--json").json["parts"]}
    assert parts[str(part_of(path))] == 0.0
    assert None in parts.values()


def test_without_parts_there_is_nothing_to_merge(ctgi: Run) -> None:
    done = ctgi("captions", "merge")
    assert done.code == 2
    assert "captions.jsonl: no part files beside it, such as captions.1-of-4.jsonl" in done.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--ray auto --shard 1/2", "--shard: without effect with --ray"),
        ("--ray auto --html x.html", "--html: without effect with --ray: run ctgi captions merge, then ctgi export"),
        ("--shards 4", "--shards: without effect without --ray ADDRESS"),
    ],
)
def test_options_that_do_not_go_together_with_ray(ctgi: Run, people: Path, arguments: str, told: str) -> None:
    done = ctgi("caption", people, *arguments.split())
    assert done.code == 2
    assert told in done.err


def test_a_cluster_that_is_not_there_is_told_at_once(ctgi: Run, people: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = ctgi("caption", people, "--ray", f"127.0.0.1:{port}")
    assert done.code == 2
    assert (
        f"--ray 127.0.0.1:{port}: nothing answers there (Connection refused): ray start --head starts one" in done.err
    )
    assert [*Path().iterdir()] == []


def test_without_ray_the_error_says_what_to_install(ctgi: Run, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = ctgi("caption", people, "--ray", "auto")
    assert done.code == 2
    assert done.err.splitlines()[-1] == 'ctgi: --ray needs Ray: pip install "ctgi[ray]"'


def test_a_gallery_filled_on_ray_takes_many_writers(ctgi: Run, people: Path) -> None:
    done = ctgi("index", people, "--ray", "auto", "--out", "gallery")
    assert done.code == 2
    assert "--ray needs a gallery that takes many writers: name one on LanceDB, like --out lance:people" in done.err
    done = ctgi("index", people, "--shards", 2)
    assert "--shards: without effect without --ray ADDRESS" in done.err


def test_copies_in_parts_stay_copies(ctgi: Run, people: Path) -> None:
    shutil.copy(people / "0_a.png", people / "copy.png")
    paths = listed(people)
    for path in paths:
        write(part_of(path), path)
    assert ctgi("captions", "merge", "--json").json["images"] == 9
    assert [path for path, _ in merged()] == paths


def test_the_lines_of_the_docs_name_each_shard(work: Path) -> None:
    """What Slurm and Kubernetes run for their fourth task, with a ctgi that says how it was called."""
    page = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
    slurm = re.search(r"--wrap \\\n  '(.*)'", page)
    job = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    pod = job["spec"]["template"]["spec"]["containers"][0]
    assert slurm
    assert job["spec"]["completions"] == 64
    (work / "ctgi").write_text('#!/bin/sh\necho "$@"\n')
    (work / "ctgi").chmod(0o755)
    for command, variable in (
        (["sh", "-c", slurm[1]], {"SLURM_ARRAY_TASK_ID": "4"}),
        ([*pod["command"], *pod["args"]], {"JOB_COMPLETION_INDEX": "3"}),
    ):
        path = {"PATH": f"{work}{os.pathsep}{os.environ['PATH']}"}
        said = subprocess.run(command, env=path | variable, capture_output=True, text=True, check=True).stdout
        assert said.startswith("caption ./images --shard 4/64 --bind images=vllm:")


def test_a_part_has_one_writer(ctgi: Run, people: Path) -> None:
    with open_captions(Shard(1, 2).file(OUT)):
        done = ctgi("caption", people, "--shard", "1/2")
    assert done.code == 2
    assert "captions.1-of-2.jsonl: another ctgi caption is writing this file: wait for it" in done.err

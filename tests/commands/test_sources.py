"""Captioning, indexing and searching images that lie in archives, tables and buckets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from PIL import Image

from ctgi.retrieval.images import read_image
from tests.support.commands import Run
from tests.support.storage import Asked, lead_to, object_storage, picture, save_tar, web_server

MODEL = ["--bind", "images=python:tests.commands.test_sources:says"]


def says(image: Image.Image | None, prompt: str) -> str:
    """A model that names the main color."""
    if image is None or "yes or no" in prompt.lower():
        return "yes"
    red, green, blue = image.resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    return f"A person in {'red' if red > max(green, blue) else 'blue' if blue > green else 'green'} clothes."


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    with object_storage("people") as client:
        yield client


@pytest.fixture
def encoder(tiny_clip: Path) -> list[str]:
    return ["--bind", f"search_gallery=open_clip:local-dir:{tiny_clip}"]


@pytest.fixture
def shard(people: Path, tmp_path: Path) -> Path:
    """The eight images of `people` with a text beside each, in an archive."""
    files = {path.name: path.read_bytes() for path in sorted(people.iterdir())}
    return save_tar(tmp_path / "shard.tar", files | {f"{name}.txt": b"a text" for name in files})


def records(path: str = "captions.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_an_archive_is_captioned_and_a_second_run_has_nothing_to_do(ctgi: Run, shard: Path) -> None:
    first = ctgi("caption", shard, *MODEL, "--turns", 0, "--json")
    assert (first.code, first.json["captioned"], first.json["passed_over"]) == (0, 8, {".txt": 8})
    again = ctgi("caption", shard, *MODEL, "--turns", 0, "--json")
    assert (again.code, again.json["captioned"], again.json["already"]) == (0, 0, 8)
    assert all(read_image(record["path"]).size == (48, 96) for record in records())
    estimated = ctgi("caption", shard, "--out", "other.jsonl", "--dry-run", "--json")
    assert estimated.json["images"] == 8


def test_a_damaged_archive_fails_and_what_is_whole_in_it_is_captioned(ctgi: Run, shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:4000])
    done = ctgi("caption", shard, *MODEL, "--turns", 0, "--json")
    assert done.code == 1
    assert done.json["captioned"] > 0
    assert done.json["failed"][-1]["path"] == str(shard)
    assert "copy it again" in done.json["failed"][-1]["reason"]


def test_shards_of_a_run_share_the_images_of_an_archive(ctgi: Run, shard: Path) -> None:
    done = [ctgi("caption", shard, *MODEL, "--turns", 0, "--shard", f"{part}/2", "--json") for part in (1, 2)]
    assert [one.code for one in done] == [0, 0]
    assert sum(one.json["captioned"] + one.json["copied"] for one in done) == 8


def test_a_gallery_of_an_archive_is_searched_and_its_pictures_are_shown(
    ctgi: Run, shard: Path, encoder: list[str]
) -> None:
    done = ctgi("index", shard, "--out", "g", *encoder, "--json")
    assert (done.code, done.json["total"], done.json["encoded"]) == (0, 8, 8)
    assert ctgi("index", shard, "--out", "g", *encoder, "--json").json["added"] == 0
    found = ctgi(
        "search", "red", "-g", "g", *encoder, *MODEL, "--html", "r.html", "--montage", "m.png", "-k", 8, "--json"
    )
    assert found.code == 0
    assert {read_image(one["path"]).size for one in found.json["results"]} == {(48, 96)}
    assert Path("r.html").read_text().count("data:image/") >= 8
    assert read_image("m.png").width > 100
    shard.unlink()
    assert "none of the 8 indexed images is there" in ctgi("search", "red", "-g", "g", *encoder, "--no-mti").err


def test_a_changed_archive_is_read_again_and_a_damaged_one_keeps_its_rows(
    ctgi: Run, shard: Path, encoder: list[str]
) -> None:
    ctgi("index", shard, "--out", "g", *encoder)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:4000])
    damaged = ctgi("index", shard, "--out", "g", *encoder, "--json")
    assert (damaged.code, damaged.json["total"], damaged.json["removed"]) == (1, 8, 0)
    shard.write_bytes(whole)
    assert ctgi("index", shard, "--out", "g", *encoder, "--json").json["total"] == 8


def test_a_column_of_a_parquet_file_is_indexed_by_name(ctgi: Run, encoder: list[str]) -> None:
    pq.write_table(pa.table({"a": [picture("red")], "b": [picture("blue")]}), "people.parquet")
    assert "choose one with --column: a, b" in ctgi("index", "people.parquet", "--out", "g", *encoder).err
    done = ctgi("index", "people.parquet", "--column", "b", "--out", "g", *encoder, "--json")
    assert (done.code, done.json["total"]) == (0, 1)
    found = ctgi("search", "blue", "-g", "g", *encoder, "--no-mti", "--json")
    assert [one["path"].rpartition("/")[2] for one in found.json["results"]] == ["people.parquet#0,0,b"]


def test_a_bucket_is_captioned_indexed_and_searched(ctgi: Run, bucket: Any, people: Path, encoder: list[str]) -> None:
    for path in people.iterdir():
        bucket.put_object(Bucket="people", Key=f"crops/{path.name}", Body=path.read_bytes())
    bucket.put_object(Bucket="people", Key="crops/readme.txt", Body=b"x")
    done = ctgi("caption", "s3://people/crops", *MODEL, "--turns", 0, "--json")
    assert (done.code, done.json["captioned"], done.json["passed_over"]) == (0, 8, {".txt": 1})
    assert records()[0]["path"] == "s3://people/crops/0_a.png"
    assert ctgi("caption", "s3://people/crops", *MODEL, "--turns", 0, "--json").json["already"] == 8
    made = ctgi("index", "s3://people/crops", "--out", "g", *encoder, "--json")
    assert (made.code, made.json["total"]) == (0, 8)
    assert ctgi("index", "s3://people/crops", "--out", "g", *encoder, "--json").json["encoded"] == 0
    found = ctgi("search", "red", "-g", "g", *encoder, *MODEL, "--html", "r.html", "--json")
    assert found.json["results"][0]["path"].startswith("s3://people/crops/")
    assert Path("r.html").read_text().count("data:image/") >= 8


def test_a_model_is_trained_on_captions_of_images_in_archives_and_buckets(
    ctgi: Run, bucket: Any, people: Path, tiny_clip: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in people.iterdir())
    half = {f"{name[0]}/{name}": (people / name).read_bytes() for name in names if name[0] in "01"}
    save_tar(tmp_path / "half.tar", half)
    for name in names[4:]:
        bucket.put_object(Bucket="people", Key=f"train/{name[0]}/{name}", Body=(people / name).read_bytes())
    ctgi("caption", tmp_path / "half.tar", "s3://people/train", *MODEL, "--turns", 0)
    assert len(records()) == 8
    sets = (
        f"model.clip=open_clip:local-dir:{tiny_clip}", "model.image_size=[64,32]", "data.batch_size=8",
        "data.workers=0", "schedule.epochs=1", "run.device=cpu", "run.select_on=last",
    )  # fmt: skip
    given = ["--data", "folder", "--root", tmp_path, "--captions", "captions.jsonl", "--out", "run"]
    done = ctgi("train", "irra", *given, *(part for entry in sets for part in ("--set", entry)))
    assert done.code == 0, done.err
    assert "8 images" in done.err
    assert "4 people" in done.err
    exported = ctgi("export", "captions.jsonl", "--layout", "rstp", "--images-root", tmp_path)
    assert exported.code == 2


def read_only(asked: Asked) -> None:
    """An empty bucket that takes nothing."""
    asked.refuse("AccessDenied", 403) if asked.method == "PUT" else asked.answer(404)


def stored(bucket: Any, key: str) -> list[dict[str, Any]]:
    body = bucket.get_object(Bucket="people", Key=key)["Body"].read()
    return [json.loads(line) for line in body.splitlines()]


def test_captions_are_stored_when_a_run_is_finished_and_any_machine_goes_on_from_there(
    ctgi: Run, bucket: Any, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on(machine: str, *more: object) -> Any:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / machine))
        return ctgi("caption", people, *MODEL, "--turns", 0, "--out", "s3://people/run/", *more, "--json")

    first = on("one", "--limit", 3)
    assert (first.code, first.json["captioned"], first.json["out"]) == (0, 3, "s3://people/run/captions.jsonl")
    assert "captions go to s3://people/run/captions.jsonl when the run is finished" in first.err
    assert len(stored(bucket, "run/captions.jsonl")) == 3
    second = on("two")
    assert (second.json["already"], second.json["captioned"]) == (3, 5)
    assert len(stored(bucket, "run/captions.jsonl")) == 8
    assert on("one").json["already"] == 8
    assert not Path("s3:").exists()


def test_captions_that_two_machines_wrote_are_not_lost(
    ctgi: Run, bucket: Any, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ["--out", "s3://people/both/night.jsonl", "--turns", 0]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "one"))
    with web_server(read_only) as closed, pytest.MonkeyPatch.context() as environment:
        lead_to(closed, environment)
        failed = ctgi("caption", people, *MODEL, *out)
    s3fs.S3FileSystem.clear_instance_cache()
    (kept,) = (tmp_path / "one").rglob("night.jsonl")
    assert failed.code == 2
    assert "no permission: set AWS_PROFILE" in failed.err
    assert f"what is finished is in {kept}" in failed.err
    assert len(kept.read_text().splitlines()) == 8
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "two"))
    assert ctgi("caption", people / "0_a.png", *MODEL, *out).code == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "one"))
    both = ctgi("caption", people, *MODEL, *out)
    assert both.code == 2
    assert "was written by another machine" in both.err
    assert (len(kept.read_text().splitlines()), len(stored(bucket, "both/night.jsonl"))) == (8, 1)


def test_a_part_is_stored_with_the_list_of_images(ctgi: Run, bucket: Any, people: Path) -> None:
    part = ["--out", "s3://people/parts", "--shard", "1/2", "--turns", 0]
    done = ctgi("caption", people, *MODEL, *part, "--json")
    assert done.json["out"] == "s3://people/parts/captions.1-of-2.jsonl"
    assert len(stored(bucket, "parts/captions.1-of-2.jsonl")) == done.json["captioned"] + done.json["copied"]
    assert len(stored(bucket, "parts/captions.manifest.jsonl")) == 9
    (note,) = Path.home().rglob(".captions.manifest.jsonl.stored")
    note.unlink()  # as if another machine had stored its list meanwhile
    again = ctgi("caption", people, *MODEL, *part, "--json")
    assert (again.code, again.json["captioned"], again.json["copied"]) == (0, 0, 0)
    assert "without effect with an --out that is an address" in ctgi("caption", people, *part, "--export", "rstp").err
    refused = ctgi("caption", people, "--out", "https://example.com/captions")
    assert "a web server stores nothing" in refused.err


def test_places_that_are_addresses_are_refused(ctgi: Run, people: Path) -> None:
    done = ctgi("index", people, "--out", "s3://people/gallery")
    assert (done.code, Path("s3:").exists()) == (2, False)
    cure = "expected a file or folder of this machine; a gallery in a bucket is named lance:s3://people/"
    assert f"--out s3://people/gallery: {cure}gallery" in done.err
    assert f"-g s3://people/crops: {cure}crops" in ctgi("search", "red", "-g", "s3://people/crops").err
    assert "is named" not in ctgi("search", "red", "--html", "s3://people/crops").err
    assert "say where the gallery should go with --out" in ctgi("index", "s3://people/crops").err

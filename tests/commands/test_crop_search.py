"""From footage to a result and back: what a search says of where its images were cut out."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.commands.test_crop import BLUE, FINDER, RED
from tests.support.commands import Run
from tests.support.footage import Block, blocks_film, draw_blocks, write_video


@pytest.fixture
def cropped(ctgi: Run, tmp_path: Path, work: Path) -> Path:
    """People of a video and of a photograph, in the folder `people`."""
    write_video(work / "lobby.mp4", blocks_film([Block(RED, (10, 60, 50, 180), (4, 0))], 30))
    draw_blocks([Block(BLUE, (240, 80, 280, 200))]).save(work / "street.png")
    assert ctgi("crop", "lobby.mp4", "street.png", "--out", "people", *FINDER).code == 0
    return work / "people"


def size_of(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_results_lead_back_to_frame_time_and_box(ctgi: Run, cropped: Path, tiny_clip: Path) -> None:
    bind = ["-b", f"search_gallery=open_clip:local-dir:{tiny_clip}", "--no-mti", "--no-trace"]
    told = {row["path"]: row for row in map(json.loads, (cropped / "sources.jsonl").read_text().splitlines())}
    done = ctgi("search", "somebody", "-g", "people", *bind, "--json", "--html", "r.html", "--montage", "r.png")
    results = done.json["results"]
    assert len(results) == len(told)
    assert "passed over" not in done.err
    for one in results:
        row = told[os.path.relpath(one["path"], "people")]
        assert one["origin"]["source"] == os.path.normpath(cropped / row["source"])
        assert {name: one["origin"][name] for name in ("frame", "time_s", "box", "size", "track")} == {
            name: row[name] for name in ("frame", "time_s", "box", "size", "track")
        }
    page = Path("r.html").read_text()
    seen = next(row for row in told.values() if row["frame"])
    assert f"0:{seen['time_s']:04.1f}, frame {seen['frame']}" in page
    assert "box 240, 80, 280, 200" in page
    with_frames = size_of("r.png")
    Path("lobby.mp4").rename("elsewhere.mp4")  # the picture is still made, without that frame
    assert ctgi("search", "somebody", "-g", "people", *bind, "--montage", "again.png").code == 0
    assert size_of("again.png") == with_frames
    (cropped / "sources.jsonl").unlink()
    plain = ctgi("search", "somebody", "-g", "people", *bind, "--json", "--montage", "without.png")
    assert all("origin" not in one for one in plain.json["results"])
    assert size_of("without.png")[1] < with_frames[1]


def test_a_source_is_read_as_a_file_and_never_as_an_address(ctgi: Run, cropped: Path) -> None:
    from ctgi.errors import ImageError
    from ctgi.footage.scenes import full_picture
    from ctgi.footage.sources import origin_of

    (path, *_) = sorted(map(str, cropped.rglob("*-0*.jpg")))
    origin = origin_of(path)
    assert origin is not None
    assert full_picture(origin, (160, 160)).size == (160, 120)
    for elsewhere in ("http://127.0.0.1:9/a.mp4", "concat:a.mp4|b.mp4"):
        with pytest.raises(ImageError, match="no such file"):
            full_picture(origin.model_copy(update={"source": elsewhere}), (160, 160))


SAYS = ["-b", "images=python:tests.commands.test_crop_search:says"]


def says(picture: Image.Image, prompt: str) -> str:
    """A model that sees the same in every image."""
    return "A man in a coat."


def test_a_scene_among_person_images_is_said_and_cropped_on_request(ctgi: Run, work: Path, tiny_clip: Path) -> None:
    clip = ["-b", f"search_gallery=open_clip:local-dir:{tiny_clip}"]
    (work / "in").mkdir()
    draw_blocks([Block(BLUE, (240, 80, 280, 200))]).save(work / "in" / "street.png")
    draw_blocks([Block(RED, (10, 10, 50, 120))], size=(60, 130)).save(work / "in" / "person.png")
    told = "in/street.png looks like a scene, 320 x 240 px, not like one person: ctgi crop cuts the people out"
    assert told in ctgi("index", "in", *clip).err
    assert "looks like a scene" not in ctgi("index", "in", *clip).err, "nothing new"
    assert told in ctgi("caption", "in", "--turns", 0, *SAYS).err
    done = ctgi("index", "in", "--crop", *clip, *FINDER, "--json")
    assert (done.code, done.json["total"]) == (0, 2)
    assert "looks like a scene" not in done.err
    found = ctgi("search", "somebody", "-g", "in", "--crop", "--no-mti", *clip, *FINDER, "--json")
    sources = {one["origin"]["source"] for one in found.json["results"]}
    assert sources == {str(work / "in" / name) for name in ("street.png", "person.png")}
    captioned = ctgi("caption", "in/street.png", "--crop", "--turns", 0, *SAYS, *FINDER, "--out", "c.jsonl")
    assert captioned.code == 0
    assert all(json.loads(line)["path"].startswith("people/") for line in Path("c.jsonl").read_text().splitlines())


def test_a_video_is_cropped_on_request_and_empty_footage_is_an_error(ctgi: Run, work: Path, tiny_clip: Path) -> None:
    clip = ["-b", f"search_gallery=open_clip:local-dir:{tiny_clip}", "--no-mti"]
    write_video(work / "lobby.mp4", blocks_film([Block(RED, (10, 60, 50, 180), (4, 0))], 30))
    refused = ctgi("search", "somebody", "-g", "lobby.mp4", *clip)
    assert (refused.code, "is a video: ctgi crop cuts the people out of it" in refused.err) == (2, True)
    assert len(ctgi("search", "somebody", "-g", "lobby.mp4", "--crop", *clip, *FINDER, "--json").json["results"]) == 3
    draw_blocks([]).save(work / "empty.png")
    (work / "people").rename(work / "other")
    nobody = ctgi("search", "somebody", "-g", "empty.png", "--crop", *clip, *FINDER)
    assert (nobody.code, "--crop: nobody was found in empty.png" in nobody.err) == (2, True)

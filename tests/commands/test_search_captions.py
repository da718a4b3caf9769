"""ctgi search --captions: the query is compared with images and their captions."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ctgi import Session
from ctgi.testing import ScriptedMllm
from tests.support.commands import Run


@pytest.fixture
def captions(people: Path, tmp_path: Path) -> Path:
    """A caption of each image, its name in words; the last image has none."""
    files = sorted(path for path in people.iterdir() if path.suffix in (".png", ".jpg"))[:-1]
    lines = [
        {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "caption": f"{number} zebras"}
        for number, path in enumerate(files)
    ]
    file = tmp_path / "captions.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def found(ctgi: Run, people: Path, tiny_clip: Path, *more: object) -> Any:
    bind = f"search_gallery=open_clip:local-dir:{tiny_clip}"
    return ctgi("search", "3 zebras", "-g", people, "-b", bind, "--no-mti", "--json", "-k", 50, *more)


def test_a_caption_raises_its_image(ctgi: Run, people: Path, tiny_clip: Path, captions: Path) -> None:
    plain = found(ctgi, people, tiny_clip).json["results"]
    done = found(ctgi, people, tiny_clip, "--captions", captions)
    assert done.code == 0, done.err
    assert f"{len(plain) - 1} of {len(plain)} images have a caption in" in done.err
    named = json.loads(captions.read_text().splitlines()[3])["path"]
    score = {name: {one["path"]: one["score"] for one in ranking} for name, ranking in
             (("plain", plain), ("both", done.json["results"]))}  # fmt: skip
    gains = {path: score["both"][path] - 0.5 * score["plain"][path] for path in score["plain"]}
    assert max(gains, key=lambda path: gains[path]) == named
    assert len(score["both"]) == len(score["plain"]), "an image without a caption is still found"


def test_captions_of_other_images_are_refused(ctgi: Run, people: Path, tiny_clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"path": "x.png", "sha256": "0" * 64, "caption": "a man"}) + "\n")
    done = found(ctgi, people, tiny_clip, "--captions", other)
    assert done.code == 2
    assert "other.jsonl: no caption of an image of" in done.err


def test_a_session_searches_captions_too(people: Path, tiny_clip: Path, captions: Path) -> None:
    with Session(bindings={"search_gallery": f"open_clip:local-dir:{tiny_clip}"}) as session:
        plain = session.search("3 zebras", people, mti=False)
        both = session.search("3 zebras", people, mti=False, captions=captions)
        assert [one.score for one in both.results] != [one.score for one in plain.results]
        again = session.search("3 zebras", people, mti=False, captions=captions)
        assert [one.score for one in again.results] == [one.score for one in both.results]


@pytest.fixture
def answered(captions: Path) -> Path:
    """The same with what MTG asked: the hats are alike, the shoes are not."""
    lines = [json.loads(line) for line in captions.read_text().splitlines()]
    for number, line in enumerate(lines):
        shoes = ("boots", "sandals", "sneakers")[number % 3]
        said = {"hat": "nothing", "shoes": shoes}
        line["turns"] = [{"note": "by hand"}, *({"attribute": name, "answer": answer} for name, answer in said.items())]
    captions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return captions


@pytest.mark.parametrize(
    ("mti", "first", "count"),
    [({}, "shoes", 1), ({"split": False}, "upper_color", 6), ({"max_anchors": 2}, "shoes", 2)],
)
def test_what_tells_the_candidates_apart_is_asked(
    people: Path, tiny_clip: Path, answered: Path, mti: dict[str, object], first: str, count: int
) -> None:
    model = ScriptedMllm({"kind of shoes": "white sneakers", "": "yes"})
    bindings = {"images": model, "search_gallery": f"open_clip:local-dir:{tiny_clip}"}
    with Session(bindings=bindings, mti=mti) as session:
        asked = session.search("3 zebras", people, captions=answered).dialogue
    assert (asked[0].attribute, len(asked)) == (first, count)

import json
import os
import re
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ctgi.testing import Reply, Request, ScriptedServer
from tests.support.commands import Run, start


@pytest.fixture
def bind(double: ScriptedServer, tiny_clip: Path) -> list[str]:
    """Real retrieval by a tiny CLIP, and a scripted double behind the tools that look at an image."""

    def answer(seen: Request) -> Reply:
        if seen.choices:
            return Reply("yes", top={"yes": 0.9, "no": 0.1})
        return Reply("walking" if "doing" in seen.prompts[-1] else "not visible")

    double.replies = answer
    return ["-b", f"images=vllm:double@{double.url}", "-b", f"search_gallery=open_clip:local-dir:{tiny_clip}"]


def test_a_folder_is_indexed_on_first_use_and_searched(ctgi: Run, bind: list[str], people: Path) -> None:
    done = ctgi("search", "woman with red bag", "-g", people, *bind, "--json", "-k", 5)
    assert done.code == 0, done.err
    result = done.json
    assert (people / ".ctgi").is_dir()
    assert set(result) >= {"query", "refined_query", "anchors", "dialogue", "calls", "results", "trace"}
    assert result["query"] == "woman with red bag"
    assert [found["rank"] for found in result["results"]] == [1, 2, 3, 4, 5]
    assert set(result["results"][0]) >= {"path", "rank", "score", "rank_before", "score_before"}
    assert result["anchors"][0]["probability"] == pytest.approx(0.9)
    anchor = next(found for found in result["results"] if found["path"] == result["anchors"][0]["path"])
    assert anchor["score"] == pytest.approx(0.8 * anchor["score_before"] + 0.2, abs=1e-5)
    assert all(Path(found["path"]).is_file() for found in result["results"])


def test_without_mti_nothing_is_asked_and_the_order_is_s(
    ctgi: Run, bind: list[str], people: Path, double: ScriptedServer
) -> None:
    result = ctgi("search", "a man", "-g", people, *bind, "--json", "--no-mti", "-k", 100).json
    assert len(double.seen) == 0
    scores = [found["score"] for found in result["results"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 8
    assert [found["rank_before"] for found in result["results"]] == list(range(1, 9))


def test_the_table_shows_scores_before_and_after(ctgi: Run, bind: list[str], people: Path) -> None:
    out = ctgi("search", "a man", "-g", people, *bind).out
    assert "refined query: A man. The person is walking." in out
    assert "(anchor)" in out
    assert "score before" in out
    assert "dropped: unusable: not visible" in out


def test_pages_and_pictures(ctgi: Run, bind: list[str], people: Path) -> None:
    query = "a <script>alert(1)</script> man \x1b[31m"
    done = ctgi("search", query, "-g", people, *bind, "--html", "a.html", "--montage", "a.png", "--relevant", "0_*.png")
    assert done.code == 0, done.err
    page = Path("a.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert not any(f'{attribute}="http' in page for attribute in ("src", "href", "action"))
    assert "\x1b" not in page + done.out
    with Image.open("a.png") as picture:
        assert picture.width > 300


def test_the_gallery_can_be_left_out(ctgi: Run, bind: list[str], people: Path) -> None:
    assert "no gallery given" in ctgi("search", "a man", *bind).err
    ctgi("index", people, *bind)
    done = ctgi("search", "a man", *bind, "--no-mti")
    assert done.code == 0
    assert f"gallery: {people}" in done.err.replace("\n", "")
    Path("ctgi.toml").write_text('gallery = "elsewhere"')
    assert "elsewhere" in ctgi("search", "a man", *bind, "--no-mti").err


@pytest.mark.parametrize("query", ["", " \n"])
def test_an_empty_query_is_an_error(ctgi: Run, bind: list[str], people: Path, query: str) -> None:
    done = ctgi("search", query, "-g", people, *bind)
    assert done.code == 2
    assert "empty" in done.err


@pytest.mark.parametrize("query", ["红色背包的女人", "👩‍🦰🎒", "رجل يرتدي قميصا", "\udcff", "a\x00b"])
def test_any_script_is_searched(ctgi: Run, bind: list[str], people: Path, query: str) -> None:
    done = ctgi("search", query, "-g", people, *bind, "--json")
    assert done.code == 0, done.err
    assert done.json["query"] == query.replace("\udcff", "\ufffd")


def test_a_long_query_is_cut_and_counted(ctgi: Run, bind: list[str], people: Path) -> None:
    done = ctgi("search", "red " * 5000, "-g", people, *bind, "--json", "--no-mti")
    assert done.code == 0
    assert done.json["truncated_tokens"] >= 4900
    assert "tokens of the query were beyond" in done.err


def test_a_changed_or_deleted_image_is_said_and_mended(ctgi: Run, bind: list[str], people: Path) -> None:
    ctgi("index", people, *bind)
    (people / "0_a.png").unlink()
    Image.new("RGB", (64, 128), "green").save(people / "1_a.png")
    done = ctgi("search", "a man", "-g", people, *bind, "--no-mti")
    assert "changed or deleted since they were indexed: 2 (" in done.err
    assert "ctgi index" in done.err
    report = ctgi("index", people, *bind, "--json").json
    assert (report["added"], report["removed"], report["total"]) == (1, 1, 7)
    assert "changed or deleted" not in ctgi("search", "a man", "-g", people, *bind, "--no-mti").err


def test_a_candidate_that_is_gone_is_reported_and_the_search_goes_on(ctgi: Run, bind: list[str], people: Path) -> None:
    ctgi("index", people, *bind)
    first = ctgi("search", "a man", "-g", people, *bind, "--no-mti", "--json").json["results"][0]["path"]
    Path(first).unlink()
    done = ctgi("search", "a man", "-g", people, *bind, "--json")
    assert done.code == 1
    assert "not verified" in done.err
    assert done.json["anchors"][0]["rank"] == 2


def test_another_encoder_gets_a_gallery_of_its_own(
    ctgi: Run, bind: list[str], people: Path, tmp_path: Path, work: Path
) -> None:
    from tests.support.tiny_clip import save_tiny_clip

    ctgi("index", people, *bind)
    (tmp_path / "other").mkdir()
    other = ["-b", f"search_gallery=open_clip:local-dir:{save_tiny_clip(tmp_path / 'other', seed=1)}"]
    done = ctgi("search", "a man", "-g", people, *other, "--no-mti", "--json")
    assert done.code == 0, done.err
    assert "indexing again for open_clip:local-dir:" in done.err
    assert done.json["gallery"] == str(people)
    assert "indexing" not in ctgi("search", "a man", "-g", people, *other, "--no-mti").err
    assert "indexing" not in ctgi("search", "a man", "-g", people, *bind, "--no-mti").err
    (work / "some.txt").write_text(f"{people}/0_a.png\n")
    ctgi("index", "@some.txt", "--out", "listed", *bind)
    refused = ctgi("search", "a man", "-g", "listed", *other, "--no-mti")
    assert (refused.code, "ctgi index @some.txt --out listed --bind search_gallery=" in refused.err) == (2, True)


def cure(message: str) -> list[str]:
    """The command that a message recommends."""
    found = re.search(r"run ctgi (index .+?)( to |$)", message, re.MULTILINE)
    assert found, message
    return shlex.split(found[1])


@pytest.mark.parametrize("spoil", ["touch", "header", "embeddings", "empty"])
@pytest.mark.parametrize("out", [None, "gallery"])
def test_the_cure_in_a_message_mends_the_gallery(
    ctgi: Run, bind: list[str], people: Path, work: Path, out: str | None, spoil: str
) -> None:
    people.rename(work / "im")
    ctgi("index", "im", *bind, *(["--out", out] if out else []))
    home, named = Path(out or "im/.ctgi"), out or "im"
    if spoil == "touch":
        os.utime("im/0_a.png", ns=(1, 1))
    elif spoil == "header":
        (home / "gallery.json").write_text("[]")
    elif spoil == "embeddings":
        next(home.glob("embeddings-*")).write_bytes(bytes(8 * 64 * 4))
    else:
        (home / "gallery.json").write_text((home / "gallery.json").read_text().replace('"count": 8', '"count": 0'))
    message = ctgi("search", "a man", "-g", named, *bind, "--no-mti").err
    command = [word.replace("IMAGES", "im") for word in cure(message)]  # which ones, only gallery.json knew
    assert ctgi(*command).code == 0
    done = ctgi("search", "a man", "-g", named, *bind, "--no-mti", "--json")
    assert (done.code, len(done.json["results"]), "changed or deleted" in done.err) == (0, 8, False)


def test_the_cure_works_from_another_folder_for_a_gallery_of_listed_images(
    ctgi: Run, bind: list[str], people: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "some.txt").write_text(f"{people}/0_a.png\n{people}/1_a.png\n")
    ctgi("index", "@some.txt", "--out", "listed", *bind)
    (people / "0_a.png").touch()
    (work / "elsewhere").mkdir()
    monkeypatch.chdir(work / "elsewhere")
    message = ctgi("search", "a man", "-g", "../listed", *bind, "--no-mti").err
    found = re.search(r"run cd (\S+) && ctgi (index .+?) to update", message)
    assert found, message
    monkeypatch.chdir(found[1])
    assert ctgi(*shlex.split(found[2])).code == 0
    assert "changed or deleted" not in ctgi("search", "a man", "-g", "listed", *bind, "--no-mti").err


def test_indexing_tells_the_encoder_and_the_disk_space(ctgi: Run, bind: list[str], people: Path) -> None:
    report = ctgi("index", people, *bind, "--json").json
    size = sum(path.stat().st_size for path in (people / ".ctgi").iterdir())
    assert (report["encoder"].split(":")[:2], report["bytes"]) == (["open_clip", "local-dir"], size)
    assert f"encoder {report['encoder']}, 0.0 MB on disk" in ctgi("index", people, *bind).out


def test_to_index_a_gallery_names_the_command_for_its_images(ctgi: Run, bind: list[str], people: Path) -> None:
    ctgi("index", people, "--out", "gallery", *bind)
    done = ctgi("index", "gallery", *bind)
    assert done.code == 2
    assert "gallery is a gallery, not images: to update it, run" in done.err
    assert f"run ctgi index {people} --out gallery --bind search_gallery=" in done.err
    assert not Path("gallery/.ctgi").exists()
    assert ctgi("search", "a man", "-g", "gallery", *bind, "--no-mti").code == 0


def test_check_reads_every_byte(ctgi: Run, bind: list[str], people: Path) -> None:
    ctgi("index", people, *bind)
    whole = ctgi("index", people, "--check")
    assert (whole.code, whole.out) == (0, f"{people}: whole\n")
    embeddings = people / ".ctgi" / "embeddings-1.bin"
    content = bytearray(embeddings.read_bytes())
    content[1000] ^= 1  # the last bit of a number: no norm tells
    embeddings.write_bytes(content)
    done = ctgi("index", people, "--check", "--json")
    assert (done.code, len(done.json["damage"])) == (1, 1)
    assert "embeddings-1.bin has changed since it was written" in done.json["damage"][0]


def test_a_damaged_gallery_is_said_and_mended(ctgi: Run, bind: list[str], people: Path) -> None:
    ctgi("index", people, *bind)
    embeddings = max((people / ".ctgi").iterdir(), key=lambda path: path.stat().st_size)
    embeddings.write_bytes(b"damaged")
    done = ctgi("search", "a man", "-g", people, *bind, "--no-mti")
    assert done.code == 2
    assert "ctgi index" in done.err
    assert ctgi("index", people, *bind).code == 0
    assert ctgi("search", "a man", "-g", people, *bind, "--no-mti").code == 0


def test_an_unusable_image_is_listed_and_the_rest_indexed(ctgi: Run, bind: list[str], people: Path) -> None:
    (people / "bad.png").write_bytes(b"\x89PNG")
    done = ctgi("index", people, *bind, "--json")
    assert done.code == 1
    assert done.json["total"] == 8
    assert [Path(path).name for path, _ in done.json["failed"]] == ["bad.png"]


def test_a_killed_index_goes_on(ctgi: Run, bind: list[str], tmp_path: Path) -> None:
    crowd = tmp_path / "crowd"
    crowd.mkdir()
    for number in range(400):
        Image.new("RGB", (32, 64), (number % 256, number // 2, 99)).save(crowd / f"{number}.png")
    os.environ["CTGI_RETRIEVER__BATCH_SIZE"] = "4"
    try:
        process = start("index", crowd, *bind)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not _rows(crowd):
            time.sleep(0.005)
        process.kill()
        process.wait(30)
    finally:
        del os.environ["CTGI_RETRIEVER__BATCH_SIZE"]
    kept = _rows(crowd)
    report = ctgi("index", crowd, *bind, "--json").json
    assert report["total"] == 400
    assert 0 < report["encoded"] <= 400 - max(0, kept - 8)
    assert ctgi("index", crowd, *bind, "--json").json["encoded"] == 0


def _rows(folder: Path) -> int:
    lines = [path.read_bytes().count(b"\n") for path in (folder / ".ctgi").glob("manifest*")]
    return max(lines, default=0)


def test_a_person_is_asked_and_may_come_back(ctgi: Run, bind: list[str], people: Path, monkeypatch: Any) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("red\n"))
    first = ctgi("search", "a man", "-g", people, *bind, "-i", "--thread", "mine")
    assert first.code == 2
    assert "--thread mine" in first.err.replace("\n", " ")
    monkeypatch.setattr("sys.stdin", io.StringIO("jeans\nstop\n"))
    second = ctgi("search", "-g", people, *bind, "-i", "--thread", "mine", "--json")
    assert second.code == 0, second.err
    assert [turn["answer"] for turn in second.json["dialogue"]] == ["red", "jeans"]
    assert "jeans" in second.json["refined_query"]
    assert json.dumps(second.json["anchors"]) == "[]"


def test_a_faiss_factory_string(ctgi: Run, bind: list[str], people: Path) -> None:
    assert ctgi("index", people, *bind, "--index", "HNSW8").code == 0
    assert ctgi("search", "a man", "-g", people, *bind, "--no-mti").code == 0
    done = ctgi("index", people, *bind, "--index", "Nonsense9")
    assert done.code == 2
    assert "Nonsense9" in done.err


def test_a_server_that_is_gone_names_itself(ctgi: Run, bind: list[str], people: Path, double: ScriptedServer) -> None:
    ctgi("index", people, *bind)
    double.stop()
    done = ctgi("search", "a man", "-g", people, *bind)
    assert done.code == 2
    assert double.url in done.err


def test_another_index_than_the_gallery_has_is_told_with_the_command(
    ctgi: Run, bind: list[str], people: Path, work: Path
) -> None:
    ctgi("index", people, *bind)
    (work / "ctgi.toml").write_text('[retriever]\nindex = "HNSW8"\n')
    done = ctgi("search", "a man", "-g", people, *bind, "--no-mti")
    assert "the gallery has the index Flat, not HNSW8 as configured" in done.err
    command = re.search(r"run ctgi (.*) to change it", done.err)
    assert command
    assert ctgi(*shlex.split(command[1])).code == 0
    assert "the gallery has the index" not in ctgi("search", "a man", "-g", people, *bind, "--no-mti").err


def test_a_file_is_no_gallery(ctgi: Run, bind: list[str], people: Path, work: Path) -> None:
    done = ctgi("search", "a man", "-g", people / "0_a.png", *bind, "--no-mti")
    assert (done.code, "is a file; expected a folder of person images" in done.err) == (2, True)
    Path("people.tar").write_bytes(b"")
    done = ctgi("search", "a man", "-g", "people.tar", *bind, "--no-mti")
    assert (done.code, "index them first: ctgi index people.tar --out GALLERY" in done.err) == (2, True)
    (work / "people.mp4").write_bytes(b"frames")
    done = ctgi("search", "a man", "-g", "people.mp4", *bind, "--no-mti")
    assert (done.code, "people.mp4 is a video: ctgi crop cuts the people out of it; expected" in done.err) == (2, True)


def test_a_gallery_without_its_images_asks_for_them(ctgi: Run, bind: list[str], people: Path, work: Path) -> None:
    ctgi("index", people, *bind)
    shutil.copytree(people / ".ctgi", work / "copy" / ".ctgi")
    done = ctgi("search", "a man", "-g", work / "copy", *bind, "--no-mti")
    assert "none of the 8 indexed images is there" in done.err
    assert "copy them there, or run ctgi index on the folder where they are now" in done.err


def test_what_a_table_says_narrows_a_search(ctgi: Run, bind: list[str], people: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in people.glob("*.png"))
    lines = [f"{name},{'north' if row < 3 else 'south'},2026-11-0{row + 1}T12:00" for row, name in enumerate(names)]
    table = tmp_path / "seen.csv"
    table.write_text("\n".join(["path,camera,time", *lines, "elsewhere.png,west,"]))
    indexed = ctgi("index", people, *bind[2:], "--metadata", table, "--json")
    assert indexed.code == 0, indexed.err
    assert (indexed.json["columns"], indexed.json["unmatched"]) == (["camera", "time"], 1)
    assert "known of 8 of 8 images: camera, time" in indexed.err
    assert "1 rows of the tables name no image of the gallery" in indexed.err
    given = ["search", "a man", "-g", people, *bind, "--json"]
    done = ctgi(*given, "--where", "camera = 'north' and time > '2026-11-02'")
    assert done.code == 0, done.err
    assert {Path(found["path"]).name for found in done.json["results"]} == set(names[1:3])
    assert len(done.json["verified"]) <= 2  # the dialogue looks at no others
    assert (done.json["where"], done.json["searched"]) == ("camera = 'north' and time > '2026-11-02'", 2)
    assert "2 of 8 images pass the filter" in done.err
    replayed = ctgi("trace", "replay", done.json["trace"], "--json")
    assert replayed.code == 0, replayed.err
    cameras = ctgi(*given, "--group", "camera", "--no-mti").json
    assert [found["rank"] for found in cameras["results"]] == [1, 2]
    assert (cameras["group"], cameras["searched"]) == ("camera", 8)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--where", "camera = 'north'"], "where: no column camera; the columns are path"),
        (["--where", "path like 'z%'"], "where: path like 'z%': none of the 8 images passes it"),
        (["--group", "paht"], "no column paht; did you mean path?"),
    ],
)
def test_a_filter_that_cannot_be_is_an_error(
    ctgi: Run, bind: list[str], people: Path, options: list[str], told: str
) -> None:
    done = ctgi("search", "a man", "-g", people, *bind, "--no-mti", *options)
    assert (done.code, done.out) == (2, "")
    assert told in done.err

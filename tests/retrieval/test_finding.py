import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from PIL import Image

from ctgi.errors import CtgiError, ImageError
from ctgi.retrieval import image_kinds
from ctgi.retrieval.finding import canonical, find_images
from ctgi.retrieval.images import display, read_image
from ctgi.retrieval.passed_over import PassedOver


def drawn(path: Path, **options: object) -> Path:
    Image.new("RGB", (16, 32), "red").save(path, **options)
    return path


def names(found: Iterable[str]) -> list[str]:
    return [Path(path).name for path in found]


def test_a_folder_gives_its_images_sorted_and_leaves_out_the_rest(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "note.txt", ".hidden.png"):
        (tmp_path / name).touch()
    for name in ("sub/c.webp", ".ctgi/d.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert names(find_images([str(tmp_path)])) == ["a.JPG", "b.png", "c.webp"]


def test_a_file_is_found_once_however_often_it_is_given(tmp_path: Path) -> None:
    picture = drawn(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to(picture)
    assert names(find_images([str(picture), str(tmp_path), str(tmp_path / "*.png")])) == ["a.png"]


def test_loops_of_links_end(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    drawn(tmp_path / "sub" / "a.png")
    assert names(find_images([str(tmp_path)])) == ["self.png", "a.png"]
    with pytest.raises(ImageError, match="cannot be read: Too many levels"):
        read_image(str(tmp_path / "self.png"))


def test_globs_lists_and_odd_extensions(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "odd.bin"):
        drawn(tmp_path / name, format="PNG")
    (tmp_path / "list.txt").write_text("# two of them\n\na.png\nodd.bin\n")
    assert names(find_images([str(tmp_path / "[ab].png")])) == ["a.png", "b.png"]
    assert names(find_images([f"@{tmp_path / 'list.txt'}"])) == ["a.png", "odd.bin"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_lists_are_read_in_the_encodings_that_editors_write(tmp_path: Path, encoding: str) -> None:
    for name in ("a.png", "b.png"):
        drawn(tmp_path / name)
    (tmp_path / "list.txt").write_bytes("a.png\r\nb.png\r\n".encode(encoding))
    assert names(find_images([f"@{tmp_path / 'list.txt'}"])) == ["a.png", "b.png"]


def test_a_list_in_gbk_is_named_with_its_line_and_the_cure(tmp_path: Path) -> None:
    (tmp_path / "人.png").touch()
    (tmp_path / "list.txt").write_bytes("# 名\n人.png\n".encode("gbk"))
    with pytest.raises(CtgiError, match=r"list of images .*list\.txt, line 2: not UTF-8.*GBK.*: save it as UTF-8"):
        list(find_images([f"@{tmp_path / 'list.txt'}"]))


def test_line_separators_are_characters_of_names(tmp_path: Path) -> None:
    (tmp_path / "a\u2028b.png").touch()
    (tmp_path / "list.txt").write_text("a\u2028b.png\n", encoding="utf-8")
    assert list(find_images([f"@{tmp_path / 'list.txt'}"])) == [str(tmp_path / "a\u2028b.png")]


def test_a_list_may_hold_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    drawn(tmp_path / "a.png").rename(tmp_path / name)
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.png\n")
    assert list(find_images([f"@{tmp_path / 'list.txt'}"])) == [str(tmp_path / name)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing", "no such file or folder"),
        ("empty", "no images in this folder"),
        ("*.gone", "nothing matches this pattern"),
        ("*.txt", "no images match this pattern: 1 file passed over: .txt"),
        ("@missing.txt", "list of images missing.txt: No such file"),
        ("@none.txt", "no images are listed in it"),
    ],
)
def test_nothing_to_find_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.txt").write_text("# nothing\n")
    with pytest.raises(CtgiError, match=message):
        list(find_images([given]))


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    drawn(tmp_path / "a.png")

    def refuse(folder: str, scan=os.scandir):  # root may read anything, so the refusal itself is played
        if str(folder) == str(closed):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CtgiError, match=r"closed: cannot read this folder \(Permission denied"):
        list(find_images([str(tmp_path)]))


def test_names_that_are_not_utf8_are_read_and_shown(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \x1b[31m.png")
    drawn(tmp_path / "a.png").rename(tmp_path / name)
    (path,) = find_images([str(tmp_path)])
    assert read_image(path).size == (16, 32)
    assert display(Path(path).name) == r"caf\udce9 \x1b[31m.png"
    display(path).encode()


def test_finding_images_needs_no_heavy_library() -> None:
    code = (
        "import sys, ctgi.retrieval.finding, ctgi.retrieval.images; print({'torch', 'PIL', 'numpy'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42"
HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf"


def filled(folder: Path, **contents: bytes) -> Path:
    """Files by name, with __ for the dot."""
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


@pytest.mark.parametrize("ending", [".avif", ".jp2", ".jpe", ".JPG", ".mpo", ".pgm", ".tga", ".tiff", ".webp"])
def test_every_format_that_is_read_is_known_by_its_ending(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a{ending}").touch()
    assert names(find_images([str(tmp_path)])) == [f"a{ending}"]


@pytest.mark.parametrize("kind", ["AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP"])
def test_images_without_a_telling_ending_are_known_by_their_content(tmp_path: Path, kind: str) -> None:
    drawn(tmp_path / "picture", format=kind)
    drawn(tmp_path / "frame.0001", format=kind)
    passed = PassedOver()
    assert names(find_images([str(tmp_path)], passed)) == ["frame.0001", "picture"]
    assert read_image(str(tmp_path / "picture")).size == (16, 32)
    assert passed.lines() == ["2 files taken as images by their content: .0001 (1), no extension (1)"]


def test_what_is_passed_over_is_counted_by_ending_and_a_file_given_twice_once(tmp_path: Path) -> None:
    drawn(tmp_path / "a.png")
    filled(tmp_path, captions__jsonl=b"{}\n", Thumbs__db=b"\xd0\xcf", b__txt=b"a man", c__TXT=b"", README=b"photos")
    passed = PassedOver()
    assert names(find_images([str(tmp_path), str(tmp_path / "*")], passed)) == ["a.png"]
    assert passed.endings == {".txt": 2, ".db": 1, ".jsonl": 1, "no extension": 1}
    (line,) = passed.lines()
    assert line.startswith("5 files passed over: .txt (2), ")


def test_sidecars_are_not_opened(tmp_path: Path) -> None:
    drawn(tmp_path / "a.txt", format="PNG")
    drawn(tmp_path / "a.nef", format="TIFF")  # a raw photograph: what a decoder finds in it is the thumbnail
    drawn(tmp_path / "a.png")
    assert names(find_images([str(tmp_path)])) == ["a.png"]


def test_videos_are_named_with_what_to_do(tmp_path: Path) -> None:
    filled(tmp_path, people__mp4=VIDEO, more__mp4=VIDEO, unnamed=VIDEO)
    with pytest.raises(CtgiError) as caught:
        list(find_images([str(tmp_path)]))
    assert str(caught.value) == (
        f"{tmp_path}: no images in this folder: 3 files passed over: .mp4 (2), no extension (1): "
        "more.mp4 is a video: ctgi crop cuts the people out of it (2 more like it)"
    )
    with pytest.raises(ImageError, match=r"people\.mp4: a video: ctgi crop cuts the people out of it$"):
        read_image(str(tmp_path / "people.mp4"))


def test_without_its_reader_heic_is_passed_over_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_kinds, "find_spec", lambda name: None)
    drawn(tmp_path / "a.png")
    drawn(tmp_path / "named.heic", format="JPEG")  # as phones and sites do it
    filled(tmp_path, real__heic=HEIC)
    passed = PassedOver()
    assert names(find_images([str(tmp_path)], passed)) == ["a.png", "named.heic"]
    assert passed.lines()[1:] == [
        "1 file passed over: .heic (1)",
        "real.heic is a HEIC image: pip install 'ctgi[heif]' to read it",
    ]
    with pytest.raises(ImageError, match=r"real\.heic: a HEIC image: pip install 'ctgi\[heif\]' to read it$"):
        read_image(str(tmp_path / "real.heic"))


def test_pipes_and_broken_links_are_passed_over(tmp_path: Path) -> None:
    drawn(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nowhere")
    passed = PassedOver()
    assert names(find_images([str(tmp_path)], passed)) == ["a.png"]
    assert passed.endings == {"no extension": 2}


@pytest.fixture
def deep() -> Iterator[Path]:
    """A folder with an image below 1,200 folders in one another: not in `tmp_path`, as pytest cannot remove that."""
    top = Path(mkdtemp())
    here = os.open(top, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    with Path(f"/proc/self/fd/{here}/x.png").open("wb") as file:
        Image.new("RGB", (16, 32), "red").save(file, "PNG")
    os.close(here)
    yield top
    subprocess.run(["rm", "-r", top], check=True)


def test_folders_may_lie_in_each_other_as_deep_as_paths_reach(deep: Path) -> None:
    (path,) = find_images([str(deep)])
    assert path == str(deep) + "/d" * 1200 + "/x.png"
    assert list(find_images([f"{deep}/**/*.png"])) == [path]
    assert read_image(path).size == (16, 32)


def test_patterns_reach_every_folder_once_however_links_loop(tmp_path: Path) -> None:
    for name in ("sub", "sub/deeper"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "up").symlink_to(tmp_path)
        (tmp_path / name / "again").symlink_to(tmp_path)
    for name in ("a.png", "sub/b.png", "sub/deeper/c.png", "sub/deeper/c.jpg"):
        drawn(tmp_path / name)
    assert names(find_images([f"{tmp_path}/**/*.png"])) == ["a.png", "b.png", "c.png"]
    assert names(find_images([f"{tmp_path}/sub/**/deeper/*.jpg"])) == ["c.jpg"]
    assert sorted(names(find_images([f"{tmp_path}/sub/**"]))) == ["a.png", "b.png", "c.jpg", "c.png"]


def test_a_file_has_one_name_however_it_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    drawn(tmp_path / "real" / "a.png")
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    ways = ["real/a.png", "./real/../link/a.png", str(tmp_path / "link" / "a.png")]
    assert {canonical(way) for way in ways} == {str((tmp_path / "real" / "a.png").resolve())}

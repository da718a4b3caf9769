"""Images in tar archives and Parquet files: found, counted and read where they lie."""

import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctgi.errors import CtgiError, ImageError
from ctgi.retrieval.finding import canonical, find_images, find_sources
from ctgi.retrieval.images import digest, read_image
from ctgi.retrieval.passed_over import PassedOver
from ctgi.retrieval.sources.reading import open_bytes
from ctgi.retrieval.sources.references import (
    as_folders,
    column_of,
    is_reference,
    is_remote,
    member_reference,
    parted,
    placed,
    with_column,
)
from tests.support.storage import COLORS, picture, save_tar, webdataset


def paths(*inputs: object) -> list[str]:
    return [found.path for found in find_sources([*map(str, inputs)])]


def fault_of(path: Path) -> tuple[int, str]:
    """How many images an archive yields, and the fault after them."""
    *images, last = find_sources([str(path)])
    assert last.path == str(path)
    assert not any(one.fault for one in images)
    return len(images), last.fault


def save_parquet(path: Path, columns: dict[str, object], **options: object) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


# --- references


def test_a_reference_lies_beside_its_archive_whatever_name_it_has() -> None:
    for name in (
        "../../etc/passwd.jpg",
        "/etc/passwd",
        "a#1,2,b.tar#3,4,c",
        "x\x00\x1b[2J.png",
        "\udcff.jpg",
        "n" * 999,
    ):
        reference = member_reference("data/people.tar", 512, 10, name)
        assert str(Path(os.path.normpath(reference)).parent) == "data"
        assert reference.isprintable()
        inside = parted(reference)
        assert inside is not None
        assert inside[:3] == ("data/people.tar", 512, 10)
    assert as_folders(member_reference("p.tar", 0, 1, "0001/a b.jpg")) == "p.tar/0001/a b.jpg"


def test_addresses_stay_whole_and_columns_are_named_behind_an_input(tmp_path: Path) -> None:
    assert canonical("s3://bucket/a//b.jpg") == placed("/somewhere", "s3://bucket/a//b.jpg") == "s3://bucket/a//b.jpg"
    assert not is_remote("s3:/bucket/a.jpg")
    assert not is_remote("file:///etc/passwd")
    assert column_of(with_column("a.parquet", "my photo/1")) == ("a.parquet", "my photo/1")
    odd = tmp_path / "a.tar#1,2,b.jpg"
    odd.write_bytes(picture("red"))
    assert not is_reference(str(odd))
    assert read_image(str(odd)).getpixel((0, 0))[0] > 200  # type: ignore[index]


# --- tar


def test_the_images_of_an_archive_are_read_where_they_lie_and_the_rest_is_counted(tmp_path: Path) -> None:
    members = webdataset(5) | {"odd": picture("green", "PNG"), "notes": b"none", "clip.mp4": b"film"}
    hidden = {"._a.jpg": b"fork", ".git/b.jpg": b"x"}
    shard = save_tar(tmp_path / "people.tar", members | hidden)
    passed = PassedOver()
    found = [*find_sources([str(shard)], passed)]
    images = [content for name, content in members.items() if name.endswith("jpg") or name == "odd"]
    assert [digest(one.path) for one in found] == [hashlib.sha256(content).hexdigest() for content in images]
    assert [one.size for one in found] == [*map(len, images)]
    assert {one.stamp for one in found} == {shard.stat().st_mtime_ns}
    assert read_image(found[-1].path).getpixel((0, 0)) == (0, 128, 0)
    assert passed.endings == {".txt": 5, ".json": 5, ".mp4": 1, "no extension": 1}
    assert passed.by_content == {"no extension": 1}


def test_links_in_an_archive_lead_nowhere(tmp_path: Path) -> None:
    shard = tmp_path / "people.tar"
    with tarfile.open(shard, "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"{kind.decode()}.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        content = picture("red")
        member = tarfile.TarInfo("a.jpg")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    passed = PassedOver()
    assert len([*find_sources([str(shard)], passed)]) == 1
    assert passed.endings == {"links and devices": 4}


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_are_read(tmp_path: Path, kind: int) -> None:
    names = ["d" * 120 + "/" + "f" * 120 + ".jpg", "люди/人.jpg"]
    shard = save_tar(tmp_path / "people.tar", {name: picture("blue") for name in names}, kind)
    assert [as_folders(path).removeprefix(f"{shard}/") for path in paths(shard)] == [names[0][-200:], names[1]]
    assert {digest(path) for path in paths(shard)} == {hashlib.sha256(picture("blue")).hexdigest()}


def test_a_folder_of_archives_is_taken_and_archives_beside_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for number in (1, 0):
        save_tar(tmp_path / "shards" / f"{number}.tar", webdataset(2))
    assert [Path(path).name[:5] for path in paths(tmp_path)] == ["0.tar", "0.tar", "1.tar", "1.tar"]
    assert paths(tmp_path) == paths(f"{tmp_path}/**/*.tar")
    (tmp_path / "a.jpg").write_bytes(picture("red"))
    passed = PassedOver()
    assert [one.path for one in find_sources([str(tmp_path)], passed)] == [str(tmp_path / "a.jpg")]
    assert passed.endings == {".tar": 2}
    assert passed.lines()[-1] == (
        "0.tar is an archive beside images: name it by itself to take the images in it (1 more like it)"
    )
    assert [*find_images([str(tmp_path)])] == [str(tmp_path / "a.jpg")]


def test_lists_name_archives_and_references(tmp_path: Path) -> None:
    shard = save_tar(tmp_path / "people.tar", webdataset(2))
    first = paths(shard)[0]
    (tmp_path / "list.txt").write_text(f"people.tar\n{Path(first).name}\n")
    assert paths(f"@{tmp_path / 'list.txt'}") == [*paths(shard), first]
    assert paths(first) == [first]


def test_archives_in_which_images_may_be_are_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    inner = {"a.tar": b"a", "b.parquet": b"b", "c.tar.gz": b"c", "d.gz": b"d", "e.jpg": picture("red")}
    outer = save_tar(tmp_path / "people" / "outer.tar", inner)
    for name in ("more.tgz", "MORE.ZIP", "log.gz"):
        (tmp_path / "people" / name).write_bytes(b"packed")
    passed = PassedOver()
    assert len([*find_sources([str(outer.parent)], passed)]) == 1
    assert passed.lines()[1:] == [
        "MORE.ZIP is a compressed archive: unpack it first to take the images in it (1 more like it)",
        "a.tar is an archive in an archive: unpack the outer one, and name this one by itself (2 more like it)",
    ]
    assert passed.endings.total() == 7


def test_an_archive_without_images_says_what_is_in_it(tmp_path: Path) -> None:
    shard = save_tar(tmp_path / "texts.tar", {"a.txt": b"a", "b.txt": b"b"})
    with pytest.raises(CtgiError, match=r"texts.tar: no images in it: 2 files passed over: .txt \(2\)"):
        paths(shard)


def test_an_archive_that_ends_too_early_yields_what_is_whole_and_its_fault(tmp_path: Path) -> None:
    whole = save_tar(tmp_path / "whole.tar", webdataset(4)).read_bytes()
    offsets = [inside[1] for path in paths(tmp_path / "whole.tar") if (inside := parted(path))]
    cut = tmp_path / "cut.tar"
    for length, images, words in (
        (offsets[2] + 100, 3, "damaged or cut off after"),  # the third is listed, and reading it says the rest
        (offsets[2] - 500, 2, "damaged or cut off after"),
        (offsets[2] - 512, 2, "ends without an end mark"),
    ):
        cut.write_bytes(whole[:length])
        count, fault = fault_of(cut)
        assert (count, fault.partition(",")[0][: len(words)]) == (images, words)
    cut.write_bytes(whole[: offsets[2] + 100])
    with pytest.raises(ImageError, match="the archive ends before it"):
        digest(paths(cut)[2])


def test_an_archive_that_is_damaged_joined_compressed_or_none_says_so(tmp_path: Path) -> None:
    shard = save_tar(tmp_path / "people.tar", webdataset(4))
    whole, third = shard.read_bytes(), parted(paths(shard)[2])
    assert third is not None
    header = int(third[1]) - 512
    shard.write_bytes(whole[:header] + b"#" * 512 + whole[header + 512 :])
    assert fault_of(shard) == (2, "damaged or cut off after 6 files: copy it again")
    shard.write_bytes(whole + whole)
    count, fault = fault_of(shard)
    assert (count, fault[:24]) == (4, "goes on behind its end m")
    shard.write_bytes(b"\x1f\x8b" + whole)
    assert "compressed (gzip)" in fault_of(shard)[1]
    shard.write_bytes(b"no archive" * 100)
    assert fault_of(shard) == (0, "not a tar archive, or damaged")
    shard.write_bytes(b"")
    assert fault_of(shard) == (0, "not a tar archive, or damaged")
    (tmp_path / "people.tar.gz").write_bytes(b"\x1f\x8b")
    assert "a compressed archive" in fault_of(tmp_path / "people.tar.gz")[1]


def test_an_archive_that_was_replaced_never_gives_another_picture(tmp_path: Path) -> None:
    from ctgi.retrieval.images import picture_at

    shard = save_tar(tmp_path / "people.tar", {"a.jpg": picture("red")})
    (path,) = paths(shard)
    sha256 = digest(path)
    save_tar(shard, {"a.jpg": picture("blue")})
    with pytest.raises(ImageError), picture_at(path, sha256):
        pass
    shard.unlink()
    with pytest.raises(ImageError, match="no such archive"):
        digest(path)


# --- Parquet


def test_pictures_of_a_parquet_file_are_read_by_row(tmp_path: Path) -> None:
    contents = [picture(color) for color in COLORS]
    rows = [{"bytes": content, "path": f"{place}.jpg"} for place, content in enumerate(contents)]
    table = save_parquet(tmp_path / "people.parquet", {"text": ["a"] * 6, "image": rows}, row_group_size=4)
    assert [digest(path) for path in paths(table)] == [hashlib.sha256(content).hexdigest() for content in contents]
    assert paths(table)[4] == f"{table}#1,0,image"
    assert digest(f"{table}#0,2,image") == hashlib.sha256(contents[2]).hexdigest()
    with pytest.raises(ImageError, match="no such row"):
        digest(f"{table}#7,0,image")


def test_a_row_without_a_picture_fails_alone(tmp_path: Path) -> None:
    table = save_parquet(tmp_path / "people.parquet", {"img": pa.array([picture("red"), None], pa.binary())})
    first, second = paths(table)
    assert read_image(first).size == (16, 32)
    with pytest.raises(ImageError, match="no picture in this row"):
        digest(second)


def test_the_column_of_pictures_is_found_or_asked_for(tmp_path: Path) -> None:
    both = {"photo": [picture("red")], "mask": [picture("black")], "text": ["a"]}
    table = save_parquet(tmp_path / "people.parquet", both)
    with pytest.raises(CtgiError, match="several columns may hold the pictures: choose one with --column: photo, mask"):
        paths(table)
    assert paths(with_column(str(table), "photo")) == [f"{table}#0,0,photo"]
    with pytest.raises(CtgiError, match="column text holds no bytes"):
        paths(with_column(str(table), "text"))
    with pytest.raises(CtgiError, match="no column holds pictures: expected bytes"):
        paths(save_parquet(tmp_path / "texts.parquet", {"text": ["a"]}))


def test_without_what_reads_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = save_parquet(tmp_path / "people.parquet", {"image": [picture("red")]})
    (place,) = paths(table)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    cure = r"people\.parquet: reading Parquet needs more packages: pip install 'ctgi\[remote\]'$"
    with pytest.raises(CtgiError, match=cure):
        paths(table)
    with pytest.raises(CtgiError, match=cure):
        open_bytes(place)


def test_a_damaged_parquet_file_is_its_own_fault(tmp_path: Path) -> None:
    table = save_parquet(tmp_path / "people.parquet", {"image": [picture("red")] * 8})
    table.write_bytes(table.read_bytes()[:-20])
    assert fault_of(table) == (0, "not a Parquet file, or damaged or cut off: copy it again")

"""Images in buckets and on web servers: listed as they are needed, read by range, and what goes wrong on the way."""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from ctgi.errors import CtgiError, ImageError, UnreadError
from ctgi.retrieval.finding import find_sources
from ctgi.retrieval.images import digest, read_image
from ctgi.retrieval.passed_over import PassedOver
from ctgi.retrieval.sources import listing, reading, remote
from ctgi.retrieval.sources.reading import read_ahead
from ctgi.retrieval.sources.recent import recent
from tests.support.storage import COLORS, Asked, lead_to, object_storage, picture, save_tar, web_server, webdataset

SHA256 = {color: hashlib.sha256(picture(color)).hexdigest() for color in COLORS}


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    with object_storage("people") as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests read is read anew; retries do not wait."""
    recent.clear()
    monkeypatch.setattr(remote, "_told", set())
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)


def paths(*inputs: str) -> list[str]:
    return [found.path for found in find_sources(inputs)]


def put(bucket: Any, **objects: bytes) -> None:
    for name, content in objects.items():
        bucket.put_object(Bucket="people", Key=name, Body=content)


# --- buckets


def test_the_images_below_an_address_are_those_of_a_folder(bucket: Any) -> None:
    red, green = picture("red"), picture("green", "PNG")
    for name, content in {
        "f/b.jpg": red, "f/a/c.png": green, "f/hash": green, "f/LICENSE": b"text", "f/x.txt": b"x",
        "f/.cache/d.jpg": red, "f/folder/": b"", "fx/other.jpg": red,
    }.items():  # fmt: skip
        bucket.put_object(Bucket="people", Key=name, Body=content)
    passed = PassedOver()
    found = [*find_sources(["s3://people/f"], passed)]
    assert [one.path for one in found] == ["s3://people/f/a/c.png", "s3://people/f/b.jpg", "s3://people/f/hash"]
    assert [one.size for one in found] == [len(green), len(red), len(green)]
    assert all(one.stamp for one in found)
    assert [digest(one.path) for one in found][1] == SHA256["red"]
    assert passed.endings == {"no extension": 1, ".txt": 1}
    assert paths("s3://people/f/*.jpg") == ["s3://people/f/b.jpg"]
    assert paths("s3://people/f/**/*.[jp][pn]g") == ["s3://people/f/a/c.png", "s3://people/f/b.jpg"]
    assert paths("s3://people/f/b.jpg") == ["s3://people/f/b.jpg"]


def test_archives_and_tables_in_a_bucket_are_read_through_once_or_by_range(bucket: Any, tmp_path: Path) -> None:
    shard = save_tar(tmp_path / "people.tar", webdataset(6))
    pq.write_table(pa.table({"image": [picture(color) for color in COLORS]}), tmp_path / "p.parquet", row_group_size=4)
    put(bucket, **{"shards/0.tar": shard.read_bytes(), "tables/p.parquet": (tmp_path / "p.parquet").read_bytes()})
    passed = PassedOver()
    read = [digest(found.path) for found in find_sources(["s3://people/shards"], passed, reading=True)]
    assert read == [SHA256[color] for color in COLORS]
    assert passed.endings == {".txt": 6, ".json": 6}
    recent.clear()
    assert [digest(path) for path in paths("s3://people/shards/0.tar", "s3://people/tables")] == 2 * read


def test_an_object_that_vanishes_fails_alone(bucket: Any) -> None:
    put(bucket, **{"gone/a.jpg": picture("red"), "gone/b.jpg": picture("blue")})
    first, second = paths("s3://people/gone")
    bucket.delete_object(Bucket="people", Key="gone/a.jpg")
    with pytest.raises(ImageError, match="no such object, perhaps deleted since it was listed") as error:
        digest(first)
    assert not isinstance(error.value, UnreadError)
    assert digest(second) == SHA256["blue"]


def test_an_object_that_was_replaced_is_another_image(bucket: Any) -> None:
    put(bucket, **{"new/a.jpg": picture("red")})
    (path,) = paths("s3://people/new")
    assert digest(path) == SHA256["red"]
    put(bucket, **{"new/a.jpg": picture("blue")})
    assert [digest(found.path) for found in read_ahead(find_sources(["s3://people/new"]))] == [SHA256["blue"]]


@pytest.mark.parametrize("address", ["s3://people/nothing", "s3://nobody", "s3://people/*.nothing"])
def test_what_is_not_there_is_said(bucket: Any, address: str) -> None:
    with pytest.raises(CtgiError, match=r"there is no such object, folder or bucket|nothing matches this pattern"):
        paths(address)


def test_the_network_is_announced_once_for_each_bucket(bucket: Any, caplog: pytest.LogCaptureFixture) -> None:
    put(bucket, **{"one/a.jpg": picture("red")})
    digest(*paths("s3://people/one"))
    told = [line.getMessage() for line in caplog.records if line.levelno >= logging.WARNING]
    assert told == ["reading from s3://people over the network"]


# --- servers that behave badly


Leading = Callable[[str], None]


@pytest.fixture
def led(monkeypatch: pytest.MonkeyPatch) -> Iterator[Leading]:
    """Leads s3:// to another address; after the test to the bucket again."""

    def lead(address: str) -> None:
        lead_to(address, monkeypatch)

    yield lead
    s3fs.S3FileSystem.clear_instance_cache()


def page(names: list[str], token: str) -> bytes:
    """A page of a listing, with more to come."""
    contents = "".join(
        f"<Contents><Key>{name}</Key><Size>9</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
        for name in names
    )
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
    return f"<ListBucketResult>{contents}{more}</ListBucketResult>".encode()


def test_a_bucket_without_permission_says_how_to_get_it(led: Leading) -> None:
    with web_server(lambda asked: asked.refuse("AccessDenied", 403)) as address:
        led(address)
        with pytest.raises(CtgiError, match=r"s3://closed/people: no permission: set AWS_PROFILE") as error:
            paths("s3://closed/people")
        with pytest.raises(UnreadError, match="no permission"):
            digest("s3://closed/people/a.jpg")
    assert "AKIA" not in str(error.value)
    assert "not-a-secret" not in str(error.value)


def test_without_credentials_the_cure_is_named(led: Leading, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    led("http://127.0.0.1:9")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CtgiError, match=r"s3://nokeys/a: no credentials: set AWS_PROFILE, .* FSSPEC_S3_ANON=true"):
        paths("s3://nokeys/a")


def test_an_endless_listing_is_drawn_only_as_far_as_it_is_needed(led: Leading) -> None:
    pages = count()

    def answer(asked: Asked) -> None:
        if "list-type=2" in asked.query and "max-keys=1&" not in f"{asked.query}&":
            number = next(pages)
            asked.answer(200, page([f"all/{number:06}-{one:03}.jpg" for one in range(100)], f"t{number}"))
        else:
            asked.refuse("NoSuchKey", 404) if asked.method == "HEAD" else asked.answer(200, page(["all/a.jpg"], "t"))

    with web_server(answer) as address:
        led(address)
        found = [*islice(find_sources(["s3://endless/all"]), 250)]
    assert [found[0].path, found[-1].path] == ["s3://endless/all/000000-000.jpg", "s3://endless/all/000002-049.jpg"]
    assert next(pages) == 3


def test_a_listing_that_stands_still_ends_with_an_error(led: Leading) -> None:
    def answer(asked: Asked) -> None:
        asked.refuse("NoSuchKey", 404) if asked.method == "HEAD" else asked.answer(200, page(["all/a.jpg"], "same"))

    with web_server(answer) as address, pytest.raises(CtgiError, match="does not go on and does not end"):
        led(address)
        paths("s3://still/all")


def test_a_passing_trouble_is_tried_again_and_a_lasting_one_is_told() -> None:
    answers = iter([503, 503])

    def answer(asked: Asked) -> None:
        if status := next(answers, None) if asked.path == "/a.jpg" else 503:
            asked.answer(status)
        else:
            asked.answer(200, picture("red"))

    with web_server(answer) as address:
        assert digest(f"{address}/a.jpg") == SHA256["red"]
        with pytest.raises(UnreadError, match="the server answered 503"):
            digest(f"{address}/b.jpg")
    with pytest.raises(UnreadError, match="cannot be reached: check the address"):
        digest(f"{address}/a.jpg")


def test_objects_are_read_ahead_many_at_once_and_come_in_order() -> None:
    together = threading.Barrier(reading.AT_ONCE)

    def answer(asked: Asked) -> None:
        if int(asked.path[1:].partition(".")[0]) < reading.AT_ONCE:
            together.wait(20)  # breaks if they are read one after another
        asked.answer(200, picture(COLORS[int(asked.path[1:].partition(".")[0]) % 6]))

    with web_server(answer) as address:
        wanted = [f"{address}/{number}.jpg" for number in range(reading.AT_ONCE + 6)]
        found = [one.path for one in read_ahead(find_sources(wanted))]
        assert found == wanted
    assert [digest(path) for path in found] == [SHA256[COLORS[number % 6]] for number in range(reading.AT_ONCE + 6)]


# --- web servers


def test_a_list_on_a_web_server_names_pictures_and_archives(tmp_path: Path) -> None:
    shard = save_tar(tmp_path / "people.tar", webdataset(2)).read_bytes()
    files = {
        "/list.txt": b"\xef\xbb\xbf# two\r\n\r\n/a.jpg\r\nsub/b.jpg\npeople.tar\nmissing.tar",
        "/a.jpg": picture("green"), "/sub/b.jpg": picture("blue"), "/people.tar": shard,
    }  # fmt: skip

    def answer(asked: Asked) -> None:
        asked.part_of(files[asked.path]) if asked.path in files else asked.answer(404)

    with web_server(answer) as address:
        found = [*read_ahead(find_sources([f"{address}/list.txt"], reading=True))]
        read = [digest(one.path) for one in found if not one.fault]
        assert read == [SHA256[color] for color in ("green", "blue", "red", "green")]
        assert [one.path for one in found][:2] == [f"{address}/a.jpg", f"{address}/sub/b.jpg"]
        assert found[-1][3] == "there is no such object"
        recent.clear()
        assert [digest(one.path) for one in found[:-1]] == read


def test_a_server_that_serves_whole_files_alone_is_named_as_the_trouble(tmp_path: Path) -> None:
    shard = save_tar(tmp_path / "people.tar", webdataset(2)).read_bytes()
    with web_server(lambda asked: asked.answer(200, shard)) as address:
        (found,) = find_sources([f"{address}/people.tar"])
        assert found.fault.startswith("the server serves only whole files")
        with pytest.raises(UnreadError, match="serves only whole files"):
            digest(f"{address}/people.tar#512,100,a.jpg")


def test_an_endless_list_is_read_only_as_far_as_it_is_needed() -> None:
    lines = (b"".join(b"%d-%d.jpg\n" % (block, line) for line in range(1000)) for block in count())
    with web_server(lambda asked: asked.stream(lines)) as address:
        found = [*islice(find_sources([f"{address}/list.txt"]), 1500)]
        assert found[-1].path == f"{address}/1-499.jpg"


def test_an_endless_picture_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 1_000_000)
    server = web_server(lambda asked: asked.stream(b"\xff\xd8\xff" * 10_000 for _ in count()))
    with server as address, pytest.raises(ImageError, match="a file of more than 1 MB"):
        digest(f"{address}/a.jpg")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html>\n", "line 1: a web page and not a list"),
        (b"a.jpg\nfile:///etc/passwd\n", "line 2: file:///etc/passwd: expected an address that begins with http"),
        (b"a.jpg\ns3://bucket/a.jpg\n", "line 2: s3://bucket/a.jpg: expected an address"),
        (b"\xff\xfe\x00\n", "not a list of addresses: it is not UTF-8 text"),
        (b"x" * 100_000, "not a list of addresses, one a line"),
        (b"# nothing\n", "no addresses are listed in it"),
    ],
)
def test_what_is_no_list_of_addresses_is_refused(content: bytes, words: str) -> None:
    with web_server(lambda asked: asked.answer(200, content)) as address, pytest.raises(CtgiError, match=words):
        paths(f"{address}/list.txt")


def test_a_list_of_elsewhere_may_not_name_addresses_of_this_network(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["https://example.org/a.jpg", "http://169.254.169.254/latest/meta-data"]
    monkeypatch.setattr(listing, "_lines", lambda url: iter(lines))
    found = find_sources(["https://example.com/list.txt"])
    assert next(found).path == "https://example.org/a.jpg"
    with pytest.raises(CtgiError, match="line 2: a list on another network names an address of this one"):
        next(found)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://ann:s3cretpass@example.com/a.jpg", "holds a user or password"),
        ("https://example.com/a.jpg?X-Amz-Signature=s3cretpass", "the address is signed"),
        ("https://example.com/a.jpg?access_token=s3cretpass", "the address is signed"),
    ],
)
def test_an_address_with_a_credential_is_refused_without_repeating_it(address: str, words: str) -> None:
    with pytest.raises(CtgiError, match=words) as error:
        read_image(address)
    assert "s3cretpass" not in str(error.value)


def test_storage_that_needs_another_package_names_it() -> None:
    with pytest.raises(CtgiError, match=r"gs://bucket/people: reading gs:// needs more packages: pip install gcsfs"):
        paths("gs://bucket/people")

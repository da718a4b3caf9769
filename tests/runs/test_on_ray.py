"""Captioning on a Ray cluster of two nodes on this machine, which die, and whose disks are full."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from ctgi.captions import read_captions
from ctgi.config import load_settings
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import open_gallery
from ctgi.runs.events import Logged
from ctgi.runs.index import build
from ctgi.runs.index_shards import index_on_ray
from ctgi.testing import Reply, Request, ScriptedServer
from tests.support.ray_cluster import SmallCluster, small_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
IMAGES = 30
_DISK = """
import resource, sys
if any("default_worker" in argument for argument in sys.orig_argv):
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""
"""For the workers of a node, a disk that takes few records."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[SmallCluster]:
    with small_cluster() as cluster:
        yield cluster


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(models=("double",), latency_s=0.05) as server:
        yield server


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder of a run, with images that are all different."""
    (tmp_path / "people").mkdir()
    for number in range(IMAGES):
        Image.new("RGB", (64, 160), (number, 20, 30)).save(tmp_path / "people" / f"{number:02}.png")
    return tmp_path


def start(work: Path, cluster: SmallCluster, *command: object) -> "subprocess.Popen[str]":
    whole = [sys.executable, "-c", "from ctgi.cli import main; main()", *map(str, command), "--ray", cluster.address]
    one_at_once = {"CTGI_ENDPOINTS__VLLM__CONCURRENCY": "1", "HOME": str(work)}
    return subprocess.Popen(
        [*whole, "--json"], cwd=work, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | one_at_once,
    )  # fmt: skip


def caption(server: ScriptedServer, shards: int) -> list[object]:
    bind = f"images={server.binding}"
    return ["caption", "people", "--shards", shards, "--turns", 1, "--no-trace", "--bind", bind]


def captioned(work: Path) -> list[str]:
    parts = work.glob("captions.*-of-*.jsonl")
    return sorted(line.path for part in parts for line in read_captions(part))


def await_records(work: Path, count: int) -> None:
    until(lambda: sum(part.read_bytes().count(b"\n") for part in work.glob("captions.*-of-*.jsonl")) >= count)


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(4800):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("not in four minutes")


EVERY = [f"people/{number:02}.png" for number in range(IMAGES)]


def test_a_node_dies_and_then_the_command(cluster: SmallCluster, server: ScriptedServer, work: Path) -> None:
    """Each while records are written: nothing is lost, nothing is captioned twice, and the same command goes on."""
    lost, _ = cluster.add(), cluster.add()
    with start(work, cluster, *caption(server, 6)) as run:
        await_records(work, 6)
        cluster.kill(lost)
        await_records(work, 14)
        run.kill()
        run.communicate()
    until(lambda: not any(map(writes, work.glob("captions.*-of-6.jsonl"))))
    part = next(work.glob("captions.*-of-6.jsonl"))
    with part.open("a") as file:
        file.write('{"path": "people/')
    before = captioned(work)
    assert 14 <= len(before) < IMAGES
    with start(work, cluster, *caption(server, 6)) as run:
        out, err = run.communicate()
    assert run.returncode == 0, err
    assert json.loads(out)["captioned"] == IMAGES - len(before)
    assert captioned(work) == EVERY
    assert part.with_name(f"{part.name}.torn").read_text() == '{"path": "people/\n'
    assert len(server.seen) < 2 * IMAGES * 2


def writes(part: Path) -> bool:
    """Whether a worker that lost its driver still holds a part file."""
    import fcntl

    with part.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_shard_whose_disk_is_full_goes_to_another_node(
    cluster: SmallCluster, server: ScriptedServer, work: Path
) -> None:
    (work / "disk").mkdir()
    (work / "disk" / "sitecustomize.py").write_text(_DISK)
    full = cluster.add(PYTHONPATH=os.pathsep.join([str(work / "disk"), os.environ["PYTHONPATH"]]))

    def held(request: Request) -> Reply:
        until(lambda: len([*work.glob("captions.*-of-3.jsonl")]) >= 2)  # else one node might do it all
        return Reply("A man in a coat.")

    server.replies = held
    with start(work, cluster, *caption(server, 3)) as run:
        out, err = run.communicate()
    assert run.returncode == 0, err
    cluster.kill(full)
    assert "is tried on another node: captions." in err
    assert "cannot write (No space left on device)" in err
    assert json.loads(out)["failed"] == []
    assert captioned(work) == EVERY


def test_a_gallery_is_filled_from_several_nodes(
    cluster: SmallCluster, work: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some images are in it; one of those has changed, one is gone; and one of the others cannot be read."""
    monkeypatch.chdir(work)
    cluster.add()
    settings = load_settings(binds=[f"search_gallery=open_clip:local-dir:{tiny_clip}"])
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    gallery, people = Path("lance:gallery"), work / "people"
    (work / "later").mkdir()
    for path in EVERY[10:]:
        Path(path).rename(work / "later" / Path(path).name)
    assert build(["people"], gallery, encoder, settings, Logged()).total == 10
    (people / "00.png").unlink()
    (people / "01.png").write_bytes((people / "02.png").read_bytes())
    for path in EVERY[10:]:
        (work / "later" / Path(path).name).rename(path)
    (people / "20.png").write_bytes(b"")
    found = index_on_ray(["people"], gallery, settings, Logged(), address=cluster.address, shards=3)
    assert found.failed == (("people/20.png", "the file is empty (0 bytes)"),)
    assert (found.total, found.added, found.reused, found.removed) == (IMAGES - 2, IMAGES - 10, 8, 1)
    assert (found.duplicates, found.encoded) == (1, IMAGES - 11)
    there = open_gallery("lance:gallery", encoder)
    assert sorted(image.path for image in there.refs()) == [
        str(work / path) for path in EVERY if path not in (EVERY[0], EVERY[20])
    ]

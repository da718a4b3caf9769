"""Kills, full disks and second writers, each in a process of its own."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.gallery import build_gallery, open_gallery
from tests.support.color_encoder import ColorEncoder
from tests.support.tiny_clip import save_people

SMALL = RetrieverSettings(batch_size=2)

INDEX_WITH_A_FAULT = """
import os, resource, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from tests.support.color_encoder import ColorEncoder
from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval import gallery_writer
from ctgi.retrieval.gallery import build_gallery

folder, fault = sys.argv[1:3]

def batch_done(done, total):
    if fault == "kill" and done >= 4:
        os.kill(os.getpid(), 9)

if fault == "kill-commit":
    gallery_writer.write_header = lambda *a: os.kill(os.getpid(), 9)
if fault == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # bytes per file: the fourth row does not fit
try:
    settings = RetrieverSettings(batch_size=2)
    build_gallery([folder], Path(folder, ".ctgi"), ColorEncoder(), settings, progress=batch_done)
except CtgiError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def encoder() -> ColorEncoder:
    return ColorEncoder()


def run(folder: Path, fault: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", INDEX_WITH_A_FAULT, str(folder), fault, str(Path(__file__).parents[2])]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def build(folder: Path, encoder: Encoder):
    return build_gallery([str(folder)], folder / ".ctgi", encoder, SMALL)


def test_a_kill_in_the_first_run_loses_nothing_that_was_written(people: Path, encoder: Encoder) -> None:
    assert run(people, "kill").returncode == -signal.SIGKILL
    with pytest.raises(CtgiError, match="no gallery here"):
        open_gallery(people, encoder)
    with (
        (people / ".ctgi" / "manifest-1.jsonl").open("ab") as manifest,
        (people / ".ctgi" / "embeddings-1.bin").open("ab") as embeddings,
    ):
        embeddings.write(bytes(300))  # one row and a bit
        manifest.write(b'{"path": "torn')
    report = build(people, encoder)
    assert (report.encoded, report.reused, report.total, report.rebuilt) == (4, 4, 8, "")
    names = [image.path for image in open_gallery(people, encoder).refs()]
    assert len(set(names)) == len(names) == 8


def test_a_kill_before_the_commit_leaves_the_gallery_as_it_was(people: Path, encoder: Encoder) -> None:
    build(people, encoder)
    before = open_gallery(people, encoder).search("a man", 8)
    (people / "0_a.png").unlink()  # so that rows must be dropped and a new generation begins
    save_people(people / "more")
    (people / "more" / "0_a.png").write_bytes((people / "1_a.png").read_bytes())
    assert run(people, "kill-commit").returncode == -signal.SIGKILL
    assert open_gallery(people, encoder).search("a man", 8) == before
    report = build(people, encoder)
    assert (report.total, report.encoded, report.removed) == (15, 0, 1)
    assert len(list((people / ".ctgi").glob("embeddings-*"))) == 1


def test_a_full_disk_is_told_and_what_was_written_stays(people: Path, encoder: Encoder) -> None:
    ended = run(people, "full")
    assert ended.returncode == 1
    assert "cannot write the gallery (File too large)" in ended.stderr
    assert "--out" in ended.stderr
    assert build(people, encoder).encoded == 6  # the first two were on disk


def test_a_folder_that_cannot_be_written_to_suggests_out(people: Path, encoder: Encoder) -> None:
    (people / ".ctgi").write_text("in the way")
    with pytest.raises(CtgiError, match=r"cannot write the gallery .*--out"):
        build(people, encoder)


def test_two_writers_do_not_mix(people: Path, encoder: Encoder) -> None:
    build(people, encoder)
    with (people / ".ctgi" / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CtgiError, match="another ctgi index is writing"):
            build(people, encoder)
    assert build(people, encoder).reused == 8


def test_reading_goes_on_while_the_gallery_is_replaced(people: Path, encoder: Encoder) -> None:
    build(people, encoder)
    gallery = open_gallery(people, encoder)
    before = gallery.search("a man", 8)
    os.utime(people / "0_a.png", ns=(1, time.time_ns()))
    (people / "1_a.png").unlink()
    build(people, encoder)
    assert gallery.search("a man", 8) == before
    assert len(open_gallery(people, encoder)) == 7

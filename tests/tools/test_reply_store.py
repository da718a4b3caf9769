import multiprocessing
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ctgi.tools.reply_store import ReplyStore, open_store

MB = 2**20


def keys(store: ReplyStore, names: list[str]) -> list[str]:
    return [name for name in names if store.find(name) is not None]


def test_what_is_kept_is_found_by_another_connection(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "replies.sqlite"
    with closing(open_store(path)) as one, closing(open_store(path)) as other:
        one.keep("a", "vllm:m", "yes")
        assert other.find("a") == "yes"
        assert other.find("b") is None
        other.keep("a", "vllm:m", "no")
        assert one.find("a") == "no"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_stays_below_its_limit_and_the_least_recently_used_leave(tmp_path: Path) -> None:
    path, names = tmp_path / "replies.sqlite", [f"key{number:05d}" for number in range(2000)]
    with closing(open_store(path, limit_bytes=MB)) as store:
        for number, name in enumerate(names):
            store.keep(name, "b", "x" * 2000)
            if number % 50 == 0:
                assert store.find(names[0]) is not None  # used again and again, so it stays
        assert path.stat().st_size <= MB
        left = keys(store, names)
        assert left[0] == names[0]
        assert left[1:] == names[-len(left) + 1 :]
        assert 380 < len(left) < 520  # of 2 kB each
        assert store.stats().backends == {"b": len(left)}


def test_use_is_remembered_from_run_to_run(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    with closing(open_store(path, limit_bytes=MB)) as store:
        for number in range(100):
            store.keep(f"old{number:03d}", "b", "x" * 2000)
            time.sleep(0.0001)
    with closing(open_store(path, limit_bytes=MB)) as store:
        assert store.find("old003")
    with closing(open_store(path, limit_bytes=MB)) as store:
        for number in range(430):
            store.keep(f"new{number:03d}", "b", "x" * 2000)
        assert keys(store, ["old002", "old003", "old004"]) == ["old003"]


def test_clear_gives_the_space_back_under_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    with closing(open_store(path)) as store, closing(open_store(path)) as other:
        for number in range(500):
            store.keep(str(number), "b", "x" * 2000)
        assert other.find("1")
        assert store.stats().bytes > MB
        assert store.clear() == 500
        assert store.stats().bytes < MB / 4
        assert other.find("1") is None
        other.keep("1", "b", "again")
        assert store.find("1") == "again"


def _write(path: Path, who: int, count: int, abreast: Any) -> None:
    with closing(open_store(path, limit_bytes=MB)) as store:
        for number in range(count):
            if number % 50 == 0:
                abreast.wait(60)
            store.keep(f"{who}-{number}", f"backend{who}", "x" * 1000)
            store.find(f"{1 - who}-{number}")


def test_two_processes_write_and_evict_at_once(tmp_path: Path) -> None:
    path, context = tmp_path / "replies.sqlite", multiprocessing.get_context("spawn")
    abreast = context.Barrier(2)  # else the slower to start would write alone, and evict all of the other's
    writers = [context.Process(target=_write, args=(path, who, 1500, abreast)) for who in (0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    with closing(open_store(path)) as store:
        stats = store.stats()
        assert set(stats.backends) == {"backend0", "backend1"}
        assert all(count > 100 for count in stats.backends.values())
        assert path.stat().st_size <= 1.1 * MB
        assert store._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_full_disk_is_an_error_after_which_the_rest_is_still_there(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "replies.sqlite")) as store:
        store.keep("a", "b", "kept")
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            store.keep("big", "b", "x" * 100_000)
        assert store.find("a") == "kept"
        assert store.find("big") is None


def test_a_file_made_for_nothing_is_removed_unless_somebody_else_uses_it(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    open_store(path).close()
    assert list(tmp_path.iterdir()) == []
    with closing(open_store(path)) as other_made_it:
        with closing(open_store(path)):
            pass
        first = open_store(path)
        other_made_it.keep("a", "vllm:m", "yes")
        first.close()
    with closing(open_store(path)) as again:
        assert again.find("a") == "yes"
        again.clear()
    assert path.exists()  # it was there before


def test_a_file_that_another_process_has_begun_to_use_stays(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    mine = open_store(path)
    with closing(open_store(path)) as other:
        mine.close()
        other.keep("a", "vllm:m", "yes")
    with closing(open_store(path)) as again:
        assert again.find("a") == "yes"

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctgi.errors import CtgiError
from ctgi.files import is_full, lock, own, write_whole


def test_a_new_file_obeys_the_umask_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "new", b"a")
        (tmp_path / "secret").touch(0o600)
        write_whole(tmp_path / "secret", b"b")
        (tmp_path / "shared").touch()
        (tmp_path / "shared").chmod(0o664)
        write_whole(tmp_path / "shared", b"c")
    finally:
        os.umask(before)
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("new", "secret", "shared")}
    assert modes == {"new": 0o640, "secret": 0o600, "shared": 0o664}
    assert (tmp_path / "secret").read_bytes() == b"b"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_an_old_file_keeps_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "theirs"
    file.touch()
    os.chown(file, 12345, 12345)
    write_whole(file, b"a")
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 12345)


def test_links_stay_and_their_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link, dangling = tmp_path / "link", tmp_path / "dangling"
    (tmp_path / "folder" / "file").write_text("old")
    link.symlink_to("folder/file")
    dangling.symlink_to("folder/later")
    write_whole(link, b"new")
    write_whole(dangling, b"made")
    assert link.is_symlink() and dangling.is_symlink()
    assert (tmp_path / "folder" / "file").read_bytes() == b"new"
    assert (tmp_path / "folder" / "later").read_bytes() == b"made"
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["file", "later"]


def test_devices_stay_devices(tmp_path: Path) -> None:
    before = Path(os.devnull).stat()
    write_whole(Path(os.devnull), b"a")
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    write_whole(link, b"a")
    after = Path(os.devnull).stat()
    assert (after.st_mode, after.st_rdev, after.st_ino) == (before.st_mode, before.st_rdev, before.st_ino)
    assert link.is_symlink()


def test_pipes_are_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)  # waits for nobody
    try:
        write_whole(pipe, [b"a", b"b"])
        assert pipe.is_fifo()
        assert os.read(reader, 10) == b"ab"
    finally:
        os.close(reader)


_TO_STDOUT = """
import sys
from pathlib import Path
from ctgi.files import write_whole
print("before")
write_whole(Path(sys.argv[1]), b"page\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "a link"])
@pytest.mark.parametrize("to", ["file", "pipe"])
def test_open_files_are_written_to_where_they_stand(tmp_path: Path, name: str, to: str) -> None:
    if name == "a link":
        (tmp_path / "link").symlink_to("/dev/stdout")
        name = str(tmp_path / "link")
    command = [sys.executable, "-c", _TO_STDOUT, name]
    if to == "pipe":
        found = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    else:
        with (tmp_path / "out").open("wb") as out:
            subprocess.run(command, stdout=out, check=True)
        found = (tmp_path / "out").read_bytes()
    assert found == b"before\npage\nafter\n"


def test_what_cannot_be_written_is_said_with_its_cure(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path, tmp_path / "no" / "file", tmp_path / "loop"):
        with pytest.raises(CtgiError, match=r"cannot write '.*' \(.*\): choose a file in a writable folder"):
            write_whole(path, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_only_a_lack_of_space_is_cured_by_space() -> None:
    with pytest.raises(CtgiError, match=r"No space left on device.*free some space"):
        write_whole(Path("/dev/full"), b"a" * 100_000)
    assert is_full(OSError(errno.EDQUOT, ""))
    assert not is_full(OSError(errno.ENOLCK, ""))


def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    def pieces() -> "object":
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "file", pieces())  # type: ignore[arg-type]
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


# --- locks


def test_a_lock_keeps_others_out_and_readers_share(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("ab") as writer, path.open("rb") as reader, path.open("rb") as other:
        own(writer.fileno(), path)
        with pytest.raises(BlockingIOError):
            lock(reader.fileno(), shared=True)
        writer.close()
        assert lock(reader.fileno(), shared=True) == lock(other.fileno(), shared=True) == ""


@pytest.mark.parametrize("name", ["ENOLCK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EINVAL", "EIO"])
def test_a_file_system_without_locks_is_said_or_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    reason = os.strerror(getattr(errno, name))

    def no_locks(file: int, operation: int) -> None:
        raise OSError(getattr(errno, name), reason)

    monkeypatch.setattr(fcntl, "flock", no_locks)
    path = tmp_path / "file"
    with path.open("ab") as file:
        assert lock(file.fileno()) == reason
        own(file.fileno(), path)
        assert f"this file system has no locks ({reason}): going on without" in caplog.text
        with pytest.raises(CtgiError, match=r"file: this file system has no locks .*local disk"):
            own(file.fileno(), path, "stop")


def test_a_file_is_whole_or_untouched(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    write_whole(file, b"one")
    write_whole(file, b"two")
    (tmp_path / "taken").mkdir()
    with pytest.raises(CtgiError, match=r"cannot write .*taken.* \(Is a directory\)"):
        write_whole(tmp_path / "taken", b"three")
    with pytest.raises(CtgiError, match=r"\(Not a directory\)"):
        write_whole(file / "below", b"four")
    assert file.read_bytes() == b"two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "taken"]

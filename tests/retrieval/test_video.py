"""Frames of a video: upright, with their times, also of files that are damaged or odd."""

import itertools
from pathlib import Path

import pytest

from ctgi.errors import ImageError
from ctgi.retrieval.video import Video, address, later, parted
from tests.support.footage import Block, blocks_film, draw_blocks, write_video

RED = (220, 30, 30)
BLOCK = Block(RED, (20, 40, 60, 160), (4, 0))


def left_of(frame_picture: object) -> int:
    from tests.support.footage import find_blocks

    ((left, *_),) = find_blocks(frame_picture)  # type: ignore[arg-type]
    return round(left)


@pytest.mark.parametrize(("rotation", "turned"), [(90, 270), (180, 180), (-90, 90)])
def test_a_rotated_video_is_upright(tmp_path: Path, rotation: int, turned: int) -> None:
    """A camera held sideways writes its own pictures and how they are to be turned, counterclockwise."""
    upright = draw_blocks([BLOCK])
    stored = upright.rotate(turned, expand=True)
    video = write_video(tmp_path / "turned.mp4", iter([stored] * 3), rotation=rotation)
    frame = next(iter(Video(str(video)).frames(0)))
    assert frame.picture().size == upright.size
    assert abs(left_of(frame.picture()) - 20) <= 2


def test_times_are_the_files_own_where_the_rate_varies(tmp_path: Path) -> None:
    times = [0, 1, 2, 10, 11, 30, 31]
    video = write_video(tmp_path / "vfr.mkv", blocks_film([BLOCK], len(times)), times=lambda number: times[number])
    frames = [*Video(str(video)).frames(0)]
    assert [round(frame.time_s * 10) for frame in frames] == times
    assert [frame.number for frame in Video(str(video)).frames(1.0)] == [0, 3, 5]


def test_a_frame_is_found_again_by_its_time(tmp_path: Path) -> None:
    path = str(write_video(tmp_path / "a.mp4", blocks_film([BLOCK], 60)))
    for frame in itertools.islice(Video(path).frames(1.3), 1, None):
        found = Video(path).at(round(frame.time_s, 3))
        assert found.time_s == pytest.approx(frame.time_s)
        assert abs(left_of(found.picture()) - BLOCK.at(frame.number)[0]) <= 2
    with pytest.raises(ImageError, match=r"has no frame at 7\.000 s"):
        Video(path).at(7)
    assert parted(address("a#t=1.mp4", 2.5)) == ("a#t=1.mp4", 2.5)
    assert parted("a.mp4") is None


def test_one_corrupt_packet_costs_no_more_than_its_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", blocks_film([BLOCK], 60), codec="mjpeg")
    content = bytearray(path.read_bytes())
    starts = [place for place in range(len(content) - 4) if content[place : place + 4] == b"00dc"][:60]
    content[starts[30] + 8 : starts[30] + 600] = bytes(592)
    path.write_bytes(content)
    video = Video(str(path))
    frames = [*video.frames(0)]
    assert video.damage.packets == 1
    assert len(frames) == 59
    assert frames[-1].time_s == pytest.approx(5.9)


def test_a_recording_that_was_cut_off_is_read_up_to_there_or_says_what_it_lost(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mkv", blocks_film([BLOCK], 60))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    frames = [*Video(str(cut)).frames(0)]
    assert 5 < len(frames) < 60
    mp4 = write_video(tmp_path / "a.mp4", blocks_film([BLOCK], 20))
    mp4.write_bytes(mp4.read_bytes()[: mp4.stat().st_size // 2])
    with pytest.raises(ImageError, match=r"cut off has lost the table of its frames"):
        next(iter(Video(str(mp4)).frames(0)))


def test_a_file_without_pictures_is_an_error_of_that_file(tmp_path: Path) -> None:
    for name, content in {"none.mp4": b"", "text.mp4": b"hello" * 100}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match="cannot be read as a video"):
            Video(str(tmp_path / name)).facts()
    with pytest.raises(ImageError, match="no such file"):
        Video(str(tmp_path / "gone.mp4")).facts()


def test_times_of_day_go_on_from_the_recordings_beginning() -> None:
    assert later("2026-10-31T23:59:59+00:00", 1.5) == "2026-11-01T00:00:00.500+00:00"
    assert later(None, 3) is None

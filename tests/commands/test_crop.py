"""ctgi crop: people of photographs and videos on disk, with where they are from; what is left out is counted."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image, ImageFilter

from tests.support.commands import Run
from tests.support.footage import Block, blocks_film, draw_blocks, write_video

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 30), (40, 40, 230)
FINDER = ["--bind", "detect_people=python:tests.support.footage:find_blocks"]
WALKS = Block(RED, (10, 60, 50, 180), (4, 0))
STANDS = Block(BLUE, (240, 80, 280, 200))


def rows_of(people: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (people / "sources.jsonl").read_text().splitlines()]


def near(box: list[float], expected: tuple[int, int, int, int]) -> bool:
    return all(abs(one - other) <= 3 for one, other in zip(box, expected, strict=True))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Somebody in red walks through for 5 s at 10 frames per second, somebody in blue stands."""
    recorded = {"creation_time": "2026-11-01T10:00:00Z", "location": "+48.8577+002.2950/"}
    return write_video(tmp_path / "lobby.mp4", blocks_film([WALKS, STANDS], 50), metadata=recorded)


def test_each_person_of_a_video_is_one_track_with_its_best_crops_and_where_they_are_from(
    ctgi: Run, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ctgi("crop", video.name, "--out", "people", *FINDER, "--camera", "north", "--site", "hall", "--json")
    rows = rows_of(tmp_path / "people")
    assert (done.code, done.json["people"], done.json["crops"], done.json["videos"]) == (0, 2, len(rows), 1)
    assert len({row["track"] for row in rows}) == 2
    assert len(rows) == 6  # three of each
    for row in rows:
        assert (row["source"], row["size"], row["camera"], row["site"]) == ("../lobby.mp4", [320, 240], "north", "hall")
        assert row["time_s"] == pytest.approx(row["frame"] / 10)
        assert row["time"] == f"2026-11-01T10:00:{row['time_s']:06.3f}+00:00"
        assert row["place"] == [48.8577, 2.295]
        walks = near(row["box"], WALKS.at(row["frame"]))
        assert walks or near(row["box"], STANDS.box)
        crop = Image.open(tmp_path / "people" / row["path"])
        red, _, blue = crop.resize((1, 1)).getpixel((0, 0))
        assert (red > blue) == walks


def test_frames_are_sampled_by_time_and_those_that_show_nothing_new_are_not_detected_again(
    ctgi: Run, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "still.mp4", blocks_film([STANDS], 40))
    done = ctgi("crop", video, "--out", tmp_path / "people", *FINDER, "--json")
    assert (done.json["frames"], done.json["unchanged"], done.json["people"], done.json["crops"]) == (1, 15, 1, 1)
    moving = write_video(tmp_path / "moving.mp4", blocks_film([WALKS], 40))
    assert ctgi("crop", moving, "--out", tmp_path / "more", *FINDER, "--every", "1", "--json").json["frames"] == 4


def test_who_is_too_small_or_cut_or_blurred_or_seen_but_once_is_counted(ctgi: Run, tmp_path: Path) -> None:
    small, cut = Block(RED, (20, 20, 32, 50)), Block(GREEN, (100, 170, 160, 240))
    wide = Block(BLUE, (200, 60, 300, 130))
    draw_blocks([small, cut, wide]).save(tmp_path / "street.png")
    soft = draw_blocks([Block(BLUE, (60, 30, 120, 200))]).filter(ImageFilter.GaussianBlur(9))
    soft.save(tmp_path / "soft.png")
    done = ctgi("crop", tmp_path / "street.png", tmp_path / "soft.png", "--out", tmp_path / "people", *FINDER, "--json")
    assert (done.code, done.json["people"]) == (0, 0)
    assert done.json["left_out"] == {"small": 1, "cut": 1, "wide": 1, "blurred": 1, "fleeting": 0}
    assert done.json["nobody"] == []
    plain = ctgi("crop", tmp_path / "street.png", "--out", tmp_path / "again", *FINDER)
    assert "0 people in 0 crops; left out: 1 too small, 1 cut off by the edge, 1 wider than tall" in plain.out


def test_a_photograph_without_people_is_said_and_counted(ctgi: Run, tmp_path: Path) -> None:
    draw_blocks([]).save(tmp_path / "empty.png")
    done = ctgi("crop", tmp_path / "empty.png", "--out", tmp_path / "people", *FINDER)
    assert done.code == 0
    assert f"nobody found: {tmp_path / 'empty.png'}" in done.out
    again = ctgi("crop", tmp_path / "empty.png", "--out", tmp_path / "people", *FINDER, "--json")
    assert (again.json["already"], again.json["photos"]) == (1, 0)


def test_a_photograph_tells_its_time_and_place_and_turns_upright(ctgi: Run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned to the right by a quarter
    exif.get_ifd(ExifTags.IFD.Exif).update({
        ExifTags.Base.DateTimeOriginal: "2026:05:04 12:30:00", ExifTags.Base.OffsetTimeOriginal: "+02:00",
    })  # fmt: skip
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({
        ExifTags.GPS.GPSLatitudeRef: "S", ExifTags.GPS.GPSLatitude: (33.0, 51.0, 24.0),
        ExifTags.GPS.GPSLongitudeRef: "E", ExifTags.GPS.GPSLongitude: (151.0, 12.0, 36.0),
    })  # fmt: skip
    upright = draw_blocks([STANDS])
    folder = tmp_path / "photos" / "gate-2"
    folder.mkdir(parents=True)
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "street.jpg", exif=exif, quality=95)
    ctgi("crop", tmp_path / "photos", "--out", tmp_path / "people", *FINDER)
    (row,) = rows_of(tmp_path / "people")
    assert (row["time"], row["place"]) == ("2026-05-04T12:30:00+02:00", [-33.856667, 151.21])
    assert (row["size"], row["frame"], row["time_s"], row["camera"]) == ([320, 240], None, None, "gate-2")
    assert near(row["box"], STANDS.box)


def test_a_run_that_was_interrupted_goes_on_and_one_that_is_complete_does_nothing(
    ctgi: Run, video: Path, tmp_path: Path
) -> None:
    people = tmp_path / "people"
    ctgi("crop", video, "--out", people, *FINDER)
    whole = rows_of(people)
    assert ctgi("crop", video, "--out", people, *FINDER, "--json").json["already"] == 1
    assert rows_of(people) == whole
    progress = people / ".crop.jsonl"
    progress.write_text(progress.read_text().splitlines(keepends=True)[0])  # as a kill leaves it
    torn = people / "sources.jsonl"
    torn.write_bytes(torn.read_bytes()[:-20])
    (people / whole[0]["path"]).unlink()
    assert ctgi("crop", video, "--out", people, *FINDER, "--json").json["videos"] == 1
    assert rows_of(people) == whole
    assert all((people / row["path"]).is_file() for row in whole)


def test_a_source_that_changed_or_is_wanted_otherwise_is_cropped_again(ctgi: Run, tmp_path: Path) -> None:
    people, photo = tmp_path / "people", tmp_path / "street.png"
    draw_blocks([STANDS, Block(RED, (20, 60, 60, 180))]).save(photo)
    ctgi("crop", photo, "--out", people, *FINDER)
    first = rows_of(people)
    draw_blocks([STANDS]).save(photo)
    ctgi("crop", photo, "--out", people, *FINDER)
    (row,) = rows_of(people)
    assert near(row["box"], STANDS.box)
    assert not any((people / one["path"]).exists() for one in first)
    ctgi("crop", photo, "--out", people, *FINDER, "--min-height", "200")
    assert rows_of(people) == []


def test_a_run_goes_on_within_a_video_where_nobody_was_in_the_picture(ctgi: Run, tmp_path: Path) -> None:
    early, late = (
        Block(RED, (10, 60, 50, 180), (4, 0), range(5, 20)),
        Block(BLUE, (240, 60, 280, 180), (-4, 0), range(70, 90)),
    )
    flicker = Block(GREEN, (0, 0, 8, 8), (0.5, 0))  # something always moves
    video = write_video(tmp_path / "long.mp4", blocks_film([early, late, flicker], 90))
    people = tmp_path / "people"
    whole = ctgi("crop", video, "--out", people, *FINDER, "--json").json
    rows = rows_of(people)
    marks = [json.loads(line) for line in (people / ".crop.jsonl").read_text().splitlines()]
    between = [mark for mark in marks if not mark["done"] and mark["frame"] > 0]
    assert len(between) == 1
    assert 20 <= between[0]["frame"] < 70
    (people / ".crop.jsonl").write_text("".join(json.dumps(mark) + "\n" for mark in marks[:-1]))
    rest = ctgi("crop", video, "--out", people, *FINDER, "--json").json
    assert rest["frames"] < whole["frames"] * 0.6
    assert rows_of(people) == rows


def test_two_runs_do_not_write_into_one_folder(ctgi: Run, video: Path, tmp_path: Path) -> None:
    from ctgi.footage.folder import open_people

    with open_people(tmp_path / "people"):
        done = ctgi("crop", video, "--out", tmp_path / "people", *FINDER)
    assert (done.code, "another ctgi crop is writing here" in done.err) == (2, True)


def test_a_video_without_a_frame_and_one_with_a_corrupt_packet(ctgi: Run, tmp_path: Path) -> None:
    film = write_video(tmp_path / "a.avi", blocks_film([WALKS], 40), codec="mjpeg")
    content = bytearray(film.read_bytes())
    packets = [place for place in range(len(content) - 4) if content[place : place + 4] == b"00dc"][:40]
    (tmp_path / "none.avi").write_bytes(content[: packets[0]])
    content[packets[20] + 8 : packets[20] + 600] = bytes(592)
    film.write_bytes(content)
    done = ctgi("crop", film, tmp_path / "none.avi", "--out", tmp_path / "people", *FINDER, "--json")
    assert (done.code, done.json["videos"], done.json["people"]) == (1, 1, 1)
    assert [(Path(one["path"]).name, one["what"]) for one in done.json["damaged"]] == [
        ("a.avi", "1 packet is damaged and left out")
    ]
    assert [Path(one["path"]).name for one in done.json["failed"]] == ["none.avi"]
    assert "cannot be read as a video" in done.json["failed"][0]["reason"]


def test_a_recording_that_was_cut_off_is_used_up_to_there_and_said_to_be(ctgi: Run, tmp_path: Path) -> None:
    film = write_video(tmp_path / "a.mkv", blocks_film([WALKS], 60))
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 2 // 3])
    done = ctgi("crop", film, "--out", tmp_path / "people", *FINDER, "--json")
    assert (done.code, done.json["people"]) == (0, 1)
    assert f"damaged: {film}: it ends at 0:0" in done.err


def crowd(picture: Image.Image) -> list[tuple[float, ...]]:
    """Two hundred people, the last over the edges of the picture."""
    rows = [(20.0 * (n % 20), 70.0 * (n // 20), 20.0 * (n % 20) + 18, 70.0 * (n // 20) + 68, 0.9) for n in range(199)]
    return [*rows, (-50, 300, 60, 900, 0.8)]


def test_two_hundred_people_in_one_picture_and_a_box_over_its_edge(ctgi: Run, tmp_path: Path) -> None:
    stripes = [Block(RED, (x, 0, x + 10, 700)) for x in range(0, 400, 20)]
    draw_blocks(stripes, size=(400, 700)).save(tmp_path / "crowd.png")
    finder = ["--bind", "detect_people=python:tests.commands.test_crop:crowd", "--no-trace"]
    done = ctgi("crop", tmp_path / "crowd.png", "--out", tmp_path / "people", *finder, "--json")
    assert (done.code, done.json["people"] + sum(done.json["left_out"].values())) == (0, 200)
    for row in rows_of(tmp_path / "people"):
        with Image.open(tmp_path / "people" / row["path"]) as crop:
            assert crop.width <= 400
            assert crop.height <= 700


def large(picture: Image.Image) -> list[tuple[float, ...]]:
    return [(3000, 1000, 3800, 3400, 0.9)] if picture.size == (7680, 4320) else []


def test_8k_is_read_and_the_frame_found_again(ctgi: Run, tmp_path: Path) -> None:
    frame = draw_blocks([Block(RED, (300, 100, 380, 340))], size=(768, 432)).resize(
        (7680, 4320), Image.Resampling.NEAREST
    )
    video = write_video(tmp_path / "8k.mp4", iter([frame]))
    finder = ["--bind", "detect_people=python:tests.commands.test_crop:large"]
    ctgi("crop", video, "--out", tmp_path / "people", *finder)
    (row,) = rows_of(tmp_path / "people")
    assert (row["size"], row["box"]) == ([7680, 4320], [3000, 1000, 3800, 3400])
    with Image.open(tmp_path / "people" / row["path"]) as crop:
        assert crop.height > 2400


@pytest.mark.slow
def test_memory_is_flat_over_ten_hours(ctgi: Run, tmp_path: Path) -> None:
    """One frame in 10 s, in each of which somebody else stands; memory after an hour and after all ten."""
    import psutil

    people = [Block(RED, (10 + n % 60, 20, 40 + n % 60, 100), frames=range(n, n + 1)) for n in range(3600)]
    seen: list[int] = []

    def pictures() -> Any:
        for number in range(3600):
            yield draw_blocks([people[number]], number, size=(128, 112))

    video = write_video(tmp_path / "long.mp4", pictures(), times=lambda number: number * 100)
    from ctgi.runs import crop

    class Watched(crop.Keeper):
        def finish(self, *given: Any, **named: Any) -> None:
            seen.append(psutil.Process().memory_info().rss)
            super().finish(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crop, "Keeper", Watched)
        done = ctgi("crop", video, "--out", tmp_path / "people", *FINDER, "--every", 0, "--no-trace", "--json")
    assert done.json["video_s"] > 35_000
    assert len(seen) > 50
    assert max(seen[len(seen) // 10 :]) - seen[len(seen) // 10] < 60_000_000


def nobody(picture: Image.Image) -> list[tuple[float, ...]]:
    return []


def test_a_run_is_replayed_from_its_trace_or_with_another_detector(ctgi: Run, video: Path, tmp_path: Path) -> None:
    run = ctgi("crop", video, "--out", tmp_path / "people", *FINDER, "--json").json["trace"]
    shown = ctgi("trace", "show", run)
    assert "lobby.mp4#t=0.300" in shown.out
    other = ["--bind", "detect_people=python:tests.commands.test_crop:nobody"]
    live = ctgi("trace", "replay", run, *other, "--json")
    assert (live.json["failed"], live.json["identical"]) == ([], 0)
    assert len(live.json["changed"]) == live.json["items"]
    video.rename(tmp_path / "elsewhere.mp4")
    same = ctgi("trace", "replay", run, "--json")
    assert (same.code, same.json["identical"], same.json["live"]) == (0, same.json["items"], 0)


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((12, 104, 37, 335), True),  # half a person, a little off the left edge
        ((100, 104, 125, 335), False),  # as slim, but in the middle
        ((0, 104, 90, 335), False),  # whole, beside the edge
        ((200, 250, 290, 358), True),  # without legs
        ((200, 130, 290, 358), False),
    ],
)
def test_who_is_cut_by_the_edge(box: Any, cut: bool) -> None:
    from ctgi.footage.quality import is_cut

    assert is_cut(box, (640, 360)) is cut


def test_the_people_do_not_go_among_the_footage(ctgi: Run, video: Path, tmp_path: Path) -> None:
    done = ctgi("crop", video.parent, "--out", video.parent, *FINDER)
    assert done.code == 2
    assert "is the folder of the footage: give another one for the people" in done.err
    assert not (video.parent / "sources.jsonl").exists()

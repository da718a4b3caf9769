"""Pictures of synthetic people: deterministic, labeled truly, and colored as the person's attributes say."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

pytest.importorskip("skia", reason="the generator's drawing library is an extra")

from ctgi.synth.person import NONE, Person, View, draw_person, draw_views
from ctgi.synth.picture import Part, Picture, draw_look, render

PLAIN = Person(
    gender="woman", hair_length="long", hair_style="loose", hair_color="black", upper_type="T-shirt", upper_color="red",
    upper_pattern="plain", pattern_color=NONE, sleeves="short", inner_color=NONE, lower_type="trousers",
    lower_color="blue", lower_length="long", lower_pattern="plain", shoes_type="sneakers", shoes_color="white",
    socks_color=NONE, bag=NONE, bag_color=NONE, hat=NONE, hat_color=NONE, glasses=NONE, scarf_color=NONE,
    belt_color=NONE, held=NONE, held_color=NONE,
)  # fmt: skip
SEEDS = 12


def pictures(person: Person, side: str, action: str = "standing") -> list[Picture]:
    view = View(side, action, "wall", others=False)
    return [render(person, draw_look(person, Random(seed)), view, Random(seed)) for seed in range(SEEDS)]


def share(person: Person, side: str, name: str, action: str = "standing") -> float:
    """In how many of the pictures something can be seen."""
    return float(np.mean([name in picture.visible for picture in pictures(person, side, action)]))


def median_color(person: Person, part: Part) -> np.ndarray:
    """RGB, 0 to 255, over the part's pixels in pictures from the front."""
    pixels = [np.asarray(picture.image)[picture.parts == part] for picture in pictures(person, "front")]
    return np.median(np.concatenate(pixels), axis=0)


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not() -> None:
    view = View("front", "walking", "street", others=True)
    first, again, other = (render(PLAIN, draw_look(PLAIN, Random(1)), view, Random(seed)) for seed in (7, 7, 8))
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.parts == again.parts).all() and first.visible == again.visible and first.box == again.box
    assert first.image.tobytes() != other.image.tobytes()


def test_anybody_can_be_pictured_from_anywhere() -> None:
    for seed in range(40):
        rng = Random(seed)
        person = draw_person(rng)
        look = draw_look(person, rng)
        for view in draw_views(person, rng):
            picture = render(person, look, view, rng)
            width, height = picture.image.size
            left, top, right, bottom = picture.box
            assert picture.image.mode == "RGB" and picture.parts.shape == (height, width)
            assert 0 <= left < right <= width and 0 <= top < bottom <= height
            assert "upper" in picture.visible or (picture.parts == Part.UPPER).mean() < 0.1
            assert set(np.unique(picture.parts)) <= set(Part)


@pytest.mark.parametrize(("color", "strongest"), [("red", 0), ("green", 1), ("blue", 2)])
def test_the_upper_garment_has_the_color_it_is_said_to_have(color: str, strongest: int) -> None:
    assert median_color(replace(PLAIN, upper_color=color), Part.UPPER).argmax() == strongest


def test_black_gray_and_white_stay_apart() -> None:
    black, gray, white = (
        median_color(replace(PLAIN, lower_color=color), Part.LOWER).mean() for color in ("black", "gray", "white")
    )
    assert black < 45 < 60 < gray < 150 < 155 < white


def test_trousers_and_shoes_have_their_own_colors() -> None:
    assert median_color(PLAIN, Part.LOWER).argmax() == 2
    assert median_color(PLAIN, Part.SHOES).min() > 130


def test_a_face_and_glasses_are_seen_from_the_front_only() -> None:
    person = replace(PLAIN, glasses="sunglasses")
    assert share(person, "front", "face") > 0.8 and share(person, "back", "face") == 0
    assert share(person, "front", "glasses") > 0.8 and share(person, "back", "glasses") == 0


def test_a_backpack_is_seen_from_everywhere_from_the_front_by_its_straps() -> None:
    person = replace(PLAIN, bag="backpack", bag_color="yellow")
    assert share(person, "front", "bag") > 0.8
    assert share(person, "back", "bag") > 0.8 and share(person, "left", "bag") > 0.6


@pytest.mark.parametrize("bag", ["handbag", "shoulder bag", "suitcase"])
def test_other_bags_are_mostly_seen(bag: str) -> None:
    assert share(replace(PLAIN, bag=bag, bag_color="red"), "front", "bag") > 0.7
    assert share(PLAIN, "front", "bag") == 0


def test_the_shirt_under_an_open_coat_is_seen_from_the_front_only() -> None:
    person = replace(PLAIN, upper_type="coat", sleeves="long", inner_color="white")
    assert share(person, "front", "inner") > 0.8 and share(person, "back", "inner") == 0


def test_a_print_on_the_chest_is_not_seen_from_the_back_but_stripes_are() -> None:
    printed = replace(PLAIN, upper_pattern="printed", pattern_color="white")
    striped = replace(PLAIN, upper_pattern="striped", pattern_color="white")
    assert share(printed, "front", "pattern") > 0.8 and share(printed, "back", "pattern") == 0
    assert share(striped, "back", "pattern") > 0.8


def test_a_dress_has_no_lower_garment() -> None:
    dress = replace(PLAIN, upper_type="dress", lower_type=NONE, lower_color=NONE, lower_length="knee-length")
    assert share(dress, "front", "lower") == 0 and share(PLAIN, "front", "lower") > 0.8


def test_a_phone_at_the_ear_is_no_thing_held_unless_the_person_has_one() -> None:
    phone = replace(PLAIN, held="phone", held_color="red")
    assert share(PLAIN, "front", "held", "talking on the phone") == 0
    assert share(phone, "front", "held", "talking on the phone") > 0.4


def test_hats_scarves_and_held_things_are_seen() -> None:
    person = replace(PLAIN, hat="cap", hat_color="green", scarf_color="yellow", held="book", held_color="red")
    for name in ("hat", "scarf", "held"):
        assert share(person, "front", name) > 0.7
        assert share(PLAIN, "front", name) == 0


def test_a_rider_has_a_bicycle() -> None:
    riding = pictures(PLAIN, "left", "riding a bicycle")
    assert all((picture.parts == Part.VEHICLE).any() for picture in riding)
    assert not any((picture.parts == Part.VEHICLE).any() for picture in pictures(PLAIN, "left"))


def test_some_pictures_end_at_the_knees_or_the_hips() -> None:
    rng = Random(3)
    seen = [
        render(PLAIN, draw_look(PLAIN, rng), View("front", "standing", "hall", others=False), rng).visible
        for _ in range(150)
    ]
    assert 0.05 < np.mean(["shoes" not in names for names in seen]) < 0.4
    assert 0.01 < np.mean(["lower" not in names for names in seen]) < 0.2


def test_nobody_stands_in_front_where_nobody_else_is_told() -> None:
    rng = Random(4)
    view = View("front", "walking", "street", others=False)
    assert not any((render(PLAIN, draw_look(PLAIN, rng), view, rng).parts == Part.OTHERS).any() for _ in range(60))


def test_two_views_of_each_of_many_people_are_from_all_sides() -> None:
    rng = Random(5)
    sides = [view.side for _ in range(400) for view in draw_views(PLAIN, rng, 2)]
    assert all(0.12 < sides.count(side) / len(sides) < 0.5 for side in ("front", "back", "left", "right"))
    assert all({"front", "back"} <= {view.side for view in draw_views(PLAIN, rng)} for _ in range(20))


def test_what_people_wear_and_carry_hints_at_the_gender_and_no_more() -> None:
    rng = Random(6)
    people = [draw_person(rng) for _ in range(3000)]
    bags, heels = (
        [sum(has(person) for person in people if person.gender == gender) for gender in ("man", "woman")]
        for has in (lambda person: person.bag == "handbag", lambda person: person.shoes_type == "high heels")
    )
    assert 0 < bags[0] * 3 < bags[1] and heels[0] == 0 < heels[1]
    short = [sum(p.hair_length == "short" for p in people if p.gender == gender) for gender in ("man", "woman")]
    assert short[1] * 2 < short[0] < short[1] * 6


def test_bags_in_the_color_of_the_clothes_are_met() -> None:
    rng = Random(8)
    with_bags = [person for person in (draw_person(rng) for _ in range(3000)) if person.bag != NONE]
    assert 0.18 < np.mean([person.bag_color == person.upper_color for person in with_bags]) < 0.35

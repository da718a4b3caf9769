"""Whole photographs of several people, with a box for each: for detectors, and for crops in which people overlap."""

import math
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from ctgi.synth.camera import photograph
from ctgi.synth.look import Look, draw_look
from ctgi.synth.people3d.camera3d import YAW, Camera, overlook, sun_matrix
from ctgi.synth.people3d.film import develop, labels_of
from ctgi.synth.people3d.light import draw_light
from ctgi.synth.people3d.meshes import Array
from ctgi.synth.people3d.outfit import Figure, dress, stand
from ctgi.synth.people3d.palette import palette
from ctgi.synth.people3d.rig import about
from ctgi.synth.people3d.studio import Actor, studio
from ctgi.synth.people3d.surroundings import build_place, draw_backdrop
from ctgi.synth.person import SCENES, Person, View, draw, draw_person
from ctgi.synth.seeing import NOT_BODY, Picture, seen

SIZE = (1024, 640)
MOST = 12
"""People at most."""
_LEAST_SEEN = 0.1
"""Of the box of the whole person: how much must be seen for a row."""
_REACH = 8.0
"""Meters from the middle of the crowd that the sun's shadows are computed for."""


@dataclass(frozen=True)
class Member:
    """One of the people in a photograph."""

    person: Person
    view: View
    whole: tuple[int, int, int, int]
    """Left, top, right, bottom of the whole person inside the photograph, whatever stands before it."""
    picture: Picture
    """The photograph with this person's labels, visible box and visible things."""

    def truth(self) -> dict[str, Any]:
        """What is true of the person, in JSON's types."""
        return {
            "box": list(self.picture.box),
            "whole_box": list(self.whole),
            "person": asdict(self.person),
            "view": asdict(self.view),
            "visible": sorted(self.picture.visible),
        }


@dataclass(frozen=True)
class Photograph:
    """A photograph of a crowd."""

    image: Image.Image
    members: tuple[Member, ...]
    """Those of whom enough can be seen, from the left to the right."""


@dataclass(frozen=True)
class _Placed:
    person: Person
    look: Look
    action: str
    figure: Figure
    at: Array
    heading: float
    """Radians from facing -y, to the left."""


def render_crowd(rng: Random) -> Photograph:
    """Two to `MOST` people; the same state of rng gives the same bytes on the same OpenGL driver.

    Raises:
        CtgiError: moderngl, EGL or the bodies are missing; says what to install.
    """
    scene = draw(SCENES, rng)
    camera = overlook(SIZE, rng)
    crowd = _place_people(camera, rng)
    light, middle = draw_light(scene, rng), np.mean([one.at for one in crowd], 0).astype(np.float32)
    place = build_place(scene, camera, 0.0, middle, rng, behind=rng.uniform(3, 9))
    actors = [
        Actor(one.figure.pieces, palette(one.person, one.look, one.figure.body) | {"owner": number})
        for number, one in enumerate(crowd, 1)
    ]
    shadow, uniforms = sun_matrix(middle, light.sun, _REACH), {**light.uniforms, "eye": camera.eye}
    shot = studio(*SIZE).expose([*actors, place.stage], camera.film, camera.matrix, shadow, uniforms)
    feet, top = camera.row(middle), camera.row(middle + np.array((0, 0, 1.7), np.float32))
    behind = draw_backdrop(scene, camera, place.end, feet, max(0.4, (feet - top) / 100), rng)
    image = photograph(develop(shot, behind, light, (feet - top) / 384, rng), SIZE, rng)
    members = [
        Member(one.person, _view(one, camera, scene), camera.box(one.figure.points(NOT_BODY)), picture)
        for number, one in enumerate(crowd, 1)
        if (picture := seen(image, labels_of(shot, number), one.person, one.look, _view(one, camera, scene)))
    ]
    kept = sorted((one for one in members if _enough(one)), key=lambda one: one.picture.box)
    return Photograph(image, tuple(kept))


def _place_people(camera: Camera, rng: Random) -> list[_Placed]:
    """People before the camera, some of them side by side."""
    crowd: list[_Placed] = []
    for _ in range(rng.randint(2, MOST)):
        person = draw_person(rng)
        look = draw_look(person, rng)
        action = rng.choice(("standing", "walking", "walking", "talking on the phone"))
        at, heading = _spot(camera, crowd, rng)
        if any(np.linalg.norm(at - one.at) < 0.55 for one in crowd):
            continue
        figure = stand(dress(person, look), person, look, action, rng)
        shift = at - np.array((0, 0, figure.floor), np.float32)
        crowd.append(_Placed(person, look, action, figure.moved(about("z", heading), shift), at, heading))
    return crowd


def _spot(camera: Camera, crowd: list[_Placed], rng: Random) -> tuple[Array, float]:
    """Where somebody stands and where they head for."""
    if crowd and rng.random() < 0.5:  # beside somebody else
        friend = rng.choice(crowd)
        turn = friend.heading + rng.gauss(0, 0.25)
        side = np.array((math.cos(turn), math.sin(turn), 0)) * rng.choice((-1, 1)) * rng.uniform(0.55, 0.9)
        return (friend.at + side).astype(np.float32), turn
    far, across = rng.uniform(4.5, 13), np.array((camera.ahead[1], -camera.ahead[0], 0))
    ground = camera.eye * np.array((1, 1, 0)) + camera.ahead * far + across * rng.uniform(-0.5, 0.5) * far
    return ground.astype(np.float32), rng.uniform(-math.pi, math.pi)


def _view(one: _Placed, camera: Camera, scene: str) -> View:
    """From which side the camera meets the person."""
    toward = about("z", -one.heading) @ (camera.eye - one.at)
    yaw = math.atan2(float(toward[0]), -float(toward[1]))
    side = max(YAW, key=lambda name: math.cos(yaw - YAW[name]))
    return View(side, one.action, scene, others=True)


def _enough(one: Member) -> bool:
    left, top, right, bottom = one.picture.box
    wide, high = one.whole[2] - one.whole[0], one.whole[3] - one.whole[1]
    whole_photograph = one.picture.box == (0, 0, *SIZE)
    return not whole_photograph and (right - left) * (bottom - top) > _LEAST_SEEN * wide * high and bottom - top > 24

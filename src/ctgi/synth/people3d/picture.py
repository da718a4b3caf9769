"""One picture of a person in 3D: takes and gives what `ctgi.synth.picture.render` does."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from ctgi.synth.brush import Brush, Light, canvases
from ctgi.synth.camera import photograph
from ctgi.synth.look import Look, draw_look
from ctgi.synth.people3d.camera3d import Camera, place_camera, sun_matrix
from ctgi.synth.people3d.film import Labels, develop, labels_of
from ctgi.synth.people3d.light import draw_light
from ctgi.synth.people3d.outfit import Figure, dress, stand
from ctgi.synth.people3d.palette import palette
from ctgi.synth.people3d.rig import about
from ctgi.synth.people3d.studio import Actor, studio
from ctgi.synth.people3d.surroundings import build_place, draw_backdrop
from ctgi.synth.person import Person, View, draw_person
from ctgi.synth.scene import draw_foreground, draw_hard_shadow
from ctgi.synth.seeing import Picture, seen

PERSON, BYSTANDER = 0, 1
"""Who owns a pixel."""


def can_render(view: View) -> bool:
    """Whether such a picture can be made in 3D; riders cannot."""
    return view.action != "riding a bicycle"


def render3d(person: Person, look: Look, view: View, rng: Random) -> Picture:
    """The person from one camera; the same state of rng gives the same bytes on the same OpenGL driver.

    Raises:
        CtgiError: moderngl, EGL or the bodies are missing; says what to install.
        ValueError: it cannot be made in 3D: see `can_render`.
    """
    if not can_render(view):
        raise ValueError(f"no 3D picture of somebody {view.action}")
    figure = stand(dress(person, look), person, look, view.action, rng)
    camera = place_camera(figure, view, rng)
    actors = [Actor(figure.pieces, palette(person, look, figure.body) | {"owner": PERSON})]
    if view.others:
        actors.append(_bystander(figure, camera, rng, ahead=False))
    elif rng.random() < 0.03:
        actors.append(_bystander(figure, camera, rng, ahead=True))
    pixels, labels = _hidden_in_part(*_expose(figure, camera, view, actors, rng), camera, rng)
    return seen(photograph(pixels, camera.size, rng), labels, person, look, view)


def _bystander(figure: Figure, camera: Camera, rng: Random, *, ahead: bool) -> Actor:
    """Somebody else beside the person, behind or, cut off, before them."""
    person = replace(draw_person(rng), held="none")
    look = draw_look(person, rng)
    other = stand(dress(person, look), person, look, rng.choice(("standing", "walking")), rng)
    side = np.array((camera.ahead[1], -camera.ahead[0], 0), np.float32) * rng.choice((-1, 1))
    away = camera.ahead * rng.uniform(-1.2, -0.5) if ahead else camera.ahead * rng.uniform(0.1, 2.5)
    shift = side * rng.uniform(0.45, 0.75) + away + np.array((0, 0, figure.floor - other.floor), np.float32)
    turn = about("z", rng.uniform(-np.pi, np.pi))
    return Actor(other.moved(turn, shift).pieces, palette(person, look, other.body) | {"owner": BYSTANDER})


def _expose(
    figure: Figure, camera: Camera, view: View, actors: Sequence[Actor], rng: Random
) -> tuple[NDArray[np.uint8], Labels]:
    """Pixels and labels of the film."""
    light = draw_light(view.scene, rng)
    points = figure.points()
    center = ((points.max(0) + points.min(0)) / 2).astype(np.float32)
    place = build_place(view.scene, camera, figure.floor, center, rng)
    shadow, uniforms = sun_matrix(center, light.sun), {**light.uniforms, "eye": camera.eye}
    shot = studio().expose([*actors, place.stage], camera.film, camera.matrix, shadow, uniforms)
    feet, top = (
        camera.row(np.array((*center[:2], figure.floor))),
        camera.row(np.array((*center[:2], points[:, 2].max()))),
    )
    behind = draw_backdrop(view.scene, camera, place.end, feet, max(0.4, (feet - top) / 100), rng)
    pixels = develop(shot, behind, light, camera.film[1] / 384, rng)
    return pixels, labels_of(shot, PERSON)


def _hidden_in_part(
    image: NDArray[np.uint8], labels: Labels, camera: Camera, rng: Random
) -> tuple[NDArray[np.uint8], Labels]:
    """The picture with what now and then lies between the person and the camera."""
    color, marks, pixels, covered, surfaces = canvases(*camera.film)
    pixels[..., :3], pixels[..., 3] = image, 255
    covered[:] = labels
    scale = camera.film[1] / 105
    for canvas in (color, marks):
        canvas.scale(scale, scale)
    brush, area = Brush(color, marks, Light(0, -0.6, 0.8, 0.3)), (0.0, 0.0, camera.film[0] / scale, 105.0)
    if rng.random() < 0.08:
        draw_foreground(brush, area, rng)
    if rng.random() < 0.1:
        draw_hard_shadow(brush, area, rng)
    del surfaces
    return pixels[..., :3], covered

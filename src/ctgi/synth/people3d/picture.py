"""One picture of a person in 3D: takes and gives what `ctgi.synth.picture.render` does."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ctgi.synth.brush import Brush, Light, canvases
from ctgi.synth.camera import photograph
from ctgi.synth.look import Look, draw_look
from ctgi.synth.parts import Part
from ctgi.synth.people3d.camera3d import Camera, place_camera, sun_matrix
from ctgi.synth.people3d.light import draw_light
from ctgi.synth.people3d.materials import PARTS, Material
from ctgi.synth.people3d.meshes import Array
from ctgi.synth.people3d.outfit import Figure, dress, stand
from ctgi.synth.people3d.palette import encoded, palette
from ctgi.synth.people3d.rig import about
from ctgi.synth.people3d.studio import Actor, Exposure, studio
from ctgi.synth.people3d.surroundings import build_place, draw_backdrop
from ctgi.synth.person import Person, View, draw_person
from ctgi.synth.scene import draw_foreground, draw_hard_shadow
from ctgi.synth.seeing import Picture, seen

_LABELS = np.array([PARTS.get(Material(m), Part.BACKGROUND) if m in set(Material) else 0 for m in range(24)], np.uint8)


def can_render(person: Person, view: View) -> bool:
    """Whether such a picture can be made in 3D; riders cannot."""
    return view.action != "riding a bicycle"


def render3d(person: Person, look: Look, view: View, rng: Random) -> Picture:
    """The person from one camera; the same state of rng gives the same bytes on the same OpenGL driver.

    Raises:
        CtgiError: moderngl, EGL or the bodies are missing; says what to install.
        ValueError: it cannot be made in 3D: see `can_render`.
    """
    if not can_render(person, view):
        raise ValueError(f"no 3D picture of somebody {view.action}")
    figure = stand(dress(person, look), person, look, view.action, rng)
    camera = place_camera(figure, view, rng)
    actors = [Actor(figure.pieces, palette(person, look, figure.body) | {"other": 0.0})]
    if view.others:
        actors.append(_bystander(figure, camera, rng, ahead=False))
    elif rng.random() < 0.03:
        actors.append(_bystander(figure, camera, rng, ahead=True))
    light, labels = _expose(figure, camera, view, actors, rng)
    pixels, labels = _hidden_in_part(encoded(_toned(light)), labels, figure, camera, rng)
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
    pieces = [replace(p, points=p.points @ turn.T + shift, normals=p.normals @ turn.T) for p in other.pieces]
    return Actor(pieces, palette(person, look, other.body) | {"other": 1.0})


def _expose(
    figure: Figure, camera: Camera, view: View, actors: Sequence[Actor], rng: Random
) -> tuple[Array, NDArray[np.uint8]]:
    """Light and labels of the film, exposed for the person."""
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
    labels = _labels(shot)
    body = (shot.materials >= 0) & (labels != Part.BACKGROUND) & (labels != Part.OTHERS)
    white = float(shot.light[body].mean()) if body.any() else 1.0
    gain = 0.82 / white * 2 ** rng.gauss(0, 0.17)
    image = np.where((shot.materials < 0)[..., None], behind, shot.color * _creases(shot) * (gain * light.balance))
    return np.asarray(image, np.float32), labels


def _labels(shot: Exposure) -> NDArray[np.uint8]:
    labels = np.where(shot.materials < 0, Part.BACKGROUND, _LABELS[np.maximum(shot.materials, 0)])
    return np.where(shot.others & (shot.materials >= 0), Part.OTHERS, labels).astype(np.uint8)


def _creases(shot: Exposure) -> Array:
    """[H, W, 1] what light loses in corners and under feet: darker where something near stands before it."""
    scale = shot.depth.shape[0] / 384
    ground = np.isin(shot.materials, (Material.FLOOR, Material.WALL))
    nearest = np.where((shot.materials < 0) | ground, 80, shot.depth).astype(np.float32)
    gap = np.maximum(shot.depth - ndimage.minimum_filter(nearest, max(3, round(9 * scale))), 0)
    crease = np.where(gap < 0.35, np.clip(gap / 0.12, 0, 1), 0).astype(np.float32)
    out = 1 - 0.42 * ndimage.gaussian_filter(crease, 4 * scale, truncate=2)
    feet = ndimage.gaussian_filter((shot.materials == Material.SHOES).astype(np.float32), 8 * scale, truncate=2)
    return np.asarray(out * (1 - 0.6 * np.clip(feet * 1.6, 0, 1) * ground), np.float32)[..., None]


def _toned(light: Array) -> Array:
    """What is too bright fades to white instead of being cut off."""
    over = np.maximum(light - 0.72, 0)
    return np.asarray(np.minimum(light, 0.72) + over / (1 + 2.2 * over), np.float32)


def _hidden_in_part(
    image: Array, labels: NDArray[np.uint8], figure: Figure, camera: Camera, rng: Random
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture with what now and then lies between the person and the camera."""
    color, marks, pixels, covered, surfaces = canvases(*camera.film)
    pixels[..., :3], pixels[..., 3] = image * 255 + 0.5, 255
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

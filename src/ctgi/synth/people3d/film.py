"""From light on the film to pixels and labels."""

from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ctgi.synth.parts import Part
from ctgi.synth.people3d.light import Light
from ctgi.synth.people3d.materials import PARTS, Material
from ctgi.synth.people3d.meshes import Array
from ctgi.synth.people3d.palette import encoded
from ctgi.synth.people3d.studio import Exposure

Labels = NDArray[np.uint8]
_PARTS = np.array([PARTS[material] for material in Material], np.uint8)


def develop(shot: Exposure, behind: Array, light: Light, scale: float, rng: Random) -> NDArray[np.uint8]:
    """[H, W, 3] sRGB, exposed for the people.

    behind: the light of what is far. scale: how tall people are, in 384 px.
    """
    people = ~np.isin(shot.materials, (-1, Material.FLOOR, Material.WALL))
    white = float(shot.light[people].mean()) if people.any() else 1.0
    gain = 0.82 / white * 2 ** rng.gauss(0, 0.1)
    image = np.where(
        (shot.materials < 0)[..., None], behind, shot.color * _creases(shot, scale) * (gain * light.balance)
    )
    return (encoded(_toned(image)) * 255 + 0.5).astype(np.uint8)


def labels_of(shot: Exposure, owner: int) -> Labels:
    """[H, W] Part of each pixel, for one of the people in the picture."""
    labels = np.where(shot.materials < 0, Part.BACKGROUND, _PARTS[np.maximum(shot.materials, 0)])
    return np.where((shot.owners != owner) & (labels != Part.BACKGROUND), Part.OTHERS, labels).astype(np.uint8)


def _creases(shot: Exposure, scale: float) -> Array:
    """[H, W, 1] what light loses in corners and under feet: darker where something near stands before it."""
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

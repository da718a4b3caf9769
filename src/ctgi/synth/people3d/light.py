"""Sun and sky, lamps and bounced light."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from ctgi.synth.people3d.meshes import Array, unit

OUTDOORS = {"street": 0.97, "park": 1.0, "wall": 0.6, "hall": 0.05, "shop": 0.0}
"""How often a scene lies outdoors."""


@dataclass(frozen=True)
class Light:
    """Uniforms of the picture's program; a white wall in it is about 1."""

    sun: Array
    """Direction to it."""
    balance: Array
    """What a camera's white balance multiplies the channels with."""
    uniforms: Mapping[str, Any]


def draw_light(scene: str, rng: Random) -> Light:
    """Light as a scene may have it."""
    outdoors = rng.random() < OUTDOORS[scene]
    hard = rng.choice((0.2, 0.5, 1.0, 1.6, 2.4)) if outdoors else rng.choice((0.35, 0.6, 1.0))
    height = rng.uniform(0.4, 2.2) if outdoors else rng.uniform(0.8, 3.0)
    sun = unit(np.array((rng.gauss(0, 1), rng.gauss(0, 1), height), np.float32))
    warm = (0.05 + 0.05 * min(1.0, hard)) if outdoors else rng.gauss(0.0, 0.05)
    cool = rng.uniform(0.02, 0.09) + 0.06 * min(1.0, hard) if outdoors else rng.gauss(0.0, 0.04)
    dome = rng.uniform(0.55, 1.0) / (1 + 0.4 * hard) if outdoors else rng.uniform(0.4, 0.8)
    bounce = rng.uniform(0.15, 0.5) * dome * np.array((1 + rng.gauss(0.02, 0.04), 1, 1 + rng.gauss(-0.03, 0.04)))
    uniforms: dict[str, Any] = {
        "sun": sun,
        "sun_color": hard * np.array((1 + warm, 1, 1 - warm)),
        "sky": dome * np.array((1 - cool, 1, 1 + cool * 1.3)),
        "ground": bounce,
        "side": unit(np.array((rng.gauss(0, 1), rng.gauss(0, 1), 0.2), np.float32)),
        "side_color": np.full(3, rng.choice((0.0, 0.12, 0.35))),
        "soft": rng.choice((0.0015, 0.004)),
    }
    mean = uniforms["sky"] * 0.6 + uniforms["ground"] * 0.4 + uniforms["sun_color"] * 0.35
    return Light(sun, np.asarray((mean / mean.mean()) ** -rng.uniform(0.5, 0.9), np.float32), uniforms)

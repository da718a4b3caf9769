"""A body at rest with the measures that tailors take of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
import scipy.sparse as sparse

from ctgi.synth.people3d.bodies import load_bodies
from ctgi.synth.people3d.meshes import Array, Faces, normals, subdivide, unit

_LIMBS = {
    "arm": ("upperarm", "lowerarm", "hand"), "leg": ("thigh", "calf", "foot", "ball"), "foot": ("foot", "ball"),
    "calf": ("calf",), "head": ("head",), "neck": ("neck",), "hand": ("hand",),
}  # fmt: skip
_FINER = {"body": 0, "tights": 1, "skirt": 1, "hair": 2, "eyes": 0}


class Shell:
    """One group of faces of all bodies, made finer: where garments are cut from."""

    def __init__(self, name: str) -> None:
        bodies = load_bodies()
        ids = np.unique(bodies.faces[name])
        place = np.full(bodies.points.shape[1], -1, np.int32)
        place[ids] = np.arange(len(ids))
        faces: Faces = place[bodies.faces[name]]
        points, weights = bodies.points[:, ids], bodies.weights[ids]
        for _ in range(_FINER[name]):
            faces, (points, weights) = subdivide(faces, points, weights)
        self.faces, self.points, self.weights = faces, points, weights
        self.share = {
            limb: weights[:, [b for b, bone in enumerate(bodies.bones) if bone.startswith(starts)]].sum(1)
            for limb, starts in _LIMBS.items()
        }
        """[N] How far each point moves with a limb."""

    @cached_property
    def blur(self) -> sparse.csr_matrix:
        """[N, N] The mean of each point's neighbors."""
        n = self.points.shape[1]
        ends = self.faces[:, [0, 1, 2]].T.ravel(), self.faces[:, [1, 2, 0]].T.ravel()
        link = sparse.csr_matrix((np.ones(len(ends[0]), np.float32), ends), (n, n))
        link = ((link + link.T) > 0).astype(np.float32)
        return sparse.csr_matrix(sparse.diags(1 / np.asarray(link.sum(1)).ravel().clip(1)).astype(np.float32) @ link)

    def smooth(self, points: Array, times: int, share: Array | None = None) -> Array:
        """The points drawn toward their neighbors; a share below 1 for those that shall move less."""
        for _ in range(times):
            mean = self.blur @ points
            points = mean if share is None else points + share[:, None] * (mean - points)
        return np.asarray(points, np.float32)


shell = cache(Shell)


class Form:
    """A shell of one body."""

    def __init__(self, name: str, body: int) -> None:
        self.shell = shell(name)
        self.points = self.shell.points[body]
        self.normals = normals(self.points, self.shell.faces)
        self.x, self.y, self.z = self.points.T

    @cached_property
    def outward(self) -> Array:
        """[N, 3] away from the body's axis, level."""
        return unit(self.points * np.array((1, 1, 0), np.float32))


@dataclass(frozen=True)
class Mannequin:
    """A body of `bodies`, by its number."""

    number: int

    @cached_property
    def body(self) -> Form:
        """The skin."""
        return Form("body", self.number)

    @cached_property
    def tights(self) -> Form:
        """A close suit: garments hang off it."""
        return Form("tights", self.number)

    @cached_property
    def skirt(self) -> Form:
        """A cone around the legs."""
        return Form("skirt", self.number)

    @cached_property
    def hair(self) -> Form:
        """A hood of long hair."""
        return Form("hair", self.number)

    @cached_property
    def eyes(self) -> Form:
        """Both eyeballs."""
        return Form("eyes", self.number)

    @cached_property
    def joints(self) -> dict[str, Array]:
        """Where the bones begin."""
        bodies = load_bodies()
        return dict(zip(bodies.bones, bodies.heads[self.number], strict=True))

    @cached_property
    def hands(self) -> dict[str, Array]:
        """The middle of each palm: l and r."""
        bodies = load_bodies()
        ends = {side: bodies.tails[self.number][bodies.bones.index(f"hand_{side}")] for side in "lr"}
        return {side: end + (end - self.joints[f"hand_{side}"]) * 1.2 for side, end in ends.items()}

    def height(self, joint: str) -> float:
        """Of a joint over the rest pose's origin, in meters."""
        return float(self.joints[joint][2])

    @property
    def crotch(self) -> float:
        """Height of the crotch."""
        return self.height("thigh_l") - 0.09

    @property
    def knee(self) -> float:
        """Height of the knees."""
        return self.height("calf_l")

    @property
    def ankle(self) -> float:
        """Height of the ankles."""
        return self.height("foot_l")

    @property
    def waist(self) -> float:
        """Height of the waist."""
        return self.height("spine_01")

    @property
    def neck(self) -> float:
        """Height of the neck's base."""
        return self.height("neck_01")

    @cached_property
    def eye(self) -> Array:
        """Between the pupils."""
        points = self.eyes.points
        return np.array((0, points[:, 1].min(), points[:, 2].mean()), np.float32)

    @cached_property
    def floor(self) -> float:
        """Height of the soles."""
        return float(self.body.z.min())

    def along_arm(self, points: Array) -> Array:
        """[N] 0 at the shoulder, 0.5 at the elbow, 1 at the wrist."""
        shoulder, elbow, hand = (self.joints[f"{bone}_l"] for bone in ("upperarm", "lowerarm", "hand"))
        left = np.stack([np.abs(points[:, 0]), points[:, 1], points[:, 2]], 1)
        upper, lower = elbow - shoulder, hand - elbow
        first = np.clip((left - shoulder) @ upper / (upper @ upper), -0.5, 1)
        second = np.clip((left - elbow) @ lower / (lower @ lower), 0, 1.4)
        return np.asarray((first + second) / 2, np.float32)

    @cached_property
    def arms(self) -> Array:
        """[tights] 1 on the arms, 0 on the trunk."""
        return np.asarray(np.clip(self.tights.shell.share["arm"] * 1.6, 0, 1), np.float32)

    @cached_property
    def draped(self) -> Array:
        """[tights, 3] The suit without the body's details, as cloth lies on it."""
        return self.tights.shell.smooth(self.tights.points, 8, 1 - 0.5 * self.arms)

    @cached_property
    def legs_draped(self) -> Array:
        """[tights, 3] The same, closer."""
        return self.tights.shell.smooth(self.tights.points, 3)

    @cached_property
    def scalp(self) -> Array:
        """[body, 3] The head without a face or ears."""
        return self.body.shell.smooth(self.body.points, 8)

    @cached_property
    def scalp_normals(self) -> Array:
        """[body, 3] Away from the scalp."""
        return normals(self.scalp, self.body.shell.faces)


@lru_cache(maxsize=64)
def mannequin(number: int) -> Mannequin:
    """The body of a number; its measures are taken once."""
    return Mannequin(number)


def step(low: float, high: float, x: Array) -> Array:
    """A smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def least(*values: Array | float) -> Array:
    """The smallest of each point."""
    out: Array = np.asarray(values[0], np.float32)
    for value in values[1:]:
        out = np.minimum(out, value)
    return out


def numbers_of(sex: str) -> Sequence[int]:
    """The bodies of a sex."""
    return [number for number, found in enumerate(load_bodies().sexes) if found == sex]

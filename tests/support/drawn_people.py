"""Drawn people with known clothes, for tests with the embedded models. Not a double: the real generator's pictures."""

import re
from pathlib import Path

from ctgi.synth.shots import draw_shots
from ctgi.synth.words import COLOR
from recipes.embedded.answers import Scene

SEED = 2026
"""Not among the seeds that the models learned from."""


def draw_people(folder: Path, number: int) -> dict[Path, Scene]:
    """One picture each of `number` people whose upper and lower clothes can both be seen."""
    folder.mkdir(parents=True, exist_ok=True)
    people: dict[Path, Scene] = {}
    pid = 0
    while len(people) < number:
        for shot in draw_shots(SEED, pid):
            scene = Scene(shot.person, shot.view, frozenset(shot.picture.visible))
            if scene.sees("upper") and scene.sees("lower"):
                path = folder / shot.name
                shot.picture.image.save(path, quality=95)
                people[path] = scene
                break
        pid += 1
    return people


def names(text: str, color: str) -> bool:
    """Whether the text has one of the color's names."""
    return any(re.search(rf"\b{name}\b", text) for name in COLOR[color])

"""Photographs of several people on disk, and a table of who stands where."""

from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from ctgi.files import WithoutLocks, write_whole
from ctgi.synth.dataset import Progress, clear_images, jpeg
from ctgi.synth.processes import in_order
from ctgi.synth.renderers import Render
from ctgi.synth.table import open_table

SCENES, BOXES = "scenes", "boxes.jsonl"


def write_scenes(
    out: Path,
    count: int,
    seed: int,
    *,
    workers: int = 1,
    without_locks: WithoutLocks = "warn",
    on_progress: Progress = lambda done, total: None,
) -> int:
    """Render photographs to `out`/scenes, their people to `out`/boxes.jsonl; how many of them are new.

    Goes on where an earlier run stopped. Photograph 7 of a seed is always the same one.

    Raises:
        CtgiError: a library of 3D pictures is missing, or the folder cannot be written.
    """
    Render.IN_3D.require()
    with open_table(out / BOXES, 1, without_locks) as table:
        clear_images(out / SCENES)
        there = table.people
        on_progress(min(there, count), count)
        with in_order(partial(_save_scene, out, seed), range(there, count), workers) as rows:
            for done, row in enumerate(rows, there + 1):
                table.append([row])
                on_progress(done, count)
    return max(0, count - there)


def _save_scene(out: Path, seed: int, number: int) -> dict[str, Any]:
    """Render one photograph and write it; its row of the table."""
    from ctgi.synth.people3d.crowd import render_crowd

    photograph = render_crowd(Random(f"{seed}/scene {number}"))
    path = f"{SCENES}/{number:04}.jpg"
    write_whole(out / path, jpeg(photograph.image))
    return {"path": path, "people": [member.truth() for member in photograph.members]}

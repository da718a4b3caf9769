"""What the witness of a data set with dialogues remembers of each person: Interactive-PEDES."""

from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.annotations import read_annotations
from ctgi.retrieval.benchmarks.layouts import LAYOUTS
from ctgi.retrieval.benchmarks.places import annotation_files, image_folder
from ctgi.text import plain

LAYOUT = "interactive-pedes"
_MEMORY = "fine-grained_description"


def read_memories(layout: str, root: Path) -> dict[str, str]:
    """Path of an image on disk, as `load_dataset` gives it -> the detailed description of its person.

    root: the folder of the data set.

    Raises:
        CtgiError: another data set, or an image without a description.
    """
    if layout != LAYOUT:
        raise CtgiError(
            f"--dialogue witness: {plain(layout)} has no witness: --data {LAYOUT} has, whose descriptions tell what "
            "each one remembers"
        )
    files, found = annotation_files(LAYOUTS[layout], root), {}
    rows = read_annotations(files, LAYOUTS[layout]).rows
    images = image_folder(files[0].path, LAYOUTS[layout], (row.name for row in rows))
    for row in rows:
        memory = row.entry.get(_MEMORY)
        if not isinstance(memory, str) or not memory.strip():
            raise CtgiError(f"{row.place}: {_MEMORY} is missing: expected the description that the witness remembers")
        found[f"{images}/{row.name}"] = memory
    return found

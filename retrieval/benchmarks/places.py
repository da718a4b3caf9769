"""Where the files of a data set lie: its annotations, its images, and which data set a folder holds."""

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.annotations import AnnotationFile
from ctgi.retrieval.benchmarks.layouts import LAYOUTS, SPLITS, Layout
from ctgi.retrieval.benchmarks.trees import TREES, tree_root
from ctgi.text import plain

_SPLIT_FILES = {
    "train": ("train_reid.json", "train.json"),
    "val": ("val_reid.json", "valid_reid.json", "val.json", "valid.json"),
    "test": ("test_reid.json", "test.json"),
}
_IMAGE_FOLDERS = ("imgs", "imgs00", "images")
_TRIED = 8  # images that must be in a folder for it to be the one
_HEAD = 4096
_TRUTH = "attributes.jsonl"
"""Of ctgi synth, beside the annotations."""
_ENDINGS = (".json", ".jsonl")


def annotation_files(layout: Layout, root: Path) -> list[AnnotationFile]:
    """The annotation files of a data set below `root`, which may be the file itself.

    Raises:
        CtgiError: there are none; the message names the JSON files that are there.
    """
    if root.is_file() or root.suffix in _ENDINGS:
        return [AnnotationFile(root, _split_of(layout, root))]
    if found := _named(layout, root) or _alike(layout, root):
        return found
    named = [name for name in layout.file_names if "*" not in name]
    names = " or ".join(named) or "train_reid.json and test_reid.json"
    there = sorted(path.name for path in _json_files(root))
    other = next((key for key, one in LAYOUTS.items() if one is not layout and _named(one, root)), None)
    hint = f"; {', '.join(map(plain, there[:3]))} is there: if it holds the annotations, give it as --root"
    if other:
        hint = f"; {plain(_named(LAYOUTS[other], root)[0].path.name)} is there, as for --data {recognize(root)}"
    hint = hint if there or other else ""
    raise CtgiError(
        f"{plain(str(root))}: no {names} here or in {layout.name}/: "
        f"expected the folder with the data of {layout.name}{hint}"
    )


def _named(layout: Layout, root: Path) -> list[AnnotationFile]:
    """The annotation files of a layout by their names."""
    for folder in (root, root / layout.name):
        there = _json_files(folder)
        for pattern in layout.file_names:
            for path in there:
                if fnmatch(path.name, pattern):
                    return [AnnotationFile(path, _split_of(layout, path))]
        if layout.split_files and (parts := split_files(folder)):
            return parts
    return []


def _alike(layout: Layout, root: Path) -> list[AnnotationFile]:
    """The one annotation file in a folder that has a name of its own and objects of this layout."""
    found = [path for path in _json_files(root) if LAYOUTS.get(_by_content(path, "")) is layout]
    return [AnnotationFile(found[0])] if len(found) == 1 else []


def split_files(folder: Path) -> list[AnnotationFile]:
    """The files of a folder that hold a split each; none unless train or test is among them."""
    found = [
        AnnotationFile(path, split)
        for split in SPLITS
        if (path := next((folder / name for name in _SPLIT_FILES[split] if (folder / name).is_file()), None))
    ]
    return found if any(one.split != "val" for one in found) else []


def _split_of(layout: Layout, path: Path) -> str:
    """The split that the name of a file tells; "" if its objects say so themselves."""
    if layout.split_files:
        return next((split for split, names in _SPLIT_FILES.items() if path.name in names), "")
    return "test" if layout.only_test and fnmatch(path.name, layout.only_test) else ""


def _json_files(folder: Path) -> list[Path]:
    try:
        found = (path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS and path.is_file())
        return sorted(path for path in found if path.name != _TRUTH)
    except OSError:
        return []


def image_folder(file: Path, layout: Layout, names: Iterable[str]) -> Path:
    """The folder that paths of an annotation file begin in: the first that has a few of its images."""
    few = [name for name, _ in zip(names, range(_TRIED), strict=False)]
    beside = [file.parent / name for name in _IMAGE_FOLDERS]
    usual = file.parent / layout.images if layout.images else file.parent
    for folder in (usual, *beside, file.parent, *(file.parent.parent / name for name in _IMAGE_FOLDERS)):
        if any((folder / name).is_file() for name in few):
            return folder
    return usual if usual.is_dir() else file.parent


def recognize(root: Path) -> str:
    """The layout of the data set in a folder or annotation file: a key of LAYOUTS or TREES, or `folder`.

    Raises:
        CtgiError: there is no such folder.
    """
    if not root.exists():
        raise CtgiError(f"{plain(str(root))}: no such folder: give the folder of the data set")
    for key, layout in LAYOUTS.items():
        if root.is_file() and any(fnmatch(root.name, pattern) for pattern in layout.file_names):
            return key
        if root.is_dir() and (found := _named(layout, root)):
            return _by_content(found[0].path, key)
    if root.is_file():
        return _by_content(root, "cuhk")
    for key, layout in LAYOUTS.items():
        if _alike(layout, root):
            return key
    for key, tree in TREES.items():
        if tree_root(tree, root):
            return key
    return "folder"


def _by_content(path: Path, otherwise: str) -> str:
    """The layout that the first object of a file tells; two names of files serve several data sets."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return otherwise
    told = head.replace(b"\0", b"")  # UTF-16
    if b'"chats"' in told:
        return "chatpedes"
    if b'"initial_description"' in told:
        return "interactive-pedes"
    if not all(key in told for key in (b'"captions"', b'"id"', b'"split"')):
        return otherwise
    return "rstp" if b'"img_path"' in told else otherwise or "cuhk"

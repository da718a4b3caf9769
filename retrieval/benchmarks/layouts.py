"""The annotation layouts of the person search benchmarks: names of files and keys, and published figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import NamedTuple

SPLITS = ("train", "val", "test")


class Counts(NamedTuple):
    """The counts of a split."""

    images: int
    captions: int
    people: int


@dataclass(frozen=True)
class Layout:
    """The annotation layout of one benchmark: a JSON list with one object per image."""

    name: str
    """Name of the data set, and of the folder it is unpacked to."""
    file_name: str
    """The annotation file that loaders open; empty where there is one for each split."""
    path_key: str = "file_path"
    tokens: bool = False
    """Whether objects have `processed_tokens`, the words of each caption."""
    published: Mapping[str, Counts] = field(default_factory=dict)
    """Published counts by split."""
    published_whole: Mapping[str, Counts] = field(default_factory=dict)
    """Pattern of a file name -> published counts of all splits together, where those by split are not known."""
    first_train_id: int = 0
    """Smallest id in train. Loaders of the IRRA family subtract it and expect 0, 1, 2 ..."""
    other_file_names: tuple[str, ...] = ()
    """Patterns of its other names, and of files derived from it."""
    images: str = "imgs"
    """Folder beside the file that paths begin in; empty where they begin beside the file."""
    split_files: bool = False
    """Whether copies with a file for each split go round, as train_reid.json."""
    caption_keys: Mapping[str, str] = field(default_factory=dict)
    """Split -> key of its captions, where it is not `captions`."""
    only_test: str = ""
    """The file whose objects need no split: they are all of test."""
    without_splits: str = ""
    """The file whose objects have no split; people are parted in the order of their ids."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The names that the benchmark's files use."""
        return tuple(self.published)

    @property
    def file_names(self) -> tuple[str, ...]:
        """Patterns of its file names, the usual one first."""
        return tuple(name for name in (self.file_name, *self.other_file_names) if name)

    def whole(self, file_name: str) -> Counts | None:
        """Published counts of all splits together of a file; None where those by split are known, or nothing."""
        return next((counts for form, counts in self.published_whole.items() if fnmatch(file_name, form)), None)


LAYOUTS = {
    "cuhk": Layout(
        "CUHK-PEDES",
        "reid_raw.json",
        tokens=True,
        published={
            "train": Counts(34_054, 68_126, 11_003),
            "val": Counts(3_078, 6_158, 1_000),
            "test": Counts(3_074, 6_156, 1_000),
        },
        first_train_id=1,
        other_file_names=("r_cuhk*.json", "caption_all.json"),
        split_files=True,
        without_splits="caption_all.json",
    ),
    "icfg": Layout(
        "ICFG-PEDES",
        "ICFG-PEDES.json",
        tokens=True,
        published={"train": Counts(34_674, 34_674, 3_102), "test": Counts(19_848, 19_848, 1_000)},
        other_file_names=("ICFG_PEDES.json", "r_icfg*.json"),
    ),
    "rstp": Layout(
        "RSTPReid",
        "data_captions.json",
        "img_path",
        published={
            "train": Counts(18_505, 37_010, 3_701),
            "val": Counts(1_000, 2_000, 200),
            "test": Counts(1_000, 2_000, 200),
        },
        other_file_names=("r_rstp*.json",),
    ),
    "ufine": Layout(
        "UFine6926",
        "UFine6926.json",
        published_whole={
            "UFine3C*.json": Counts(7_446, 37_939, 2_250),
            "*": Counts(26_206, 52_412, 6_926),
        },
        other_file_names=("UFine*.json", "ufine*.json", "r_ufine*.json"),
        images="",
        only_test="UFine3C*.json",
    ),
    "interactive-pedes": Layout(
        "Interactive-PEDES",
        "Interactive-PEDES_interactive_annos.json",
        other_file_names=("Interactive-PEDES*.json",),
        images="",
        caption_keys={
            "train": "fine-grained_description",
            "val": "initial_description",
            "test": "initial_description",
        },
    ),
    "chatpedes": Layout(
        "ChatPedes",
        "",
        split_files=True,
        caption_keys=dict.fromkeys(SPLITS, "chats"),
    ),
}
EXPORTED = ("cuhk", "icfg", "rstp")
"""Layouts that captions are exported in: those of the official loaders of IRRA and RDE."""

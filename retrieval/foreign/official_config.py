"""The `configs.yaml` that IRRA and its followers write beside their checkpoints."""

from pathlib import Path
from typing import Any

import yaml

from ctgi.errors import CtgiError
from ctgi.reading import MALFORMED, read_text
from ctgi.retrieval.foreign.parts import Facts
from ctgi.text import plain

NAME = "configs.yaml"


class _Loader(yaml.SafeLoader):
    """Reads Python's tuples as lists and anything else of Python's as None."""


def _sequence(loader: yaml.SafeLoader, node: yaml.Node) -> list[Any]:
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node)


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _sequence)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)


def read_official_config(checkpoint: Path) -> dict[str, Any]:
    """The options of the run that wrote the checkpoint; empty if nothing lies beside it.

    Raises:
        CtgiError: the file there cannot be read.
    """
    path = checkpoint.with_name(NAME)
    if not path.is_file():
        return {}
    try:
        options = yaml.load(read_text(path), _Loader)
    except (yaml.YAMLError, *MALFORMED) as error:
        raise CtgiError(f"{plain(str(path))}: not YAML ({plain(str(error))[:200]}): mend it, or move it away") from None
    if not isinstance(options, dict):
        raise CtgiError(f"{plain(str(path))}: expected the options of a training run: mend it, or move it away")
    return options


def image_size_of(facts: Facts) -> tuple[int, int] | None:
    """(height, width) of the run, if said."""
    size = facts.get("img_size")
    return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) and len(size) == 2 else None


def refuse_stride(facts: Facts, patch: int) -> None:
    """Raise CtgiError for overlapping patches, which the model here does not have."""
    stride = facts.get("stride_size", patch)
    if stride != patch:
        raise CtgiError(f"{NAME} says stride_size {stride} for patches of {patch} px: overlapping is not supported")

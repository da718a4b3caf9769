"""Reads the weights of TorchScript archives, as OpenAI publishes CLIP, without loading their code."""

import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from torch import Tensor

_TYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}
_LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")


def is_torchscript(path: Path) -> bool:
    """Whether a zip file is a TorchScript archive rather than what torch.save writes."""
    with ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """The parameters and buffers of an archive by their dotted names.

    Raises:
        UnpicklingError: it holds anything but modules, tensors and plain values.
        KeyError: a part of it is missing.
    """
    with ZipFile(path) as archive:
        pickled = next((name for name in archive.namelist() if name.endswith("/data.pkl")), "data.pkl")
        module = _Reader(archive, pickled).load()
    return dict(_tensors(module, ""))


class _Module:
    """A module as a bag of its attributes."""


class _Reader(pickle.Unpickler):
    def __init__(self, archive: ZipFile, pickled: str) -> None:
        super().__init__(BytesIO(archive.read(pickled)))
        self._archive, self._folder = archive, pickled.removesuffix("data.pkl")
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name: made anew each time, because a pickle may set attributes of what it names."""
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, at, size, stride, *_: storage.as_strided(
                size, stride, at
            ),
            ("torch._utils", "_rebuild_parameter"): lambda value, *_: value,
            ("collections", "OrderedDict"): OrderedDict,
            **{("torch.jit._pickle", kind): lambda value: value for kind in _LISTS},
        }
        if module.startswith("__torch__"):
            return type("_Module", (_Module,), {})
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        if (module, name) in known:
            return known[module, name]
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no weight")

    def persistent_load(self, pid: Any) -> Tensor:
        """The values of a storage."""
        _, dtype, key, *_ = pid
        if key not in self._storages:
            content = bytearray(self._archive.read(f"{self._folder}data/{key}"))
            self._storages[key] = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        return self._storages[key]


def _tensors(module: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, _Module):
            yield from _tensors(value, f"{prefix}{name}.")

"""Backends and encoders by name: those that ship with ctgi, those of installed packages, and the user's own code."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ctgi.errors import CtgiError
from ctgi.text import plain

OWN_CODE = "python"
"""The provider whose model is the user's own code, `python:module:name`."""


_LENT: dict[str, tuple[Any, int]] = {}
"""Objects of this process that a binding may name, by `module:name`, and how often each was lent."""


def lend(code: Any) -> str:
    """A binding to a function, or to an object, of this process: `python:module:name`; what it names may be local.

    Raises:
        CtgiError: it is neither callable nor a model or encoder.
    """
    if not (callable(code) or hasattr(code, "chat") or hasattr(code, "encode_texts")):
        raise CtgiError(f"a binding to {type(code).__name__!r}: expected a backend's name, a function or a model")
    named = code if hasattr(code, "__qualname__") else type(code)
    base = where = f"{named.__module__}:{named.__qualname__}"
    number = 1
    while where in _LENT and _LENT[where][0] is not code:
        number += 1
        where = f"{base}-{number}"
    _, uses = _LENT.get(where, (code, 0))
    _LENT[where] = code, uses + 1
    return f"{OWN_CODE}:{where}"


def take_back(binding: str) -> None:
    """Forget what was lent under this binding, once it was taken back as often as it was lent."""
    where = binding.removeprefix(f"{OWN_CODE}:")
    code, uses = _LENT.pop(where)
    if uses > 1:
        _LENT[where] = code, uses - 1


@dataclass(frozen=True)
class Plugins:
    """One kind of plug-in: what opens a provider, by the provider's name."""

    group: str
    """Entry-point group in which installed packages offer more of them."""
    builtin: Mapping[str, str]
    """Provider to `module:function`, imported only when it is used."""

    def names(self) -> list[str]:
        """All providers, sorted."""
        return sorted({*self.builtin, *(point.name for point in entry_points(group=self.group))})

    def find(self, provider: str) -> Any:
        """The function that opens a provider; None if unknown. Built-in names cannot be replaced.

        Raises:
            CtgiError: the package that offers it cannot be imported.
        """
        if provider in self.builtin:
            module, _, name = self.builtin[provider].partition(":")
            return getattr(import_module(module), name)
        offered = [point for point in entry_points(group=self.group) if point.name == provider]
        return _load(offered[0]) if offered else None


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        package = point.dist.name if point.dist else "an installed package"
        raise CtgiError(
            f"{point.name}: the plug-in {point.value} of {package} cannot be imported ({plain(str(error))}): "
            "install that package again, or bind the tool to another backend"
        ) from None


def own_code(where: str) -> Any:
    """The object named by `module:name`; for a class, an instance made without arguments.

    Modules are looked for in the working directory too, as `python -m` does.

    Raises:
        CtgiError: it names nothing, the module fails to import, has no such name, or the class cannot be called.
    """
    found = _LENT[where][0] if where in _LENT else _imported(where)
    try:
        return found() if isinstance(found, type) else found
    except Exception as error:  # whatever the user's own code raises
        raise CtgiError(f"python:{plain(where)}: making it raised {described(error)}") from error


def described(error: Exception) -> str:
    """An exception of the user's code in one line."""
    return f"{type(error).__name__}: {plain(str(error))}"


def _imported(where: str) -> Any:
    module, colon, name = where.partition(":")
    if not (colon and module and name):
        raise CtgiError(
            f"python:{plain(where)}: expected python:MODULE:NAME, "
            "like python:my_model:answer for `answer` in my_model.py"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise CtgiError(
                f"python:{plain(where)}: its import needs {error.name}, which is not installed: pip install it"
            ) from None
        raise CtgiError(
            f"python:{plain(where)}: no module {module!r}: run ctgi in the folder that holds {module.split('.')[0]}.py"
        ) from None
    except AttributeError:
        raise CtgiError(f"python:{plain(where)}: {module} has no {name!r}: check the name") from None
    return found

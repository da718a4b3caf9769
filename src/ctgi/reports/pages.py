"""Self-contained HTML pages: other people's text is escaped, a missing value is an error."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from ctgi.retrieval.sources.references import file_name
from ctgi.text import plain


def template(name: str, filters: Mapping[str, Callable[..., object]], picture: Callable[..., object]) -> Any:
    """A template of this package, to be rendered.

    Args:
        name: its file.
        filters: what it uses besides jinja's own and `file_name`.
        picture: gives (data URL or None, why there is none) of an image.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = files("ctgi.reports") / "templates"
    environment = Environment(
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"file_name": file_name, **filters}
    environment.globals["picture"] = picture
    return environment.get_template(name)


def _shown(value: object) -> object:
    """What a page prints of a value; jinja escapes it for HTML afterwards."""
    return plain(value) if type(value) is str else value

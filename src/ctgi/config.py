"""Configuration: ctgi.toml, environment and command line become one Settings."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

from ctgi.bindings import Binding, public_spec
from ctgi.errors import CtgiError
from ctgi.files import user_folder
from ctgi.plugins import OWN_CODE
from ctgi.reading import Json, read_toml
from ctgi.secrets import learn
from ctgi.settings import Settings
from ctgi.settings_tables import AgentSettings, CacheSettings, Endpoint, MtgSettings, MtiSettings, RetrieverSettings
from ctgi.suggest import did_you_mean, first_problem, keys_of, nearest
from ctgi.text import plain
from ctgi.tools.specs import TOOLS, image_tools
from ctgi.tools.tool_calls import AGENT

__all__ = [
    "AgentSettings",
    "Binding",
    "CacheSettings",
    "Endpoint",
    "MtgSettings",
    "MtiSettings",
    "RetrieverSettings",
    "Settings",
    "find_config",
    "load_settings",
    "parse_binds",
]

CONFIG_NAME = "ctgi.toml"


def find_config(start: Path) -> Path | None:
    """The ctgi.toml in `start` or the nearest folder above it, else the user's own; None if there is none.

    An unreadable one counts too, so that it is not silently skipped.
    """
    places = [folder / CONFIG_NAME for folder in (start, *start.parents)]
    return next((file for file in (*places, _user_config()) if file and os.path.lexists(file)), None)


def _user_config() -> Path | None:
    folder = user_folder("XDG_CONFIG_HOME", ".config")
    return folder and folder / CONFIG_NAME


def _refuse_code(path: Path, tables: Json) -> None:
    """A folder from somebody else must not run code because a command was started in it."""
    bindings, endpoints = (
        list(table.values()) if isinstance(table := tables.get(name), dict) else []
        for name in ("bindings", "endpoints")
    )
    providers = [entry.get("provider") for entry in endpoints if isinstance(entry, dict)]
    if OWN_CODE in [*providers, *(Binding.parse(str(spec)).endpoint for spec in bindings)]:
        raise CtgiError(
            f"{path} names code to run ({OWN_CODE}:...), but was only found, not chosen: "
            f"if it is yours, add --config {path}"
        )


def _refuse_misspelled(environment: Iterable[str]) -> None:
    """Refuse misspelled variables, which would have no effect; unrelated ones may belong to other scripts."""
    for name in sorted(environment):
        table = name.removeprefix("CTGI_").partition("__")[0].lower()
        if name.startswith("CTGI_") and table not in Settings.model_fields:
            meant = _with_table(table) or nearest(table, Settings.model_fields, likeness=0.8)
            if meant:
                raise CtgiError(f"{name}: no such setting; did you mean CTGI_{meant.upper()}?")


def _with_table(name: str) -> str | None:
    """`mtg__turns` for `mtg_turns`, where that is a setting."""
    for table in Settings.model_fields:
        key = name.removeprefix(f"{table}_")
        if key != name and key in ((*TOOLS, AGENT) if table == "bindings" else keys_of(Settings, (table,))):
            return f"{table}__{key}"
    return None


def load_settings(
    *,
    binds: list[str] | None = None,
    profile: str | None = None,
    config: Path | None = None,
    **overrides: Any,
) -> Settings:
    """Settings with the command line over the environment over ctgi.toml over the defaults.

    Args:
        binds: `tool=backend` each; `images=backend` binds all tools that look at an image.
        profile: embedded, laptop, paper or openai.
        config: a ctgi.toml to use instead of the one found.
        overrides: tables by name, for example mti={"k": 10}.

    Raises:
        CtgiError: an unknown tool, key or value; the message names its place.
    """
    if config and not os.path.lexists(config):
        raise CtgiError(f"{plain(str(config))}: no such configuration file")
    path = config or find_config(Path.cwd())
    tables = read_toml(path, "configuration") if path else {}
    if path and config is None and path != _user_config():
        _refuse_code(path, tables)
    _refuse_misspelled(os.environ)

    class _Sources(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=tables)

    values = {name: value for name, value in overrides.items() if value}
    if profile:
        values["profile"] = profile
    if binds:
        values["bindings"] = parse_binds(binds)
    try:
        settings = _Sources(**values)
    except ValidationError as error:
        raise CtgiError(
            f"configuration ({path or 'no ctgi.toml'}, CTGI_* variables, options): {_first(error)}"
        ) from None
    except (ValueError, RecursionError) as error:  # of JSON in a variable
        raise CtgiError(
            f"CTGI_* variables: {plain(str(error))}: expected JSON, like CTGI_MTI='{{\"k\": 10}}'"
        ) from None
    unknown = sorted(settings.bindings.keys() - {*TOOLS, AGENT})
    if unknown:
        meant = did_you_mean(unknown[0], (*TOOLS, "images", AGENT))
        expected = f"; the tools are {', '.join(TOOLS)}, and there is {AGENT}"
        raise CtgiError(f"bindings: no tool is called {public_spec(unknown[0])!r}{meant or expected}")
    learn(settings.secrets())
    return settings


def parse_binds(binds: Iterable[str]) -> dict[str, str]:
    """Tool to backend, from `tool=backend` entries; `images` means all tools that look at an image.

    Raises:
        CtgiError: an entry is not of this form.
    """
    bindings: dict[str, str] = {}
    for text in binds:
        tool, equals, backend = text.partition("=")
        if not equals or not backend:
            raise CtgiError(f"--bind {public_spec(text)!r}: expected tool=backend, like verify_match=openai:gpt-4o")
        bindings |= dict.fromkeys(image_tools() if tool == "images" else (tool,), backend)
    return bindings


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    shown = f" (got {problem['input']!r})" if _may_be_shown(problem) else ""
    return f"{first_problem(error, Settings)}{shown}"


def _may_be_shown(problem: Any) -> bool:
    """Whether a value can be shown, because it cannot be a misplaced key or password."""
    value, kind = problem["input"], problem["type"]
    if isinstance(value, str):
        return (kind == "literal_error" or kind.endswith("_parsing")) and "@" not in value
    return isinstance(value, bool | int | float) and kind != "extra_forbidden"

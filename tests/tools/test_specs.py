"""The one table of tools: complete, and all that it takes to add a tool."""

import asyncio
import inspect
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, get_args

import pytest

from ctgi.agents.assemble import open_tools
from ctgi.agents.pool import load_pool
from ctgi.config import Settings, load_settings
from ctgi.retrieval.images import ImageRef, ref
from ctgi.testing import ScriptedServer
from ctgi.tools.forms import arguments_of
from ctgi.tools.langchain_export import as_langchain_tools
from ctgi.tools.specs import TOOLS
from ctgi.tools.tool_spec import Profiles
from ctgi.tools.traces.interceptor import Interceptor
from ctgi.tools.traces.player import Replay
from ctgi.tools.traces.reader import open_trace
from ctgi.tools.types import Reply
from tests.support.ninth_tool import SPEC
from tests.support.recording import recorder


@pytest.mark.parametrize("spec", TOOLS.values(), ids=TOOLS)
def test_what_the_table_names_is_there(spec: Any) -> None:
    for where in (spec.role, spec.template, spec.human):
        assert where is None or callable(resolve_name(where))
    for prompt in spec.prompts:
        assert (files("ctgi.agents") / "prompts" / f"{prompt}.txt").is_file()


def test_each_profile_binds_each_tool() -> None:
    assert set(get_args(Settings.model_fields["profile"].annotation)) == set(Profiles._fields)
    for profile in Profiles._fields:
        assert all(load_settings(profile=profile).binding(tool).endpoint for tool in TOOLS)


def test_every_prompt_belongs_to_a_tool_or_to_the_agent() -> None:
    found = (file for file in (files("ctgi.agents") / "prompts").iterdir() if file.is_file())
    prompts = {file.name.removesuffix(".txt") for file in found}
    of_tools = {prompt for spec in TOOLS.values() for prompt in spec.prompts}
    assert prompts - of_tools == {"agent", "agent_blind", "agent_person", "agent_sees"}
    assert of_tools <= prompts


@pytest.mark.parametrize("spec", TOOLS.values(), ids=TOOLS)
def test_whoever_serves_a_tool_takes_its_arguments(spec: Any) -> None:
    wanted = list(inspect.signature(spec.protocol.__call__).parameters)[1:]
    for where in filter(None, (spec.role, spec.template, spec.human)):
        served = resolve_name(where)
        given = inspect.signature(served.__call__ if isinstance(served, type) else served).parameters
        assert [name for name in given if name != "self"] == wanted


@pytest.mark.parametrize("spec", TOOLS.values(), ids=TOOLS)
def test_a_model_reads_what_each_argument_means_and_how_far_a_number_may_go(spec: Any) -> None:
    properties = arguments_of(spec.form, spec.name).model_json_schema()["properties"]
    for argument in properties.values():
        assert argument["description"]
        if argument.get("type") in ("integer", "number"):
            assert {"minimum", "maximum"} <= argument.keys()


def test_a_tools_file_can_stand_in_the_table() -> None:
    """Settings know the table; so what a tool's file is made of must not need the settings."""
    code = "import sys, tests.support.ninth_tool; sys.exit('ctgi.settings' in sys.modules)"
    top = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=top, check=False).returncode == 0


@pytest.fixture
def ninth(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line."""
    monkeypatch.setitem(TOOLS, SPEC.name, SPEC)


async def count(settings: Settings, image: Any, interceptor: Interceptor) -> str:
    with interceptor.item({"image": image}) as done:
        async with open_tools(settings, ["count_people"], load_pool(), interceptor=interceptor) as tools:
            said = await tools["count_people"](image, unit="men")
        done({"said": said.text})
        return str(said.text)


@pytest.mark.usefixtures("ninth")
def test_a_ninth_tool_is_bound_recorded_replayed_and_exported(
    double: ScriptedServer, people: Path, tmp_path: Path
) -> None:
    double.replies = lambda seen: "three" if "How many men" in seen.prompts[-1] else "none"
    settings, image = load_settings(binds=[f"images=vllm:double@{double.url}"]), ref(str(people / "0_a.png"))
    assert settings.binding("count_people").endpoint == "vllm"
    made, writer = recorder(tmp_path / "traces")
    assert asyncio.run(count(settings, image, made)) == "three"
    made.end(None)
    double.stop()
    replay = Replay(open_trace(writer.path))
    with replay.at(1):
        assert asyncio.run(count(settings, image, replay)) == "three"

    async def three(image: ImageRef, unit: str) -> Reply:
        return Reply(f"three {unit}")

    (tool,) = as_langchain_tools({"count_people": three}, {"one": image})
    assert tool.invoke({"image_id": "one", "unit": "men"}) == "three men"

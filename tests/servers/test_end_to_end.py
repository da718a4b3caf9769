"""ctgi as a user runs it, on drawn people, with the embedded model behind real servers and in process."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctgi.tools.specs import TOOLS
from recipes.embedded.answers import Scene
from tests.servers.model_servers import COMMANDS, start_transformers
from tests.servers.server_process import ModelServer
from tests.support.drawn_people import draw_people, names

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SHARED = Path(__file__).parents[3] / "shared"
People = dict[Path, Scene]
Ctgi = Callable[..., subprocess.CompletedProcess[str]]
Bind = Callable[[str], str]


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> People:
    """A folder of twelve people that the model has not seen."""
    return draw_people(tmp_path_factory.mktemp("people"), 12)


@pytest.fixture
def ctgi(tmp_path: Path) -> Ctgi:
    """Runs the command in an empty directory, with nothing configured."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CTGI_", "OPENAI_", "VLLM_"))}
    env |= dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(tmp_path))

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [COMMANDS / "ctgi", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=600)

    return run


@pytest.fixture
def bind(request: pytest.FixtureRequest) -> Bind:
    """The --bind value that puts the embedded model behind all tools that look at an image."""

    def value(backend: str) -> str:
        if backend == "embedded":
            return "images=embedded"
        server: ModelServer = request.getfixturevalue(f"{backend}_server")
        provider = "vllm" if backend == "vllm" else "openai"
        return f"images={provider}:{server.model}@{server.base_url}"

    return value


def records(path: Path) -> dict[Path, dict[str, Any]]:
    return {Path(record["path"]): record for record in map(json.loads, path.read_text().splitlines())}


@pytest.mark.parametrize("backend", ["vllm", "transformers", "embedded"])
def test_caption_names_the_colors_that_people_wear(
    backend: str, drawn: People, ctgi: Ctgi, bind: Bind, tmp_path: Path
) -> None:
    folder = next(iter(drawn)).parent
    command = ("caption", folder, "--bind", bind(backend), "--json")
    done = ctgi(*command)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["captioned"], report["failed"]) == (len(drawn), [])
    made = records(tmp_path / "captions.jsonl")
    assert set(made) == set(drawn)
    for field in ("upper_color", "lower_color"):
        told = [names(made[path]["caption"], getattr(scene.person, field)) for path, scene in drawn.items()]
        assert sum(told) >= 0.8 * len(drawn), [made[path]["caption"] for path in drawn]
    for record in made.values():
        assert 1 <= len(record["turns"]) <= 6
        assert record["bindings"]["caption_image"] == bind(backend).removeprefix("images=")
        confidences = [turn["confidence"] for turn in record["turns"]]
        assert all((confidence is None) == (backend == "transformers") for confidence in confidences)

    before = (tmp_path / "captions.jsonl").read_bytes()
    again = json.loads(ctgi(*command).stdout)
    assert (again["captioned"], again["already"]) == (0, len(drawn))
    assert (tmp_path / "captions.jsonl").read_bytes() == before


@pytest.mark.parametrize("backend", ["vllm", "transformers", "embedded"])
def test_search_confirms_an_anchor_and_refines_the_query(
    backend: str, drawn: People, ctgi: Ctgi, bind: Bind, tiny_clip: Path
) -> None:
    folder = next(iter(drawn)).parent
    person = next(iter(drawn.values())).person
    worn = f"{person.upper_color} {person.upper_type} and {person.lower_color} {person.lower_type}"
    query = f"A {person.gender} wears a {worn}."
    retriever = ("--bind", f"search_gallery=open_clip:local-dir:{tiny_clip}")
    done = ctgi("search", query, "-g", folder, "-k", 12, "--bind", bind(backend), *retriever, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [result["rank"] for result in found["results"]] == list(range(1, len(drawn) + 1))
    assert {Path(result["path"]) for result in found["results"]} == set(drawn)
    assert len(found["anchors"]) == 1
    anchor = drawn[Path(found["anchors"][0]["path"])].person
    assert (anchor.upper_color, anchor.lower_color) == (person.upper_color, person.lower_color)
    assert found["refined_query"].startswith(query)
    assert len(found["refined_query"]) > len(query) + 20
    assert (found["anchors"][0]["probability"] is None) == (backend == "transformers")

    plain = json.loads(ctgi("search", query, "-g", folder, "-k", 12, "--no-mti", *retriever, "--json").stdout)
    scores = {result["path"]: result["score"] for result in plain["results"]}
    before = {result["path"]: result["score_before"] for result in found["results"]}
    assert before == pytest.approx(scores, abs=1e-7)  # texts encoded together are rounded otherwise


def test_vllm_takes_an_agents_tools_and_reads_the_calls_of_its_model(
    vllm_server: ModelServer, drawn: People, ctgi: Ctgi, tiny_clip: Path, tmp_path: Path
) -> None:
    """The embedded model was not taught to call tools: the server makes it, and the arguments are no object."""
    (tmp_path / "ctgi.toml").write_text(
        '[agent]\ncalls = 2\n[endpoints.vllm]\nextra_body = {tool_choice = "required", repetition_penalty = 1.5}\n'
    )
    agent = ("--agent", "--bind", f"agent=vllm:{vllm_server.model}@{vllm_server.base_url}")
    retriever = ("--bind", f"search_gallery=open_clip:local-dir:{tiny_clip}")
    command = ("search", "a man in a red coat", "-g", next(iter(drawn)).parent, "-k", 12, *agent, *retriever, "--json")
    done = ctgi(*command)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["stopped"] == "its 2 calls are spent"
    assert {Path(result["path"]) for result in found["results"]} == set(drawn)
    shown = json.loads(ctgi("trace", "show", "last", "--tool", "agent", "--json").stdout)
    decided = [call["out"]["calls"] for item in shown["items"] for call in item["calls"]]
    assert len(decided) == 2
    assert all(name in TOOLS or name == "answer" for calls in decided for name in (call["name"] for call in calls))

    (tmp_path / "ctgi.toml").unlink()
    idle = ctgi(*command)
    assert (idle.returncode, "the agent's model called no tool" in idle.stderr) == (1, True)
    assert "--enable-auto-tool-choice --tool-call-parser hermes" in idle.stderr


def test_a_server_that_dies_ends_the_run_and_the_same_command_goes_on(
    doomed_server: ModelServer, drawn: People, ctgi: Ctgi, tmp_path: Path
) -> None:
    folder, captions = next(iter(drawn)).parent, tmp_path / "captions.jsonl"
    (tmp_path / "ctgi.toml").write_text("[endpoints.openai]\nconcurrency = 1\nretries = 1\nfailures_to_stop = 2\n")
    binding = f"images=openai:{doomed_server.model}@{doomed_server.base_url}"
    command = [COMMANDS / "ctgi", "caption", folder, "--bind", binding]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as run:
        while not (captions.is_file() and captions.read_bytes().count(b"\n") >= 2):
            assert run.poll() is None
            time.sleep(0.02)
        doomed_server.kill()
        _, messages = run.communicate(timeout=120)
    assert run.returncode == 2, messages
    assert doomed_server.base_url in messages
    finished = captions.read_text().splitlines()
    assert 2 <= len(finished) < len(drawn)

    port = int(doomed_server.base_url.rpartition(":")[2].partition("/")[0])
    revived = start_transformers(tmp_path / "second.log", port)
    try:
        done = ctgi(*command[1:])
    finally:
        revived.stop()
    assert done.returncode == 0, done.stderr
    lines = captions.read_text().splitlines()
    assert lines[: len(finished)] == finished
    assert sorted(json.loads(line)["path"] for line in lines) == sorted(map(str, drawn))


@pytest.mark.parametrize("backend", ["vllm", "transformers"])
def test_tools_check_says_what_each_server_can_do(backend: str, ctgi: Ctgi, bind: Bind, tiny_clip: Path) -> None:
    done = ctgi(
        "tools", "check", "--bind", bind(backend), "--bind", f"search_gallery=open_clip:local-dir:{tiny_clip}", "--json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    verify = next(row for row in json.loads(done.stdout) if row["tool"] == "verify_match")
    assert verify["works"]
    assert (verify["logprobs"], verify["structured"]) == (backend == "vllm", backend == "vllm")


@pytest.mark.skipif(not (SHARED / "real" / "images").is_dir(), reason="the shared reference images are not here")
@pytest.mark.parametrize("backend", ["vllm", "embedded"])
def test_photographs_go_through_from_end_to_end(
    backend: str, ctgi: Ctgi, bind: Bind, tiny_clip: Path, tmp_path: Path
) -> None:
    """Every file goes through; how well the model sees them is what benchmarks/real_crops.py measures."""
    photographs = SHARED / "real" / "images"
    done = ctgi("caption", photographs, "--bind", bind(backend), "--json")
    assert done.returncode == 0, done.stderr
    assert set(records(tmp_path / "captions.jsonl")) == set(photographs.glob("*.png"))
    retriever = ("--bind", f"search_gallery=open_clip:local-dir:{tiny_clip}")
    index = ctgi("index", photographs, "--out", tmp_path / "gallery", *retriever)
    assert index.returncode == 0, index.stderr
    found = ctgi(
        "search", "woman with red bag", "-g", tmp_path / "gallery", "--bind", bind(backend), *retriever, "--json"
    )
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)["results"]) == 10

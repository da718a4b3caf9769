from pathlib import Path

import pytest

from ctgi.agents.senders import senders
from ctgi.config import load_settings
from ctgi.testing import ScriptedServer
from ctgi.tools.specs import TOOLS
from tests.support.commands import Run
from tests.support.ninth_tool import SPEC as NINTH


def test_list_names_every_tool_and_where_it_is_served(ctgi: Run) -> None:
    rows = {row["tool"]: row for row in ctgi("tools", "list", "--profile", "paper", "--json").json}
    assert list(rows) == list(TOOLS)
    assert rows["caption_image"] == {
        "tool": "caption_image",
        "backend": "vllm:Qwen/Qwen2-VL-7B-Instruct",
        "endpoint": "http://127.0.0.1:8000/v1",
    }
    assert rows["reconstruct_caption"]["endpoint"] == "https://api.openai.com/v1"
    assert rows["propose_questions"]["backend"] == "vllm:Qwen/Qwen2-VL-7B-Instruct"
    assert rows["ask_user"]["endpoint"] == "the terminal"


def test_check_calls_each_tool(ctgi: Run, double: ScriptedServer, tiny_clip: Path) -> None:
    done = ctgi(
        "tools", "check", "-b", f"images=vllm:double@{double.url}",
        "-b", f"search_gallery=open_clip:local-dir:{tiny_clip}", "--json",
    )  # fmt: skip
    rows = {row["tool"]: row for row in done.json}
    assert done.code == 0
    assert rows["verify_match"]["works"]
    assert rows["verify_match"]["seconds"] > 0
    assert (rows["verify_match"]["logprobs"], rows["verify_match"]["structured"]) == (True, True)
    assert rows["reconstruct_caption"]["said"] == "A person in a red shirt. The shoes are white."
    assert "dimensions" in rows["search_gallery"]["said"]


def test_check_says_where_the_profile_paper_lacks_the_papers_retriever(
    ctgi: Run, double: ScriptedServer, tiny_clip: Path
) -> None:
    bound = [f"{tool}=vllm:double@{double.url}" for tool in TOOLS if TOOLS[tool].role]
    arguments = [part for spec in (*bound, f"search_gallery=open_clip:local-dir:{tiny_clip}") for part in ("-b", spec)]
    paper = ctgi("tools", "check", *arguments, "--profile", "paper")
    assert "search_gallery: CLIP as it comes; the paper retrieves with IRRA or RDE trained" in paper.err
    trained = [*arguments, "-b", "search_gallery=trained:runs/irra"]
    for other in (arguments, ["--profile", "paper", *trained]):
        rows = ctgi("tools", "check", *other, "--json").json
        assert {row["note"] for row in rows} == {None}


def test_check_says_what_does_not_work(ctgi: Run, double: ScriptedServer, tiny_clip: Path) -> None:
    double.rejects = {"logprobs": 400, "structured_outputs": 400}
    double.replies = lambda seen: "no" if "yes or no" in seen.prompts[-1] else "a person in a red coat"
    clip = f"search_gallery=open_clip:local-dir:{tiny_clip}"
    rows = ctgi("tools", "check", "-b", f"images=vllm:double@{double.url}", "-b", clip, "--json").json
    assert rows[2]["works"]
    assert (rows[2]["logprobs"], rows[2]["structured"]) == (False, False)
    double.stop()
    done = ctgi("tools", "check", "-b", f"images=vllm:double@{double.url}", "-b", clip, "--json")
    assert done.code == 1
    assert [row["works"] for row in done.json[:4]] == [False, False, False, True]
    assert double.url in done.json[0]["said"]
    shown = ctgi("tools", "check", "-b", f"images=vllm:double@{double.url}", "-b", clip)
    assert shown.err.splitlines() == [f"caption_image, answer_question, verify_match: {done.json[0]['said']}"]
    assert [row["said"] for row in done.json[:3]] == [done.json[0]["said"]] * 3


def test_check_tries_what_cannot_be_used_once(ctgi: Run, double: ScriptedServer) -> None:
    done = ctgi("tools", "check", "-b", f"images=vllm:other@{double.url}", "-b", "search_gallery=templates")
    assert len(double.seen) == 1
    said = [line for line in done.err.splitlines() if "other" in line]
    assert len(said) == 1
    assert said[0].startswith("caption_image, answer_question, verify_match: ")


def test_a_ninth_tool_is_listed_checked_and_said_to_send_images(
    ctgi: Run, double: ScriptedServer, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOOLS, NINTH.name, NINTH)
    double.replies = lambda seen: "one" if "How many persons" in seen.prompts[-1] else "no"
    bound = ("-b", f"images=vllm:double@{double.url}", "-b", f"search_gallery=open_clip:local-dir:{tiny_clip}")
    assert ctgi("tools", "list", *bound, "--json").json[-1] == {
        "tool": "count_people", "backend": f"vllm:double@{double.url}", "endpoint": double.url,
    }  # fmt: skip
    checked = ctgi("tools", "check", *bound, "--json").json[-1]
    assert (checked["tool"], checked["works"], checked["said"]) == ("count_people", True, "one")
    away = load_settings(binds=["count_people=vllm:double@http://far.example/v1"])
    assert senders(away, ["count_people"]) == [
        "these bindings send images and texts to http://far.example/v1: count_people"
    ]


def test_serve_prints_its_command(ctgi: Run) -> None:
    done = ctgi("serve", "Qwen/Qwen2-VL-2B-Instruct", "--print", "--port", 8123, "--tensor-parallel-size", 2)
    assert done.code == 0
    assert done.out.startswith("vllm serve Qwen/Qwen2-VL-2B-Instruct --host 127.0.0.1 --port 8123")
    assert done.out.rstrip().endswith("--tensor-parallel-size 2")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-b", "caption=vllm:x"], "no tool is called 'caption'"),
        (["-b", "caption_image"], "expected tool=backend"),
        (["-b", "caption_image=templates"], "only compose text"),
        (["-b", "images=nowhere:x"], "unknown backend"),
        (["-b", "images=vllm:"], "names no model"),
        (["--profile", "moon"], "profile"),
        (["--config", "missing.toml"], "no such configuration file"),
    ],
)
def test_a_wrong_binding_is_explained(ctgi: Run, people: Path, arguments: list[str], complaint: str) -> None:
    done = ctgi("caption", people, *arguments)
    assert done.code == 2
    assert complaint in done.err.replace("\n", " ")


def test_the_command_line_wins_over_the_environment_over_the_file(ctgi: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def bound() -> str:
        return str(ctgi("tools", "list", "--json").json[0]["backend"])

    Path("ctgi.toml").write_text(
        'profile = "paper"\n[bindings]\ncaption_image = "vllm:file"\n[endpoints.vllm]\nbase_url = "http://f/v1"'
    )
    assert bound() == "vllm:file"
    assert ctgi("tools", "list", "--json").json[0]["endpoint"] == "http://f/v1"
    monkeypatch.setenv("CTGI_BINDINGS__CAPTION_IMAGE", "vllm:environment")
    assert bound() == "vllm:environment"
    assert ctgi("tools", "list", "-b", "caption_image=vllm:line", "--json").json[0]["backend"] == "vllm:line"
    assert ctgi("tools", "list", "--json").json[1]["backend"] == "vllm:Qwen/Qwen2-VL-7B-Instruct"
    Path("sub").mkdir()
    monkeypatch.chdir("sub")
    assert bound() == "vllm:environment"
    Path("ctgi.toml").write_text("[mtg]\nturn = 3")
    assert "mtg.turn" in ctgi("tools", "list").err
    Path("ctgi.toml").write_text("[mtg\n")
    assert "ctgi.toml" in ctgi("tools", "list").err


def test_help_shows_an_example_everywhere(ctgi: Run) -> None:
    for command in (["caption"], ["index"], ["search"], ["serve"], ["tools", "list"], ["tools", "check"]):
        assert "Example: ctgi" in ctgi(*command, "--help").out
    assert ctgi("--version").out.startswith("ctgi ")
    assert ctgi("nonsense").code == 2


def test_openais_key_goes_to_openai_alone(
    ctgi: Run, double: ScriptedServer, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    ctgi("caption", people / "0_a.png", "-b", f"images=openai:double@{double.url}")
    assert "authorization" not in double.seen[0].headers
    Path("ctgi.toml").write_text(
        f'[endpoints.mine]\nprovider = "openai"\nbase_url = "{double.url}"\napi_key_env = "OPENAI_API_KEY"'
    )
    ctgi("caption", people / "0_b.png", "-b", "images=mine:double")
    assert double.seen[-1].headers["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in Path("captions.jsonl").read_text()


def test_pixel_bounds_must_be_in_order(ctgi: Run) -> None:
    Path("ctgi.toml").write_text("[endpoints.vllm]\nmin_pixels = 300000")
    assert "min_pixels is above max_pixels" in ctgi("tools", "list").err

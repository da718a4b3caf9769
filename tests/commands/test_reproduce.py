"""The commands of docs/reproduce.md: each parses, and each runs on a data set of a few drawn people."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import typer.main
from huggingface_hub import constants

from ctgi.cli import app
from ctgi.testing import ScriptedServer
from tests.support.commands import Run
from tests.support.foreign_files import best_pth, clip_like_openai, irra_state, rde_state, save_blip, two_branches
from tests.support.looking_model import look, name_shirts_alone
from tests.support.people_dataset import save_people_dataset

PAGE = Path(__file__).parents[2] / "docs" / "reproduce.md"
BLIP = "Salesforce/blip-itm-base-coco"
TINY = (
    "schedule.epochs=1", "schedule.warmup_epochs=0", "data.batch_size=8", "data.workers=0", "run.device=cpu",
    "run.precision=fp32", "model.image_size=[64,32]",
)  # fmt: skip
ROWS = ("clip", "irra-published", "rde-published", "irra-human", "rde-human", "irra-star", "blip")


def commands() -> Iterator[list[str]]:
    """The arguments of each `ctgi` command, for both models where the page loops over them."""
    for block in re.findall(r"^```\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        bare = re.sub(r"(?:^|\s)#.*", "", block, flags=re.MULTILINE)
        for line in re.sub(r"\\\n|(?<=&&)\n", " ", bare).splitlines():
            for part in re.split(r"&&|&", line):
                words = shlex.split(part)
                if "ctgi" in words:
                    arguments = words[words.index("ctgi") + 1 :]
                    for model in ("irra", "rde") if "model" in part and "$" in part else ("",):
                        yield [re.sub(r"\$\{model\}|\$model", model, word) for word in arguments]


@pytest.mark.parametrize("arguments", list(commands()), ids=" ".join)
def test_a_command_of_the_page_parses(arguments: list[str]) -> None:
    name, *rest = arguments
    group = typer.main.get_command(app)
    command, parent = group.commands[name], None
    while hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    with command.make_context(name, list(rest), parent=parent) as context:
        assert not context.args or name == "serve"


@pytest.mark.slow
def test_the_commands_of_the_page_run_on_a_few_people(
    ctgi: Run, tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_shirts_alone(save_people_dataset(Path("RSTPReid"), train=4, val=2, test=4, views=2))
    clip = clip_like_openai()
    best_pth(Path("IRRA/best.pth"), irra_state(clip), "img_size: [96, 32]\n")
    best_pth(Path("RDE/best.pth"), rde_state(two_branches(clip)), "img_size: [96, 32]\nselect_ratio: 0.3\n")
    _as_downloaded(tmp_path / "hub", monkeypatch)
    torch.set_num_threads(1)
    with ScriptedServer(look, models=("llava-hf/llava-1.5-7b-hf", "Qwen/Qwen2-VL-7B-Instruct", "gpt-4o")) as server:
        for endpoint in ("VLLM", "OPENAI"):
            monkeypatch.setenv(f"CTGI_ENDPOINTS__{endpoint}__BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        for arguments in commands():
            if arguments[0] not in ("serve", "ablate"):  # test_ablate.py runs that one
                done = ctgi(*_tiny(arguments, tiny_clip))
                assert done.code == 0, (arguments, done.err)
    for row in ROWS:
        result = json.loads(Path(f"runs/test-{row}/result.json").read_text())
        assert 0 <= result["t2i"]["R@1"] <= 100
        assert result["images"] == 8
    facts = json.loads(Path("runs/irra-star/run.json").read_text())
    assert facts["splits"]["train"]["captions"] == 8  # one of each image, none of people


def _tiny(arguments: list[str], clip: Path) -> list[str]:
    """A command with a CLIP that lies here, and a training of one epoch."""
    here = f"open_clip:local-dir:{clip}"
    given = [here if one == "open_clip:ViT-B-16,openai" else one for one in arguments]
    if given[0] != "train":
        return given
    return [*given, *(part for one in (*TINY, f"model.clip={here}") for part in ("--set", one))]


def _as_downloaded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A BLIP of random weights where the hub's library keeps the published one."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    kept = cache / f"models--{BLIP.replace('/', '--')}"
    snapshot = kept / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(snapshot.name)
    save_blip(snapshot)

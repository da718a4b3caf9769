import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctgi.config import Endpoint
from ctgi.errors import CtgiError
from ctgi.tools.serve import run_server, vllm_command


def flags(command: list[str]) -> dict[str, str]:
    return {word: value for word, value in zip(command, [*command[1:], ""], strict=True) if word.startswith("--")}


def test_the_command_serves_one_bounded_image_per_prompt_to_this_machine_only() -> None:
    command = vllm_command("Qwen/Qwen2-VL-7B-Instruct", Endpoint(min_pixels=50_176, max_pixels=100_352), port=8001)
    assert command[:3] == ["vllm", "serve", "Qwen/Qwen2-VL-7B-Instruct"]
    given = flags(command)
    assert (given["--host"], given["--port"]) == ("127.0.0.1", "8001")
    assert json.loads(given["--limit-mm-per-prompt"]) == {"image": 1, "video": 0}
    assert json.loads(given["--mm-processor-kwargs"]) == {"min_pixels": 50_176, "max_pixels": 100_352}
    assert json.loads(given["--structured-outputs-config"])["backend"] == "xgrammar"
    assert given["--generation-config"] == "vllm"
    assert given["--allowed-media-domains"] == "none.invalid"


def test_the_context_has_room_for_the_longest_reply() -> None:
    lengths = [flags(vllm_command("m", Endpoint(max_tokens=n)))["--max-model-len"] for n in (256, 2048, 8192)]
    assert lengths == ["4096", "4096", "10240"]


def test_further_arguments_come_last() -> None:
    command = vllm_command("m", Endpoint(), extra=["--max-model-len", "2048"])
    assert command[-2:] == ["--max-model-len", "2048"]
    assert command.index("--max-model-len") < len(command) - 2


def test_without_vllm_the_message_names_the_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(CtgiError, match=r"pip install 'ctgi\[vllm\]'"):
        run_server(["vllm", "serve", "m"])


def test_the_process_becomes_the_vllm_found_on_path(tmp_path: Path) -> None:
    program = tmp_path / "vllm"  # a double: it shows what it was called with
    program.write_text('#!/bin/sh\necho "$@"\nexit 7\n')
    program.chmod(0o755)
    code = "from ctgi.tools.serve import run_server; run_server(['vllm', 'serve', 'a model', '--port', '1'])"
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "serve a model --port 1\n")

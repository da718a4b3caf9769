"""A vLLM server for person crops: builds its command line and runs it in place of this process."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ctgi.errors import CtgiError
from ctgi.settings_tables import Endpoint

MAX_MODEL_LEN = 4096


def vllm_command(
    model: str,
    endpoint: Endpoint,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    extra: Sequence[str] = (),
) -> list[str]:
    """The command line that serves `model` to ctgi.

    Args:
        model: a Hugging Face id or a folder.
        endpoint: the configuration under which ctgi will call the server; its image sizes are used.
        host: address to listen on; the default is reachable only from this machine, because vLLM requires no
            key unless VLLM_API_KEY is set.
        port: TCP port.
        extra: further vLLM arguments; they come last and override those here.
    """
    flags: dict[str, object] = {
        "--host": host,
        "--port": port,
        # 256 image tokens, the prompts and six turns stay far below half of it; the rest is for the longest reply,
        # and a longer context only takes memory.
        "--max-model-len": max(MAX_MODEL_LEN, MAX_MODEL_LEN // 2 + endpoint.max_tokens),
        # A dialogue is about one image; room for videos would be set aside at start-up.
        "--limit-mm-per-prompt": {"image": 1, "video": 0},
        # The model's own bounds give a small crop too few tokens to see by and a large photograph thousands.
        "--mm-processor-kwargs": {"min_pixels": endpoint.min_pixels, "max_pixels": endpoint.max_pixels},
        # Verdicts are forced into yes or no. The whitespace switch works only with the backend named.
        "--structured-outputs-config": {"backend": "xgrammar", "disable_any_whitespace": True},
        # Without it the checkpoint's own sampling settings fill in what a request leaves out.
        "--generation-config": "vllm",
        # An agent's model calls tools; hermes reads the calls of Qwen's models.
        "--tool-call-parser": "hermes",
        # Images come inside the requests: nobody may make the server fetch addresses.
        "--allowed-media-domains": "none.invalid",
    }
    words = [word for flag, value in flags.items() for word in (flag, _word(value))]
    # Lets the usage show how much of each prompt the prefix cache spared.
    return ["vllm", "serve", model, *words, "--enable-auto-tool-choice", "--enable-prompt-tokens-details", *extra]


def run_server(command: Sequence[str]) -> NoReturn:
    """Become the server: from here on, signals, output and exit code are vLLM's.

    Raises:
        CtgiError: vLLM is neither in this Python's environment nor on PATH.
    """
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    program = shutil.which(command[0], path=os.pathsep.join(folders))
    if program is None:
        raise CtgiError(
            f"no {command[0]} command beside {sys.executable} or on PATH: install it with pip install 'ctgi[vllm]' "
            "(Linux with a GPU), or run what `ctgi serve --print` shows on a machine that has it"
        )
    os.environ.setdefault("DO_NOT_TRACK", "1")  # vLLM would report its usage otherwise
    os.execv(program, [program, *command[1:]])


def _word(value: object) -> str:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else str(value)

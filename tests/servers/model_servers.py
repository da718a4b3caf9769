"""The embedded model behind real servers. Test support."""

import os
import sys
from pathlib import Path

from ctgi.embedded import MLLM
from tests.servers.server_process import ModelServer, free_port, start

COMMANDS = Path(sys.executable).parent
VLLM_START_S = 600
TRANSFORMERS_START_S = 300

CPU_FLAGS = (
    *("--dtype", "float32", "--enforce-eager", "--skip-mm-profiling"),
    *("--max-num-seqs", "16", "--max-model-len", "2048"),
    # A block is what the prefix cache keeps whole: the CPU's default of 128 tokens is longer than these prompts.
    *("--block-size", "32"),
    # The checkpoint's own 28 to 48 image tokens instead of the sizes meant for a 7B model.
    *("--mm-processor-kwargs", "{}", "--served-model-name", "embedded"),
)
CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1"}  # GiB


def start_vllm(python: Path, log: Path, checkpoint: Path = MLLM) -> ModelServer:
    """What `ctgi serve` starts where the CPU environment's vllm is on PATH, with the flags that a CPU needs."""
    port = free_port()
    command = [str(COMMANDS / "ctgi"), "serve", str(checkpoint), "--port", str(port), *CPU_FLAGS]
    env = CPU_ENVIRONMENT | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    return start(command, model="embedded", port=port, log=log, env=env, limit_s=VLLM_START_S)


def start_transformers(log: Path, port: int | None = None) -> ModelServer:
    """`transformers serve` of the project's own environment."""
    port = port or free_port()
    command = [str(COMMANDS / "transformers"), "serve", str(MLLM), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--device", "cpu", "--dtype", "float32"]
    return start(command, model=str(MLLM), port=port, log=log, env={}, limit_s=TRANSFORMERS_START_S)

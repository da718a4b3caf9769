"""`ctgi serve`: starts a vLLM server set up for person crops."""

import shlex
import sys
from typing import Annotated

import typer

from ctgi.cli.options import Config


def serve(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name on the Hugging Face hub, or a folder.")
    ] = "Qwen/Qwen2-VL-7B-Instruct",
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535, help="Port to listen on.")] = 8000,
    print_only: Annotated[bool, typer.Option("--print", help="Only show the vLLM command; do not run it.")] = False,
    config: Config = None,
) -> None:
    """Start a vLLM server with settings that suit person crops. Further options are passed on to vLLM.

    Needs vLLM: pip install 'ctgi[vllm]' (Linux with a GPU).

    Example: ctgi serve Qwen/Qwen2-VL-7B-Instruct --port 8000 --tensor-parallel-size 2
    """
    from ctgi.config import Binding, load_settings
    from ctgi.tools.serve import run_server, vllm_command

    endpoint = load_settings(config=config).endpoint(Binding("vllm", model, None))
    command = vllm_command(model, endpoint, host=host, port=port, extra=context.args)
    if print_only:
        sys.stdout.write(shlex.join(command) + "\n")
        return
    run_server(command)

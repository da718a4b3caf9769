"""Real servers with the embedded checkpoint, each started once per session."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.environment import VllmUnavailableError, vllm_python
from tests.servers.model_servers import start_transformers, start_vllm
from tests.servers.server_process import ModelServer


@pytest.fixture(scope="session")
def vllm_env() -> Path:
    """Python of the vLLM environment; without one the test skips, but fails under CI."""
    try:
        return vllm_python()
    except VllmUnavailableError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no vLLM on CPU here: {error}")


@pytest.fixture(scope="session")
def vllm_server(vllm_env: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    server = start_vllm(vllm_env, tmp_path_factory.mktemp("vllm") / "log")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def transformers_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """A server without logprobs and structured output, which refuses fields that it does not know."""
    server = start_transformers(tmp_path_factory.mktemp("transformers") / "log")
    yield server
    server.stop()


@pytest.fixture
def doomed_server(tmp_path: Path) -> Iterator[ModelServer]:
    """A server of the test's own, to be killed."""
    server = start_transformers(tmp_path / "log")
    yield server
    server.kill()

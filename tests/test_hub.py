"""Lookups on a hub: by our way out of the machine, and given up at once where there is none."""

import logging
import socketserver
import threading
from collections.abc import Iterator

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import get_session

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.hub import hub
from ctgi.retrieval.encoder import load_encoder
from ctgi.testing import ScriptedServer
from ctgi.tools.backends.hf_checkpoint import load_checkpoint


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class _Silent(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.server.tries += 1  # type: ignore[attr-defined]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[socketserver.ThreadingTCPServer]:
    """A proxy that hangs up on everybody and counts them."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Silent) as server:
        server.tries = 0  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:proxy-secret@127.0.0.1:{server.server_address[1]}")
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("load", "cure"),
    [
        (lambda: load_encoder("open_clip:hf-hub:nobody/nothing", RetrieverSettings()), "name a local checkpoint"),
        (lambda: load_checkpoint("nobody/nothing", "cpu", "auto"), "give the path of a local folder"),
    ],
)
def test_without_a_network_the_error_is_one_line(
    load: object,
    cure: str,
    offline: socketserver.ThreadingTCPServer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(CtgiError) as raised:
        load()  # type: ignore[operator]
    said = str(raised.value)
    proxy = f"the proxy http://127.0.0.1:{offline.server_address[1]} (HTTPS_PROXY)"
    assert f"https://huggingface.co cannot be reached through {proxy}" in said
    assert offline.tries == 1  # type: ignore[attr-defined]  # no library tried again and again
    assert cure in said
    assert "\n" not in said
    assert "proxy-secret" not in said
    assert caplog.text == ""
    assert "Retrying" not in capfd.readouterr().err


def test_a_proxy_that_cannot_be_used_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    for load in (
        lambda: load_encoder("open_clip:ViT-B-16,openai", RetrieverSettings()),
        lambda: load_checkpoint("nobody/nothing", "cpu", "auto"),
    ):
        with pytest.raises(CtgiError, match="ALL_PROXY names a socks5h proxy"):
            load()


def test_a_hub_that_answers_is_used_and_one_here_without_the_proxy(
    double: ScriptedServer, offline: socketserver.ThreadingTCPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{double.port}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{offline.server_address[1]}")
    with hub() as found:
        assert (found.trouble, constants.is_offline_mode()) == (None, False)
        get_session().get(f"http://127.0.0.1:{double.port}/api/models/a")
    assert double.targets == ["HEAD /", "GET /api/models/a"]


def test_who_works_offline_is_not_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    with hub() as found:
        assert found.trouble == "HF_HUB_OFFLINE is set"


def test_what_libraries_log_on_the_way_is_kept_back(
    offline: socketserver.ThreadingTCPServer, caplog: pytest.LogCaptureFixture
) -> None:
    with hub():
        logging.error("as open_clip does")
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s")
    assert caplog.text == ""
    logging.error("as before")
    assert "as before" in caplog.text

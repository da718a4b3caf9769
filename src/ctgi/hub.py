"""Model hubs: reached by the same way out of this machine as everything else, and given up within seconds."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import httpx2
import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.utils._http import default_client_factory, hf_request_event_hook

from ctgi.network import proxy_for, proxy_of_client, public_url, trusted

_PATIENCE_S = 6.0
"""How long a hub may take to show that it is there, name look-up and all."""
KNOWN = {
    "Qwen/Qwen3-VL-2B-Instruct": "4.3 GB, 2.1 billion parameters, Apache-2.0",
    "Qwen/Qwen2-VL-2B-Instruct": "4.4 GB, 2.2 billion parameters, Apache-2.0",
    "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K": "0.6 GB, 150 million parameters, MIT",
    "timm/vit_base_patch16_clip_224.openai": "0.6 GB, 150 million parameters, MIT",
}
"""Size and licence of models that we name ourselves."""
_WEIGHTS = tuple(
    f"{name}.{end}"
    for name in ("model", "pytorch_model", "open_clip_model", "open_clip_pytorch_model", "adapter_model")
    for end in ("safetensors", "safetensors.index.json", "bin", "bin.index.json")
)
_TIMEOUT = httpx2.Timeout(60, connect=10)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hub:
    """The Hugging Face hub as found."""

    trouble: str | None
    """Why it cannot be reached, for a message; None where it can."""


@contextmanager
def hub(repository: str | None = None) -> Iterator[Hub]:
    """Lookups and downloads of the libraries, within: where the hub cannot be reached, of what lies here already.

    Args:
        repository: what is about to be loaded, `owner/name`; a download is told before it begins.

    Raises:
        CtgiError: the environment names a proxy that cannot be used.
    """
    if constants.is_offline_mode():
        yield Hub("HF_HUB_OFFLINE is set")
        return
    trouble = _trouble(constants.ENDPOINT)
    if repository and trouble is None and not _is_here(repository):
        about = f" ({KNOWN[repository]})" if repository in KNOWN else ""
        logger.warning("downloading %s from %s%s; it is kept for later runs", repository, _address(), about)
    huggingface_hub.set_client_factory(_client)
    try:
        with _quiet(), patch.object(constants, "HF_HUB_OFFLINE", trouble is not None):
            yield Hub(trouble)
    finally:
        huggingface_hub.set_client_factory(default_client_factory)


def _is_here(repository: str) -> bool:
    """Whether its weights were downloaded before."""
    return any(isinstance(huggingface_hub.try_to_load_from_cache(repository, name), str) for name in _WEIGHTS)


def _address() -> str:
    return public_url(constants.ENDPOINT)


def _client() -> httpx2.Client:
    return httpx2.Client(
        event_hooks={"request": [hf_request_event_hook]},
        follow_redirects=True,  # downloads are served by other hosts; a key does not go there
        timeout=_TIMEOUT,
        proxy=proxy_of_client(constants.ENDPOINT, "remote"),
        verify=trusted(),
        trust_env=False,
    )


def _trouble(address: str) -> str | None:
    """Whether anybody answers there at all, in words; asked in a thread, as a name look-up knows no timeout."""
    proxy = proxy_for(address, "remote")
    place = f"{public_url(address)} cannot be reached{f' through {proxy}' if proxy else ''}"
    client, found = _client(), list[str | None]()

    def ask() -> None:
        try:
            with client:
                client.head(address, timeout=_PATIENCE_S, follow_redirects=False)
            found.append(None)
        except httpx2.HTTPError as error:
            found.append(f"{place}: {error or type(error).__name__}")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    return found[0] if found else place


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings that libraries log before each retry, and open_clip's on the root logger."""
    root, own = logging.getLogger(), logging.getLogger("huggingface_hub")
    level = own.level
    root.addFilter(_nothing)
    own.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        own.setLevel(level)
        root.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False

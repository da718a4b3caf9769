"""A model of the Hugging Face hub, or a folder made like one, as an encoder: CLIP, SigLIP, SigLIP 2 and BLIP."""

from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.hub import hub
from ctgi.reading import MALFORMED
from ctgi.retrieval.open_clip_encoder import OpenClipEncoder
from ctgi.retrieval.trained_encoder import load_checkpoint_at
from ctgi.settings_tables import RetrieverSettings
from ctgi.text import plain

_FACTS = ("*.json", "*.txt", "*.model")
_WEIGHTS = ("*.safetensors", "pytorch_model.bin")
"""In the order of preference; a repository often has both."""


def load_from_hub(name: str, settings: RetrieverSettings) -> OpenClipEncoder:
    """`ORG/NAME` of the hub, or a folder, as an encoder on the settings' device. No code of it is run.

    What was downloaded once is used from then on, also offline.

    Raises:
        CtgiError: it cannot be had, is of another kind, or the settings contradict it.
    """
    folder = Path(name) if Path(name).is_dir() else _fetched(name)
    return load_checkpoint_at(str(folder), f"hf:{name}", settings)


def _fetched(name: str) -> Path:
    from huggingface_hub import snapshot_download

    with hub(name) as found:
        for weights in _WEIGHTS:
            try:
                folder = Path(snapshot_download(name, allow_patterns=[*_FACTS, weights]))
            except (OSError, *MALFORMED) as error:
                reason = found.trouble or plain(str(error).strip().partition("\n")[0])[:300]
                raise CtgiError(
                    f"hf:{plain(name)}: no such folder here, and no download is possible ({reason}): check the name, "
                    "go online once, or give a local folder"
                ) from None
            if any(folder.glob(weights)):
                return folder
    raise CtgiError(f"hf:{plain(name)}: expected weights as {' or '.join(_WEIGHTS)} there: choose another repository")

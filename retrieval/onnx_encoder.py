"""A model that `ctgi export --to onnx` wrote, as an encoder: ONNX Runtime computes, without torch's overhead."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from ctgi.errors import CtgiError
from ctgi.reading import read_text
from ctgi.retrieval.open_clip_encoder import OpenClipEncoder
from ctgi.retrieval.tokenizer import CaptionTokenizer
from ctgi.settings_tables import RetrieverSettings
from ctgi.text import plain

IMAGE, TEXT, FACTS = "image.onnx", "text.onnx", "encoder.json"
PIXELS, IDS, VECTORS = "pixels", "ids", "vectors"
"""The graphs' inputs and their output."""
INSTALL = "pip install 'ctgi[onnx]'"


class Facts(BaseModel):
    """What a program has to know to use the graphs; encoder.json."""

    model_config = ConfigDict(frozen=True)

    image_size: tuple[int, int]
    """(height, width) in px, to which images are squashed."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    context_length: int
    """Most token ids of a text."""
    shortest: int
    """Fewest ids; shorter texts are padded with 0."""
    fingerprint: str
    """That of the model in torch, whose galleries this one can search."""


class OnnxClip(nn.Module):
    """Both graphs with open_clip's methods."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        """Open the graphs.

        Raises:
            CtgiError: onnxruntime is not installed, or cannot load one.
        """
        super().__init__()
        self._image, self._text = _session(folder / IMAGE), _session(folder / TEXT)
        self._shortest = facts.shortest
        look = {"mean": facts.mean, "std": facts.std, "interpolation": facts.interpolation}
        self.visual = SimpleNamespace(preprocess_cfg={"size": facts.image_size, **look})

    def encode_image(self, pixels: Tensor, normalize: bool = True) -> Tensor:
        """Images [B, 3, H, W] -> [B, D], L2-normalized."""
        return torch.from_numpy(self._image.run([VECTORS], {PIXELS: pixels.numpy()})[0])

    def encode_text(self, ids: Tensor, normalize: bool = True) -> Tensor:
        """Ids [B, L] -> [B, D], L2-normalized. Columns of padding alone are not computed."""
        used = max(self._shortest, int(ids.argmax(dim=1).max()) + 1)
        padded = F.pad(ids, (0, max(0, used - ids.shape[1])))
        return torch.from_numpy(self._text.run([VECTORS], {IDS: padded[:, :used].numpy()})[0])


def load_onnx(name: str, settings: RetrieverSettings) -> OpenClipEncoder:
    """The encoder of a folder of `ctgi export --to onnx`. It searches the galleries of the model that was exported.

    Raises:
        CtgiError: it is not such a folder, a file is damaged, or the settings ask for other sizes or a device.
    """
    folder = Path(name)
    facts = _facts(folder)
    _check(folder, facts, settings)
    model, tokenizer = OnnxClip(folder, facts), CaptionTokenizer(facts.context_length)
    return OpenClipEncoder(f"onnx:{name}", model, tokenizer, "cpu", fingerprint=facts.fingerprint)


def _facts(folder: Path) -> Facts:
    path = folder / FACTS
    if not path.is_file():
        raise CtgiError(f"onnx:{plain(str(folder))}: expected a folder that ctgi export RUN --to onnx wrote")
    try:
        return Facts.model_validate_json(read_text(path))
    except ValidationError as error:
        raise CtgiError(f"{plain(str(path))}: {plain(str(error.errors()[0]['msg']))}: export the run again") from None


def _check(folder: Path, facts: Facts, settings: RetrieverSettings) -> None:
    for name in ("image_size", "context_length"):
        wanted, own = getattr(settings, name), getattr(facts, name)
        if wanted not in (None, own):
            raise CtgiError(f"onnx:{plain(str(folder))} has {name} {own}, but the settings say {wanted}: remove it")
    if settings.device not in ("auto", "cpu"):
        raise CtgiError(f"onnx:{plain(str(folder))} runs on the CPU: remove device from [retriever], or bind the run")


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise CtgiError(f"{plain(str(path))} needs onnxruntime ({plain(str(error))}): {INSTALL}") from None
    kinds = vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
    own = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception)]
    errors: tuple[type[Exception], ...] = (*own, RuntimeError, OSError, ValueError)
    try:
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except errors as error:
        said = plain(str(error).partition("\n")[0])[:300]
        raise CtgiError(f"{plain(str(path))}: onnxruntime cannot load it ({said}): export the run again") from None

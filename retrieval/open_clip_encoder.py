"""Any open_clip model as an encoder: by name and tag, checkpoint file or folder."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from unittest.mock import patch

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from safetensors import SafetensorError
from torch import Tensor

from ctgi.device import pick_device
from ctgi.errors import ArgumentError, CtgiError
from ctgi.hub import Hub, hub
from ctgi.reading import MALFORMED
from ctgi.retrieval.causal_text import encode_text
from ctgi.retrieval.encoder import TextFeatures
from ctgi.retrieval.foreign.named import NamedWeights, read_named
from ctgi.retrieval.images import display
from ctgi.retrieval.long_text import stretch_positions
from ctgi.retrieval.positions import resize_positions
from ctgi.retrieval.rerank import Matcher
from ctgi.retrieval.tokenizer import plain_text
from ctgi.settings_tables import RetrieverSettings

logger = logging.getLogger(__name__)

_BIG_VISION = (".npz", ".npy")
_FOLDER_OR_HUB = ("local-dir:", "hf-hub:")


class OpenClipEncoder:
    """An open_clip model behind the `Encoder` protocol."""

    def __init__(
        self,
        spec: str,
        model: Any,
        tokenizer: Any,
        device: str,
        options: tuple[Any, ...] = (),
        usual_filter: str = "bicubic",
        fingerprint: str | None = None,
    ) -> None:
        """An encoder of a model.

        Args:
            spec: the binding it was loaded by.
            model: with open_clip's `encode_image`, `encode_text` and `visual.preprocess_cfg`.
            tokenizer: texts to ids.
            device: where the model goes.
            options: settings that change the vectors besides weights and layers; they enter the fingerprint.
            usual_filter: how such models resize images; any other filter enters the fingerprint.
            fingerprint: that of a model which gives the same vectors; None computes it.
        """
        self.spec = spec
        self.matcher: Matcher | None = None
        """Looks again at the best of a ranking."""
        self._transform, size, cfg = _preprocessing(model)
        self.context_length = int(tokenizer.context_length)
        unusual = () if cfg.interpolation == usual_filter else (cfg.interpolation,)
        self.fingerprint = fingerprint or _fingerprint(
            model, (size, cfg.mean, cfg.std, self.context_length, *options, *unusual)
        )
        self._model = model.eval().to(device)
        self._tokenizer = tokenizer
        self._device = device
        self.dim = self.encode_images(torch.zeros(1, 3, *size)).shape[1]

    def preprocess(self, image: Image) -> Tensor:
        """RGB image -> [3, H, W], squashed to the input size, because a center crop would cut off heads."""
        tensor: Tensor = self._transform(image)
        return tensor

    def encode_images(self, images: Tensor) -> NDArray[np.float32]:
        """[B, 3, H, W] -> [B, D], L2-normalized."""
        with torch.inference_mode():
            features: Tensor = self._model.encode_image(images.to(self._device), normalize=True)
            return features.float().cpu().numpy()

    def encode_texts(self, texts: Sequence[str]) -> TextFeatures:
        """Texts -> [B, D], L2-normalized; tokens beyond the context are counted, and the end token stays last."""
        clean = [_readable(text) for text in texts]
        with torch.inference_mode():
            tokens = self._tokenizer(clean).to(self._device)
            features = encode_text(self._model, tokens)
        return TextFeatures(features.float().cpu().numpy(), tuple(map(self._tokens_cut, clean)))

    def _tokens_cut(self, text: str) -> int:
        roomy = len(text.encode()) + 16  # no tokenizer returns more tokens than bytes, so the rest is padding
        tokens = self._tokenizer([text], context_length=max(roomy, self.context_length + 1))[0]
        used = int((tokens != tokens[-1]).nonzero().max()) + 1
        return max(0, used - self.context_length)


def load_open_clip(name: str, settings: RetrieverSettings) -> OpenClipEncoder:
    """`MODEL,PRETRAINED`, `local-dir:FOLDER` or `hf-hub:ORG/NAME` to an encoder on the settings' device.

    Raises:
        CtgiError: see `ctgi.retrieval.encoder.load_encoder`.
    """
    model = create_model(name, settings)
    with _explained(name):
        tokenizer = open_clip.get_tokenizer(_split(name)[0], context_length=settings.context_length)
    return OpenClipEncoder(f"open_clip:{name}", model, tokenizer, pick_device(settings.device, "[retriever] device"))


def create_model(name: str, settings: RetrieverSettings) -> Any:
    """`MODEL,PRETRAINED`, `local-dir:FOLDER` or `hf-hub:ORG/NAME` to an open_clip model with its weights, on CPU.

    Raises:
        CtgiError: see `ctgi.retrieval.encoder.load_encoder`.
    """
    model_name, pretrained = _split(name)
    _check_names(model_name, pretrained)
    with _explained(name), _our_interpolation(model_name, settings):
        weights = _weights(model_name, pretrained)
        if weights is None:
            return _created(model_name, pretrained, _wants_quick_gelu(model_name, pretrained), settings)
        if weights.notice:
            logger.warning("%s", weights.notice)
        with patch("open_clip.factory.load_state_dict", lambda *_, **__: weights.state):
            model = _created(model_name, pretrained, weights.quick_gelu, settings)
        model.visual.preprocess_cfg |= weights.look
        return model


def _created(model_name: str, pretrained: str, quick_gelu: bool, settings: RetrieverSettings) -> Any:
    return open_clip.create_model(
        model_name,
        pretrained=pretrained or None,
        force_quick_gelu=quick_gelu,
        force_image_size=settings.image_size,
        force_context_length=settings.context_length,
        pretrained_text=False,
        require_pretrained=True,
    )


def model_config(name: str, model: Any) -> dict[str, Any]:
    """The architecture behind a name that `create_model` made this model of, with its activation."""
    model_name = _split(name)[0]
    config: dict[str, Any] = open_clip.get_model_config(
        model_name if model_name.startswith(_FOLDER_OR_HUB) else model_name.replace("/", "-")
    )
    quick = any(isinstance(module, open_clip.transformer.QuickGELU) for module in model.modules())
    return config | ({"quick_gelu": True} if quick else {})


def _split(name: str) -> tuple[str, str]:
    """Model and pretrained tag or file; a folder or hub name is all model."""
    model_name, _, pretrained = (name, "", "") if name.startswith(_FOLDER_OR_HUB) else name.partition(",")
    return model_name, pretrained


def _check_names(model: str, pretrained: str) -> None:
    if model.startswith(_FOLDER_OR_HUB):
        folder = Path(model.partition(":")[2])
        if model.startswith("local-dir:") and not (folder / "open_clip_config.json").is_file():
            raise CtgiError(f"{display(str(folder))}: expected a folder with open_clip_config.json and weights")
        return
    if model.replace("/", "-") not in open_clip.list_models():
        near = get_close_matches(model, open_clip.list_models(), n=3, cutoff=0.3)
        raise CtgiError(f"open_clip knows no model {model!r}: did you mean {', '.join(near) or 'ViT-B-16'}?")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not pretrained:
        raise CtgiError(
            f"open_clip:{model} names no weights: expected open_clip:{model},TAG with a tag among "
            f"{', '.join(tags) or '(none)'}, or open_clip:{model},CHECKPOINT.pt"
        )
    if pretrained not in tags and not Path(pretrained).is_file():
        raise CtgiError(
            f"open_clip:{model},{display(pretrained)}: neither a checkpoint file nor one of the tags "
            f"{', '.join(tags) or '(none)'}"
        )


def _wants_quick_gelu(model: str, tag: str) -> bool:
    """Whether OpenAI's weights under a plain name need QuickGELU; open_clip would only warn."""
    known = None if model.startswith(_FOLDER_OR_HUB) else open_clip.get_pretrained_cfg(model, tag)
    return bool(known and known.get("quick_gelu"))


def _weights(model: str, pretrained: str) -> NamedWeights | None:
    """The weights of a checkpoint file in a layout that is known here."""
    file = Path(pretrained)
    is_ours = not model.startswith(_FOLDER_OR_HUB) and file.is_file() and file.suffix not in _BIG_VISION
    return read_named(model, file) if is_ours else None


@contextmanager
def _our_interpolation(model_name: str, settings: RetrieverSettings) -> Iterator[None]:
    """Load weights with our resizing of both positional tables, because open_clip has no option for it."""

    def image(state: dict[str, Tensor], model: Any) -> None:
        key = "visual.positional_embedding"
        if _of_other_length(state.get(key), model.state_dict().get(key)):
            source = _own_grid(model_name, len(state[key]))
            state[key] = resize_positions(state[key].float(), tuple(model.visual.grid_size), source)

    def text(state: dict[str, Tensor], model: Any) -> None:
        key = "positional_embedding" if "positional_embedding" in state else "text.positional_embedding"
        own = model.state_dict().get(key)
        if not _of_other_length(state.get(key), own):
            return
        if settings.context_length is None:
            raise CtgiError(
                f"these weights read {len(state[key])} text tokens, but the model {len(own)}: "
                f"set context_length = {len(state[key])} under [retriever]"
            )
        state[key] = stretch_positions(state[key].float(), len(own))

    factory = "open_clip.factory."
    with patch(f"{factory}resize_pos_embed", image), patch(f"{factory}resize_text_pos_embed", text):
        yield


def _of_other_length(table: Tensor | None, own: Tensor | None) -> bool:
    """Whether two positional tables differ only in rows; any other difference is another architecture."""
    return (
        table is not None
        and own is not None
        and table.ndim == 2
        and (len(table) != len(own) and table.shape[1:] == own.shape[1:])
    )


def _own_grid(model_name: str, rows: int) -> tuple[int, int] | None:
    """The patch grid in the model's configuration, if a positional table of `rows` fits it."""
    vision = open_clip.get_model_config(model_name)["vision_cfg"]
    size, patch = vision["image_size"], vision["patch_size"]
    height, width = (size, size) if isinstance(size, int) else size
    grid = height // patch, width // patch
    return grid if grid[0] * grid[1] + 1 == rows else None


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn loading errors of open_clip, torch and the hub into one message with a cure."""
    spec, hub_trouble = f"open_clip:{name}", None
    try:
        with hub(_repository(name)) if _is_elsewhere(name) else nullcontext(Hub(None)) as found:
            hub_trouble = found.trouble
            yield
    except CtgiError:
        raise
    except UnpicklingError:
        raise CtgiError(
            f"{spec}: not a checkpoint of plain weights: save one with torch.save(model.state_dict(), FILE)"
        ) from None
    except (OSError, RuntimeError, SafetensorError, EOFError, *MALFORMED) as error:
        raise CtgiError(f"{spec}: {_reason(error, hub_trouble)}") from None


def _is_elsewhere(name: str) -> bool:
    """Whether its weights come from a hub or an earlier download."""
    model_name, pretrained = _split(name)
    return not model_name.startswith("local-dir:") and not Path(pretrained).is_file()


def _repository(name: str) -> str | None:
    """Where on the hub its weights are, if they are there."""
    model_name, tag = _split(name)
    if model_name.startswith("hf-hub:"):
        return model_name.removeprefix("hf-hub:")
    known = open_clip.get_pretrained_cfg(model_name, tag) or {}
    return str(known.get("hf_hub") or "").strip("/") or None


def _reason(error: Exception, hub_trouble: str | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "loading state_dict" in str(error):
        return f"these weights are of another architecture: {'; '.join(lines[1:4])[:400]}"
    if "download" in str(error).lower() or isinstance(error, OSError):
        why = hub_trouble or (lines[0][:200] if lines else type(error).__name__)
        return (
            f"cannot get the weights ({why}): go online once, "
            "or name a local checkpoint: open_clip:MODEL,FILE.pt or open_clip:local-dir:FOLDER"
        )
    return lines[0][:400] if lines else type(error).__name__


def _preprocessing(model: Any) -> tuple[Any, tuple[int, int], Any]:
    """The evaluation transform with squashing, its (height, width), and what it was made from."""
    cfg = open_clip.transform.PreprocessCfg(**{**model.visual.preprocess_cfg, "resize_mode": "squash"})
    size = (cfg.size, cfg.size) if isinstance(cfg.size, int) else tuple(cfg.size)
    return open_clip.transform.image_transform_v2(cfg, is_train=False), size, cfg


def _fingerprint(model: Any, settings: tuple[Any, ...]) -> str:
    """sha256 over settings, layers (GELU is not QuickGELU) and weights, wherever they are stored."""
    layers = [(name, type(module).__name__) for name, module in model.named_modules()]
    state = hashlib.sha256(json.dumps([settings, layers]).encode())
    for name, tensor in sorted(model.state_dict().items()):
        state.update(f"{name} {tuple(tensor.shape)} ".encode())
        state.update(tensor.float().cpu().contiguous().numpy().data)
    return state.hexdigest()


def _readable(text: str) -> str:
    """The text in a form that the tokenizer accepts.

    Raises:
        CtgiError: the text is empty.
    """
    clean = plain_text(text)
    if not clean:
        raise ArgumentError('the text is empty: expected a description, like "woman with a red bag"')
    return clean

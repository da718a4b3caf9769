"""A model of `ctgi train`, or one that others published, as an encoder, by the path of its run or checkpoint."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctgi.device import pick_device
from ctgi.errors import CtgiError
from ctgi.reading import read_json
from ctgi.retrieval.checkpoint import is_own, load_content, of_another_format
from ctgi.retrieval.clip_tokens import ClipTokens, build_clip
from ctgi.retrieval.foreign.blip import Blip
from ctgi.retrieval.foreign.hugging_face import Pair, pair_opener
from ctgi.retrieval.foreign.hugging_face_clip import PREPROCESSOR
from ctgi.retrieval.foreign.layouts import foreign, load_strictly, parts_of, shown
from ctgi.retrieval.foreign.official_config import read_official_config
from ctgi.retrieval.open_clip_encoder import OpenClipEncoder
from ctgi.retrieval.rerank import HeadMatcher
from ctgi.retrieval.token_selection import TwoBranches, build_two_branches
from ctgi.retrieval.tokenizer import CaptionTokenizer
from ctgi.settings_tables import RetrieverSettings
from ctgi.text import plain

logger = logging.getLogger(__name__)

OWN = "ctgi train"
_PREFIX = "encoder."
"""Prefix of the encoder's weights in the state of `Irra` and `Rde`; the rest is for training."""


def load_trained(path: str, settings: RetrieverSettings) -> OpenClipEncoder:
    """The model of a checkpoint or of the folder of a run, on the settings' device; see `read_model`.

    Folders of Hugging Face may also hold a SigLIP or a BLIP.

    Raises:
        CtgiError: there is no checkpoint, it is damaged or lacks weights, or the settings contradict it.
    """
    return load_checkpoint_at(path, f"trained:{path}", settings)


def load_checkpoint_at(path: str, spec: str, settings: RetrieverSettings) -> OpenClipEncoder:
    """The same as an encoder with another name: `spec`, for messages."""
    if (opener := pair_opener(Path(path))) is not None:
        return _pair(opener(Path(path), settings.image_size), path, spec, settings)
    model = read_model(path, image_size=settings.image_size)
    if model.layout != OWN:
        logger.warning("%s", model.notice)
    _check_settings(settings, model.described, model.file)
    return live_encoder(model.encoder, spec, pick_device(settings.device, "[retriever] device"))


def _pair(pair: Pair, path: str, spec: str, settings: RetrieverSettings) -> OpenClipEncoder:
    size = list(pair.model.visual.preprocess_cfg["size"])
    _check_settings(settings, {"image_size": size, "context_length": pair.tokenizer.context_length}, Path(path))
    logger.warning("%s: %s", plain(path), pair.name)
    device = pick_device(settings.device, "[retriever] device")
    encoder = OpenClipEncoder(spec, pair.model, pair.tokenizer, device)
    if isinstance(pair.model, Blip) and settings.rerank:
        encoder.matcher = HeadMatcher(pair.model, pair.tokenizer, encoder.preprocess, device, settings.rerank)
    return encoder


@dataclass(frozen=True)
class ReadModel:
    """A model that was read from a checkpoint, on the CPU."""

    file: Path
    kind: str
    """irra: a CLIP; rde: a CLIP with token selection."""
    encoder: ClipTokens | TwoBranches
    described: dict[str, Any]
    """What it was built from."""
    layout: str = OWN
    """Whose layout the file has, in words."""
    assumed: tuple[str, ...] = ()
    """What a checkpoint of others does not say, and what is taken instead."""
    left_out: tuple[str, ...] = ()
    """Its modules that make no vectors: heads of losses."""

    @property
    def activation(self) -> str:
        """QuickGELU or GELU."""
        return "QuickGELU" if self.described["name"].get("quick_gelu") else "GELU"

    @property
    def notice(self) -> str:
        """What was recognized, assumed and left out, on one line."""
        assumed = f"; not said there, assumed: {', '.join(self.assumed)}" if self.assumed else ""
        left_out = f"; not used: {shown(list(self.left_out))}" if self.left_out else ""
        return f"{plain(str(self.file))}: {self.layout}, {self.activation}{assumed}{left_out}"


def read_trained(path: str) -> tuple[Path, ClipTokens | TwoBranches, dict[str, Any]]:
    """The checkpoint file of a run or path, its model on the CPU, and the description it was built from.

    Raises:
        CtgiError: there is no checkpoint, or it is damaged.
    """
    model = read_model(path)
    return model.file, model.encoder, model.described


def read_model(path: str, *, image_size: tuple[int, int] | None = None, quick_gelu: bool | None = None) -> ReadModel:
    """The model of a checkpoint: of `ctgi train`, or of IRRA, RDE, TBPS-CLIP, Long-CLIP, OpenAI or Hugging Face.

    Args:
        path: the file, or the folder of a run or of a Hugging Face model.
        image_size: (height, width), where a checkpoint of others does not tell it.
        quick_gelu: its activation, where it does not tell that either.

    Raises:
        CtgiError: there is no checkpoint, it is damaged or unknown, or weights that vectors depend on are missing.
    """
    if pair_opener(Path(path)) is not None:
        raise CtgiError(
            f"{plain(path)}: it runs through transformers, as SigLIP and BLIP do: use it as it is, trained:{path}; "
            "CLIPs alone can be imported and exported"
        )
    file = _file(Path(path))
    content = load_content(file)
    if is_own(content):
        return _own(file, content)
    if isinstance(content, dict) and "format" in content:
        raise CtgiError(of_another_format(file, content))
    try:
        found = foreign(file, parts_of(content, _facts(file)), quick_gelu, image_size)
    except CtgiError as error:
        if str(error).startswith(plain(str(file))):
            raise
        raise CtgiError(f"{plain(str(file))}: {error}") from None
    encoder = build_encoder(found.kind, found.described)
    load_strictly(file, encoder.load_state_dict, found.state)
    return ReadModel(file, found.kind, encoder, found.described, found.layout, found.assumed, found.left_out)


def _own(file: Path, content: Mapping[str, Any]) -> ReadModel:
    try:
        kind = str(content["kind"])
        described = dict(content["description"] if "description" in content else content["model"])
        weights = {
            name.removeprefix(_PREFIX): value for name, value in content["state"].items() if name.startswith(_PREFIX)
        }
        encoder = build_encoder(kind, described)
        encoder.load_state_dict(weights)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = plain(" ".join(str(error).split()))[:300]
        raise CtgiError(f"{plain(str(file))}: the weights do not fit their description: {reason}") from None
    return ReadModel(file, kind, encoder, described)


def _facts(file: Path) -> dict[str, Any]:
    """What stands beside a checkpoint of others: the options of its run, or the configuration of Hugging Face."""
    config, preprocessor = file.with_name("config.json"), file.with_name(PREPROCESSOR)
    if not config.is_file():
        return read_official_config(file)
    found = read_json(config)
    if not isinstance(found, dict):
        raise CtgiError(f"{plain(str(config))}: expected the configuration of a model")
    return {**found, **({PREPROCESSOR: read_json(preprocessor)} if preprocessor.is_file() else {})}


def build_encoder(kind: str, described: Mapping[str, Any]) -> ClipTokens | TwoBranches:
    """The model that `settings()` of this kind describes, with random weights.

    Raises:
        CtgiError: unknown kind, or an invalid description.
    """
    if kind == "irra":
        return build_clip(described)
    if kind == "rde":
        return build_two_branches(build_clip(described), described)
    raise CtgiError(f"a checkpoint of kind {kind!r}: expected irra or rde")


def live_encoder(encoder: ClipTokens | TwoBranches, spec: str, device: str) -> OpenClipEncoder:
    """A model in memory, such as `Irra.encoder` in training, as an encoder; it is put into eval mode.

    Args:
        encoder: the model.
        spec: its name in messages.
        device: where it goes.
    """
    clip, options = (encoder, ()) if isinstance(encoder, ClipTokens) else (encoder.clip, (encoder.ratio, encoder.words))
    tokenizer = CaptionTokenizer(clip.context_length)
    return OpenClipEncoder(spec, encoder, tokenizer, device, options, usual_filter="bilinear")


_WEIGHTS = ("checkpoints/best.pt", "best.pt", "best.pth", "model.safetensors", "pytorch_model.bin")


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in _WEIGHTS:
        if (path / name).is_file():
            return path / name
    raise CtgiError(
        f"{plain(str(path))}: expected a run of `ctgi train` with checkpoints/best.pt, or a folder with one of "
        f"{', '.join(_WEIGHTS[1:])}"
    )


def _check_settings(settings: RetrieverSettings, described: Mapping[str, Any], file: Path) -> None:
    """Raise CtgiError if the settings ask for sizes other than the trained ones: the vectors would differ."""
    wanted = {"image_size": settings.image_size, "context_length": settings.context_length}
    for name, value in wanted.items():
        own = described[name]
        if value is not None and value != (tuple(own) if isinstance(own, list) else own):
            raise CtgiError(
                f"{plain(str(file))} was trained with {name} {own}, but the settings say {value}: "
                f"remove {name} from [retriever]"
            )

"""A model of `ctgi train` as an encoder, by the path of its run or checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctgi.device import pick_device
from ctgi.errors import CtgiError
from ctgi.retrieval.checkpoint import load_checkpoint
from ctgi.retrieval.clip_tokens import ClipTokens, build_clip
from ctgi.retrieval.open_clip_encoder import OpenClipEncoder
from ctgi.retrieval.token_selection import TwoBranches, build_two_branches
from ctgi.retrieval.tokenizer import CaptionTokenizer
from ctgi.settings_tables import RetrieverSettings
from ctgi.text import plain

_PREFIX = "encoder."
"""Prefix of the encoder's weights in the state of `Irra` and `Rde`; the rest is for training."""


def load_trained(path: str, settings: RetrieverSettings) -> OpenClipEncoder:
    """The model of a checkpoint file, or of a run's best checkpoint, on the settings' device.

    Raises:
        CtgiError: there is no checkpoint, it is damaged, or the settings contradict it.
    """
    file, encoder, described = read_trained(path)
    _check_settings(settings, described, file)
    return live_encoder(encoder, f"trained:{path}", pick_device(settings.device, "[retriever] device"))


def read_trained(path: str) -> tuple[Path, ClipTokens | TwoBranches, dict[str, Any]]:
    """The checkpoint file of a run or path, its model on the CPU, and the description it was built from.

    Raises:
        CtgiError: there is no checkpoint, or it is damaged.
    """
    file = _file(Path(path))
    content = load_checkpoint(file)
    try:
        described = dict(content["model"])
        weights = {
            name.removeprefix(_PREFIX): value for name, value in content["state"].items() if name.startswith(_PREFIX)
        }
        encoder = build_encoder(str(content["kind"]), described)
        encoder.load_state_dict(weights)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = plain(" ".join(str(error).split()))[:300]
        raise CtgiError(f"{plain(str(file))}: the weights do not fit their description: {reason}") from None
    return file, encoder, described


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
    if isinstance(encoder, ClipTokens):
        return OpenClipEncoder(spec, encoder, CaptionTokenizer(encoder.context_length), device)
    tokenizer = CaptionTokenizer(encoder.clip.context_length)
    return OpenClipEncoder(spec, encoder, tokenizer, device, options=(encoder.ratio, encoder.words))


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    for file in (path / "checkpoints" / "best.pt", path / "best.pt"):
        if file.is_file():
            return file
    raise CtgiError(
        f"{plain(str(path))}: expected a run of `ctgi train` with checkpoints/best.pt, or a checkpoint file"
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

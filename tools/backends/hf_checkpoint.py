"""Loads a transformers vision-language checkpoint; errors say what to do."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.utils import logging as hub_logging
from huggingface_hub.utils.tqdm import disable_progress_bars
from safetensors import SafetensorError
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.utils.peft_utils import ADAPTER_CONFIG_NAME

from ctgi.errors import CtgiError
from ctgi.hub import Hub, hub
from ctgi.reading import MALFORMED
from ctgi.tools.backends.hf_adapter import base_of, has_processor, with_adapter
from ctgi.tools.backends.hf_features import KEPT_IMAGES
from ctgi.tools.backends.hf_model import Checkpoint
from ctgi.tools.backends.hf_patches import with_patch_products

_EXPECTED = "expected config.json, the weights (model*.safetensors) and the processor's files"


def check_checkpoint(model: str) -> None:
    """Check that `model` is a folder with a checkpoint, or looks like a hub id.

    Raises:
        CtgiError: it is neither.
    """
    path = place_of(model)
    if not path.exists():
        if path.is_absolute() or model.count("/") != 1 or model.startswith((".", "~")):
            raise CtgiError(f"hf:{model}: no such folder: {_EXPECTED} in it, or a model's name on the hub, owner/name")
    elif not any((path / name).is_file() for name in ("config.json", ADAPTER_CONFIG_NAME)):
        raise CtgiError(f"hf:{model}: no checkpoint: {_EXPECTED} in this folder")


def place_of(model: str) -> Path:
    """The folder that a checkpoint's name means, if it means one."""
    try:
        return Path(model).expanduser()
    except RuntimeError:  # ~ of nobody
        return Path(model)


def load_checkpoint(model: str, device: str, dtype: str, images: int = KEPT_IMAGES) -> "Checkpoint":
    """Weights and processor of a checkpoint, or of an adapter and the model that it was trained on.

    Code inside the checkpoint is not run.

    Args:
        model: a folder, or a name on the hub.
        device: where it is to run.
        dtype: auto is bfloat16 on a GPU and float32 on the CPU.
        images: number of images that are talked about at the same time; their features are kept.

    Raises:
        CtgiError: it cannot be found, read or downloaded, is incomplete, or is not a vision-language chat model.
    """
    check_checkpoint(model)
    place, local = _found(model)
    be_quiet()
    with readable(model, online=not local), explained_memory(f"loading hf:{model}"):
        base = base_of(model, place, local=local)
        if base is None:
            network, processor = _load(model, place, place, device, dtype, local=local)
        else:
            own = has_processor(place, local=local)
            network, processor = _load_base(model, base, place if own else None, device, dtype)
            network = with_adapter(network, model, place)
        return Checkpoint(with_patch_products(network).to(device).eval(), processor, max(images, KEPT_IMAGES))


def _found(model: str) -> tuple[str, bool]:
    """Where transformers finds a model, and whether that is a folder here."""
    folder = place_of(model)
    return (str(folder), True) if folder.exists() else (model, False)


def _load_base(model: str, base: str, processor: str | None, device: str, dtype: str) -> tuple[Any, Any]:
    """The model that an adapter was trained on; on the machine that trained it, it may have been a folder."""
    place, local = _found(base)
    try:
        check_checkpoint(base)
    except CtgiError:
        raise CtgiError(
            f"hf:{model}: the adapter was trained on {base}, which is not here: write where it is now into "
            f"base_model_name_or_path of its {ADAPTER_CONFIG_NAME}"
        ) from None
    with readable(base, online=not local):
        return _load(base, place, processor or place, device, dtype, local=local)


def _load(model: str, place: str, processor: str, device: str, dtype: str, *, local: bool) -> tuple[Any, Any]:
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": local}
    config = transformers.AutoConfig.from_pretrained(place, **options)
    if config.model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise CtgiError(
            f"hf:{model}: a {config.model_type!r} model does not look at images: "
            "expected a vision-language model such as Qwen2-VL"
        )
    prepared = transformers.AutoProcessor.from_pretrained(processor, **options)
    network, report = transformers.AutoModelForImageTextToText.from_pretrained(
        place, dtype=_precision(dtype, device), weights_only=True,
        output_loading_info=True, **options,
    )  # fmt: skip
    if getattr(prepared, "chat_template", None) is None:
        raise CtgiError(f"hf:{model}: the processor has no chat template: expected a model tuned for dialogue")
    if report["missing_keys"]:
        raise CtgiError(
            f"hf:{model}: the checkpoint lacks {len(report['missing_keys'])} of its weights, among them "
            f"{min(report['missing_keys'])}: download or export it again"
        )
    return network, prepared


def _precision(dtype: str, device: str) -> torch.dtype:
    if dtype == "auto":
        return torch.float32 if device == "cpu" else torch.bfloat16
    return torch.bfloat16 if dtype == "bfloat16" else torch.float32


def be_quiet() -> None:
    """Silence the libraries: their progress bars would disturb ours."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    disable_progress_bars()
    hub_logging.set_verbosity(logging.ERROR)


@contextmanager
def readable(model: str, *, online: bool) -> Iterator[None]:
    """Turn loading errors of the libraries into an error that says what to do."""
    trouble = None
    try:
        with hub(model) if online else nullcontext(Hub(None)) as found:
            trouble = found.trouble
            yield
    except ImportError as error:
        raise CtgiError(f"hf:{model} needs a package that is not installed: {_first_line(error)}") from None
    except (OSError, SafetensorError, *MALFORMED) as error:
        reason = trouble or _first_line(error)
        if not online:
            raise CtgiError(f"hf:{model}: not a checkpoint that can be used ({reason}): {_EXPECTED}") from None
        raise CtgiError(
            f"hf:{model}: no such folder here, and no download is possible ({reason}): "
            f"give the path of a local folder instead; {_EXPECTED} in it"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


@contextmanager
def explained_memory(doing: str) -> Iterator[None]:
    """Turn out-of-memory errors into an error that says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not out_of_memory and "can't allocate memory" not in str(error):
            raise
        raise CtgiError(
            f"{doing}: out of memory: lower batch_size or max_pixels of the endpoint, or use a smaller model"
        ) from None

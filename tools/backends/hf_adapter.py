"""LoRA adapters of the peft library: a folder of their own, which names the model that they were trained on."""

import json
import warnings
from pathlib import Path
from typing import Any

from transformers.utils import cached_file
from transformers.utils.peft_utils import ADAPTER_CONFIG_NAME, find_adapter_config_file

from ctgi.errors import CtgiError

_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
_SHOWN = 3


def base_of(model: str, place: str, *, local: bool) -> str | None:
    """The model that the adapter in this place was trained on; None where there is no adapter.

    Raises:
        CtgiError: the adapter names none.
    """
    found = find_adapter_config_file(place, local_files_only=local)
    if found is None:
        return None
    base = json.loads(Path(found).read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise CtgiError(
            f"hf:{model}: {ADAPTER_CONFIG_NAME} names no model that the adapter was trained on: expected a folder or "
            "a name on the hub in base_model_name_or_path"
        )
    return base


def has_processor(place: str, *, local: bool) -> bool:
    """Whether a processor was saved beside the adapter, as trainers do that change its template."""
    options: dict[str, Any] = {"local_files_only": local, "_raise_exceptions_for_missing_entries": False}
    return any(cached_file(place, name, **options) for name in _PROCESSOR_FILES)


def with_adapter(network: Any, model: str, place: str) -> Any:
    """The network with the adapter's weights beside its own.

    Raises:
        CtgiError: peft is not installed, the adapter is of another kind or its weights don't belong to this network.
    """
    try:
        from peft import PeftConfig, PeftModel
    except ModuleNotFoundError as error:
        raise CtgiError(f"hf:{model} is an adapter, which needs {error.name}: pip install 'ctgi[lora]'") from None
    config = PeftConfig.from_pretrained(place)
    if config.is_prompt_learning or config.is_adaption_prompt:
        raise CtgiError(f"hf:{model}: a {config.peft_type.value} adapter cannot be used: expected one like LoRA")
    config.inference_mode = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, about what peft asks it
        adapted = PeftModel(network, config)
        loaded = adapted.load_adapter(place, "default", torch_device="cpu")
    strays = sorted({*loaded.missing_keys, *loaded.unexpected_keys})
    if strays:  # which peft would go on without, so that nothing was adapted
        raise CtgiError(
            f"hf:{model}: {len(strays)} weights of the adapter do not fit its model, such as "
            f"{', '.join(strays[:_SHOWN])}: expected an adapter of this model, saved by peft"
        )
    return adapted.get_base_model()

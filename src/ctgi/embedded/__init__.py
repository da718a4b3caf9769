"""The embedded models: ordinary checkpoints, shipped as data, made by `make embedded` from synthetic people alone."""

from pathlib import Path

from ctgi.errors import CtgiError

MLLM = Path(__file__).parent / "mllm"
"""A Qwen2-VL checkpoint folder, as `hf:` and vLLM take it."""
CLIP = Path(__file__).parent / "clip"
"""An open_clip folder, as `open_clip:local-dir:` takes it."""
PEOPLE = Path(__file__).parent / "people" / "people.safetensors"
"""A detector of people: `ctgi.tools.detectors.shipped` reads it; recipes/detector says where it is from."""
ABILITIES = Path(__file__).parent / "abilities.json"
"""How often the two are right, as measured: `ctgi.agents.abilities` reads it."""


def embedded(folder: Path) -> str:
    """The path of an embedded model.

    Raises:
        CtgiError: this installation came without it.
    """
    if not any(folder.glob("*config.json")):
        raise CtgiError(
            f"this installation lacks the embedded model in {folder}: install ctgi again, make the models with "
            "make embedded, or bind others, like --bind images=vllm:Qwen/Qwen2-VL-7B-Instruct "
            "and --bind search_gallery=open_clip:ViT-B-16,openai"
        )
    return str(folder)

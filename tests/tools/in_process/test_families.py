"""`hf:` with a tiny checkpoint of each vision-language family that people bind, and with LoRA adapters on top."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from ctgi.agents.verifier import Verifier
from ctgi.errors import CtgiError
from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import ChatReply, ChatRequest
from ctgi.tools.backends.hf import HfMllm
from tests.support.small_qwen import computing_all, one_by_one, run, together
from tests.support.small_vlms import FAMILIES


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES[request.param](tmp_path_factory.mktemp("family") / "model")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES["Qwen2.5-VL"](tmp_path_factory.mktemp("adapted") / "base")


def the_dialogue(images: list[ImageRef]) -> list[ChatRequest]:
    """A caption, a question after it and a verdict for each image, and a rewriting without any."""
    said = (("Describe the person.", "A person in a coat."),)
    return [
        *(ChatRequest("Describe the person.", image, system="Be brief.", max_tokens=6) for image in images),
        *(ChatRequest("Which shoes?", image, said, system="Be brief.", max_tokens=5) for image in images),
        *(ChatRequest("Is it a match?", image, choices=("yes", "no")) for image in images),
        ChatRequest("Shorten: a person", system="Be brief.", max_tokens=5),
    ]


def test_captions_answers_and_verdicts_of_a_batch_are_those_of_single_requests(
    checkpoint: Path, images: list[ImageRef]
) -> None:
    requests = the_dialogue(images[:4])
    with computing_all():
        alone: list[ChatReply] = run(checkpoint, one_by_one(requests), batch_size=1)
    batched = run(checkpoint, together(requests), batch_size=4)
    assert [reply.text for reply in batched] == [reply.text for reply in alone]
    for one, other in zip(alone, batched, strict=True):
        assert one.tokens == other.tokens
        assert one.confidence == pytest.approx(other.confidence, rel=1e-3)
        assert one.choices == pytest.approx(other.choices, rel=1e-3)
    assert len({reply.confidence for reply in alone[:4]}) == 4  # it looks at the image
    assert all(reply.tokens.output > 0 for reply in alone)


def yes_by_hand(checkpoint: Path, image: ImageRef, prompt: str, words: dict[str, list[str]]) -> float:
    """P(yes) from the logits after the prompt, by transformers alone."""
    processor = AutoProcessor.from_pretrained(checkpoint)
    network = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).eval()
    content = [{"type": "image", "image": Image.open(image.path)}, {"type": "text", "text": prompt}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, return_dict=True, return_tensors="pt",
        add_generation_prompt=True,
    )  # fmt: skip

    def probability(word: str) -> float:
        """Of all the tokens of a word, one after another."""
        numbers = processor.tokenizer.encode(word, add_special_tokens=False)
        total = 1.0
        for place, number in enumerate(numbers):
            step = {name: _after(name, tensor, inputs, numbers[:place]) for name, tensor in inputs.items()}
            with torch.inference_mode():
                total *= float(network(**step).logits[0, -1].softmax(-1)[number])
        return total

    yes, no = (sum(map(probability, words[name])) for name in ("yes", "no"))
    return yes / (yes + no)


def _after(name: str, tensor: Any, inputs: Any, numbers: list[int]) -> Any:
    if tensor.shape != inputs["input_ids"].shape:
        return tensor
    fill = {"input_ids": numbers, "attention_mask": [1] * len(numbers)}.get(name, [0] * len(numbers))
    return torch.cat([tensor, torch.tensor([fill], dtype=tensor.dtype)], dim=1)


def test_the_verdict_is_the_share_of_yes_among_yes_and_no(checkpoint: Path, images: list[ImageRef]) -> None:
    request = ChatRequest("Is it a match?", images[0], choices=("yes", "no"))
    [reply] = run(checkpoint, one_by_one([request]), min_pixels=1)
    words = {"yes": ["yes", "Yes"], "no": ["no", "No"]}
    processor = AutoProcessor.from_pretrained(checkpoint)
    if "Assistant:" in processor.chat_template:  # the answer goes on in the line
        words = {name: [*plain, *(f" {word}" for word in plain)] for name, plain in words.items()}
    assert reply.choices["yes"] == pytest.approx(yes_by_hand(checkpoint, images[0], request.prompt, words), rel=1e-3)
    assert sum(reply.choices.values()) == pytest.approx(1)


def test_it_judges_and_is_probed_in_half_precision(checkpoint: Path, images: list[ImageRef]) -> None:
    async def ask(mllm: HfMllm) -> Any:
        return await Verifier(mllm)(images[0], "a person in red"), await mllm.probe()

    verdict, able = run(checkpoint, ask, dtype="bfloat16")
    assert verdict.match == (verdict.probability >= 0.5)
    assert (able.images, able.logprobs, able.structured) == (True, True, True)


def save_adapter(base: Path, folder: Path, **more: Any) -> Path:
    """A LoRA adapter that changes what is said."""
    network = AutoModelForImageTextToText.from_pretrained(base)
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "gate_proj"], init_lora_weights=False, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, about what peft asks it
        get_peft_model(network, config).save_pretrained(folder)
    return folder


def test_an_adapter_is_put_on_the_model_that_it_names(qwen: Path, images: list[ImageRef], tmp_path: Path) -> None:
    adapter = save_adapter(qwen, tmp_path / "adapter")
    network = AutoModelForImageTextToText.from_pretrained(qwen)
    merged = tmp_path / "merged"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        PeftModel.from_pretrained(network, adapter).merge_and_unload().save_pretrained(merged)
    AutoProcessor.from_pretrained(qwen).save_pretrained(merged)
    requests = the_dialogue(images[:2])
    adapted = run(adapter, together(requests))
    assert [one.text for one in adapted] == [one.text for one in run(merged, together(requests))]
    plain = run(qwen, together(requests))
    assert [one.text for one in adapted] != [one.text for one in plain]
    assert adapted[4].choices != pytest.approx(plain[4].choices, rel=1e-2)


def test_a_processor_beside_the_adapter_is_used(qwen: Path, images: list[ImageRef], tmp_path: Path) -> None:
    adapter = save_adapter(qwen, tmp_path / "adapter")
    short = run(adapter, together([ChatRequest("What?", images[0], max_tokens=2)]))[0].tokens.input
    processor = AutoProcessor.from_pretrained(qwen)
    processor.chat_template = "Look well. " + processor.chat_template
    processor.save_pretrained(adapter)
    assert run(adapter, together([ChatRequest("What?", images[0], max_tokens=2)]))[0].tokens.input > short


def told_of(adapter: Path) -> str:
    [error] = run(adapter, together([ChatRequest("What?")]))
    assert isinstance(error, CtgiError), error
    return str(error)


def test_an_adapter_that_would_change_nothing_or_something_else_is_refused(qwen: Path, tmp_path: Path) -> None:
    adapter = save_adapter(qwen, tmp_path / "adapter")
    weights = adapter / "adapter_model.safetensors"
    loaded = load_file(weights)
    save_file({name.replace("layers.0", "blocks.0"): value for name, value in loaded.items()}, weights)
    assert "weights of the adapter do not fit its model" in told_of(adapter)
    config = adapter / "adapter_config.json"
    named = json.loads(config.read_text())
    config.write_text(json.dumps({**named, "base_model_name_or_path": str(tmp_path / "gone")}))
    assert f"the adapter was trained on {tmp_path / 'gone'}, which is not here" in told_of(adapter)
    config.write_text(json.dumps({**named, "base_model_name_or_path": None}))
    assert "names no model that the adapter was trained on" in told_of(adapter)
    config.write_text("[")
    assert "not a checkpoint that can be used" in told_of(adapter)


def test_what_is_not_installed_is_named_with_the_command(
    qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = save_adapter(qwen, tmp_path / "adapter")
    monkeypatch.setitem(sys.modules, "peft", None)
    assert told_of(adapter).endswith("is an adapter, which needs peft: pip install 'ctgi[lora]'")
    smol = FAMILIES["SmolVLM2"](tmp_path / "smol")
    monkeypatch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", None)
    assert "smol needs a package that is not installed: Package `num2words`" in told_of(smol)

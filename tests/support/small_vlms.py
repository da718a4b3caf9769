"""Tiny checkpoints with random weights of the vision-language families that people bind with `hf:`. Test support.

Each is saved in its family's own layout, with a processor and a chat template as the family has them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from recipes.embedded.qwen2vl import SPECIAL as QWEN_TOKENS
from recipes.embedded.qwen2vl import TEMPLATE as QWEN_TEMPLATE

WIDTH = 32
END, PAD = "<|im_end|>", "<|endoftext|>"
_WORDS = (
    "Describe the person in this image as clearly and concisely as you can.",
    "Does the person in this image match the description? Answer yes or no. Yes No",
    "You help to find a person in photographs by what can be seen: clothing, colors, shoes, bags.",
)
_SMOL_TOKENS = ("<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", "<video>")
_CELLS = tuple(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))
_SMOL_TEMPLATE = """\
<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}\
{% if message['content'][0]['type'] == 'image' %}:{% else %}: {% endif %}\
{% for part in message['content'] %}\
{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}<image>{% endif %}{% endfor %}<end_of_utterance>
{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"""
_LLAVA_TEMPLATE = """\
{% for message in messages %}<|im_start|>{{ message['role'] }} \
{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}<image>
{% endfor %}{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}
{{ part['text'] }}{% endfor %}<|im_end|>{% endfor %}\
{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
_INTERN_TEMPLATE = """\
{% for message in messages %}<|im_start|>{{ message['role'] }}
{% for part in message['content'] %}\
{% if part['type'] == 'image' %}<IMG_CONTEXT>
{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
_GEMMA_TEMPLATE = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'][0]['text'] + '\n\n' %}\
{% set turns = messages[1:] %}{% else %}{% set first = '' %}{% set turns = messages %}{% endif %}\
{% for message in turns %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
<start_of_turn>{{ 'model' if message['role'] == 'assistant' else 'user' }}
{% if loop.first %}{{ first }}{% endif %}{% for part in message['content'] %}\
{% if part['type'] == 'image' %}<start_of_image>{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}<end_of_turn>
{% endfor %}{% if add_generation_prompt %}<start_of_turn>model
{% endif %}"""


def _tokenizer(tokens: tuple[str, ...], end: str = END, **named: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE with these special tokens; `named` are those that processors ask the tokenizer for."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = list(dict.fromkeys([PAD, "<|im_start|>", END, *tokens, *named.values()]))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=len(special) + 400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(_WORDS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=end, pad_token=PAD, additional_special_tokens=special[1:],
        extra_special_tokens=named,
    )  # fmt: skip


def _text(tokenizer: PreTrainedTokenizerFast, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 4096,
        "bos_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id, **more,
    }  # fmt: skip


_TOWER = {
    "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56,
    "patch_size": 14,
}  # fmt: skip


def _saved(folder: Path, config: Any, processor: Any) -> Path:
    """Random weights of such a size that replies differ from prompt to prompt."""
    torch.manual_seed(0)
    network = transformers.AutoModelForImageTextToText.from_config(config).eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim == 2 and "embed" not in name:
                weight.normal_(std=0.1)  # some begin as zeros, like Gemma's way from pictures to words
    tokenizer = processor.tokenizer
    network.generation_config.eos_token_id = tokenizer.eos_token_id
    network.generation_config.pad_token_id = tokenizer.pad_token_id
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _qwen(kind: str, folder: Path) -> Path:
    """Qwen2-VL, Qwen2.5-VL or Qwen3-VL: tokens by area."""
    tokenizer, number = _tokenizer(QWEN_TOKENS), lambda token: int(tokenizer.convert_tokens_to_ids(token))
    patch = 16 if kind == "Qwen3VL" else 14
    cell = (2 * patch) ** 2
    vision: dict[str, Any] = {"depth": 2, "num_heads": 2, "hidden_size": WIDTH, "patch_size": patch}
    if kind == "Qwen2VL":
        vision |= {"embed_dim": WIDTH, "mlp_ratio": 2}
    else:
        vision |= {"intermediate_size": 48, "out_hidden_size": WIDTH}
    vision |= {"fullatt_block_indexes": [1]} if kind == "Qwen2_5_VL" else {}
    vision |= {"deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64} if kind == "Qwen3VL" else {}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    text = _text(tokenizer, rope_parameters=rope, **({"head_dim": 16} if kind == "Qwen3VL" else {}))
    config = getattr(transformers, f"{kind}Config")(
        text_config=text, vision_config=vision, image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"), vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
    )  # fmt: skip
    videos = transformers.Qwen3VLVideoProcessor if kind == "Qwen3VL" else transformers.Qwen2VLVideoProcessor
    images = transformers.Qwen2VLImageProcessor(
        patch_size=patch, size={"shortest_edge": 4 * cell, "longest_edge": 24 * cell}
    )
    processor = getattr(transformers, f"{kind}Processor")(
        image_processor=images, tokenizer=tokenizer, video_processor=videos(), chat_template=QWEN_TEMPLATE
    )
    return _saved(folder, config, processor)


def _smol(kind: str, folder: Path) -> Path:
    """SmolVLM2 or Idefics3: an image is cut into tiles, and seen as a whole besides."""
    tokenizer = _tokenizer((*_SMOL_TOKENS, *_CELLS), "<end_of_utterance>")
    text = _text(tokenizer, model_type="llama")
    config = getattr(transformers, f"{kind}Config")(
        text_config=text, vision_config=_TOWER, scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"), pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    images = getattr(transformers, f"{kind}ImageProcessor")(
        size={"longest_edge": 112}, max_image_size={"longest_edge": 56}
    )
    more = {"video_processor": transformers.SmolVLMVideoProcessor()} if kind == "SmolVLM" else {}
    processor = getattr(transformers, f"{kind}Processor")(
        images, tokenizer, image_seq_len=4, chat_template=_SMOL_TEMPLATE, **more
    )
    return _saved(folder, config, processor)


def _llava(folder: Path) -> Path:
    """LLaVA-OneVision: tiles by the image's shape, cut back to what they show."""
    tokenizer, number = _tokenizer(("<image>", "<video>")), lambda token: int(tokenizer.convert_tokens_to_ids(token))
    pinpoints = [[56, 56], [56, 112], [112, 56], [168, 56], [112, 112]]
    config = transformers.LlavaOnevisionConfig(
        text_config=_text(tokenizer, model_type="qwen2"), vision_config={**_TOWER, "model_type": "siglip_vision_model"},
        image_token_index=number("<image>"), video_token_index=number("<video>"), image_grid_pinpoints=pinpoints,
    )  # fmt: skip
    processor = transformers.LlavaOnevisionProcessor(
        image_processor=transformers.LlavaOnevisionImageProcessor(
            size={"height": 56, "width": 56}, image_grid_pinpoints=pinpoints
        ),
        tokenizer=tokenizer, video_processor=transformers.LlavaOnevisionVideoProcessor(), num_image_tokens=16,
        vision_feature_select_strategy="full", chat_template=_LLAVA_TEMPLATE,
    )  # fmt: skip
    return _saved(folder, config, processor)


def _intern(folder: Path) -> Path:
    """InternVL in the layout of transformers: one square picture, of few tokens."""
    named = {
        "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }  # fmt: skip
    tokenizer = _tokenizer((), **named)
    config = transformers.InternVLConfig(
        text_config=_text(tokenizer, model_type="qwen2"), vision_config={**_TOWER, "image_size": [56, 56]},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"), image_seq_length=4,
    )  # fmt: skip
    processor = transformers.InternVLProcessor(
        image_processor=transformers.GotOcr2ImageProcessor(size={"height": 56, "width": 56}),
        tokenizer=tokenizer, video_processor=transformers.InternVLVideoProcessor(), image_seq_length=4,
        chat_template=_INTERN_TEMPLATE,
    )  # fmt: skip
    return _saved(folder, config, processor)


def _gemma(folder: Path) -> Path:
    """Gemma 3: one square picture, whose tokens see each other; no role of its own for the system."""
    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer = _tokenizer(("<bos>", "<start_of_turn>", "<end_of_turn>"), "<end_of_turn>", **named)
    tokenizer.bos_token = "<bos>"
    number = tokenizer.convert_tokens_to_ids
    config = transformers.Gemma3Config(
        text_config=_text(tokenizer, head_dim=16, query_pre_attn_scalar=16, sliding_window=16),
        vision_config=_TOWER, mm_tokens_per_image=4, boi_token_index=number(named["boi_token"]),
        eoi_token_index=number(named["eoi_token"]), image_token_index=number(named["image_token"]),
    )  # fmt: skip
    processor = transformers.Gemma3Processor(
        image_processor=transformers.Gemma3ImageProcessor(size={"height": 56, "width": 56}),
        tokenizer=tokenizer, image_seq_length=4, chat_template=_GEMMA_TEMPLATE,
    )  # fmt: skip
    return _saved(folder, config, processor)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "Qwen2-VL": lambda folder: _qwen("Qwen2VL", folder),
    "Qwen2.5-VL": lambda folder: _qwen("Qwen2_5_VL", folder),
    "Qwen3-VL": lambda folder: _qwen("Qwen3VL", folder),
    "SmolVLM2": lambda folder: _smol("SmolVLM", folder),
    "Idefics3": lambda folder: _smol("Idefics3", folder),
    "LLaVA-OneVision": _llava,
    "InternVL": _intern,
    "Gemma 3": _gemma,
}
"""Makes a checkpoint of each family in a folder."""

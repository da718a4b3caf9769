"""The embedded multimodal model before training: the Qwen2-VL architecture at 14 million parameters, with its own BPE.

Heads are 64 wide in both parts; in the text part two key-value heads serve four query heads.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

END, START, STOP, IMAGE = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>"
SPECIAL = (END, START, STOP, "<|vision_start|>", "<|vision_end|>", IMAGE, "<|video_pad|>")
TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}
{%- for part in message['content'] -%}
{%- if part['type'] in ('image', 'image_url') -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part['type'] == 'text' -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}{%- endif -%}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""
PATCH = 14
CELL = 2 * PATCH
"""Side of an image token in px: patches merged 2 x 2."""
CELLS = (56, 72)
"""Least and most tokens of an image; 72 are 336 x 168 px. Smaller crops are enlarged for finer patches."""
VOCABULARY = 2048
WIDTH = 256
VISION_DEPTH = 6
VISION_WIDTH = 320
TEXT_DEPTH = 6
CONTEXT = 4096
EPS = 1e-6
"""Of the norms of both parts."""


def build_processor(
    corpus: Iterable[str], vocabulary: int = VOCABULARY, cells: tuple[int, int] = CELLS
) -> Qwen2VLProcessor:
    """A tokenizer learned from what the model is to read and write; images become `cells` tokens, least and most."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=STOP, pad_token=END, additional_special_tokens=list(SPECIAL[1:])
    )
    fast.chat_template = TEMPLATE
    size = {"shortest_edge": cells[0] * CELL**2, "longest_edge": cells[1] * CELL**2}
    return Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size),
        tokenizer=fast,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=TEMPLATE,
    )


def spelled(processor: Qwen2VLProcessor, texts: Iterable[str]) -> list[str]:
    """Words of the texts that the tokenizer has no piece of their own for, the commonest first."""
    words = Counter(word for text in texts for word in re.findall(r" [A-Za-z]+", text))
    encode = processor.tokenizer.backend_tokenizer.encode
    return [word.strip() for word, _ in words.most_common() if len(encode(word, add_special_tokens=False).ids) > 1]


def build_model(processor: Qwen2VLProcessor, seed: int = 0) -> Qwen2VLForConditionalGeneration:
    """Random weights, and a configuration that transformers and vLLM take as any Qwen2-VL."""
    token = processor.tokenizer.convert_tokens_to_ids
    torch.manual_seed(seed)
    text = {
        "vocab_size": len(processor.tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 704,
        "num_hidden_layers": TEXT_DEPTH,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": EPS,
        "bos_token_id": token(END),
        "eos_token_id": token(STOP),
        "pad_token_id": token(END),
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]},
        "tie_word_embeddings": True,
    }
    vision = {
        "depth": VISION_DEPTH,
        "embed_dim": VISION_WIDTH,
        "hidden_size": WIDTH,
        "num_heads": VISION_WIDTH // 64,
        "mlp_ratio": 4,
    }
    config = Qwen2VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=token(IMAGE),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    model = Qwen2VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = token(STOP)
    model.generation_config.pad_token_id = token(END)
    return model


def load_model(folder: Path) -> Qwen2VLForConditionalGeneration:
    """A finished checkpoint, in full precision to be trained further, on torch's default device."""
    model = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.to(torch.get_default_device())


def save(model: Qwen2VLForConditionalGeneration, processor: Qwen2VLProcessor, out: Path, shard_size: str) -> None:
    """Write an ordinary checkpoint folder: half precision, shards of at most `shard_size`."""
    model = model.half()
    for part in (model.config.text_config, model.config.vision_config):
        part.dtype = model.dtype  # one that was loaded in full precision says so
    model.save_pretrained(out, max_shard_size=shard_size)
    processor.save_pretrained(out)

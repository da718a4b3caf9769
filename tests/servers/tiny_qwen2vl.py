"""A Qwen2-VL checkpoint of about a million parameters: the real architecture, small enough for tests. Test support.

`python tests/servers/tiny_qwen2vl.py OUT` writes one with random weights in under a second: servers take it for a
model, what it says means nothing. train_tiny.py makes one that names colors.
"""

import sys
from pathlib import Path

import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor

from ctgi.training.embedded.qwen2vl import END, IMAGE, STOP, build_processor

VOCABULARY = 1600
CELLS = (12, 24)
"""Least and most tokens of an image."""


def build_model(processor: Qwen2VLProcessor, seed: int = 0) -> Qwen2VLForConditionalGeneration:
    """Random weights; both parts keep a head width of 32, the least that vLLM's CPU attention takes."""
    token = processor.tokenizer.convert_tokens_to_ids
    torch.manual_seed(seed)
    text = {
        "vocab_size": len(processor.tokenizer),
        "hidden_size": 128,
        "intermediate_size": 288,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": token(END),
        "eos_token_id": token(STOP),
        "pad_token_id": token(END),
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
        "tie_word_embeddings": True,
    }
    config = Qwen2VLConfig(
        text_config=text,
        vision_config={"depth": 1, "embed_dim": 64, "hidden_size": 128, "num_heads": 2, "mlp_ratio": 2},
        image_token_id=token(IMAGE),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    model = Qwen2VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = token(STOP)
    model.generation_config.pad_token_id = token(END)
    return model.eval()


def save(model: Qwen2VLForConditionalGeneration, processor: Qwen2VLProcessor, out: Path) -> None:
    model.save_pretrained(out)
    processor.save_pretrained(out)


def build_untrained(out: Path) -> None:
    """Write a checkpoint with random weights that can spell a few words."""
    processor = build_processor(["yes no", "Describe the person in this image."], VOCABULARY, CELLS)
    save(build_model(processor), processor, out)


if __name__ == "__main__":
    build_untrained(Path(sys.argv[1]))

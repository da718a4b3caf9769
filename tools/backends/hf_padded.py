"""Batches of whole prompts, for any architecture: padded on the left to one length."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ctgi.tools.backends.hf_features import ImageFeatures, stacked
from ctgi.tools.backends.hf_prompt import Prompt

ONE_TENSOR_PER_IMAGE = ("qwen2_vl", "qwen2_5_vl")
"""Architectures whose image features are exactly a list of [tokens, D], one per image."""


class Padded:
    """Computes all of each prompt; only image features are kept, and of some architectures only."""

    def __init__(self, network: Any, kept_images: int) -> None:
        self._network = network
        self._features = ImageFeatures(network, kept_images)

    def generate(self, prompts: Sequence[Prompt], **options: Any) -> Any:
        """What transformers' `generate` returns for a batch, its sequences without the prompts."""
        inputs = self._tokens(prompts) | self._images([prompt for prompt in prompts if prompt.image_id])
        output = self._network.generate(**inputs, return_dict_in_generate=True, **options)
        output.sequences = output.sequences[:, inputs["input_ids"].shape[1] :]
        return output

    def _tokens(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        padding = {"input_ids": self._network.generation_config.pad_token_id}
        rows = {name: [prompt.tokens[name] for prompt in prompts] for name in prompts[0].tokens}
        joined = {name: torch.cat(padded(tensors, padding.get(name, 0))) for name, tensors in rows.items()}
        return {name: tensor.to(self._network.device) for name, tensor in joined.items()}

    def _images(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        if not prompts:
            return {}
        if self._network.config.model_type not in ONE_TENSOR_PER_IMAGE:
            return stacked(prompts, self._network)
        features = BaseModelOutputWithPooling(pooler_output=self._features.of(prompts))
        grids = torch.cat([prompt.image["image_grid_thw"] for prompt in prompts]).to(self._network.device)
        return {"image_grid_thw": grids, "mm_encoder_outputs": {"image": features}}


def padded(rows: Sequence[Tensor], value: int = 0) -> list[Tensor]:
    """Tensors of different last dimensions, filled up on the left to the longest."""
    length = max(row.shape[-1] for row in rows)
    return [pad(row, (length - row.shape[-1], 0), value=value) for row in rows]

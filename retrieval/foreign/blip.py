"""BLIP for retrieval in a folder of Hugging Face: towers for vectors (ITC), and a head that sees both at once (ITM)."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctgi.retrieval.foreign.hugging_face import Pair, Tokenizer, load_parts, look_of


class Blip(nn.Module):
    """A BLIP with open_clip's methods, and its matching head."""

    def __init__(self, model: Any, preprocess_cfg: dict[str, Any], padding: int) -> None:
        """Wrap a `BlipForImageTextRetrieval`.

        Args:
            model: it.
            preprocess_cfg: how images are prepared.
            padding: id of the token that fills up short texts.
        """
        super().__init__()
        self.model = model
        self.visual = SimpleNamespace(preprocess_cfg=preprocess_cfg)
        self._padding = padding

    def encode_image(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        """Images [B, 3, H, W] -> [B, D]."""
        return _unit(self.model.vision_proj(self.image_tokens(pixels)[:, 0]), normalize)

    def encode_text(self, ids: Tensor, normalize: bool = False) -> Tensor:
        """Ids [B, L] -> [B, D]."""
        read = self.model.text_encoder(input_ids=ids, attention_mask=ids != self._padding).last_hidden_state
        return _unit(self.model.text_proj(read[:, 0]), normalize)

    def image_tokens(self, pixels: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> what `match` looks at, [B, N, W]."""
        tokens: Tensor = self.model.vision_model(pixel_values=pixels).last_hidden_state
        return tokens

    def match(self, ids: Tensor, tokens: Tensor) -> Tensor:
        """One text [1, L] and the tokens of images [B, N, W] -> [B], how well they match; any range."""
        texts = ids.expand(len(tokens), -1)
        seen = torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device)
        read = self.model.text_encoder(
            input_ids=texts,
            attention_mask=texts != self._padding,
            encoder_hidden_states=tokens,
            encoder_attention_mask=seen,
        ).last_hidden_state
        scores: Tensor = self.model.itm_head(read[:, 0])[:, 1]
        return scores


def open_blip(folder: Path, image_size: tuple[int, int] | None) -> Pair:
    """The BLIP of a folder, for squares of its own size; `image_size` is checked by the caller.

    Raises:
        CtgiError: as `load_parts` and `look_of`; a BLIP that was not trained for retrieval lacks weights.
    """
    model, tokenizer = load_parts(folder, "BlipForImageTextRetrieval")
    side = model.config.vision_config.image_size
    reader = Tokenizer(tokenizer, model.config.text_config.max_position_embeddings, full=False)
    return Pair("BLIP of Hugging Face", Blip(model, look_of(folder, (side, side)), tokenizer.pad_token_id), reader)


def _unit(features: Tensor, normalize: bool) -> Tensor:
    return F.normalize(features, dim=1) if normalize else features

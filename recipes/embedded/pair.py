"""The embedded retriever while it learns, with the heads that are thrown away afterwards."""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from ctgi.retrieval.clip_tokens import ClipTokens, Tokens
from recipes.embedded.clip import CONFIG, WEIGHTS, new_clip
from recipes.embedded.teacher import CHANNELS
from recipes.embedded.warmup import Heads

_VISUAL = "visual."


class Names(nn.Module):
    """Names every attribute, from all tokens of a picture and from the one that is compared; thrown away."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tokens = Heads(width, 1)
        self.whole = nn.Linear(width, self.tokens.classify[:, 0].numel())

    def forward(self, seen: Tokens, fields: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss for the classes `fields` [B, F], rare ones counting more; the shares told right."""
        heads = self.tokens
        by_tokens = heads.attributes(seen.tokens)
        whole = self.whole(seen.global_).float().view_as(by_tokens).masked_fill(heads.get_buffer("absent"), -1e4)
        weights = heads.get_buffer("weights").gather(1, fields.T).T * heads.get_buffer("emphasis")
        losses, told = [], {}
        for name, logits in {"by_tokens": by_tokens, "whole": whole}.items():
            lost = F.cross_entropy(logits.flatten(0, 1), fields.flatten(), reduction="none").view(fields.shape)
            losses.append((lost * weights).mean())
            told[name] = (logits.argmax(-1) == fields).float()
        return sum(losses, torch.zeros(())), told


class Pair(nn.Module):
    """The retriever, with what is thrown away after training: heads that name what is seen, the temperature."""

    def __init__(self, words: NDArray[np.int64]) -> None:
        super().__init__()
        net = new_clip()
        known = net.token_embedding.weight.detach()[torch.from_numpy(words).cpu()]
        net.token_embedding = nn.Embedding(len(words), known.shape[1], _weight=known.clone())
        self.clip = ClipTokens(net, CONFIG)
        self.names = Names(self.clip.dim)
        self.told = nn.Linear(self.clip.dim, CHANNELS)
        self.turned = nn.Parameter(torch.eye(self.clip.dim))
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))

    def begin(self, folder: Path) -> None:
        """With the picture tower of another retriever that is an open_clip folder."""
        weights = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
        visual = {name.removeprefix(_VISUAL): value for name, value in weights.items() if name.startswith(_VISUAL)}
        self.clip.visual.load_state_dict(visual)

    def turn(self) -> None:
        """Put what the third lesson learned about pictures into the tower."""
        with torch.no_grad():
            self.clip.visual.proj.copy_(self.clip.visual.proj @ self.turned)
            self.turned.copy_(torch.eye(self.clip.dim))

    def read(self, ids: Tensor) -> Tensor:
        """[B, L] -> [B, D]; texts of like length together, as what is padded costs as much as what is said."""
        lengths = (ids != 0).sum(1)
        order = lengths.argsort()
        said = [self.clip.text_tokens(ids[part, : int(lengths[part[-1]])].long()).global_ for part in order.chunk(4)]
        return torch.cat(said)[order.argsort()]

    def scores(self, image: Tensor, text: Tensor) -> Tensor:
        """[B, B]: how alike, at the learned temperature."""
        scale = self.log_scale.exp().clamp(max=60)
        return scale * F.normalize(image.float(), dim=1) @ F.normalize(text.float(), dim=1).T

    def whole(self, words: NDArray[np.int64]) -> nn.Module:
        """The open_clip model with its whole vocabulary; words that no text had say nothing."""
        net = self.clip.model
        table = torch.zeros(CONFIG["text_cfg"]["vocab_size"], net.token_embedding.embedding_dim)
        table[torch.from_numpy(words).cpu()] = net.token_embedding.weight.detach().cpu()
        net.token_embedding = nn.Embedding(len(table), table.shape[1], _weight=table)
        model: nn.Module = net.cpu().float()
        return model

"""Captions to CLIP token ids, with a token to spare for masking."""

import re
from collections.abc import Sequence
from functools import cache

from open_clip import SimpleTokenizer
from torch import Tensor

from ctgi.text import joined

MASK_ID = 49_405
START_ID = 49_406
END_ID = 49_407

_CONTROL = re.compile(r"<(start|end)_of_text>", re.IGNORECASE)


def plain_text(text: str) -> str:
    """The text in a form that a CLIP tokenizer accepts: surrogate pairs joined, lone ones replaced, no control tokens.

    The official tokenizer's ftfy does the same with surrogates.
    """
    return _CONTROL.sub(r"\1 of text", joined(text)).strip()


class CaptionTokenizer:
    """CLIP's byte-pair tokenizer without its last merge, whose id is the mask token's.

    IRRA and RDE free a row of CLIP's token table for `<|mask|>` by giving up the last of its 48,894 merges, which
    makes the word "jekyll". Their tokenizers drop the word and keep the merge, so that the word is an error. Here
    the merge is dropped, and the word is encoded by its two parts.
    """

    def __init__(self, context_length: int = 77) -> None:
        self.context_length = context_length

    def __call__(self, texts: Sequence[str], context_length: int | None = None) -> Tensor:
        """Texts -> ids [B, L], padded with 0; a longer text is cut and the end token kept. "" gives two tokens."""
        ids: Tensor = _word_pieces()([plain_text(text) for text in texts], context_length or self.context_length)
        return ids


@cache
def _word_pieces() -> SimpleTokenizer:
    tokenizer = SimpleTokenizer()
    ranks = tokenizer.bpe_ranks
    del ranks[max(ranks, key=ranks.__getitem__)]
    return tokenizer

"""A second look at the best of a ranking, by a model that sees query and image together."""

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import ToolError
from ctgi.retrieval.images import ImageRef, read_image
from ctgi.retrieval.ranking import Candidate

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

_IMAGES_KEPT = 512
"""Images whose tokens are kept for the next query, at about 2 MB each for a ViT-B/16 at 384 px."""
_BATCH = 32


class Matcher(Protocol):
    """A head that judges how well a text and images match."""

    depth: int
    """How many of a ranking it looks at."""

    def scores(self, text: str, images: Sequence[ImageRef]) -> NDArray[np.float32]:
        """[N], any range; -inf for an image that cannot be read."""
        ...


class HeadMatcher:
    """The matching head of a model with `image_tokens` and `match`, like BLIP's."""

    def __init__(
        self, model: Any, tokenizer: Any, preprocess: Callable[..., "Tensor"], device: str, depth: int
    ) -> None:
        self.depth = depth
        self._model, self._tokenizer, self._preprocess, self._device = model, tokenizer, preprocess, device
        self._tokens = lru_cache(maxsize=_IMAGES_KEPT)(self._look)

    def scores(self, text: str, images: Sequence[ImageRef]) -> NDArray[np.float32]:
        """[N], any range; -inf for an image that cannot be read, which a warning names."""
        import torch

        ids = self._tokenizer([text]).to(self._device)
        found = np.full(len(images), -np.inf, np.float32)
        tokens = {place: seen for place, image in enumerate(images) if (seen := self._readable(image)) is not None}
        with torch.inference_mode():
            for start in range(0, len(tokens), _BATCH):
                places = list(tokens)[start : start + _BATCH]
                batch = torch.stack([tokens[place] for place in places]).to(self._device)
                found[places] = self._model.match(ids, batch).float().cpu().numpy()
        return found

    def _readable(self, image: ImageRef) -> "Tensor | None":
        try:
            tokens: Tensor = self._tokens(image.path)
            return tokens
        except ToolError as error:
            logger.warning("not looked at again: %s", error)
            return None

    def _look(self, path: str) -> "Tensor":
        import torch

        with torch.inference_mode():
            pixels = self._preprocess(read_image(path))[None].to(self._device)
            tokens: Tensor = self._model.image_tokens(pixels)[0].cpu()
            return tokens


def matcher_of(encoder: object) -> Matcher | None:
    """The matching head of an encoder that has one and shall use it."""
    matcher: Matcher | None = getattr(encoder, "matcher", None)
    return matcher


def reordered(found: tuple[Candidate, ...], query: str, matcher: Matcher) -> tuple[Candidate, ...]:
    """A ranking whose first `depth` are in the order of similarity plus match. Scores and `rank_before` stay."""
    first, rest = found[: matcher.depth], found[matcher.depth :]
    match = matcher.scores(query, [one.image for one in first])
    total = match + np.array([one.score for one in first], np.float32)
    return tuple(first[place] for place in np.argsort(-total, kind="stable")) + rest


def rescored(row: NDArray[np.float32], text: str, images: Sequence[ImageRef], matcher: Matcher) -> NDArray[np.float32]:
    """Similarities [G] in which the first `depth` stand above all others, in the order of similarity plus match."""
    best = np.argsort(-row, kind="stable")[: matcher.depth]
    total = matcher.scores(text, [images[place] for place in best]) + row[best]
    _, place = np.unique(total, return_inverse=True)  # equal ones stay equal
    result = row.copy()
    result[best] = 2 + place  # above every cosine
    return result

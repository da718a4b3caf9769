"""What the vision tower makes of images, kept for further questions about them."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, cat

from ctgi.tools.backends.hf_prompt import Prompt

KEPT_IMAGES = 64


class ImageFeatures:
    """Features of the last images, so that further questions about one of them do not run the vision tower again."""

    def __init__(self, network: Any, kept_images: int) -> None:
        self._network = network
        self._kept_images = kept_images
        self._features: OrderedDict[str, Tensor] = OrderedDict()

    def of(self, prompts: Sequence[Prompt]) -> list[Tensor]:
        """Image features, [tokens, D] for each prompt; computed only for images not seen recently."""
        new = list({p.image_id: p for p in prompts if p.image_id not in self._features}.values())
        found = {p.image_id: self._features[p.image_id] for p in prompts if p.image_id in self._features}
        if new:
            output = self._network.get_image_features(**stacked(new, self._network), return_dict=True)
            found |= zip([prompt.image_id for prompt in new], output.pooler_output, strict=True)
        for image_id, features in found.items():
            self._features[image_id] = features
            self._features.move_to_end(image_id)
        while len(self._features) > self._kept_images:
            self._features.popitem(last=False)
        return [found[prompt.image_id] for prompt in prompts]


def stacked(prompts: Iterable[Prompt], network: Any) -> dict[str, Tensor]:
    """The images of prompts as one batch, on the network's device and in its precision."""
    images = [prompt.image for prompt in prompts]
    joined = {name: cat([image[name] for image in images]).to(network.device) for name in images[0]}
    return {name: x.to(network.dtype) if x.is_floating_point() else x for name, x in joined.items()}

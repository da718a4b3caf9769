"""Keys and values of the last dialogue about each image: what later prompts begin with is not computed again."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ctgi.tools.backends.hf_prompt import Prompt

KEPT_BYTES = 2**29
"""Of keys and values on a CPU: 512 MiB."""
GPU_SHARE = 4
"""On a GPU: a quarter of the memory that is free once the weights are loaded."""


@dataclass(frozen=True)
class Computed:
    """Tokens about an image with their keys and values."""

    image_id: str
    """sha256 of the image; "" without one."""
    ids: Tensor
    """[T], on the CPU."""
    states: Sequence[tuple[Tensor, Tensor]]
    """Keys and values of each layer, [H, T, D]."""

    @property
    def bytes(self) -> int:
        """Size of the keys and values."""
        return sum(state.nbytes for pair in self.states for state in pair)


@dataclass(frozen=True)
class Start:
    """The beginning of a prompt that need not be computed."""

    length: int = 0
    """In tokens."""
    states: Sequence[tuple[Tensor, Tensor]] = ()
    """Keys and values of each layer, [H, at least length, D]; empty if length is 0."""


def start_of(prompt: Prompt, computed: Computed) -> Start:
    """What a prompt has in common with computed tokens; of those about another image, only what comes before it.

    Its last token is always left, since what follows it is not kept.
    """
    most = min(len(computed.ids), prompt.length - 1)
    if computed.image_id != prompt.image_id:
        most = min(most, prompt.before_image)
    differing = (prompt.ids[:most] != computed.ids[:most]).nonzero()
    length = int(differing[0]) if len(differing) else most
    return Start(length, computed.states) if length else Start()


class KeptDialogues:
    """The last dialogue about each of the last images: at most so many images and so many bytes.

    A batch that is being computed comes on top of these.
    """

    def __init__(self, images: int, max_bytes: int) -> None:
        self._images = images
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, Computed] = OrderedDict()
        self._bytes = 0

    def start(self, prompt: Prompt) -> Start:
        """What is computed already of a prompt: from a dialogue about its image, else what all dialogues begin with."""
        best = Start()
        own = self._kept.get(prompt.image_id)
        for computed in (*([own] if own else []), *reversed(self._kept.values())):
            if best.length < min(prompt.before_image, prompt.length - 1):
                best = max(best, start_of(prompt, computed), key=lambda start: start.length)
        return best

    def keep(self, computed: Computed) -> None:
        """Keep this in place of what was kept of its image; the dialogues that rested longest make room."""
        self._forget(computed.image_id)
        self._kept[computed.image_id] = computed
        self._bytes += computed.bytes
        while len(self._kept) > self._images or self._bytes > self._max_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, image_id: str) -> None:
        gone = self._kept.pop(image_id, None)
        self._bytes -= gone.bytes if gone else 0


def allowed_bytes(device: torch.device) -> int:
    """How many bytes of keys and values may be kept on a device, once the weights are on it."""
    return torch.cuda.mem_get_info(device)[0] // GPU_SHARE if device.type == "cuda" else KEPT_BYTES

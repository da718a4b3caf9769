"""The keys and values of a batch while it is generated, with room for the tokens to come.

The cache of transformers copies all of them at each token; here a token is written behind the last.
"""

from typing import Any

from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import DynamicLayer

ROOM = 64
"""Number of tokens that are made room for at a time."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer, [B, H, T, D], of which the first `get_seq_length()` tokens are in use."""

    is_croppable = False
    _used = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append those of further tokens, and return those of all."""
        end = self._used + key_states.shape[2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        missing = end - self.keys.shape[2]
        if missing > 0:
            self.keys, self.values = (pad(x, (0, 0, 0, missing + ROOM)) for x in (self.keys, self.values))
        self.keys[:, :, self._used : end], self.values[:, :, self._used : end] = key_states, value_states
        self._used = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Number of tokens whose keys and values are there."""
        return self._used

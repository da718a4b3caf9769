"""Requests that wait for the model in this process: the images that were begun first go first.

A run over many images then finishes the first of them while others have hardly begun, and a kill loses little.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from ctgi.tools.backends import ChatReply
from ctgi.tools.backends.hf_prompt import Prompt

GATHERING_S = 0.05
"""Maximum wait, in seconds, of an incomplete batch for requests in preparation."""


@dataclass(eq=False)
class Waiting:
    """A request until it is answered."""

    prompt: Prompt
    kind: Hashable
    """What the prompts of a batch share."""
    place: int
    """Its image's place among all images; the smaller, the sooner begun."""
    reply: Future[ChatReply] = field(default_factory=Future)
    seconds: float = 0.0
    """Its share of the model's time, once it is answered."""


class Queue:
    """Gathers requests into batches; safe to use from any thread."""

    def __init__(self, batch_size: int, images: int) -> None:
        """images: so many images, the last ones talked about, keep their place."""
        self._batch_size = batch_size
        self._images = images
        self._places: OrderedDict[str, int] = OrderedDict()
        self._numbers = count()
        self._waiting: list[Waiting] = []
        self._preparing = 0
        self._changed = threading.Condition()  # guards them all

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Around the preparation of a request: an incomplete batch waits a little for it."""
        with self._changed:
            self._preparing += 1
        try:
            yield
        finally:
            with self._changed:
                self._preparing -= 1
                self._changed.notify_all()

    def put(self, prompt: Prompt, kind: Hashable) -> Waiting:
        """Add a request."""
        with self._changed:
            one = Waiting(prompt, kind, self._place(prompt.image_id))
            self._waiting.append(one)
            self._changed.notify_all()
            return one

    def take(self) -> Sequence[Waiting]:
        """Remove the next batch: all of one kind, those of the earliest images first; nothing if nothing waits."""
        with self._changed:
            self._changed.wait_for(lambda: not self._preparing or self._is_full(), GATHERING_S)
            batch = sorted(self._due(), key=lambda one: one.place)[: self._batch_size]
            taken = {*map(id, batch)}
            self._waiting = [one for one in self._waiting if id(one) not in taken]
        return [one for one in batch if one.reply.set_running_or_notify_cancel()]

    def cancel(self) -> None:
        """Give up what waits."""
        with self._changed:
            for one in self._waiting:
                one.reply.cancel()
            self._waiting.clear()

    def _is_full(self) -> bool:
        return len(self._due()) >= self._batch_size

    def _due(self) -> list[Waiting]:
        """What can be answered together with the request of the earliest image."""
        first = min(self._waiting, key=lambda one: one.place, default=None)
        return [one for one in self._waiting if first and one.kind == first.kind]

    def _place(self, image_id: str) -> int:
        if not image_id:
            return next(self._numbers)
        place = self._places.setdefault(image_id, next(self._numbers))
        self._places.move_to_end(image_id)
        while len(self._places) > self._images:
            self._places.popitem(last=False)
        return place

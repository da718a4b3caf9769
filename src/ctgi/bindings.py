"""Bindings: backends by name, as written in the configuration and on the command line."""

import re
from typing import NamedTuple

from ctgi.errors import CtgiError
from ctgi.network import public_url

_ADDRESS = re.compile(r"@(?=[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
QWEN = "vllm:Qwen/Qwen2-VL-7B-Instruct"


class Binding(NamedTuple):
    """A backend by name: `endpoint:model`, `endpoint:model@http://host/v1`, or a bare word like `templates`."""

    endpoint: str
    model: str
    base_url: str | None

    @classmethod
    def parse(cls, spec: str) -> "Binding":
        """Split `provider:model[@url]`; the model keeps any further colon.

        Raises:
            CtgiError: the text is empty or has no provider before its colon.
        """
        text, *address = _ADDRESS.split(spec.strip(), maxsplit=1)
        url = address[0] if address else None
        endpoint, _, model = text.partition(":")
        if not endpoint:
            raise CtgiError(
                f"binding {public_spec(spec)!r}: expected provider:model, like {QWEN!r}, or templates, or human"
            )
        return cls(endpoint, model, url)

    def __str__(self) -> str:
        """As written, without credentials: the password or query of its URL."""
        name = f"{self.endpoint}:{self.model}" if self.model else self.endpoint
        return f"{name}@{public_url(self.base_url)}" if self.base_url else name


def public_spec(spec: str) -> str:
    """A binding as written, valid or not, without credentials."""
    text, *address = _ADDRESS.split(spec, maxsplit=1)
    return "@".join([text, *map(public_url, address)])

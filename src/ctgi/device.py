"""Where models run."""

import torch

from ctgi.errors import CtgiError


def pick_device(name: str, setting: str) -> str:
    """The torch device meant by `auto`, `cpu`, `cuda`, `cuda:1` ...; `auto` is a GPU if there is one.

    setting: what holds the name, for the message.

    Raises:
        CtgiError: no such device on this machine.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).partition("\n")[0]
        raise CtgiError(f"device {name!r} cannot be used: {reason}; set {setting} to auto or cpu") from None
    return name

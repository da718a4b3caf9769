"""How people become pictures: drawn, rendered in 3D, or some of each."""

from enum import StrEnum
from random import Random

from ctgi.errors import CtgiError

SHARE_3D = 0.4
"""Of the people of a mixed set."""


class Render(StrEnum):
    """A way to make pictures."""

    DRAWN = "drawn"
    IN_3D = "3d"
    MIXED = "mixed"

    def of(self, seed: int, pid: int) -> "Render":
        """DRAWN or IN_3D: how person number `pid` of a seed is pictured."""
        if self is not Render.MIXED:
            return self
        return Render.IN_3D if Random(f"{seed}/{pid}/render").random() < SHARE_3D else Render.DRAWN

    def require(self) -> None:
        """Nothing, where its libraries work.

        Raises:
            CtgiError: they do not; says what to install.
        """
        _require_skia()
        if self is not Render.DRAWN:
            from ctgi.synth.people3d.bodies import load_bodies
            from ctgi.synth.people3d.studio import studio

            load_bodies()
            studio()


def _require_skia() -> None:
    try:
        import skia  # noqa: F401
    except ImportError as error:
        raise CtgiError(
            f"drawing people needs skia-python ({error}): pip install 'ctgi[synth]'; on a bare Linux also its system "
            "libraries, as in apt-get install libgl1 libegl1"
        ) from None

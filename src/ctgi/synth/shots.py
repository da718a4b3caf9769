"""All pictures of a synthetic person, with what is true of them and what witnesses say."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from ctgi.errors import CtgiError
from ctgi.synth.person import Person, View, draw_person, draw_views
from ctgi.synth.witness import describe

if TYPE_CHECKING:
    from ctgi.synth.picture import Picture

CAMERAS = 15
CAPTIONS = 2


@dataclass(frozen=True)
class Shot:
    """One picture of a person."""

    name: str
    """As RSTPReid names its files: person, camera, frame."""
    person: Person
    view: View
    picture: "Picture"
    captions: tuple[str, ...]
    """Of as many witnesses."""

    def truth(self) -> dict[str, Any]:
        """What is true of the picture, in JSON's types."""
        return {
            "captions": list(self.captions),
            "person": asdict(self.person),
            "view": asdict(self.view),
            "visible": sorted(self.picture.visible),
            "box": list(self.picture.box),
        }


def draw_shots(seed: int, pid: int) -> Iterator[Shot]:
    """The shots of person number `pid`; the same for the same seed, whoever else is drawn."""
    from ctgi.synth.picture import draw_look, render

    rng = Random(f"{seed}/{pid}")
    person = draw_person(rng)
    look, views = draw_look(person, rng), draw_views(person, rng)
    for view, camera in zip(views, sorted(rng.sample(range(1, CAMERAS + 1), len(views))), strict=True):
        name = f"{pid:04}_c{camera}_{rng.randrange(10_000):04}.jpg"
        picture = render(person, look, view, rng)
        captions = tuple(describe(person, view, picture.visible, rng) for _ in range(CAPTIONS))
        yield Shot(name, person, view, picture, captions)


def require_skia() -> None:
    """Nothing, where the drawing library works.

    Raises:
        CtgiError: it does not; says what to install.
    """
    try:
        import skia  # noqa: F401
    except ImportError as error:
        raise CtgiError(
            f"drawing people needs skia-python ({error}): pip install 'ctgi[synth]'; on a bare Linux also its system "
            "libraries, as in apt-get install libgl1 libegl1"
        ) from None

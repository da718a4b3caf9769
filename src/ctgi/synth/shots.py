"""All pictures of a synthetic person, with what is true of them and what witnesses say."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from random import Random
from typing import TYPE_CHECKING

from ctgi.reading import Json
from ctgi.synth.person import Person, View, draw_person, draw_views
from ctgi.synth.renderers import Render
from ctgi.synth.witness import describe

if TYPE_CHECKING:
    from ctgi.synth.look import Look
    from ctgi.synth.seeing import Picture

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
    render: Render
    """DRAWN or IN_3D."""

    def truth(self) -> Json:
        """What is true of the picture, in JSON's types."""
        return {
            "captions": list(self.captions),
            "person": asdict(self.person),
            "view": asdict(self.view),
            "visible": sorted(self.picture.visible),
            "box": list(self.picture.box),
            "render": str(self.render),
        }


def draw_shots(seed: int, pid: int, render: Render = Render.DRAWN) -> Iterator[Shot]:
    """The shots of person number `pid`; the same for the same seed, whoever else is drawn.

    Raises:
        CtgiError: a library of 3D pictures is missing.
    """
    from ctgi.synth.look import draw_look

    rng = Random(f"{seed}/{pid}")
    person = draw_person(rng)
    look, views = draw_look(person, rng), draw_views(person, rng)
    for view, camera in zip(views, sorted(rng.sample(range(1, CAMERAS + 1), len(views))), strict=True):
        name = f"{pid:04}_c{camera}_{rng.randrange(10_000):04}.jpg"
        picture, made = _picture(person, look, view, render.of(seed, pid), rng)
        captions = tuple(describe(person, view, picture.visible, rng) for _ in range(CAPTIONS))
        yield Shot(name, person, view, picture, captions, made)


def _picture(person: Person, look: "Look", view: View, render: Render, rng: Random) -> "tuple[Picture, Render]":
    """A picture and how it was made: what cannot be rendered in 3D is drawn."""
    if render is Render.IN_3D:
        from ctgi.synth.people3d.picture import can_render, render3d

        if can_render(view):
            return render3d(person, look, view, rng), render
    from ctgi.synth.picture import render as draw

    return draw(person, look, view, rng), Render.DRAWN

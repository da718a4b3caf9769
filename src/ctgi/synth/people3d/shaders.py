"""The programs that the graphics card runs: vertex.glsl, and shadow.glsl or picture.glsl after it."""

from importlib.resources import files

from ctgi.synth.people3d.materials import COUNT, Material


def sources() -> tuple[str, str, str]:
    """The vertex program and both fragment programs: of the shadow map, of the picture."""
    names = {"COUNT": COUNT} | {material.name: int(material) for material in Material}
    head = "#version 330\n" + "".join(f"#define {name} {number}\n" for name, number in names.items())
    vertex, shadow, picture = (
        head + (files(__package__) / f"{name}.glsl").read_text() for name in ("vertex", "shadow", "picture")
    )
    return vertex, shadow, picture

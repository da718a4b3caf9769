"""A gallery that is searched by its images and by the captions that MTG wrote of them."""

from pathlib import Path

from ctgi.corrections import corrected_captions
from ctgi.errors import CtgiError
from ctgi.retrieval.gallery import Gallery
from ctgi.runs.events import Events
from ctgi.text import plain


def captioned(gallery: Gallery, file: Path, events: Events) -> Gallery:
    """The gallery with the captions of a captions.jsonl, as people corrected them; told how many images have one.

    Raises:
        CtgiError: the file cannot be read, or has a caption of no image of the gallery.
    """
    captions = {line.sha256: line.caption for line in corrected_captions(file) if line.sha256 and line.has_caption}
    found, known = gallery.with_captions(captions)
    if not known:
        raise CtgiError(f"{plain(str(file))}: no caption of an image of {gallery.name}: run ctgi caption on its images")
    events.tell(f"{known} of {len(gallery)} images have a caption in {plain(str(file))}")
    return found

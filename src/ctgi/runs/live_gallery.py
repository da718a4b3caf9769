"""A gallery for a program that runs for long: it may be indexed again meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

from ctgi.config import Settings
from ctgi.retrieval.encoder import Encoder, load_encoder
from ctgi.retrieval.gallery import Gallery, open_gallery


@dataclass(frozen=True)
class Renewal:
    """That a gallery was opened anew, because it had been indexed again."""

    at: str
    """ISO 8601, UTC."""
    before: int
    """Images before."""
    now: int
    """Images now."""


class LiveGallery:
    """Each search takes the gallery as it then stands on disk; what was begun before goes on with the one it has."""

    def __init__(self, gallery: Gallery, load: Callable[[], Encoder]) -> None:
        """A gallery, as it was opened.

        Args:
            gallery: with its encoder.
            load: loads this encoder once more: its weights may be others by then.
        """
        self.now = gallery
        """As it was opened last."""
        self.renewal: Renewal | None = None
        """The last one."""
        self._load = load
        self._lock = Lock()

    def renewed(self) -> Gallery:
        """The gallery as it stands on disk, opened anew where that is another than before. Any thread may call it.

        Raises:
            CtgiError: it is gone, damaged, or made with another encoder than the bound one.
        """
        with self._lock:
            if not self.now.is_current():
                before, self.now = self.now, self._opened()
                at = datetime.now(UTC).isoformat(timespec="milliseconds")
                self.renewal = Renewal(at, len(before), len(self.now))
            return self.now

    def _opened(self) -> Gallery:
        """With the encoder that is loaded; only a gallery of other weights makes it worth loading the bound one."""
        known = self.now.encoder
        encoder = known if known and self.now.is_of(known) else self._load()
        return open_gallery(self.now.place, encoder)


def live_gallery(gallery: Gallery, settings: Settings) -> LiveGallery:
    """An opened gallery of the bound encoder."""
    return LiveGallery(gallery, lambda: load_encoder(str(settings.binding("search_gallery")), settings.retriever))

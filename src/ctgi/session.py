"""The public API's one object: settings and warm models, for many calls from scripts, notebooks and servers."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ctgi.config import load_settings
from ctgi.errors import CtgiError
from ctgi.plugins import lend, take_back
from ctgi.reading import Json
from ctgi.results import CaptionRecord, SearchResult
from ctgi.runs.events import Logged

if TYPE_CHECKING:
    from ctgi.retrieval.encoder import Encoder
    from ctgi.retrieval.gallery import Gallery, GalleryReport
    from ctgi.runs.caption import CaptionReport
    from ctgi.runs.captioned import Captioned

T = TypeVar("T")
StrPath = str | Path


class Session:
    """Captioning, indexing and searching with the same bindings; models and galleries stay open between calls.

    `acaption_image`, `acaption` and `asearch` are to be awaited. All methods work wherever they are called, also in a
    notebook, because the work runs in an event loop of the session's own. A session is a context manager; without
    `with`, call `close` when you are done.

    Example:
        with ctgi.Session(bindings={"images": "vllm:Qwen/Qwen2-VL-7B-Instruct"}) as session:
            print(session.search("woman with red bag", "./images").results[0].path)
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        bindings: Mapping[str, Any] | None = None,
        config: StrPath | None = None,
        trace: bool = False,
        **tables: Mapping[str, Any],
    ) -> None:
        """Read the settings; no model is loaded yet.

        Args:
            profile: embedded (default), laptop, paper or openai.
            bindings: tool -> backend, as `--bind`; `images` stands for the tools that look at an image. A backend is
                a name like "vllm:MODEL", a function or coroutine function `(image, prompt) -> str`, or a model.
            config: a ctgi.toml to use instead of the one that is found.
            trace: record the calls of each run under `traces`, as the commands do.
            tables: tables of ctgi.toml by name, like mti={"k": 10}.

        Raises:
            CtgiError: an unknown profile, tool, key or value.
        """
        self._lent = {tool: lend(code) for tool, code in (bindings or {}).items() if not isinstance(code, str)}
        named = {**(bindings or {}), **self._lent}
        self.settings = load_settings(
            binds=[f"{tool}={backend}" for tool, backend in named.items()],
            profile=profile,
            config=Path(config) if config is not None else None,
            **{name: dict(table) for name, table in tables.items()},
        )
        self._trace = trace
        self._events = Logged()
        self._loop = _Loop()
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None
        self._galleries: dict[Path, Gallery] = {}
        self._with_captions: tuple[object, Captioned] | None = None
        self._models: Any = None

    # --- captions

    def caption_image(self, image: StrPath) -> CaptionRecord:
        """One image's dense caption, with the dialogue that made it (MTG). Nothing is written.

        Raises:
            ImageError: the image cannot be used.
            ToolError: a call failed for good.
            CtgiError: something that you must fix.
        """
        return self._loop.run(self._caption_image(str(image)))

    async def acaption_image(self, image: StrPath) -> CaptionRecord:
        """`caption_image`, to be awaited."""
        return await self._loop.wait(self._caption_image(str(image)))

    def caption(
        self, images: StrPath | Sequence[StrPath], *, out: StrPath = "captions.jsonl", limit: int | None = None
    ) -> "CaptionReport":
        """Caption folders, files, globs or @lists into a captions.jsonl, resuming an earlier call.

        Raises:
            CtgiError: something that you must fix, or a server that is gone; finished work is in `out`.
        """
        return self._loop.run(self._caption(images, out, limit))

    async def acaption(
        self, images: StrPath | Sequence[StrPath], *, out: StrPath = "captions.jsonl", limit: int | None = None
    ) -> "CaptionReport":
        """`caption`, to be awaited."""
        return await self._loop.wait(self._caption(images, out, limit))

    async def _caption_image(self, image: str) -> CaptionRecord:
        from ctgi.retrieval.images import ref
        from ctgi.runs.caption import caption_image

        named = await asyncio.to_thread(ref, image)
        return await caption_image(named, self.settings, self._events, trace=self._trace, models=self._warm_models())

    async def _caption(self, images: StrPath | Sequence[StrPath], out: StrPath, limit: int | None) -> "CaptionReport":
        from ctgi.runs.caption import caption_images
        from ctgi.runs.delivery import address_of, delivered

        inputs = [str(images)] if isinstance(images, (str, Path)) else [str(image) for image in images]
        with delivered(out if isinstance(out, Path) else str(out), self._events) as file:
            report = await caption_images(
                inputs, file, self.settings, self._events,
                limit=limit, trace=self._trace, models=self._warm_models(),
            )  # fmt: skip
        report.out = address_of(str(out), report.out)
        return report

    # --- galleries and searches

    def index(
        self, images: StrPath, *, out: StrPath | None = None, metadata: Sequence[StrPath] = ()
    ) -> "GalleryReport":
        """Embed a folder of person images, or bring its gallery up to date.

        metadata: tables (.csv, .tsv, .jsonl) with a row for each image, for `search`'s where and group.

        Raises:
            CtgiError: there is nothing to index, or the gallery cannot be written.
        """
        from ctgi.retrieval.gallery import gallery_folder
        from ctgi.runs.index import build

        folder = Path(out) if out is not None else gallery_folder([str(images)])
        return build(
            [str(images)], folder, self._warm_encoder(), self.settings, self._events, metadata=[*map(Path, metadata)]
        )

    def search(
        self, query: str, gallery: StrPath | None = None, *, k: int = 10, mti: bool = True,
        captions: StrPath | None = None, where: str | None = None, group: str | None = None,
    ) -> SearchResult:  # fmt: skip
        """Rank a gallery by a description, refined by a dialogue about the best match (MTI).

        Args:
            query: describes the person.
            gallery: an image folder, indexed on first use, or a gallery; None takes the one of the settings.
            k: results wanted.
            mti: False is plain retrieval.
            captions: a captions.jsonl of `caption`, searched together with the images.
            where: only images for which this holds are ranked, like "camera = 'north'"; see `index`'s metadata.
            group: a column, like "track": of images with the same value only the best is ranked.

        Raises:
            CtgiError: an empty query, no gallery, or something that you must fix.
        """
        return self._loop.run(self._search(query, gallery, k, mti, captions, where, group))

    async def asearch(
        self, query: str, gallery: StrPath | None = None, *, k: int = 10, mti: bool = True,
        captions: StrPath | None = None, where: str | None = None, group: str | None = None,
    ) -> SearchResult:  # fmt: skip
        """`search`, to be awaited."""
        return await self._loop.wait(self._search(query, gallery, k, mti, captions, where, group))

    async def _search(
        self, query: str, gallery: StrPath | None, k: int, mti: bool, captions: StrPath | None,
        where: str | None, group: str | None,
    ) -> SearchResult:  # fmt: skip
        from ctgi.runs.columns import narrowed
        from ctgi.runs.search import search

        if k < 1:
            raise CtgiError(f"k is {k}: expected 1 or more results")
        path = gallery if gallery is not None else self.settings.gallery
        if path is None:
            raise CtgiError("no gallery: give an image folder, or set gallery in ctgi.toml")
        opened, made = await asyncio.to_thread(self._open, Path(path))
        stored = None
        if captions is not None:
            both = await asyncio.to_thread(self._captioned, opened, Path(captions))
            opened, stored = both.gallery, both.read
        opened = await asyncio.to_thread(narrowed, opened, where, group, self._events)
        found = await search(
            opened, query, k, self.settings, self._events, mti=mti, trace=self._trace, models=self._warm_models(),
            made=made, stored=stored,
        )  # fmt: skip
        return SearchResult(**found.made_with())

    def _captioned(self, gallery: "Gallery", file: Path) -> "Captioned":
        """The gallery with these captions, read once until the file, its corrections or the gallery change."""
        from ctgi.runs.captioned import captioned, written_at

        state = (gallery, file.absolute(), written_at(file))
        with self._lock:
            if self._with_captions is None or self._with_captions[0] != state:
                self._with_captions = (state, captioned(gallery, file, self._events))
            return self._with_captions[1]

    def _open(self, path: Path) -> tuple["Gallery", "GalleryReport | None"]:
        """The gallery, opened once until it is indexed anew."""
        from ctgi.runs.index import open_or_build

        encoder, place = self._warm_encoder(), path.absolute()
        with self._lock:
            known = self._galleries.get(place)
            if known and known.is_current():
                return known, None
            self._galleries[place], made = open_or_build(path, encoder, self.settings, self._events)
            return self._galleries[place], made

    # --- measuring

    def evaluate(
        self, data: str, root: StrPath, *, split: str = "test", captions: str = "human", limit: int | None = None,
        mti: bool = False, out: StrPath | None = None, gallery_captions: StrPath | None = None, seed: int = 0,
    ) -> Json:  # fmt: skip
        """R@1/5/10, mAP and mINP of the retriever on a data set; with `mti` also after a dialogue for each query.

        Args:
            data: the layout: cuhk, icfg, rstp or folder.
            root: its folder.
            split: val or test.
            captions: queries: human, initial:FILE or mtg:FILE.
            limit: only so many captions as queries, drawn over all people, against the whole gallery.
            mti: also refine every query.
            out: features and replies are kept here, for the next call (default: runs/evaluate-DATA).
            gallery_captions: a captions.jsonl of `caption`, searched together with the images.
            seed: with `limit`: which captions.

        Returns:
            What `ctgi evaluate --json` prints; metrics in per cent under `t2i`, `i2t` and `mti`.

        Raises:
            CtgiError: a data set that cannot be read, or something that you must fix.
        """
        from ctgi.runs.evaluate import DataSpec, Measuring, evaluate

        told = Path(gallery_captions) if gallery_captions is not None else None
        spec = DataSpec(data, Path(root), split, captions, limit, seed, gallery_captions=told)
        folder = Path(out) if out is not None else Path("runs") / f"evaluate-{data}"
        measured = Measuring(mti, trace=self._trace)
        work = evaluate(spec, self._warm_encoder(), self.settings, folder, self._events, measured)
        return self._loop.run(work).result.to_json()

    # --- what stays open

    def close(self) -> None:
        """Close models, galleries and the event loop; the session cannot be used afterwards."""
        if self._models is not None and self._loop.is_open:
            self._loop.run(self._models.aclose())
        self._models, self._encoder = None, None
        self._galleries.clear()
        self._with_captions = None
        self._loop.close()
        for binding in self._lent.values():
            take_back(binding)
        self._lent = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _warm_models(self) -> Any:
        from ctgi.agents.assemble import Models

        if self._models is None:
            self._models = Models()
        return self._models

    def _warm_encoder(self) -> "Encoder":
        from ctgi.retrieval.encoder import load_encoder

        with self._lock:
            if self._encoder is None:
                self._encoder = load_encoder(str(self.settings.binding("search_gallery")), self.settings.retriever)
            return self._encoder


class _Loop:
    """An event loop in a thread of its own, started with the first call."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        return self._loop is not None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of the work; Ctrl-C cancels it."""
        future = self._submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The same, from another event loop; cancelling the waiting cancels the work."""
        return await asyncio.wrap_future(self._submit(work))

    def close(self) -> None:
        """Stop the loop and its thread."""
        with self._lock:
            loop, self._loop, self._closed = self._loop, None, True
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        with self._lock:
            if self._closed:
                work.close()
                raise CtgiError("this session is closed: create another one")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_serve, args=(self._loop,), name="ctgi-session", daemon=True).start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

"""The public functions: each is one call of a `Session` that is made for it and closed after it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ctgi.reading import Json
from ctgi.results import CaptionRecord, SearchResult
from ctgi.session import Session, StrPath

if TYPE_CHECKING:
    from ctgi.retrieval.gallery import GalleryReport
    from ctgi.runs.caption import CaptionReport


def caption_image(
    image: StrPath, *, profile: str | None = None, bindings: Mapping[str, Any] | None = None
) -> CaptionRecord:
    """One image's dense caption, with the dialogue that made it; see `Session.caption_image`."""
    with Session(profile=profile, bindings=bindings) as session:
        return session.caption_image(image)


def caption(
    images: StrPath | Sequence[StrPath],
    *,
    out: StrPath = "captions.jsonl",
    limit: int | None = None,
    profile: str | None = None,
    bindings: Mapping[str, Any] | None = None,
) -> "CaptionReport":
    """Caption folders, files, globs or @lists into a captions.jsonl; see `Session.caption`."""
    with Session(profile=profile, bindings=bindings) as session:
        return session.caption(images, out=out, limit=limit)


def index(
    images: StrPath,
    *,
    out: StrPath | None = None,
    profile: str | None = None,
    bindings: Mapping[str, Any] | None = None,
) -> "GalleryReport":
    """Embed a folder of person images, or bring its gallery up to date; see `Session.index`."""
    with Session(profile=profile, bindings=bindings) as session:
        return session.index(images, out=out)


def search(
    query: str,
    gallery: StrPath | None = None,
    *,
    k: int = 10,
    mti: bool = True,
    profile: str | None = None,
    bindings: Mapping[str, Any] | None = None,
) -> SearchResult:
    """Rank a gallery by a description, refined by a dialogue; see `Session.search`.

    A folder is indexed on first use.
    """
    with Session(profile=profile, bindings=bindings) as session:
        return session.search(query, gallery, k=k, mti=mti)


def evaluate(
    data: str,
    root: StrPath,
    *,
    retriever: str | None = None,
    split: str = "test",
    captions: str = "human",
    limit: int | None = None,
    mti: bool = False,
    out: StrPath | None = None,
    profile: str | None = None,
    bindings: Mapping[str, Any] | None = None,
) -> Json:
    """R@1/5/10, mAP and mINP on a data set; see `Session.evaluate`.

    Args:
        data: cuhk, icfg, rstp or folder.
        root: its folder.
        retriever: a binding of `search_gallery`, like "trained:runs/irra"; None leaves it as configured.
        split: val or test.
        captions: queries: human, initial:FILE or mtg:FILE.
        limit: only the first captions.
        mti: also refine every query by a dialogue.
        out: features and replies are kept here.
        profile: embedded (default), laptop, paper or openai.
        bindings: tool -> backend.
    """
    chosen = dict(bindings or {}) | ({"search_gallery": retriever} if retriever else {})
    with Session(profile=profile, bindings=chosen) as session:
        return session.evaluate(data, root, split=split, captions=captions, limit=limit, mti=mti, out=out)

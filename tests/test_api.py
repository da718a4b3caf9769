"""`import ctgi`: the same runs as the commands, from scripts and from code in which an event loop runs."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ctgi

HEAVY = ("faiss", "langgraph", "numpy", "open_clip", "pydantic", "torch", "transformers")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory and a cache of its own."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clip(tiny_clip: Path) -> str:
    return f"open_clip:local-dir:{tiny_clip}"


class Looker:
    """A model of the user's, which counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, image: Any, prompt: str) -> str:
        self.asked += 1
        if "yes or no" in prompt.lower():
            return "yes"
        question = prompt.rpartition("\n\n")[2].lower()
        if "describe" in question:
            return "A man in a blue shirt."
        return "a red bag" if "bag" in question else "not visible"


def test_import_loads_nothing_heavy_and_lists_what_is_public() -> None:
    code = f"import ctgi, sys; print([name for name in {HEAVY!r} if name in sys.modules], ctgi.__version__)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == f"[] {ctgi.__version__}\n"
    assert all(getattr(ctgi, name) for name in ctgi.__all__)
    assert set(ctgi.__all__) <= set(dir(ctgi))
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        ctgi.serch  # noqa: B018


def test_one_image_becomes_a_record(people: Path) -> None:
    looker = Looker()
    record = ctgi.caption_image(people / "0_a.png", bindings={"images": looker})
    assert (record.initial_caption, record.path) == ("A man in a blue shirt.", str(people / "0_a.png"))
    assert record.caption.startswith("A man in a blue shirt.")
    assert looker.asked == 1 + len(record.turns)
    assert record.bindings["caption_image"].startswith("python:")
    assert ctgi.CaptionRecord.from_json(record.to_json()) == record
    assert not (Path.cwd() / "captions.jsonl").exists()


def test_a_folder_becomes_a_captions_file_and_is_gone_on_with(people: Path) -> None:
    looker = Looker()
    report = ctgi.caption(people, out="c.jsonl", limit=2, bindings={"images": looker})
    assert (report.captioned, report.failed) == (2, [])
    lines = Path("c.jsonl").read_text().splitlines()
    assert [ctgi.CaptionRecord.from_json(json.loads(line)).to_json() for line in lines] == list(map(json.loads, lines))
    assert ctgi.caption([people / "0_a.png"], out="c.jsonl", bindings={"images": looker}).already == 1


def test_a_search_indexes_on_first_use_and_shows_itself(people: Path, clip: str) -> None:
    result = ctgi.search("a man", people, k=3, bindings={"images": Looker(), "search_gallery": clip})
    assert [match.rank for match in result.results] == [1, 2, 3]
    assert Path(result.results[0].path).parent == people
    assert result.anchors[0].rank == 1
    assert result.refined_query is not None
    assert "red bag" in result.refined_query
    assert ctgi.SearchResult.from_json(result.to_json()) == result
    page = result.show("page.html")
    assert Path("page.html").read_text() == page
    assert "<iframe" in result._repr_html_()
    assert "&lt;html" in result._repr_html_()  # escaped: nothing of the page is the notebook's own


def test_a_session_keeps_its_models_and_notices_a_new_index(people: Path, clip: str) -> None:
    made: list[str] = []

    class Model:
        endpoint = "mine"

        async def chat(self, request: Any) -> Any:
            from ctgi.tools.backends import ChatReply

            made.append(request.prompt)
            return ChatReply("no")

        async def aclose(self) -> None:
            made.append("closed")

    with ctgi.Session(bindings={"images": Model(), "search_gallery": clip}, mti={"k": 2}) as session:
        first = session.search("a man", people)
        encoder = session._encoder
        (people / "0_a.png").unlink()
        session.index(people)
        second = session.search("a man", people)
        assert session._encoder is encoder
    assert (len(first.results), len(second.results)) == (8, 7)
    assert made[-1] == "closed"
    assert made.count("closed") == 1
    assert len(made) == 2 * 2 + 1
    with pytest.raises(ctgi.CtgiError, match="closed"):
        session.search("a man", people)


def test_it_works_where_an_event_loop_runs(people: Path, clip: str) -> None:
    async def notebook() -> None:
        with ctgi.Session(bindings={"images": Looker(), "search_gallery": clip}) as session:
            inside = session.search("a man", people, mti=False)  # a cell that does not await
            both = await asyncio.gather(session.asearch("a man", people, mti=False), session.asearch("a man", people))
            assert both[0].results == inside.results
            assert both[1].anchors
            assert (await session.acaption_image(people / "0_a.png")).caption

    asyncio.run(notebook())


def test_what_is_wrong_is_said_in_ctgi_s_own_errors(people: Path, clip: str) -> None:
    with pytest.raises(ctgi.CtgiError, match="the query is empty"):
        ctgi.search(" ", people, bindings={"search_gallery": clip})
    with pytest.raises(ctgi.CtgiError, match="k is 0"):
        ctgi.search("a man", people, k=0, bindings={"search_gallery": clip})
    with pytest.raises(ctgi.CtgiError, match="no such folder"):
        ctgi.search("a man", people / "none", bindings={"search_gallery": clip})
    with pytest.raises(ctgi.CtgiError, match="expected a backend's name, a function or a model"):
        ctgi.Session(bindings={"images": 3})
    with pytest.raises(ctgi.ImageError, match="no such file"):
        ctgi.caption_image(people / "none.png", bindings={"images": Looker()})

    def broken(image: Any, prompt: str) -> str:
        raise RuntimeError("out of memory")

    with pytest.raises(ctgi.ToolError, match=r"broken raised RuntimeError: out of memory"):
        ctgi.caption_image(people / "0_a.png", bindings={"images": broken})


def test_a_result_keeps_names_that_are_no_utf8_and_fields_of_later_versions() -> None:
    path = os.fsdecode(b"caf\xe9.png")
    match = ctgi.Match.from_json(
        {"path": path, "sha256": "0", "rank": 1, "score": 0.5, "rank_before": None, "score_before": 0.5, "camera": "n"}
    )
    assert (match.path, match.to_json()["camera"]) == (path, "n")
    with pytest.raises(ctgi.CtgiError, match="no Match: rank"):
        ctgi.Match.from_json({**match.to_json(), "rank": "first"})


def test_evaluation(people: Path, clip: str, tmp_path: Path) -> None:
    from tests.support.people_dataset import save_people_dataset

    root = save_people_dataset(tmp_path / "data")
    metrics = ctgi.evaluate("rstp", root, retriever=clip, limit=4)
    assert metrics["captions"] == 4
    assert set(metrics["t2i"]) >= {"R@1", "mAP", "mINP"}
    refined = ctgi.evaluate("rstp", root, retriever=clip, mti=True, bindings={"images": Looker()})
    assert refined["mti"]["t2i"]["refined_rate"] > 0.5
    assert refined["mti"]["t2i"]["calls_per_query"]["verify_match"] == 1


def test_what_leaves_the_machine_is_said_once_and_shows_by_default(
    people: Path, clip: str, caplog: pytest.LogCaptureFixture
) -> None:
    away = {"images": Looker(), "propose_questions": "vllm:m@http://somewhere.example/v1", "search_gallery": clip}
    with ctgi.Session(bindings=away, mti={"k": 1}, endpoints={"vllm": {"retries": 0}}) as session:
        for _ in range(2):
            with pytest.raises(ctgi.CtgiError):
                session.search("a man", people)
    told = [record for record in caplog.records if "somewhere.example" in record.getMessage()]
    assert [record.levelname for record in told] == ["WARNING"]
    assert "send images and texts to http://somewhere.example/v1: propose_questions" in told[0].getMessage()


def test_a_closed_session_lets_go_of_what_it_was_lent(people: Path) -> None:
    import gc
    from weakref import ref

    looker = Looker()
    gone = ref(looker)
    with ctgi.Session(bindings={"images": looker}) as session:
        ctgi.caption_image(people / "1_a.png", bindings={"images": looker})  # lent twice, taken back once
        assert session.caption_image(people / "0_a.png").caption
    del looker, session
    gc.collect()
    assert gone() is None

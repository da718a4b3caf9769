"""Traces on the page: listed, shown and compared, with pictures of the gallery's images alone."""

from pathlib import Path

import pytest

from ctgi.testing import ScriptedMllm
from ctgi.tools.traces.reader import trace_files
from tests.support.page import Visit, seen, visited

pytestmark = pytest.mark.anyio


async def searched(visit: Visit, query: str) -> str:
    """The run of a search."""
    before = set(trace_files(visit.site.settings.traces))
    await visit.finished(query)
    (made,) = set(trace_files(visit.site.settings.traces)) - before
    return made.stem


async def test_runs_are_listed_shown_and_compared(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm({"kind of shoes": "boots", "": "yes"}), tmp_path) as visit:
        assert "No run is recorded yet" in (await visit.see("/traces")).text
        runs = [await searched(visit, "a man with a bag"), await searched(visit, "a man with a hat")]
        listed = await visit.see("/traces")
        assert [one["href"] for one in listed.all("a") if one["href"].startswith("/traces/")] == [
            f"/traces/{run}" for run in reversed(runs)
        ]
        assert {one["name"]: one["value"] for one in listed.all("input", checked="")} == {"a": runs[0], "b": runs[1]}
        shown = await visit.get(f"/traces/{runs[0]}")
        assert "a man with a bag" in seen(shown.text).text
        assert "data:image/jpeg;base64" in shown.text
        assert "script-src" not in shown.headers["content-security-policy"]
        assert "x-ctgi-report" not in shown.headers
        assert "No item fits" in (await visit.get(f"/traces/{runs[0]}?item=nobody")).text
        compared = await visit.get(f"/traces/diff?a={runs[0]}&b={runs[1]}")
        assert compared.status_code == 200
        assert f"A {runs[0]}, B {runs[1]}" in seen(compared.text).text


async def test_a_trace_shows_no_image_that_is_not_in_the_gallery(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        run = await searched(visit, "a man")
        vars(visit.site)["pictures"] = type(visit.site.pictures)(lambda sha256: [], tmp_path)
        shown = (await visit.get(f"/traces/{run}")).text
        assert "data:image" not in shown
        assert "not in this gallery" in shown


@pytest.mark.parametrize("run", ["nobody", "..%2F..%2Fetc%2Fpasswd", "last"])
async def test_only_runs_of_the_folder_are_opened(people: Path, tmp_path: Path, run: str) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        assert (await visit.get(f"/traces/{run}")).status_code == 404


async def test_two_runs_are_needed(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        told = await visit.get("/traces/diff")
        assert told.status_code == 400
        assert "Choose two runs" in told.text


async def test_a_trace_that_cannot_be_read_is_listed(people: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl").write_text("nonsense\n")
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        assert "unreadable" in (await visit.see("/traces")).text

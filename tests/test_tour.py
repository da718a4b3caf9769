"""docs/tour.ipynb, run by a real kernel on the embedded models."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOUR = Path(__file__).parent.parent / "docs" / "tour.ipynb"
RUN = """
import sys, nbclient, nbformat
book = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(book, kernel_name="python3", timeout=280).execute()
nbformat.write(book, "run.ipynb")
"""


def shown(cell: dict[str, Any]) -> str:
    """What a cell printed or showed."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell["outputs"]]
    return "".join("".join(text) for text in texts)


@pytest.mark.slow
def test_the_tour_runs_from_its_first_cell_to_its_last(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", RUN, TOUR], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    drawn, captioned, searched, listed, awaited, _, own = [
        cell for cell in json.loads((tmp_path / "run.ipynb").read_text())["cells"] if cell["cell_type"] == "code"
    ]
    assert int(shown(drawn).split()[-1]) > 6
    assert len(shown(captioned).splitlines()) > 3
    assert "<iframe srcdoc=" in "".join(searched["outputs"][-1]["data"]["text/html"])
    assert len(shown(listed).splitlines()) == 6
    assert shown(awaited).count("people/imgs") == 3
    assert "pixels" in shown(own)

"""Make docs/ui.jpg: a search on the page, over people that ctgi draws. Needs a Chromium and pip install 'ctgi[dev]'."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

OUT = Path(__file__).parent / "ui.jpg"
QUERY = sys.argv[1] if len(sys.argv) > 1 else "woman with red bag"
PORT = "8399"
SIZE = {"width": 1280, "height": 860}


def main() -> None:
    """Draw people, serve the page, search, and take the picture once the dialogue is done."""
    with tempfile.TemporaryDirectory() as folder:
        ctgi = [sys.executable, "-m", "ctgi"]
        subprocess.run([*ctgi, "synth", "people", "--identities", "40", "--seed", "7"], cwd=folder, check=True)
        page = subprocess.Popen(
            [*ctgi, "ui", "-g", "people/imgs", "--port", PORT], cwd=folder, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"HOME": folder},
        )  # fmt: skip
        try:
            assert page.stderr
            for line in page.stderr:
                if "the page:" in line:
                    break
            taken = picture(f"http://127.0.0.1:{PORT}/")
        finally:
            page.send_signal(signal.SIGINT)
            page.wait()
    Image.open(io.BytesIO(taken), formats=("PNG",)).convert("RGB").save(OUT, quality=84, optimize=True)


def picture(address: str) -> bytes:
    """What a browser shows of a finished search."""
    program = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page(viewport=SIZE)
        tab.goto(address)
        tab.fill("#query", QUERY)
        tab.click("form.ask button")
        tab.wait_for_url("**/searches/*")
        tab.wait_for_selector(".spin", state="detached", timeout=120_000)
        tab.reload()
        tab.wait_for_load_state("networkidle")
        taken: bytes = tab.screenshot()
        browser.close()
    return taken


if __name__ == "__main__":
    main()

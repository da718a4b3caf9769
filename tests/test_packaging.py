"""What a checkout packs: a wheel that holds everything, also from a copy without symbolic links."""

import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
AT_THE_ROOT = ("agents", "graphs", "retrieval", "tools", "training")


def _table() -> dict[str, object]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    table: dict[str, object] = config["tool"]["setuptools"]
    return table


def _homes() -> Iterator[tuple[str, Path]]:
    yield "ctgi", ROOT / "src" / "ctgi"
    for name in AT_THE_ROOT:
        yield f"ctgi.{name}", ROOT / name


def _packages() -> set[str]:
    """Every folder with an __init__.py, by its import name; links are the folders at the root once more."""
    found = set()
    for package, home in _homes():
        for init in home.rglob("__init__.py"):
            if not (package == "ctgi" and init.relative_to(home).parts[0] in AT_THE_ROOT):
                found.add(".".join((package, *init.parent.relative_to(home).parts)))
    return found


def _files() -> set[str]:
    """Every tracked file of the packages, by its path in the wheel."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "src/ctgi", *AT_THE_ROOT], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    files = [Path(name) for name in tracked if name and not (ROOT / name).is_symlink()]
    inside = [file.relative_to("src") if file.parts[0] == "src" else Path("ctgi") / file for file in files]
    return {file.as_posix() for file in inside}


def test_the_package_table_lists_every_package() -> None:
    table = _table()
    assert set(table["packages"]) == _packages()  # type: ignore[call-overload]
    assert table["package-dir"] == {"": "src"} | {f"ctgi.{name}": name for name in AT_THE_ROOT}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and an sdist of the tracked files, without links."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, copy / name
        if source.is_file() and not source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    build = f"from setuptools import build_meta as b; b.build_sdist({str(out)!r}); b.build_wheel({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.mark.slow
def test_the_wheel_of_a_copy_without_links_is_complete(built: Path, tmp_path: Path) -> None:
    wheel = next(built.glob("*.whl"))
    assert wheel.stat().st_size < 60_000_000
    assert _files() <= set(zipfile.ZipFile(wheel).namelist())
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, cwd=tmp_path)
    look = "import ctgi; from importlib.metadata import files; print(ctgi.__version__, *files('ctgi'), sep='\\n')"
    said = subprocess.run([python, "-I", "-c", look], check=True, cwd=tmp_path, capture_output=True, text=True).stdout
    version, *installed = said.splitlines()
    assert version in wheel.name
    assert _files() <= set(installed)


@pytest.mark.slow
def test_the_sdist_holds_the_five_folders(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    homes = [home.relative_to(ROOT).as_posix() for _, home in _homes()]
    for home in homes:
        wanted = {file.relative_to(ROOT).as_posix() for file in (ROOT / home).rglob("*.py")}
        assert {name for name in wanted if not (ROOT / name).parent.is_symlink()} - names == set()

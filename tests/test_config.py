import os
from pathlib import Path

import pytest

from ctgi.config import find_config, load_settings
from ctgi.errors import CtgiError
from ctgi.files import user_folder
from ctgi.tools.specs import image_tools

TOML = "[mtg]\nturns = 3\n"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    return tmp_path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_configuration_is_read_in_any_encoding_that_is_certain(encoding: str) -> None:
    Path("ctgi.toml").write_bytes(TOML.replace("\n", "\r\n").encode(encoding))
    assert load_settings().mtg.turns == 3
    assert load_settings(mtg={"seed": 1}).mtg.turns == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[mtg\n", "line 1"),
        (b"a = 1\nb = ]\n", "line 2"),
        (b"x=" + b"[" * 100_000, "nested too deeply"),
        ("# \u540d\n".encode("gbk") + b"[mtg]\n", "line 1: not UTF-8.*: save it as UTF-8"),
        (b"traces = 'a\0b'\n", "NUL bytes"),
        (b'traces = "a\\u0000b"\n', "NUL byte"),
        (b"bindings = 3\n", "bindings"),
        (b"endpoints = [1]\n", "endpoints"),
    ],
)
def test_what_is_wrong_with_it_is_said_with_its_file(content: bytes, said: str) -> None:
    Path("ctgi.toml").write_bytes(content)
    with pytest.raises(CtgiError, match=f"(?s)ctgi.toml.*{said}"):
        load_settings()


def test_one_that_cannot_be_read_is_not_passed_over(place: Path) -> None:
    (place / "ctgi.toml").mkdir()
    (place / "below").mkdir()
    os.chdir(place / "below")
    with pytest.raises(CtgiError, match=r"ctgi\.toml: Is a directory"):
        load_settings()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_is_named() -> None:
    Path("ctgi.toml").touch(0o000)
    with pytest.raises(CtgiError, match=r"ctgi\.toml: Permission denied"):
        load_settings()


def test_a_variable_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTGI_MTG", "{")
    with pytest.raises(CtgiError, match=r"CTGI_\* variables.*mtg"):
        load_settings()


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_entry(uid: int) -> object:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", no_entry)
    assert user_folder("XDG_CACHE_HOME", ".cache") is None
    assert find_config(Path.cwd()) is None
    assert load_settings().cache.file is None
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert user_folder("XDG_CACHE_HOME", ".cache") == Path("/there/ctgi")


def test_images_in_a_file_or_a_variable_binds_the_tools_without_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("ctgi.toml").write_text('[bindings]\nimages = "vllm:a"\nverify_match = "vllm:b"\n')
    settings = load_settings()
    assert [str(settings.binding(tool)) for tool in image_tools()] == ["vllm:a", "vllm:a", "vllm:b"]
    assert str(load_settings(binds=["images=vllm:c"]).binding("verify_match")) == "vllm:c"
    Path("ctgi.toml").unlink()
    monkeypatch.setenv("CTGI_BINDINGS__IMAGES", "vllm:d")
    assert str(load_settings().binding("caption_image")) == "vllm:d"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [("CTGI_MTG_TURNS", "CTGI_MTG__TURNS"), ("CTGI_BINDINGS_VERIFY_MATCH", "CTGI_BINDINGS__VERIFY_MATCH")],
)
def test_a_variable_with_one_underscore_too_few_is_no_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    monkeypatch.setenv(variable, "3")
    with pytest.raises(CtgiError, match=f"{variable}: no such setting; did you mean {meant}"):
        load_settings()
    monkeypatch.delenv(variable)
    monkeypatch.setenv("CTGI_MTG_OF_SOMEBODY", "3")
    load_settings()

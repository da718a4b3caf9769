"""What the configuration tells of keys and passwords: nothing."""

import json
from pathlib import Path

import pytest

from ctgi.config import Binding, load_settings
from ctgi.errors import CtgiError
from ctgi.secrets import masked

KEY = "sk-written-down"


@pytest.mark.parametrize(
    "line",
    [
        f'[endpoints.vllm]\napi_key = "{KEY}"',
        f'[endpoints.vllm]\napi_key_env = "{KEY}"',
        f'[endpoints.vllm]\napi_key_env = ["{KEY}"]',
        f'[endpoints.vllm]\nbase_url = {{ key = "{KEY}" }}',
        f'[endpoints.vllm]\ntimeout_s = "http://me:{KEY}@host"',
        f'[endpoints]\nvllm = "{KEY}"',
        f'[endpoints]\nvllm = ["{KEY}"]',
        f'bindings = "images=vllm:m@http://me:{KEY}@host"',
        f'[bindings]\ncaption_image = ["{KEY}"]',
        f'[telemetry]\nheaders = "{KEY}"',
        f'[telemetry]\nendpoint = ["{KEY}"]',
        f'api_key = "{KEY}"',
        f'OPENAI_API_KEY = "{KEY}"',
    ],
)
def test_a_key_in_the_file_is_not_repeated(line: str, tmp_path: Path) -> None:
    (tmp_path / "ctgi.toml").write_text(line)
    with pytest.raises(CtgiError) as raised:
        load_settings(config=tmp_path / "ctgi.toml")
    assert KEY not in str(raised.value)
    assert "configuration" in str(raised.value)


@pytest.mark.parametrize(
    "name",
    ["CTGI_ENDPOINTS__LAB__API_KEY", "CTGI_ENDPOINTS__LAB__API_KEY_ENV", "CTGI_ENDPOINTS__LAB", "CTGI_ENDPOINTS"],
)
def test_a_key_in_the_environment_is_not_repeated(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, KEY)
    with pytest.raises(CtgiError) as raised:
        load_settings()
    assert KEY not in str(raised.value)


def test_what_is_no_secret_is_still_shown(tmp_path: Path) -> None:
    (tmp_path / "ctgi.toml").write_text("[mtg]\nturns = -1")
    with pytest.raises(CtgiError, match=r"mtg\.turns: .* \(got -1\)"):
        load_settings(config=tmp_path / "ctgi.toml")
    (tmp_path / "ctgi.toml").write_text('profile = "papers"')
    with pytest.raises(CtgiError, match=r"\(got 'papers'\)"):
        load_settings(config=tmp_path / "ctgi.toml")


@pytest.mark.parametrize("scheme", ["http", "HTTPS", "ftp"])
def test_a_binding_is_shown_without_its_password(scheme: str) -> None:
    binding = Binding.parse(f"vllm:org/m:tag@1@{scheme}://me:p@ssw0rd@host:9/v1?key=hidden#x")
    assert (binding.endpoint, binding.model) == ("vllm", "org/m:tag@1")
    assert "ssw0rd" not in str(binding)
    assert "hidden" not in str(binding)
    with pytest.raises(CtgiError) as raised:
        Binding.parse(f":m@{scheme}://me:p@ssw0rd@host:9/v1")
    assert "ssw0rd" not in str(raised.value)


def test_all_that_is_secret_is_known_once_the_settings_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_KEY", "key-of-the-lab\n")
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-openai")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:key-of-the-proxy@proxy:3128")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:key-of-otlp@host:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=b,api-key=key-of-headers")
    (tmp_path / "ctgi.toml").write_text(
        '[endpoints.lab]\nbase_url = "http://me:key@of@lab@host/v1"\napi_key_env = "LAB_KEY"\n'
        '[telemetry]\nendpoint = "http://me:key-of-spans@host:4318"\n'
    )
    settings = load_settings(
        config=tmp_path / "ctgi.toml", binds=["images=vllm:m@http://me:key-in-binding@host/v1?sig=key-in-query"]
    )
    said = (
        "key-of-the-lab key-of-openai key-of-the-proxy "
        "key-of-otlp key@of@lab key-of-spans key-in-binding key-in-query key-of-headers"
    )
    assert masked(said) == " ".join(["***"] * 9)
    assert "key" not in json.dumps(settings.public()).replace("api_key_env", "").replace("LAB_KEY", "")

"""What leaves the machine: each command says it before its first request, and no credential is left anywhere."""

import json
import logging
import shutil
from base64 import b64encode
from pathlib import Path

import pytest

from ctgi.cli.console import Notices, tell_bug
from ctgi.testing import Fault, Reply, ScriptedServer
from tests.support.commands import Run
from tests.support.looking_model import look, name_shirts_alone
from tests.support.people_dataset import save_people_dataset
from tests.support.traces import wordy

REMOTE = "http://models.example/v1"
IMAGES = "these bindings send images and texts to"


@pytest.fixture
def remote(double: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    """A server on another network, reached through a proxy."""
    for name in ("http_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", f"http://me:of-the-proxy@127.0.0.1:{double.port}")
    double.replies = wordy()
    return double


def told(double: ScriptedServer, *tools: str) -> str:
    proxy = f"the proxy http://127.0.0.1:{double.port} (HTTP_PROXY)"
    return f"{IMAGES} {REMOTE}, through {proxy}: {', '.join(tools)}\n"


def test_caption_says_who_sends_what_to_whom(ctgi: Run, remote: ScriptedServer, people: Path) -> None:
    binds = ["-b", f"images=vllm:double@{REMOTE}", "-b", f"reconstruct_caption=vllm:double@{REMOTE}"]
    done = ctgi("caption", people / "0_a.png", *binds)
    assert done.code == 0
    texts = told(remote, "reconstruct_caption").replace("images and texts", "texts")
    assert done.err.startswith(told(remote, "caption_image", "answer_question") + texts)
    assert done.err.count("these bindings") == 2
    assert "of-the-proxy" not in done.err
    assert IMAGES not in ctgi("caption", people / "0_b.png", *binds, "--quiet").err


def test_search_says_it(ctgi: Run, remote: ScriptedServer, people: Path, tiny_clip: Path) -> None:
    binds = ["-b", f"images=vllm:double@{REMOTE}", "-b", f"search_gallery=open_clip:local-dir:{tiny_clip}"]
    assert told(remote, "answer_question", "verify_match") in ctgi("search", "a man", "-g", people, *binds).err
    assert IMAGES not in ctgi("search", "a man", "-g", people, "--no-mti", *binds).err


def test_check_says_it(ctgi: Run, remote: ScriptedServer, tiny_clip: Path) -> None:
    clip = f"search_gallery=open_clip:local-dir:{tiny_clip}"
    done = ctgi("tools", "check", "-b", f"verify_match=vllm:double@{REMOTE}", "-b", clip)
    assert told(remote, "verify_match") in done.err


def test_evaluate_says_it(ctgi: Run, remote: ScriptedServer, tmp_path: Path, tiny_clip: Path) -> None:
    remote.replies = look
    root = name_shirts_alone(save_people_dataset(tmp_path / "rstp", train=2, val=1, test=2, views=2))
    command = ["evaluate", "--data", "rstp", "--root", root, "--retriever", f"open_clip:local-dir:{tiny_clip}"]
    command += ["-b", f"images=vllm:double@{REMOTE}"]
    assert IMAGES not in ctgi(*command).err
    assert told(remote, "answer_question", "verify_match") in ctgi(*command, "--mti", "--no-trace").err
    assert any("models.example" in target for target in remote.targets)


def test_ablate_says_it_before_it_begins(ctgi: Run, remote: ScriptedServer) -> None:
    done = ctgi(
        "ablate", "--data", "rstp", "--root", "none", "--captions", "none", "-b", f"images=vllm:double@{REMOTE}"
    )
    assert done.err.startswith(told(remote, "answer_question", "verify_match"))


def test_a_replay_says_it_where_something_is_asked_anew(ctgi: Run, remote: ScriptedServer, people: Path) -> None:
    assert ctgi("caption", people / "0_a.png", "-b", f"images=vllm:double@{remote.url}", "--no-cache").code == 0
    anew = ctgi("trace", "replay", "last", "-b", f"answer_question=vllm:double@{REMOTE}", "--on-miss", "live")
    assert told(remote, "answer_question") in anew.err
    run = json.loads(next(Path(".ctgi/traces").glob("*.jsonl")).read_text().splitlines()[0])["run"]
    assert IMAGES not in ctgi("trace", "replay", run).err


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1.nip.example/v1", "http://127.0.0.1.nip.example/v1, through"),
        ("http://localhost.evil.example/v1", "http://localhost.evil.example/v1, through"),
        ("http://127.0.0.1@evil.example/v1", "http://evil.example/v1, through"),
        ("http://evil.example/x//127.0.0.1", "http://evil.example/x//127.0.0.1, through"),
        ("http://192.168.255.254:9/v1", "http://192.168.255.254:9/v1 in your own network:"),
    ],
)
def test_what_only_looks_local_is_told(
    ctgi: Run, remote: ScriptedServer, people: Path, url: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTGI_ENDPOINTS__VLLM__TIMEOUT_S", "0.2")
    monkeypatch.setenv("CTGI_ENDPOINTS__VLLM__RETRIES", "0")
    assert f"{IMAGES} {place}" in ctgi("caption", people / "0_a.png", "-b", f"images=vllm:double@{url}").err


def test_nothing_is_told_of_this_machine(ctgi: Run, remote: ScriptedServer, people: Path) -> None:
    for host in ("127.0.0.1", "localhost", "127.1"):
        done = ctgi(
            "caption", people / "0_a.png", "-b", f"images=vllm:double@http://{host}:{remote.port}/v1", "--no-cache"
        )
        assert (done.code, done.err) == (0, "")
        Path("captions.jsonl").unlink()


def test_langsmith_is_told(ctgi: Run, remote: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from ctgi.agents.senders import senders
    from ctgi.config import load_settings

    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "https://smith.example")
    assert senders(load_settings(), ["caption_image"]) == [
        "LangGraph sends texts and the paths of images to https://smith.example (LANGSMITH_TRACING)"
    ]


def test_a_proxy_that_cannot_be_used_is_one_line(
    ctgi: Run, people: Path, double: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:hidden-word@127.0.0.1:7890")
    done = ctgi("caption", people / "0_a.png", "-b", f"images=vllm:double@{REMOTE}")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert done.err.startswith("ctgi: ALL_PROXY names a socks5 proxy")
    assert "hidden-word" not in done.err
    assert ctgi("caption", people / "0_a.png", "-b", f"images=vllm:double@{double.url}").code == 0


# --- credentials

SECRETS = (
    "p@ss:w0rd%2Fx",
    "p@ss:w0rd/x",
    "p%40ss%3Aw0rd%2Fx",
    "ss:w0rd",
    "in-the-query",
    "of-the-lab-key",
    "of-the-proxy",
)


def everything(work: Path) -> str:
    """All that lies in the working directory and the user's own folders, as text."""
    files = [path for folder in (work, work.parent / "home") for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".jsonl", ".sqlite"}
    return "\n".join(path.read_bytes().decode("latin-1") for path in files)


def test_no_credential_is_left_anywhere(
    ctgi: Run, remote: ScriptedServer, people: Path, work: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_KEY", "of-the-lab-key")
    host = f"127.0.0.1:{remote.port}"
    (work / "ctgi.toml").write_text(
        f'[endpoints.lab]\nprovider = "vllm"\nbase_url = "http://{host}/v1?sig=in-the-query"\napi_key_env = "LAB_KEY"\n'
        f"[endpoints.vllm]\nretries = 0\n"
    )
    shutil.copytree(people, work / "im")
    basic = b64encode(b"me:p@ss:w0rd/x").decode().rstrip("=")
    usual = remote.replies

    def echoing(seen: object) -> Reply | Fault | str:
        authorization = getattr(seen, "headers").get("authorization", "")  # noqa: B009
        said = usual(seen)  # type: ignore[arg-type]
        told = said if isinstance(said, str) else getattr(said, "text", "")
        if "choice" in str(getattr(seen, "body")):  # noqa: B009
            return said
        return f"{told} {authorization} p@ss:w0rd/x"

    remote.replies = echoing  # type: ignore[assignment]
    binds = [
        "-b", f"images=vllm:double@http://me:p@ss:w0rd%2Fx@{host}/v1?sig=in-the-query",
        "-b", "reconstruct_caption=lab:double",
        "-b", f"search_gallery=open_clip:local-dir:{tiny_clip}",
    ]  # fmt: skip
    said = []
    for command in (
        ["caption", "im"],
        ["caption", "im", "-o", "again.jsonl", "--json"],
        ["search", "a man in a coat", "-g", "im", "--html", "found.html"],
        ["search", "a man in a coat", "-g", "im", "--json"],
        ["tools", "list"],
        ["tools", "list", "--json"],
        ["tools", "check"],
        ["tools", "check", "--json"],
    ):
        done = ctgi(*command, *binds)
        assert done.code in (0, 1), done.err
        said += [done.out, done.err]
    said += [ctgi("trace", "show", "last").out, ctgi("trace", "show", "last", "--html", "run.html").err]
    assert remote.seen, "the server was asked"
    remote.replies = Fault(401, json.dumps({"error": {"message": f"Basic {basic}"}}).encode())
    for command in (["caption", "im", "-o", "new.jsonl", "--no-cache"], ["tools", "check", "--json"]):
        said += [(done := ctgi(*command, *binds)).out, done.err]
    remote.replies = Fault(418, json.dumps({"error": {"message": f"{basic} p@ss:w0rd/x of-the-lab-key"}}).encode())
    said += [(done := ctgi("caption", "im", "-o", "new.jsonl", "--no-cache", "--json", *binds)).out, done.err]
    (work / "ctgi.toml").unlink()
    left = everything(work) + "".join(said)
    assert [secret for secret in (*SECRETS, basic, basic[:-4]) if secret in left] == []


@pytest.mark.parametrize(
    "spec", ["vllm:m@http://me:hid@den@h/v1", "vllm:m@http://me:hid@den@h/v1?a=b", ":m@http://me:hid@den@h"]
)
def test_a_slip_in_a_binding_shows_no_password(ctgi: Run, people: Path, spec: str) -> None:
    for bind in (spec, f"images={spec}=", f"{spec}=templates"):
        done = ctgi("caption", people / "0_a.png", "-b", bind, "--no-trace")
        assert done.code == 2
        assert "hid" not in done.err
        assert "den" not in done.err


def test_the_traceback_of_a_bug_and_the_log_of_a_library_show_no_password(
    ctgi: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sk-of-the-environment")
    ctgi("tools", "list")
    try:
        raise RuntimeError("the key sk-of-the-environment")
    except RuntimeError as error:
        tell_bug(RuntimeError, error, error.__traceback__)
    Notices().handle(logging.makeLogRecord({"msg": "key %s", "args": ("sk-of-the-environment",)}))
    shown = capsys.readouterr().err
    assert "RuntimeError: the key ***" in shown
    assert shown.endswith("\nkey ***\n")
    assert "sk-of" not in shown


def test_a_new_password_asks_nothing_again(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    for password in ("one-password", "two-password"):
        url = double.url.replace("//", f"//me:{password}@")
        done = ctgi(
            "caption", people / "0_a.png", "-b", f"images=vllm:double@{url}", "-o", f"{password}.jsonl", "--json"
        )
    assert done.json["calls"] == 0
    assert done.json["cached"] > 0

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ctgi.config import Binding, Settings, load_settings
from ctgi.errors import CtgiError, ToolError
from ctgi.retrieval.images import ImageRef
from ctgi.testing import ScriptedMllm
from ctgi.tools.backends import ChatReply, ChatRequest
from ctgi.tools.chat_cache import ChatCache, open_chat_cache, open_user_cache
from ctgi.tools.traces.call_notes import noting
from ctgi.tools.types import Tokens

VLLM = Binding.parse("vllm:model@http://a/v1")
ASKED = ChatRequest("a red coat?", ImageRef("1.png", "sha-1"), choices=("yes", "no"))
SAID = ChatReply("yes", 0.75, {"yes": 0.9, "no": 0.1}, Tokens(10, 1))


def ask(path: Path, request: ChatRequest = ASKED, binding: Binding = VLLM, **mti: object) -> tuple[ChatReply, int]:
    """The reply, and whether the model was asked for it."""
    mllm = ScriptedMllm(lambda request: SAID)
    with open_chat_cache(path) as cache:
        settings = load_settings(endpoints={"vllm": {"max_pixels": 50_176, **mti}})
        reply = asyncio.run(cache.wrap(binding, settings, mllm).chat(request))
        assert (cache.made, cache.reused) == (len(mllm.seen), 1 - len(mllm.seen))
        assert cache.tokens == Tokens(10, 1)
    return reply, len(mllm.seen)


def test_a_reply_is_kept_whole_and_given_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "calls.sqlite"
    assert ask(path) == (SAID, 1)
    assert ask(path) == (replace(SAID, tokens=Tokens()), 0)


def test_the_same_content_elsewhere_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    ask(path)
    moved = ChatRequest("a red coat?", ImageRef("moved/1.png", "sha-1"), choices=("yes", "no"))
    assert ask(path, moved, Binding.parse("vllm:model@http://b/v1"))[1] == 0


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest("a blue coat?", ASKED.image, choices=("yes", "no")),
        ChatRequest("a red coat?", ImageRef("1.png", "sha-2"), choices=("yes", "no")),
        ChatRequest("a red coat?", ASKED.image),
        ChatRequest("a red coat?", ASKED.image, choices=("yes", "no"), system="be strict"),
        ChatRequest("a red coat?", ASKED.image, (("before", "reply"),), choices=("yes", "no")),
    ],
)
def test_another_question_or_image_is_asked(tmp_path: Path, request_: ChatRequest) -> None:
    ask(tmp_path / "calls.sqlite")
    assert ask(tmp_path / "calls.sqlite", request_)[1] == 1


def test_another_backend_or_image_size_is_asked(tmp_path: Path) -> None:
    ask(tmp_path / "calls.sqlite")
    assert ask(tmp_path / "calls.sqlite", binding=Binding.parse("vllm:other"))[1] == 1
    assert ask(tmp_path / "calls.sqlite", max_pixels=100_352)[1] == 1


def test_requests_of_another_form_are_other_calls(tmp_path: Path) -> None:
    ask(tmp_path / "calls.sqlite")
    assert ask(tmp_path / "calls.sqlite", leave_out=["seed"])[1] == 1
    thinking = {"chat_template_kwargs": {"enable_thinking": False}}
    assert ask(tmp_path / "calls.sqlite", extra_body=thinking)[1] == 1
    assert ask(tmp_path / "calls.sqlite", extra_body=thinking)[1] == 0


@pytest.mark.parametrize(
    ("text", "output", "asked"), [("yes", 1, 0), ("The person in", 256, 1), ("<think>Hm.</think> yes", 9, 1)]
)
def test_a_reply_of_an_earlier_version_that_may_be_cut_or_thought_is_asked_for_anew(
    tmp_path: Path, text: str, output: int, asked: int
) -> None:
    """They were kept without a word of whether they were cut."""
    path = tmp_path / "calls.sqlite"
    ask(path)
    kept = {"text": text, "confidence": None, "choices": {}, "tokens": {"input": 10, "output": output}}
    with closing(sqlite3.connect(path)) as file, file:
        assert file.execute("UPDATE replies SET reply = ?", (json.dumps(kept),)).rowcount == 1
    mllm = ScriptedMllm(lambda request: SAID)
    with open_chat_cache(path) as cache:
        settings = load_settings(endpoints={"vllm": {"max_pixels": 50_176}})
        asyncio.run(cache.wrap(VLLM, settings, mllm).chat(ASKED))
    assert len(mllm.seen) == asked


def test_the_same_question_at_the_same_time_is_asked_once(tmp_path: Path) -> None:
    mllm = ScriptedMllm(lambda request: SAID, latency_s=0.01)

    async def ask_twice() -> list[ChatReply]:
        with open_chat_cache(tmp_path / "calls.sqlite") as cache:
            model = cache.wrap(VLLM, load_settings(), mllm)
            return await asyncio.gather(model.chat(ASKED), model.chat(ASKED))

    assert asyncio.run(ask_twice()) == [SAID, replace(SAID, tokens=Tokens())]
    assert len(mllm.seen) == 1


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    def fail(request: ChatRequest) -> str:
        raise ToolError("refused")

    with open_chat_cache(tmp_path / "calls.sqlite") as cache, pytest.raises(ToolError):
        asyncio.run(cache.wrap(VLLM, load_settings(), ScriptedMllm(fail)).chat(ASKED))
    assert ask(tmp_path / "calls.sqlite")[1] == 1


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    path.write_bytes(b"something else, and long enough to be told from an empty file" * 20)
    with pytest.raises(CtgiError, match="cannot keep model replies here"), open_chat_cache(path):
        pass


# --- the cache that all runs of a user share


@pytest.fixture
def shared(tmp_path: Path) -> Settings:
    return load_settings(cache={"file": tmp_path / "cache" / "replies.sqlite"})


def call(cache: ChatCache, binding: Binding = VLLM, settings: Settings | None = None) -> tuple[ChatReply, bool, bool]:
    """The reply, whether the model was asked, and whether the recorder of the call is told of the cache."""
    mllm = ScriptedMllm(lambda request: SAID)
    with noting() as meta:
        reply = asyncio.run(cache.wrap(binding, settings or load_settings(), mllm).chat(ASKED))
    return reply, bool(mllm.seen), meta.src == "cache"


def test_a_later_run_is_answered_from_the_cache_and_says_so(shared: Settings) -> None:
    with open_user_cache(shared) as cache:
        assert call(cache) == (SAID, True, False)
    with open_user_cache(shared) as cache:
        assert call(cache) == (replace(SAID, tokens=Tokens()), False, True)
        assert (cache.made, cache.reused) == (0, 1)


def test_turned_off_it_counts_and_keeps_nothing(shared: Settings) -> None:
    off = shared.model_copy(update={"cache": shared.cache.model_copy(update={"enabled": False})})
    with open_user_cache(off) as cache:
        assert call(cache)[1:] == call(cache)[1:] == (True, False)
        assert (cache.made, cache.reused) == (2, 0)
    assert not shared.cache.file.exists()


def test_a_model_of_the_same_name_elsewhere_is_asked(shared: Settings) -> None:
    with open_user_cache(shared) as cache:
        call(cache)
        assert call(cache, Binding.parse("vllm:model@http://b/v1"))[1]
        moved = load_settings(endpoints={"vllm": {"base_url": "http://a/v1"}})
        assert not call(cache, Binding.parse("vllm:model"), moved)[1]  # the address counts, not where it is written


def test_another_checkpoint_saved_at_the_same_place_is_asked(shared: Settings, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    weights, binding = tmp_path / "model" / "model.safetensors", Binding.parse(f"hf:{tmp_path / 'model'}")
    weights.write_bytes(b"one")
    with open_user_cache(shared) as cache:
        assert call(cache, binding)[1]
        assert not call(cache, binding)[1]
        weights.write_bytes(b"three")
        assert call(cache, binding)[1]


@pytest.mark.parametrize("size", [100, 4096 * 8])
def test_a_damaged_file_is_set_aside_with_a_notice_and_the_run_goes_on(
    shared: Settings, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = shared.cache.file
    file.parent.mkdir()
    file.write_bytes(b"no database " * (size // 12))
    with open_user_cache(shared) as cache:
        assert call(cache) == (SAID, True, False)
        assert not call(cache)[1]
    (aside,) = file.parent.glob("replies.sqlite.damaged-*")
    assert aside.read_bytes().startswith(b"no database")
    assert f"was damaged; it is now {aside.name}" in caplog.text


def test_damage_found_in_the_middle_of_a_run_is_set_aside_too(
    shared: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    file = shared.cache.file
    with open_user_cache(shared) as cache:
        call(cache)
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)  # all but the page that says what there is
    file.write_bytes(content)
    with open_user_cache(shared) as cache:
        assert call(cache) == (SAID, True, False)
    assert "was damaged" in caplog.text
    assert "going on without" in caplog.text
    with open_user_cache(shared) as cache:
        assert call(cache)[1]
        assert not call(cache)[1]


def test_a_full_disk_costs_the_cache_and_not_the_run(shared: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with open_user_cache(shared) as cache:
        store = cache._store
        assert store
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages}")  # what SQLite says of a disk without room
        long = replace(SAID, text="yes " * 5000)
        model = cache.wrap(VLLM, load_settings(), ScriptedMllm(lambda request: long))
        assert asyncio.run(model.chat(ASKED)) == long
        assert asyncio.run(model.chat(replace(ASKED, prompt="a hat?"))) == long
    assert caplog.text.count("going on without") == 1
    assert "full" in caplog.text


def test_a_place_that_cannot_be_written_costs_the_cache_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    with open_user_cache(load_settings(cache={"file": tmp_path / "file" / "replies.sqlite"})) as cache:
        assert call(cache) == (SAID, True, False)
    assert "going on without" in caplog.text


def change_file(settings: Settings, change: str, *values: str) -> None:
    """What another program does to the file while it is in use."""
    assert settings.cache.file is not None
    with closing(sqlite3.connect(settings.cache.file, isolation_level=None)) as connection:
        connection.execute(change, values)


@pytest.mark.parametrize(
    "row",
    [
        '{"text": 1',
        '{"text": 1}',
        "[]",
        "[" * 100_000,
        '{"text": "a", "tokens": 5}',
        '{"text": "a", "confidence": "b"}',
    ],
)
def test_a_row_that_somebody_changed_is_asked_again(shared: Settings, row: str) -> None:
    with open_user_cache(shared) as cache:
        call(cache)
        change_file(shared, "UPDATE replies SET reply = ?", row)
        assert call(cache) == (SAID, True, False)
        assert not call(cache)[1]


@pytest.mark.parametrize("change", ["ALTER TABLE replies RENAME reply TO said", "DROP TABLE replies",
                                    "UPDATE replies SET reply = CAST(x'ff' AS TEXT)"])  # fmt: skip
def test_a_table_that_somebody_changed_costs_the_cache_and_not_the_run(
    shared: Settings, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    with open_user_cache(shared) as cache:
        call(cache)
        change_file(shared, change)
        assert call(cache) == (SAID, True, False)
    assert "going on without" in caplog.text


def test_a_user_without_a_home_has_no_cache_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with open_user_cache(load_settings(cache={"file": None, "max_mb": 1})) as cache:
        assert call(cache) == (SAID, True, False)
    assert "no home folder: replies are not cached" in caplog.text


def test_a_backend_whose_name_is_not_utf8_is_cached(shared: Settings) -> None:
    binding = Binding.parse("hf:caf\udce9")
    with open_user_cache(shared) as cache:
        assert call(cache, binding) == (SAID, True, False)
        assert not call(cache, binding)[1]

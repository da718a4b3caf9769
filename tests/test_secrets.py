"""Credentials in every spelling in which they come back."""

import json
from base64 import b64encode

import pytest

from ctgi.secrets import Secrets, in_url

PASSWORD = 'p@ss:w/rd "ü"'


def test_what_is_secret_in_a_url() -> None:
    basic = b64encode(b"me:p@ssw0rd").decode()
    assert in_url("http://me:p@ssw0rd@h/v1") == {"p@ssw0rd", basic}
    assert in_url("http://sk-token@h/v1") == {"sk-token", b64encode(b"sk-token:").decode()}
    assert in_url("https://h/v1?api-key=abcdefgh&api-version=2024-06-01-preview") == {"abcdefgh"}
    assert in_url("http://h/v1") == set()
    assert in_url("no address") == set()


@pytest.mark.parametrize(
    "spelled",
    [
        PASSWORD,
        "p%40ss%3Aw%2Frd%20%22%C3%BC%22",
        "p%40ss%3aw%2frd%20%22%c3%bc%22",
        b64encode(f"me:{PASSWORD}".encode()).decode(),
        b64encode(f"me:{PASSWORD}".encode()).decode().rstrip("="),
        json.dumps(PASSWORD)[1:-1],
        json.dumps(PASSWORD, ensure_ascii=False)[1:-1],
        json.dumps(PASSWORD)[1:-1].replace("/", r"\/"),
    ],
)
def test_a_password_is_hidden_in_every_spelling(spelled: str) -> None:
    secrets = Secrets(in_url("http://me:p%40ss:w%2Frd%20%22%C3%BC%22@h/v1"))
    assert secrets.mask(f"x{spelled}y").replace("=", "") == "x***y"
    assert secrets.mask_json(f"x{spelled}y".encode()).replace(b"=", b"") == b"x***y"


def test_a_short_secret_is_hidden_as_a_word_and_a_word_stays_in_replies() -> None:
    secrets = Secrets({"coat", "pa55", "abc"})
    assert secrets.mask_error("coat, coats, pa55 and abc") == "***, coats, *** and abc"
    assert secrets.mask("coat, coats, pa55 and abc") == "coat, coats, *** and abc"
    assert secrets.mask_json(b"a red coat, pa55") == b"a red coat, ***"


def test_what_a_header_carries_is_hidden_without_its_scheme_too() -> None:
    secrets = Secrets({"Bearer sk-12345678", "Token of-the-gateway"})
    assert secrets.mask("Bearer sk-12345678, sk-12345678, of-the-gateway") == "***, ***, ***"


def test_of_a_reply_the_texts_are_hidden_and_numbers_and_names_stay() -> None:
    secrets = Secrets({"1234", "logprobs", "p@ssw0rd"})
    reply = b'{"logprobs": null, "tokens": 1234, "texts": ["1234 p\\u0040ssw0rd", {"a": "logprobs"}], "n": -0.25}'
    assert json.loads(secrets.mask_json(reply)) == {
        "logprobs": None, "tokens": 1234, "texts": ["*** ***", {"a": "***"}], "n": -0.25,
    }  # fmt: skip
    untouched = b'{"a":  "\\u00e9", "b": 1234}'
    assert secrets.mask_json(untouched) is untouched
    assert secrets.mask_json(b"data: {p@ssw0rd}") == b"data: {***}"
    assert secrets.mask_json(b"[" * 100_000 + b"p@ssw0rd") == b"[" * 100_000 + b"***"


def test_bytes_that_are_no_text_pass() -> None:
    assert Secrets({"sk-12345678"}).mask_json(b"\xff sk-12345678 \xfe") == b"\xff *** \xfe"
    assert Secrets().mask_json(b"\xff") == b"\xff"

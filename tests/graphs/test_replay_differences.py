"""What a replay calls a difference."""

from ctgi.runs.replay.differences import differences

THEN = {"caption": "A man.", "turns": [{"answer": "red", "kept": True}], "calls": {"verify_match": 1}, "seconds": 3.0}


def test_the_same_outcome_has_none_whatever_it_took() -> None:
    assert differences(THEN, THEN | {"seconds": 9.0, "tokens": {"input": 1}}) == []


def test_what_differs_is_named() -> None:
    now = {"caption": "A woman.", "turns": [{"answer": "red", "kept": False}], "calls": {"verify_match": 1, "x": 1}}
    assert differences(THEN, now) == ["caption", "turns", "calls"]
    assert differences(THEN, THEN | {"turns": []}) == ["turns"]
    assert differences(THEN, THEN | {"turns": [{"answer": "red"}]}) == ["turns"]


def test_fields_that_an_older_version_did_not_write_do_not_differ() -> None:
    now = THEN | {"not_english": [], "turns": [{"answer": "red", "kept": True, "guessed": False}]}
    assert differences(THEN, now) == []


def test_an_outcome_that_the_recorded_run_did_not_come_to_differs_in_everything() -> None:
    assert differences({}, {"caption": "A man.", "seconds": 1.0}) == ["caption"]

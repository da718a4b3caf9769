from ctgi.retrieval.tokenizer import plain_text


def test_surrogate_pairs_are_joined_and_lone_ones_replaced() -> None:
    assert plain_text("a \ud83d\ude00 b") == "a \U0001f600 b"
    assert plain_text("a \ud83d b") == "a \ufffd b"
    assert plain_text(" \ufeffplain ") == "\ufeffplain"

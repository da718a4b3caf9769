from pathlib import Path

import pytest

from ctgi.agents.pool import load_pool
from ctgi.errors import CtgiError

PAPER_SIX = ["upper_color", "lower_type", "carried_objects", "accessories", "background", "action"]
ICL_FIFTEEN = {
    "gender", "hair", "upper_type", "lower_type", "upper_pattern", "shoes", "glasses", "scarf", "hand_held", "backpack",
    "hat", "belt", "action", "background", "other_people",
}  # fmt: skip


def drawn(text: str, seed: str = "a", there: tuple[str, ...] = ()) -> list[str]:
    pool, asked = load_pool(), list[str]()
    while question := pool.next(text, asked, there, seed=seed):
        asked.append(question.attribute)
    return asked


def test_the_papers_six_questions_come_first() -> None:
    assert drawn("someone")[:6] == PAPER_SIX


def test_the_pool_is_large_and_covers_icl() -> None:
    attributes = [question.attribute for question in load_pool().questions]
    assert len(attributes) >= 24
    assert set(attributes) >= ICL_FIFTEEN


def test_what_the_text_says_is_not_asked() -> None:
    asked = drawn("A man in a red leather jacket and blue jeans walks down a street.")
    assert not {"upper_color", "lower_type", "lower_color", "background", "action", "gender"} & set(asked)
    assert {"carried_objects", "shoes_color", "hair"} <= set(asked)


def test_a_color_belongs_to_the_garment_it_stands_by() -> None:
    asked = drawn("a red shirt and trousers")
    assert "upper_color" not in asked
    assert "lower_color" in asked


def test_a_dress_makes_trousers_moot() -> None:
    assert not {"lower_type", "lower_color", "belt"} & set(drawn("a woman in a blue dress"))


def test_a_follow_up_waits_for_its_answer_and_then_comes_first() -> None:
    assert "bag_color" not in drawn("someone")
    assert drawn("someone", there=("bag",))[0] == "bag_color"


def test_the_order_within_a_tier_is_seeded() -> None:
    assert drawn("someone", "a") == drawn("someone", "a")
    assert len({tuple(drawn("someone", seed)) for seed in "abcdef"}) > 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("questions: []", "at least 1"),
        ("questions: [{attribute: a, question: 'b?', statement: no placeholder}]", "statement"),
        ("questions: [{attribute: a, question: 'b?', statement: '{answer}', after: c}]", "after names no attribute"),
        ("questions: [{attribute: a, question: 'b?', statement: '{answer}', settled_by: [[x]]}]", "no word class"),
        ("questions: [{attribute: a, question: 'b?', statement: '{answer}', colour: red}]", "colour"),
        ("questions: [{attribute: a, question: 'b?', statement: '{answer} {other}'}]", "no other braces"),
        ("questions: [{attribute: a, question: 'b?', statement: '{answer} {thing.x}'}]", "no other braces"),
        ("questions: [", r"line 1: not YAML \(.*\): correct it there"),
        ("questions: " + "[" * 100_000, "nested too deeply"),
        ("questions: !!bool x", "question pool"),
        ("# NUL \0", "NUL bytes"),
    ],
)
def test_a_broken_pool_names_file_and_cause(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(text)
    with pytest.raises(CtgiError, match=complaint) as error:
        load_pool(path)
    assert str(path) in str(error.value)


def test_a_pool_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CtgiError, match=r"question pool .*no\.yaml: No such file or directory"):
        load_pool(tmp_path / "no.yaml")
    with pytest.raises(CtgiError, match=r"question pool .*: Is a directory"):
        load_pool(tmp_path)
    (tmp_path / "gbk.yaml").write_bytes("questions: [] # 名".encode("gbk"))
    with pytest.raises(CtgiError, match=r"question pool .*gbk\.yaml, line 1: not UTF-8.*: save it as UTF-8"):
        load_pool(tmp_path / "gbk.yaml")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_pool_from_another_system(tmp_path: Path, encoding: str) -> None:
    text = "questions:\r\n- {attribute: a, question: '几?', statement: '{answer}.'}\r\n"
    (tmp_path / "pool.yaml").write_bytes(text.encode(encoding))
    assert load_pool(tmp_path / "pool.yaml").questions[0].question == "几?"


def test_a_users_own_pool(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(
        "questions: [{attribute: badge, question: 'Is there a badge?', statement: 'The badge is {answer}.'}]"
    )
    question = load_pool(path).next("", [], [], seed="")
    assert question is not None
    assert question.question == "Is there a badge?"


def test_a_question_of_a_model_is_its_own_attribute() -> None:
    pool = load_pool()
    known = pool.questions[0]
    assert pool.question_about(known.attribute) == known
    asked = pool.question_about("Is the bag open?")
    assert (asked.attribute, asked.question, asked.statement) == ("Is the bag open?", "Is the bag open?", "{answer}")

import pytest

from ctgi.agents.pool import load_pool
from ctgi.agents.statements import compose, state, why_unusable


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        ("...", "empty"),
        ("Not visible.", "not visible"),
        ("It cannot be seen in the image", "not visible"),
        ("The shoes are not clearly visible.", "not visible"),
        ("Unclear", "not visible"),
        ("I\u2019m sorry, but I can\u2019t help with that.", "refusal"),
        ("As an AI language model I do not see", "refusal"),
        ("None", "nothing there"),
        ("No.", "nothing there"),
        ("The person is not wearing a hat.", "nothing there"),
        ("There is no bag.", "nothing there"),
        ("What color are the shoes?", "echo of the question"),
    ],
)
def test_an_answer_that_says_nothing_is_named(answer: str, reason: str) -> None:
    assert why_unusable("What color are the shoes?", answer) == reason


@pytest.mark.parametrize("answer", ["red", "Black shoes", "The shoes are white.", "northern-style boots"])
def test_an_answer_that_says_something_is_usable(answer: str) -> None:
    assert why_unusable("What color are the shoes?", answer) is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("红色的手提包", None), ("赤いかばん", None), ("빨간 가방", None), ("네이비 코트", None), ("حقيبة حمراء", None),
        ("Красная сумка", None), ("κόκκινη τσάντα", None), ("กระเป๋าสีแดง", None), ("लाल बैग", None), ("sac à main", None),
        ("不锈钢杯", None), ("non-slip shoes", None), ("faux fur", None),
        ("看不清", "not visible"), ("見えません", "not visible"), ("보이지 않습니다", "not visible"),
        ("غير مرئي", "not visible"), ("Не видно", "not visible"), ("No se ve", "not visible"),
        ("pas visible", "not visible"), ("Nicht sichtbar.", "not visible"), ("não é visível", "not visible"),
        ("non visibile", "not visible"), ("दिखाई नहीं देता", "not visible"), ("görünmüyor", "not visible"),
        ("không nhìn thấy", "not visible"),
        ("没有", "nothing there"), ("なし", "nothing there"), ("없음", "nothing there"), ("لا يوجد", "nothing there"),
        ("нет", "nothing there"), ("ninguno", "nothing there"), ("aucun sac", "nothing there"),
        ("keine Tasche", "nothing there"), ("nenhum", "nothing there"), ("nessuna borsa", "nothing there"),
        ("कोई नहीं", "nothing there"), ("yok", "nothing there"), ("không có", "nothing there"),
        ("。。。", "empty"), ("—", "empty"),
    ],
)  # fmt: skip
def test_answers_in_other_languages_are_words(answer: str, reason: str | None) -> None:
    assert why_unusable("What bag is it?", answer) == reason


@pytest.mark.parametrize(
    ("attribute", "answer", "statement"),
    [
        ("shoes_color", "red", "The shoes are red."),
        ("shoes_color", "The shoes are red", "The shoes are red."),
        ("carried_objects", "Red handbag", "The person carries a red handbag."),
        ("carried_objects", "umbrella", "The person carries an umbrella."),
        ("carried_objects", "two bags", "The person carries two bags."),
        ("accessories", "glasses and a hat", "The person has glasses and a hat."),
        ("backpack", "Yes, a black one", "The person wears a black one."),
        ("backpack", "Yes, black.", "The person wears a black backpack."),
        ("backpack", "yes", "The person wears a backpack."),
        ("action", "walking", "The person is walking."),
        ("shoes_color", "yes", None),
        ("upper_type", "T-shirt", "The person wears a T-shirt on the upper body."),
        ("upper_color", "是的，红色", "The upper-body clothing is 红色."),
        ("carried_objects", "她提着红色手提包。", "她提着红色手提包。"),
        ("carried_objects", "A bag that has a logo", "The person carries a bag that has a logo."),
    ],
)
def test_an_answer_becomes_a_sentence(attribute: str, answer: str, statement: str | None) -> None:
    question = load_pool().by_attribute(attribute)
    assert question is not None
    assert state(question, answer) == statement


def test_an_answer_with_braces_is_text() -> None:
    question = load_pool().by_attribute("shoes_color")
    assert question is not None
    assert state(question, "{thing}") == "The shoes are {thing}."


def test_a_color_stands_with_its_thing_and_no_sentence_twice() -> None:
    said = compose("A man.", ["The person wears boots.", "The person is walking.", "The shoes are dark blue.",
                              "She smiles.", "She smiles."])  # fmt: skip
    assert said == "A man. The person wears dark blue boots and is walking. She smiles."


def test_statements_join_into_prose() -> None:
    said = compose(
        "a man", ["The person wears glasses.", "The shoes are red.", "The person has a bag.", "The person is walking."]
    )
    assert said == "A man. The person wears glasses, has a bag and is walking. The shoes are red."


def test_no_sentence_stands_twice_within_statements_of_several() -> None:
    coat = "The person wears a red coat and blue jeans."
    text = compose("Woman in a red coat", [f"{coat} The person has a black backpack.", coat, "The shoes are red."])
    assert text.count("red coat and blue jeans") == 1
    assert text.count("black backpack") == 1
    assert text.endswith("The shoes are red.")


@pytest.mark.parametrize(
    "answer",
    [
        "skip", "Skip.", "SKIP IT!", "pass", "next", "dunno", "idk", "I do not know", "I don\u2019t know",
        "Sorry, I can't tell.",
        "no idea", "not sure", "hard to say", "I don't remember", "weiss nicht", "Weiß nicht", "Keine Ahnung, leider",
        "je ne sais pas", "aucune idée", "no sé", "non lo so", "não sei", "не знаю", "不知道", "わからない", "몰라요",
        "لا أعرف", "לא יודע", "पता नहीं", "bilmiyorum", "weet ik niet", "nie wiem", "vet inte", "không biết",
        "maybe", "I couldn't see.", "prefer not to say", "ved ikke", "vet ikke", "en tiedä", "nem tudom", "nu știu",
        "neviem", "ne znam", "не знам", "no lo recuerdo", "je ne m'en souviens plus",
    ],
)  # fmt: skip
def test_a_skipped_question_is_told_from_an_answer(answer: str) -> None:
    assert why_unusable("What color are the shoes?", answer) == "skipped"


@pytest.mark.parametrize(
    ("attribute", "statement"),
    [
        ("vehicle", "The person is with something on wheels."),
        ("layers", "The person wears several layers."),
        ("glasses", "The person wears glasses."),
        ("other_people", "Close by there is another person."),
    ],
)
@pytest.mark.parametrize("yes", ["yes", "Yes.", "Ja", "yes, he is", "是的"])
def test_a_bare_yes_answers_a_yes_no_question(attribute: str, statement: str, yes: str) -> None:
    question = load_pool().question_about(attribute)
    assert why_unusable(question.question, yes, question.bland) is None
    assert state(question, yes) == statement


@pytest.mark.parametrize("answer", ["a skipping rope", "next to the wall, red", "a ski pass", "passing cars", "red"])
def test_words_that_only_look_like_skipping_are_answers(answer: str) -> None:
    assert why_unusable("What is there?", answer) is None


@pytest.mark.parametrize(
    ("question", "answer", "statement"),
    [
        ("Is the person wearing a backpack?", "yes", "The person is wearing a backpack."),
        ("Does the person have a bag?", "Yes.", "The person has a bag."),
        ("Does she carry a bag?", "Yes, she does.", "The person carries a bag."),
        ("Is there a bicycle?", "Ja", "There is a bicycle."),
        ("Are the shoes red?", "yes, they are", "The shoes are red."),
        ("Is the upper-body clothing striped?", "yep", "The upper-body clothing is striped."),
        ("Is the bag a backpack?", "yes", "The bag is a backpack."),
        ("Is the person's hair long?", "yes", "The person's hair is long."),
        ("Are the sleeves long or short?", "yes", None),
        ("What color is the bag?", "yes", None),
    ],
)
def test_yes_is_an_answer_to_a_yes_or_no_question(question: str, answer: str, statement: str | None) -> None:
    assert state(load_pool().question_about(question), answer) == statement


def test_a_description_without_words_is_left_out() -> None:
    assert compose(" . ", ["The shoes are red."]) == "The shoes are red."

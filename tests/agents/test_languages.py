import pytest

from ctgi.agents.judge import overlap
from ctgi.agents.languages import is_english, words, yes_or_no
from ctgi.agents.verdicts import read_verdict

YES = {
    "en": "Yes, it does",
    "zh": "是的，匹配。",
    "ja": "はい、一致します。",
    "ko": "네, 일치합니다",
    "ar": "نعم، يطابق",
    "ru": "Да.",
    "es": "Sí, coincide",
    "fr": "Oui",
    "de": "Ja, die Person passt",
    "pt": "Sim.",
    "it": "Sì",
    "hi": "हाँ, यह वही है",
    "tr": "Evet",
    "vi": "Có",
    "el": "Ναι",
    "th": "ใช่ครับ",
}
NO = {
    "en": "No.",
    "zh": "不匹配",
    "ja": "いいえ",
    "ko": "아니요",
    "ar": "لا",
    "ru": "Нет, другая",
    "es": "No, no coincide",
    "fr": "Non.",
    "de": "Nein",
    "pt": "Não corresponde",
    "it": "No",
    "hi": "नहीं",
    "tr": "Hayır",
    "vi": "Không",
    "el": "Όχι",
    "th": "ไม่ใช่",
}


@pytest.mark.parametrize("language", YES)
def test_yes_and_no_are_read_in_each_language(language: str) -> None:
    assert (yes_or_no(YES[language]), yes_or_no(NO[language])) == (True, False)


@pytest.mark.parametrize(
    "text",
    [
        "Janet",
        "Noir",
        "Nothing",
        "yesterday",
        "看不清",
        "是否匹配",
        "不明",
        "не видно",
        "لا يمكن",
        "네이비",
        "对不起，我无法回答",
    ],
)
def test_what_only_looks_like_yes_or_no_is_neither(text: str) -> None:
    assert yes_or_no(text) is None


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Answer: yes", True),
        ("The answer is no.", False),
        ("答案：是", True),
        ('{"match": false}', False),
        ("The person in the image matches the description.", True),
        ("It does not match.", False),
        ("This is not a match", False),
        ("A clear mismatch", False),
        ("The person partially matches", None),
        ("I cannot tell whether the person matches", None),
        ("I'm sorry, I can't help with that. No", None),
        ("Yes or no?", None),
        ("The person wears a red coat.", None),
        ("The person has no bag", None),
    ],
)
def test_a_verdict_in_prose_is_read_or_not(reply: str, verdict: bool | None) -> None:
    assert read_verdict(reply) is verdict


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("a beige bag", True),
        ("red", True),
        ("A café-colored coat", True),
        ('A shirt that says "北京" on it', True),
        ("navy", True),
        ("红色", False),
        ("κόκκινη τσάντα", False),
        ("лал", False),
        ("Una mujer con un bolso rojo", False),
        ("rojo", False),
        ("eine rote Tasche", False),
        ("un sac", False),
        ("uma bolsa preta", False),
        ("kırmızı çanta", False),
        ("màu đỏ", False),
        ("The person carries 红色的手提包.", False),
        ("", True),
        ("42", True),
    ],
)
def test_what_is_not_english_is_known(text: str, english: bool) -> None:
    assert is_english(text) is english


def test_words_of_scripts_without_spaces_are_pairs_of_characters() -> None:
    assert words("红色外套 and T-shirt") == ["红色", "色外", "外套", "and", "t-shirt"]
    assert words("लाल बैग") == ["लाल", "बैग"]


@pytest.mark.parametrize(
    ("answer", "known", "same"),
    [
        ("红色的手提包", "一名女子提着红色的手提包。", True),
        ("红色的手提包", "一名女子穿着蓝色外套。", False),
        ("빨간 가방", "여자가 빨간 가방을 들고 있다", True),
        ("красная сумка", "Женщина, красная сумка", True),
        ("حقيبة حمراء", "امرأة تحمل حقيبة حمراء", True),
        ("sac rouge", "Une femme avec un sac rouge.", True),
    ],
)
def test_an_answer_in_another_script_is_compared_by_its_words(answer: str, known: str, same: bool) -> None:
    assert (overlap(answer, f"The person has {answer}.", known) >= 0.8) is same

import pytest

from ctgi.agents.prose import prose


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (
            "Here is a description of the person in the image:\n\n### Clothing\n- **Top:** red coat\n"
            "- **Bottom:** blue jeans\n\n### Accessories\n* a *black* backpack\n\n"
            "Let me know if you need more details!",
            "The person wears a red coat and blue jeans. The person has a black backpack.",
        ),
        ("Sure! Here's the caption:\n\nA woman in red.\n\nI hope this helps!", "A woman in red."),
        ("Certainly! Below is a description of the person.\n", "Below is a description of the person."),
        ("Okay, let me describe the person in the image: a man in red.", "A man in red."),
        ("Based on the image, the person is wearing a red coat.", "The person is wearing a red coat."),
        ("The image shows a woman in a red coat.", "The image shows a woman in a red coat."),
        ("**Yes**, the person matches.", "Yes, the person matches."),
        ("_Yes_", "Yes"),
        ("# Description\nA man in black.", "A man in black."),
        ("## A man in black.", "A man in black."),
        ("```json\n{\"caption\": \"A woman in red.\"}\n```", "A woman in red."),
        ('{"answer": true}', "yes"),
        ('{"top": "red coat", "hair": {"length": "long", "color": "black"}}',
         "The person wears a red coat. The hair is long, black."),
        ('["a red coat", "jeans"]', "A red coat and jeans."),
        ("1. Red coat\n2. Blue jeans\n3. black backpack", "A red coat, blue jeans and a black backpack."),
        ("- A woman\n- Wearing a red coat", "A woman and wearing a red coat."),
        ("- She is tall.\n- She wears a hat.", "She is tall. She wears a hat."),
        ("The person wears:\n- a red coat\n- jeans\n\nThey stand in a hall.",
         "The person wears a red coat and jeans. They stand in a hall."),
        ("Gender: Female\nHair: long, black\nAction: walking",
         "The person is female. The hair is long, black. The person is walking."),
        ("| Item | Color |\n|---|---|\n| Coat | red |\n| Jeans | blue |", "The coat is red. The jeans are blue."),
        ("- 上衣：红色外套\n- 裤子：蓝色牛仔裤", "上衣: 红色外套。 裤子: 蓝色牛仔裤。"),
        ("<p>A man in <b>red</b>.</p>", "A man in red."),
        ("> A man in [red](http://example.org/a_(b)).", "A man in red."),
        ("Final answer: $\\boxed{yes}$", "yes"),
        ("A woman in red\n\nShe carries a bag", "A woman in red. She carries a bag"),
        ("Sure!", ""),
        ("{'caption': 'A woman in red.'}", "A woman in red."),
        ('{"caption": "A woman in red.",}', "A woman in red."),
        ('Here is the JSON:\n```json\n{"caption": "A woman."}\n```\nLet me know!', "A woman."),
        ("**Image Description**\n\nA woman in red.", "A woman in red."),
        ("**A woman in red.**\n\nShe walks.", "A woman in red. She walks."),
        ("Assistant: A woman in red.", "A woman in red."),
        ("1) red coat 2) blue jeans 3) white shoes", "A red coat, blue jeans and white shoes."),
        ("- **Yes**: a red bag", "Yes: a red bag"),
        ("A woman in red\nA woman in red\nA woman in red", "A woman in red"),
        ("\u202eA woman\u202c in\u200b red\x00, \ud83d\ude00.", "A woman in red, \U0001f600."),
        ("A coat &amp; a bag", "A coat & a bag"),
        ("Red.\n\nExplanation: the pixels are red.", "Red."),
        ("Reasoning: I see a coat.\nIt is red.\n**Answer:** a red coat", "a red coat"),
        ("Thinking Process:\n1. look\n\nFinal answer: A woman in red.", "A woman in red."),
    ],
)  # fmt: skip
def test_a_reply_becomes_prose(reply: str, text: str) -> None:
    assert prose(reply) == text


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ('"A woman in red."', "A woman in red."),
        ("\u201cA woman in red.\u201d", "A woman in red."),
        ("\u300c一名女子。\u300d", "一名女子。"),
        ('Caption: "A man in red".', "A man in red"),
        ('A shirt that reads "NYC"', 'A shirt that reads "NYC"'),
        ('"NYC" on the shirt and "LA" on the cap: "NYC"', '"NYC" on the shirt and "LA" on the cap: "NYC"'),
        ('"A shirt that reads "NYC""', 'A shirt that reads "NYC"'),
        ("it's the man's bag", "it's the man's bag"),
    ],
)
def test_only_quotation_marks_around_everything_go(reply: str, text: str) -> None:
    assert prose(reply) == text


@pytest.mark.parametrize(
    "reply",
    [
        "He wears No. 10 and runs at 10:30.", "A man wears a shirt with text: HELLO", "A sign reads: STOP",
        "5*3*2 and a_b_c and #1", "A T-shirt with a * on it", "red", "{thing}", "[red", "A woman with a 2-in-1 bag",
        "Sure-footed boots", "A man - tall - in red", "1.5 m tall",
    ],
)  # fmt: skip
def test_plain_text_stays_as_it_is(reply: str) -> None:
    assert prose(reply) == reply

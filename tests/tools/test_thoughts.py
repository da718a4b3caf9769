import pytest

from ctgi.tools.backends.thoughts import Parted, closing, is_mark, opens, part

SPELLINGS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<THINK>", "</THINK>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<unused94>thought", "<unused95>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("<reason>", "</reason>"),
    ("<inner_thoughts>", "</inner_thoughts>"),
    ("<longcat_think>", "</longcat_think>"),
    ('<think lang="zh">', "</think>"),
    ("<思考>", "</思考>"),
]


@pytest.mark.parametrize(("open_", "close"), SPELLINGS)
def test_thoughts_are_taken_out_however_they_are_marked(open_: str, close: str) -> None:
    thought, answer = "I see a coat.", "A woman\nin red."
    whole = part(f"{open_}\n{thought}\n{close}\n\n{answer}")
    opened_by_the_prompt = part(f"{thought}\n{close}\n\n{answer}")
    broken_off = part(f"{open_}\n{thought}")
    assert whole == opened_by_the_prompt == Parted(answer, len(thought), unfinished=False)
    assert broken_off == Parted("", len(thought), unfinished=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A woman in <b>red</b>, size < 40.", Parted("A woman in <b>red</b>, size < 40.", 0, False)),
        ("<think></think>\n\nyes", Parted("yes", 0, False)),
        ("<think/>\nyes", Parted("yes", 0, False)),
        ("I look.assistantfinalyes", Parted("yes", 7, False)),
        ('A shirt that says "<think> different"', Parted('A shirt that says "<think> different"', 0, False)),
        ('"<think>" is on the shirt.', Parted('"<think>" is on the shirt.', 0, False)),
        ('The print "</think>" is red.', Parted('The print "</think>" is red.', 0, False)),
        ("A woman.<|im_end|>\n<|im_start|>user\nthanks", Parted("A woman.", 0, False)),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nyes<|eot_id|>", Parted("yes", 0, False)),
        ("A woman.<end_of_turn>", Parted("A woman.", 0, False)),
        ("A woman.</s>", Parted("A woman.", 0, False)),
        ("<caption>A woman.</caption>", Parted("A woman.", 0, False)),
        ("A <think>b</think>c<think>d</think> e", Parted("A c e", 2, False)),
        ("<think>not </think> yet</think>yes", Parted("yes", 6, False)),
        ("<think>a</think> <answer>yes</answer>", Parted("yes", 1, False)),
        ("It matches. <answer> yes </answer>", Parted("yes", 11, False)),
        ("<|begin_of_box|>no<|end_of_box|>", Parted("no", 0, False)),
        ("<think>a</think><think>b", Parted("", 2, True)),
        ("she thinks of [the] sea", Parted("she thinks of [the] sea", 0, False)),
    ],
)
def test_what_stands_around_the_answer(text: str, expected: Parted) -> None:
    assert part(text) == expected


def test_a_prompt_that_opened_a_thought_makes_a_reply_without_marks_one() -> None:
    assert part("Let me look", opened=True) == Parted("", 11, True)
    assert part("Let me look</think>yes", opened=True) == Parted("yes", 11, False)


def test_a_prompt_ends_in_a_thought_only_where_its_end_opens_one() -> None:
    assert opens("<|im_start|>assistant\n<think>\n")
    assert not opens("What is <think>?<|im_end|>\n<|im_start|>assistant\n")
    assert not opens("<think>\n\n</think>\n\n")
    for open_, close in (SPELLINGS[0], SPELLINGS[6], SPELLINGS[8]):
        assert closing(f"{open_}\n") == close
        assert is_mark(open_)
        assert is_mark(close)
    assert not is_mark("<image>")

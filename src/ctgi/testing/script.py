"""What a script says to a request: the same always, what belongs to a phrase, the next of a list, or a function's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar


class HasPrompt(Protocol):
    """A request, as far as a script looks at it."""

    @property
    def prompt(self) -> str:
        """What is asked."""
        ...


Question = TypeVar("Question", bound=HasPrompt)
Answer = TypeVar("Answer")
Script = Callable[[Question], Answer]
Replies = Callable[[Question], Answer] | Mapping[str, Answer] | Sequence[Answer]


class UnscriptedError(AssertionError):
    """Something was asked that the script has no reply for."""


def as_script(replies: Replies[Question, Answer] | Answer) -> Script[Question, Answer]:
    """A function from a request to its reply.

    Args:
        replies: a function; a mapping, of which the first phrase that occurs in the prompt decides, in upper or lower
            case ("" occurs in every prompt); a list, whose replies are given one after the other; or one reply.
    """
    if callable(replies):
        return replies
    if isinstance(replies, Mapping):
        return _by_phrase(replies)
    if isinstance(replies, Sequence) and not isinstance(replies, str):
        return _one_after_the_other(replies)
    return lambda _: replies


def _by_phrase(replies: Mapping[str, Answer]) -> Script[Question, Answer]:
    def reply(request: Question) -> Answer:
        prompt = request.prompt.casefold()
        for phrase, answer in replies.items():
            if phrase.casefold() in prompt:
                return answer
        raise UnscriptedError(f"none of the phrases {list(replies)} occurs in the prompt {request.prompt!r}")

    return reply


def _one_after_the_other(replies: Sequence[Answer]) -> Script[Question, Answer]:
    left = iter(replies)

    def reply(request: Question) -> Answer:
        for answer in left:
            return answer
        raise UnscriptedError(f"all {len(replies)} replies were given before the prompt {request.prompt!r}")

    return reply

"""Which requests the model in this process answers next."""

import torch

from ctgi.tools.backends.hf_prompt import Prompt
from ctgi.tools.backends.hf_queue import Queue


def about(image: str) -> Prompt:
    return Prompt({"input_ids": torch.zeros(1, 3)}, {}, image, max_tokens=8, thinking=False, choices=())


def taken(queue: Queue) -> list[str]:
    return [one.prompt.image_id for one in queue.take()]


def test_images_that_were_begun_first_are_finished_first() -> None:
    queue = Queue(2, images=10)
    for image in "abcde":
        queue.put(about(image), "caption")
    assert taken(queue) == ["a", "b"]
    queue.put(about("b"), "answer")
    queue.put(about("a"), "answer")
    assert taken(queue) == ["a", "b"]  # before anything of c
    queue.put(about("f"), "caption")
    queue.put(about("b"), "caption")
    assert taken(queue) == ["b", "c"]
    assert [taken(queue), taken(queue), taken(queue)] == [["d", "e"], ["f"], []]


def test_requests_without_an_image_take_their_turn() -> None:
    queue = Queue(1, images=10)
    for image in ("a", "", "b"):
        queue.put(about(image), "text")
    assert [taken(queue) for _ in range(3)] == [["a"], [""], ["b"]]


def test_only_the_places_of_the_last_images_are_remembered() -> None:
    queue = Queue(1, images=2)
    for image in "abca":  # a was forgotten when c came
        queue.put(about(image), "text")
    assert [taken(queue) for _ in range(4)] == [["a"], ["b"], ["c"], ["a"]]


def test_what_was_given_up_is_not_answered() -> None:
    queue = Queue(4, images=10)
    gone, *_ = [queue.put(about(image), "text") for image in "ab"]
    gone.reply.cancel()
    assert taken(queue) == ["b"]
    left = queue.put(about("c"), "text")
    queue.cancel()
    assert left.reply.cancelled()
    assert taken(queue) == []

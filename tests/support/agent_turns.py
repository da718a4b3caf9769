"""Turns of a scripted model that decides which tools to call."""

import json
from collections.abc import Callable
from typing import Any

from ctgi.testing import Reply, Request, ScriptedServer, ToolCall

QUERY = "a man in a coat"
ANSWERED = "answered"


def seen_ids(request: Request) -> list[str]:
    """Ids in the latest search that the model was told of."""
    for result in reversed(request.results):
        if result.startswith("[{"):
            return [found["image_id"] for found in json.loads(result)]
    return []


Turn = Callable[[Request], Reply]


def one(name: str, **arguments: Any) -> Turn:
    return lambda seen: Reply(tool_calls=[ToolCall(name, arguments)])


def refine(seen: Request) -> Reply:
    """Search as a person would: the confirmed image as an anchor, and what it showed."""
    anchor = seen_ids(seen)[1]
    given = {"query": QUERY, "refined_query": f"{QUERY} with white sneakers", "anchors": [anchor], "weight": 0.5}
    return Reply(tool_calls=[ToolCall("search_gallery", given)])


def look(seen: Request) -> Reply:
    """Two calls at once."""
    second = seen_ids(seen)[1]
    asked = {"image_id": second, "question": "What shoes does the person wear?"}
    verify = {"image_id": second, "description": QUERY}
    return Reply(tool_calls=[ToolCall("verify_match", verify), ToolCall("answer_question", asked)])


def merge(seen: Request) -> Reply:
    fact = {"question": "What shoes does the person wear?", "answer": "white sneakers", "statement": "White sneakers."}
    return Reply(tool_calls=[ToolCall("aggregate_query", {"query": QUERY, "facts": [fact]})])


def answer(place: int) -> Turn:
    def said(seen: Request) -> Reply:
        given = {"image_ids": [seen_ids(seen)[place]], "text": "This one."}
        return Reply(tool_calls=[ToolCall("answer", given)])

    return said


SEARCH = one("search_gallery", query=QUERY, k=5)
WHOLE = [SEARCH, look, merge, refine, answer(2)]


def says(brain: ScriptedServer, *turns: Turn | Reply) -> None:
    """One turn for each request, told apart by how many of the model's own are in it; the last repeats."""

    def script(seen: Request) -> Reply:
        done = sum(message["role"] == "assistant" for message in seen.body["messages"])
        turn = turns[min(done, len(turns) - 1)]
        return turn if isinstance(turn, Reply) else turn(seen)

    brain.replies = script

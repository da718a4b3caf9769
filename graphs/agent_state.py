"""The state of an agent's search, and what its messages tell: calls, searches, answers, and what they cost."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from ctgi.reading import Json
from ctgi.records import Found
from ctgi.retrieval.images import ImageRef
from ctgi.tools.tool_calls import Decision
from ctgi.tools.types import Refinement

ANSWER = "answer"
"""The tool with which an agent ends."""
UNREADABLE = "unreadable"
"""Where a message keeps the arguments that are no JSON, by the call's id."""


class AgentState(TypedDict, total=False):
    """A conversation with an agent, and the ranking that it came to."""

    messages: Annotated[list[AnyMessage], add_messages]
    query: str
    length: int
    """How many results are wanted."""
    ranking: list[Found]
    """The images that the agent names first, then the others by score."""
    refinement: Json | None
    """Of the last search: the refined query, the anchors (sha256) and the weight."""
    truncated_tokens: int
    named: list[str]
    """sha256 of the images that the agent's answer names, the best first."""
    stopped: str | None
    """Why it ended without an answer."""
    over: bool
    """Whether the person said that no more is to be done."""
    calls: Annotated[dict[str, int], lambda left, right: dict(Counter(left) + Counter(right))]


def as_message(decision: Decision) -> AIMessage:
    """A decision as a message. A call whose arguments are no JSON stands there without any, for the next request."""
    parsed = {call.id: call.parsed() for call in decision.calls}
    unreadable = {call.id: call.arguments for call in decision.calls if parsed[call.id] is None}
    tokens = decision.tokens
    return AIMessage(
        decision.text,
        tool_calls=[{"id": one.id, "name": one.name, "args": parsed[one.id] or {}} for one in decision.calls],
        additional_kwargs={UNREADABLE: unreadable, "refused": decision.refused},
        usage_metadata={
            "input_tokens": tokens.input,
            "output_tokens": tokens.output,
            "total_tokens": tokens.input + tokens.output,
        },
    )


def as_sent(instructions: str, messages: Sequence[AnyMessage]) -> list[Json]:
    """The conversation in the chat-completions format, after the instructions.

    Pictures that a tool returned follow its turn in a message of the user, because servers refuse them in a tool's;
    each is an ImageRef under "image", for who sends it.
    """
    from langchain_core.messages import convert_to_openai_messages

    sent: list[Json] = []
    pictures: list[Json] = []
    for one in (SystemMessage(instructions), *messages):
        if pictures and not isinstance(one, ToolMessage):
            sent.append({"role": "user", "content": pictures})
            pictures = []
        if isinstance(one, ToolMessage) and isinstance(one.content, list):
            blocks = [block for block in one.content if isinstance(block, dict)]
            pictures += _shown(blocks, one.artifact or {})
            one = one.model_copy(update={"content": blocks[0]["text"]})
        converted = convert_to_openai_messages([one])
        sent += converted if isinstance(converted, list) else [converted]
    return [*sent, {"role": "user", "content": pictures}] if pictures else sent


def _shown(blocks: Sequence[Json], artifact: Json) -> list[Json]:
    """The blocks after a tool's own text: ids, and the pictures that they name."""
    files = {one["sha256"]: one["path"] for one in (artifact, *artifact.get("found", ())) if "sha256" in one}
    return [
        {"type": "image", "image": ImageRef(files[block["file_id"]], block["file_id"])} if block["type"] == "image"
        else {"type": "text", "text": block["text"]}
        for block in blocks[1:]
    ]  # fmt: skip


def this_request(messages: Sequence[AnyMessage]) -> Sequence[AnyMessage]:
    """The messages from the person's last one on."""
    last = max((place for place, one in enumerate(messages) if isinstance(one, HumanMessage)), default=0)
    return messages[last:]


def calls_made(messages: Sequence[AnyMessage]) -> int:
    """Calls in these messages."""
    return sum(isinstance(one, ToolMessage) for one in messages)


def tokens_spent(messages: Sequence[AnyMessage]) -> int:
    """Tokens that the agent's own model read and wrote for these messages."""
    told = (one.usage_metadata for one in messages if isinstance(one, AIMessage))
    return sum(usage["total_tokens"] for usage in told if usage)


def results(messages: Sequence[AnyMessage]) -> Iterator[tuple[Json, ToolMessage]]:
    """Each call's arguments with its result, in the order of the results."""
    asked: dict[str, Json] = {}
    for one in messages:
        if isinstance(one, AIMessage):
            asked |= {str(call["id"]): call["args"] for call in one.tool_calls}
        elif isinstance(one, ToolMessage):
            yield asked.get(one.tool_call_id, {}), one


def last_artifact(messages: Sequence[AnyMessage], tool: str) -> Json | None:
    """What the last successful call of a tool left for the program."""
    for one in reversed(messages):
        if isinstance(one, ToolMessage) and one.name == tool and one.status == "success" and one.artifact:
            artifact: Json = one.artifact
            return artifact
    return None


def as_refinement(value: Any) -> Refinement | None:
    """The refinement of a search, as an artifact or the state holds it."""
    return Refinement(**value | {"anchors": tuple(value["anchors"])}) if value else None

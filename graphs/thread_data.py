"""Reads checkpoints of threads as data, never code: they may be damaged or from somebody else."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_KW_ARGS, JsonPlusSerializer
from langgraph.types import Interrupt
from pydantic import BaseModel, Field, TypeAdapter

from ctgi.graphs.mti_state import MtiState, Steering
from ctgi.reading import Json, parse_json
from ctgi.records import Record

MALFORMED = (ValueError, TypeError, KeyError, RecursionError)
"""What reading a malformed checkpoint raises."""
_ESCAPED = "\0"
"""In front of a text that is kept as JSON; no name of a file has it."""
_NODES = {"retrieve", "verify", "propose", "ask_anchor", "ask_person", "aggregate", "rerank", "next_round"}
_GIVEN = {"query", "length", "filter", *Steering.model_fields}
_AFTER_RETRIEVAL = {"round", "ranking", "cursor", "early_stop", "refined_query", "truncated_tokens", "calls"}
_NEEDED = {
    "branch:to:ask_person": ("questions",),
    "branch:to:ask_anchor": ("questions",),
    "branch:to:rerank": ("refined_query", "anchors"),
}
"""What a node works with, by the channel that calls it: one of these."""
_Version = Annotated[str, Field(pattern=r"^\d{1,64}\.")]


class PlainData(JsonPlusSerializer):
    """LangGraph's serializer for plain values and interrupts: what a value names is neither imported nor called.

    Records are kept as the JSON objects that they stand for, and come back as such.
    """

    def __init__(self) -> None:
        super().__init__(allowed_msgpack_modules=None, __unpack_ext_hook__=_interrupt)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """The value as msgpack, which would turn each byte of a name that is not UTF-8 into a question mark."""
        return super().dumps_typed(_with_texts(obj, _escaped))

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value; raises one of MALFORMED for anything that a search does not keep."""
        if data[0] not in ("null", "msgpack"):
            raise ValueError(f"a value of the type {data[0]!r}")
        try:
            return _with_texts(super().loads_typed(data), _unescaped)
        except ValueError:  # says no more than "ext_hook failed"
            raise ValueError("a value that is no plain data") from None


def _with_texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Record):
        value = value.model_dump()
    if isinstance(value, dict):
        return {name: _with_texts(one, change) for name, one in value.items()}
    return type(value)(_with_texts(one, change) for one in value) if type(value) in (list, tuple) else value


def _escaped(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return _ESCAPED + json.dumps(text)
    return _ESCAPED + json.dumps(text) if text.startswith(_ESCAPED) else text


def _unescaped(text: str) -> str:
    return str(parse_json(text.removeprefix(_ESCAPED))) if text.startswith(_ESCAPED) else text


def _refuse(code: int, data: bytes) -> Any:
    raise ValueError("an object inside an object")


_WITHOUT_OBJECTS = JsonPlusSerializer(allowed_msgpack_modules=None, __unpack_ext_hook__=_refuse)


def _interrupt(code: int, data: bytes) -> Interrupt:
    """A question that waits: the one object that LangGraph keeps of an interactive search."""
    module, name, fields = _WITHOUT_OBJECTS.loads_typed(("msgpack", data))
    if (code, module, name) != (EXT_CONSTRUCTOR_KW_ARGS, "langgraph.types", "Interrupt"):
        raise ValueError(f"an object {module}.{name}")
    return Interrupt(value=fields["value"], id=fields["id"])


class _Checkpoint(BaseModel, strict=True):
    v: Annotated[int, Field(ge=4)]
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    ts: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")]
    channel_values: Json
    channel_versions: dict[str, _Version]
    versions_seen: dict[str, dict[str, _Version]]
    updated_channels: list[str] | None = None


class _Metadata(BaseModel, strict=True):
    source: Literal["input", "loop", "update", "fork"]
    step: Annotated[int, Field(ge=-1, lt=10**6)]
    parents: dict[str, str] = {}


class _Input(BaseModel, strict=True):
    query: Annotated[str, Field(min_length=1)]
    length: Annotated[int, Field(ge=1, lt=2**31)]


class _Question(BaseModel, strict=True):
    question: str
    left: int


_STATE: TypeAdapter[MtiState] = TypeAdapter(MtiState)


def checked(found: CheckpointTuple) -> CheckpointTuple:
    """The same, once it is known to be a checkpoint of an interactive search.

    Raises:
        ValueError: it is not; or another of MALFORMED.
    """
    checkpoint = _Checkpoint.model_validate(found.checkpoint)
    _Metadata.model_validate(found.metadata)
    parent = found.parent_config["configurable"]["checkpoint_id"] if found.parent_config else ""
    if found.config["configurable"]["checkpoint_id"] != checkpoint.id or not isinstance(parent, str):
        raise ValueError("checkpoints under wrong names")
    _check_state(checkpoint.channel_values)
    if len({task for task, channel, _ in found.pending_writes or [] if channel == "__interrupt__"}) > 1:
        raise ValueError("questions of several steps at once")
    for task, channel, value in found.pending_writes or []:
        if not isinstance(task, str):
            raise ValueError("a task without a name")
        _check_write(channel, value)
    return found


def _check_state(values: Json) -> None:
    if "__start__" in values:
        _Input.model_validate(values["__start__"])
        values = values["__start__"]
        for channel in _GIVEN & values.keys():
            _check_channel(channel, values[channel])
        return
    _Input.model_validate(values)
    for channel, value in values.items():
        _check_channel(channel, value)
    if values.keys() - _GIVEN - {"branch:to:retrieve"} and not values.keys() >= _AFTER_RETRIEVAL:
        raise ValueError("a search without its ranking")
    for node, needed in _NEEDED.items():
        if node in values and not any(values.get(name) for name in needed):
            raise ValueError(f"no {needed[0]}")


def _check_write(channel: str, value: Any) -> None:
    if channel == "__interrupt__":
        for one in value:
            if not isinstance(one, Interrupt):
                raise ValueError("a question of another kind")
            _Question.model_validate(one.value)
    elif channel == "__resume__":
        TypeAdapter(str | list[str]).validate_python(value, strict=True)
    elif channel not in ("__error__", "__no_writes__"):
        _check_channel(channel, value)


def _check_channel(channel: str, value: Any) -> None:
    if channel in MtiState.__annotations__:
        text = json.dumps({channel: value}, ensure_ascii=False)  # as JSON, whose lists are tuples too
        _STATE.validate_json(text.encode(errors="replace"), strict=True)
    elif value is not None or channel.removeprefix("branch:to:") not in _NODES:
        raise ValueError(f"a value {channel!r}, which no interactive search has")

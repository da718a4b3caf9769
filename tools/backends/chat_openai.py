"""ChatOpenAI that takes arguments of a call which are JSON, but no object, for malformed ones like all others."""

import json
from typing import Any

from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI


class LenientChatOpenAI(ChatOpenAI):
    """ChatOpenAI; it would take the whole reply for broken."""

    def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> ChatResult:
        body = response if isinstance(response, dict) else response.model_dump()
        for choice in body.get("choices") or []:
            for call in (choice.get("message") or {}).get("tool_calls") or []:
                function = call.get("function") or {}
                if not _is_object(function.get("arguments")):
                    function["arguments"] = f"not an object: {function.get('arguments')}"
        result = super()._create_chat_result(body, generation_info)
        for choice, generation in zip(body.get("choices") or [], result.generations, strict=False):
            generation.message.additional_kwargs["refusal"] = (choice.get("message") or {}).get("refusal")
        return result


def _is_object(arguments: Any) -> bool:
    """Also for what is no JSON at all, which ChatOpenAI tells by itself."""
    try:
        return isinstance(json.loads(arguments or "{}", strict=False), dict)
    except (TypeError, ValueError, RecursionError):
        return isinstance(arguments, str)

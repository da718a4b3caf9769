"""ChatOpenAI over our own connections; arguments that are JSON, but no object, are malformed ones to it."""

import json
from typing import Any
from urllib.parse import parse_qsl

import httpx2
from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from ctgi.settings_tables import Endpoint
from ctgi.tools.backends.openai_client import ServerClient
from ctgi.tools.backends.request_form import GivenUp


def chat_model(model: str, endpoint: Endpoint, client: ServerClient, key: str | None, given_up: GivenUp) -> ChatOpenAI:
    """ChatOpenAI over the connections of `client`, so that proxies, certificates and time limits are its own.

    Fields that were given up are not sent; a limit of tokens is then sent by its other name.
    """
    sent = {"temperature": endpoint.temperature, "seed": endpoint.seed}
    options: dict[str, Any] = {name: value for name, value in sent.items() if name not in given_up}
    further = dict(endpoint.extra_body)
    if "max_completion_tokens" not in given_up:
        options["max_tokens"] = endpoint.max_tokens  # by this other name
    elif "max_tokens" not in given_up:
        further.setdefault("max_tokens", endpoint.max_tokens)
    authorization = client.http.headers.get("authorization")
    chat = LenientChatOpenAI(
        model=model,
        base_url=str(client.address),
        api_key=SecretStr(key or "none"),
        default_headers={"Authorization": authorization} if authorization else None,
        default_query=dict(parse_qsl(client.address.query.removeprefix("?"))),
        extra_body=further or None,
        timeout=endpoint.timeout_s,
        max_retries=0,  # Limits tries again
        disable_streaming=True,
        use_responses_api=False,
        openai_proxy=None,
        http_socket_options=(),  # else it warns about proxies, which are the client's own business
        http_async_client=client.http,
        http_client=httpx2.Client(trust_env=False),
        **options,
    )
    chat.root_async_client.organization = chat.root_async_client.project = None  # of the environment, for OpenAI alone
    return chat


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

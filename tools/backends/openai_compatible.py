"""Multimodal models behind an OpenAI-compatible server: vLLM, OpenAI, and whatever speaks the same format."""

import email.utils
import os
import re
import time
from dataclasses import dataclass

from PIL import Image
from pydantic import BaseModel, ValidationError

from ctgi.config import Endpoint
from ctgi.errors import CtgiError, ToolError
from ctgi.network import parse_address
from ctgi.text import plain
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest
from ctgi.tools.backends.chat_completions import Json, messages, read_reply
from ctgi.tools.backends.endpoint import MAX_RETRY_AFTER_S, Limits, Unavailable
from ctgi.tools.backends.openai_client import ServerClient, StatusError
from ctgi.tools.backends.per_loop import PerLoop
from ctgi.tools.images import DataUrls, encode

_LOAD_STRIKES = 1 / 8
"""A 429 is load, not death: it takes eight times as many in a row to end the run."""
_PROBE = ChatRequest("Which colour is this? One word.", choices=("yes", "no"), max_tokens=8)


@dataclass(frozen=True)
class Dialect:
    """What servers of one kind understand beyond the common format."""

    structured: bool
    """Takes vLLM's structured_outputs."""
    top_logprobs: int
    """Most alternatives per token that it reports."""
    token_limit: str
    """Name of the field that bounds the answer."""
    cure: str
    """What to do when nobody answers."""


def open_vllm(model: str, endpoint: Endpoint) -> PerLoop:
    """A model on a vLLM server; without a key in the environment none is sent.

    Raises:
        CtgiError: the endpoint has no usable address or key.
    """
    cure = f"Start it with `ctgi serve {model}`, or check base_url"
    dialect, key = Dialect(True, 10, "max_tokens", cure), _key(endpoint)
    return PerLoop(lambda: OpenAiCompatible(model, endpoint, dialect, key))


def open_openai(model: str, endpoint: Endpoint) -> PerLoop:
    """A model at OpenAI, or at any other endpoint by its base_url.

    Raises:
        CtgiError: the endpoint has no usable address, or is OpenAI's and no key is in the environment.
    """
    key, at_openai = _key(endpoint), _at_openai(endpoint)
    if at_openai and not key:
        variable = endpoint.api_key_env or "OPENAI_API_KEY"
        raise CtgiError(
            f"openai:{model} needs a key: expected one in the environment variable {variable}, which is "
            "not set; nothing was sent. Set it, or bind the tools to another model, for example vllm:..."
        )
    # Elsewhere the newer name is often ignored, and the answer then has no bound.
    token_limit = "max_completion_tokens" if at_openai else "max_tokens"
    dialect = Dialect(False, 20, token_limit, "Check base_url and the network")
    return PerLoop(lambda: OpenAiCompatible(model, endpoint, dialect, key))


def _key(endpoint: Endpoint) -> str | None:
    key = os.environ.get(endpoint.api_key_env or "", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise CtgiError(f"the key in {endpoint.api_key_env} has characters that no key has: set it again")
    return key or None


def _at_openai(endpoint: Endpoint) -> bool:
    try:
        host = parse_address(endpoint.base_url or "").host
    except ValueError:
        return False
    return host == "openai.com" or host.endswith(".openai.com")


class _Refused(Exception):
    """The server says that it cannot serve this request (400 or 422)."""


class OpenAiCompatible:
    """One model at one endpoint. Everything inside belongs to the loop it was opened in."""

    def __init__(self, model: str, endpoint: Endpoint, dialect: Dialect, key: str | None) -> None:
        self._client = ServerClient(endpoint, key)
        self.endpoint = str(self._client.address)
        self._model = model
        self._settings = endpoint
        self._dialect = dialect
        self._images = DataUrls(endpoint.min_pixels, endpoint.max_pixels, size=2 * endpoint.concurrency)
        self._limits = Limits(endpoint, self.endpoint, dialect.cure)
        self._dropped: set[str] = set()
        self._proven: set[str] = set()

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Answer one request; raises as Mllm.chat says."""
        async with self._limits.slots:
            url = await self._images.get(request.image) if request.image else None
            return await self._limits.call(lambda: self._complete(request, url))

    async def probe(self) -> Abilities:
        """Ask for yes or no about a picture, where a model left free would name the colour."""
        bounds = self._settings.min_pixels, self._settings.max_pixels
        picture = encode(Image.new("RGB", (128, 384), "red"), *bounds)
        images = True
        async with self._limits.slots:
            try:
                reply = await self._limits.call(lambda: self._complete(_PROBE, picture, needs_text=False))
            except ToolError:
                images = False
                reply = await self._limits.call(lambda: self._complete(_PROBE, None, needs_text=False))
        structured = "structured_outputs" in self._proven and reply.text in _PROBE.choices
        return Abilities(images=images, logprobs=reply.confidence is not None, structured=structured)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _complete(self, request: ChatRequest, image_url: str | None, *, needs_text: bool = True) -> ChatReply:
        """One try: the reply, asked for with every feature that the server takes."""
        common = self._common(request, image_url)
        wanted = self._features(request)
        features = {name: fields for name, fields in wanted.items() if name not in self._dropped}
        while True:
            try:
                content = await self._post(common | _merged(features))
                break
            except _Refused as refusal:
                culprits = self._culprits(str(refusal), features)
                if not culprits:
                    raise await self._refused(str(refusal)) from None
                features = {name: fields for name, fields in features.items() if name not in culprits}
        self._dropped |= wanted.keys() - features.keys()
        self._proven |= features.keys()
        return read_reply(content, request.choices, needs_text=needs_text)

    async def _refused(self, words: str) -> Exception:
        """Why a request stays refused: the model's name, said with status 400 by some, or its own content."""
        if not self._proven and self._model in words:
            return await self._no_such_model(words)
        return ToolError(f"{self.endpoint} refused the request: {words}")

    def _common(self, request: ChatRequest, image_url: str | None) -> Json:
        return {
            "model": self._model,
            "messages": messages(request, image_url),
            "temperature": self._settings.temperature,
            "top_p": 1.0,
            self._dialect.token_limit: request.max_tokens,
        }

    def _features(self, request: ChatRequest) -> dict[str, Json]:
        """Fields that not every server takes, by the name under which they are dropped, likeliest first."""
        features: dict[str, Json] = {}
        if request.choices and self._dialect.structured:
            features["structured_outputs"] = {"structured_outputs": {"choice": list(request.choices)}}
        top = {"top_logprobs": self._dialect.top_logprobs} if request.choices else {}
        features["logprobs"] = {"logprobs": True} | top
        features["seed"] = {"seed": self._settings.seed}
        return features

    def _culprits(self, message: str, features: dict[str, Json]) -> set[str]:
        """The features to do without after a refusal: those named, else the first that never worked here."""
        words = set(re.findall(r"[a-z_]+", message.lower()))
        named = {name for name, fields in features.items() if words & {name, *fields}}
        unproven = [name for name in features if name not in self._proven]
        return named or set(unproven[:1])

    async def _post(self, body: Json) -> bytes:
        try:
            return await self._client.post("/chat/completions", body)
        except StatusError as error:
            raise await self._meaning(error) from None

    async def _meaning(self, error: StatusError) -> Exception:
        """What an error status is to us: to be tried again, this request's fault, or the user's to mend."""
        status, words = error.status, error.words
        if status in (401, 403):
            return CtgiError(self._wrong_key(status))
        if status == 404:
            return await self._no_such_model(words)
        if status == 402 or error.code == "insufficient_quota":
            return CtgiError(f"{self.endpoint}: the account has no quota left: {words}")
        if status in (408, 409, 429) or status >= 500:
            return _unavailable(error, words)
        if status in (400, 422):
            return _Refused(words)
        if status in (405, 410) or status < 400:
            return CtgiError(f"{self.endpoint} answers with status {status}: check base_url; it mostly ends in /v1")
        return ToolError(f"{self.endpoint} refused the request with status {status}: {words}")

    async def _no_such_model(self, words: str) -> CtgiError:
        try:
            names = [plain(model.id) for model in _Models.model_validate_json(await self._client.get("/models")).data]
        except (StatusError, Unavailable, ValidationError):
            return CtgiError(
                f"{self.endpoint}: {words}: check the model's name, and base_url, which mostly ends in /v1"
            )
        known = ", ".join(name[:80] for name in names[:10]) or "none"
        return CtgiError(
            f"{self.endpoint} has no model {self._model!r}: it serves {known}: bind the tool to one of them"
        )

    def _wrong_key(self, status: int) -> str:
        variable = self._settings.api_key_env
        if variable:
            return f"{self.endpoint} refuses the key (status {status}): check the variable {variable}"
        return (
            f"{self.endpoint} wants a key (status {status}) and was sent none: a key goes to its own endpoint alone. "
            "Give this base_url its api_key_env under [endpoints.NAME] in ctgi.toml, and bind the tool to "
            f"NAME:{self._model}"
        )


class _ModelName(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_ModelName]


def _merged(features: dict[str, Json]) -> Json:
    return {name: value for fields in features.values() for name, value in fields.items()}


def _unavailable(error: StatusError, words: str) -> Unavailable:
    wait_s = _retry_after_s(error.retry_after)
    reason = f"status {error.status}: {words}"
    if wait_s > MAX_RETRY_AFTER_S:
        reason += f" (asks for a pause of {wait_s:,.0f} s; we wait {MAX_RETRY_AFTER_S:g} s at most)"
    return Unavailable(reason, wait_s=wait_s, strikes=_LOAD_STRIKES if error.status == 429 else 1)


def _retry_after_s(header: str) -> float:
    """Seconds that a Retry-After asks for, in either of its forms; 0 where it asks for nothing readable."""
    if re.fullmatch(r"\d{1,9}(\.\d{0,9})?", header.strip()):
        return float(header)
    try:
        date = email.utils.parsedate_tz(header)
        return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else 0.0
    except (ValueError, OverflowError, IndexError):  # years and months that no calendar has
        return 0.0

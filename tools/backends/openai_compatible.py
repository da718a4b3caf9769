"""Multimodal models behind an OpenAI-compatible server: vLLM, OpenAI, and others that use the same format."""

import itertools
import os

from PIL import Image

from ctgi.errors import CtgiError, ToolError
from ctgi.network import parse_address
from ctgi.settings_tables import Endpoint
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest
from ctgi.tools.backends.chat_completions import read_reply
from ctgi.tools.backends.endpoint import Limits, Unavailable
from ctgi.tools.backends.model_server import ModelServer
from ctgi.tools.backends.openai_client import ServerClient
from ctgi.tools.backends.per_loop import PerLoop
from ctgi.tools.backends.refusals import BrokenError, RefusedError
from ctgi.tools.backends.request_form import Dialect, GivenUp, RequestForm
from ctgi.tools.backends.server_pool import ServerPool, named
from ctgi.tools.images import DataUrls, encode

_PROBE = ChatRequest("Which color is this? One word.", choices=("yes", "no"))


def open_vllm(model: str, endpoint: Endpoint) -> PerLoop:
    """A model on a vLLM server; a key is sent only if the environment has one.

    Raises:
        CtgiError: the endpoint has no usable address or key.
    """
    cure = f"Start it with `ctgi serve {model}`, or check base_url"
    dialect, key = Dialect(True, 10, "max_tokens", cure), key_of(endpoint)
    return PerLoop(lambda: OpenAiCompatible(model, endpoint, dialect, key))


def open_openai(model: str, endpoint: Endpoint) -> PerLoop:
    """A model at OpenAI, or at any other endpoint by its base_url.

    Raises:
        CtgiError: the endpoint has no usable address, or is OpenAI's and no key is in the environment.
    """
    key, at_openai = key_of(endpoint), _at_openai(endpoint)
    if at_openai and not key:
        variable = endpoint.api_key_env or "OPENAI_API_KEY"
        raise CtgiError(
            f"openai:{model} needs a key: expected one in the environment variable {variable}, which is "
            "not set; nothing was sent. Set it, or bind the tools to another model, for example vllm:..."
        )
    # Other servers often ignore the newer name, and the answer then has no limit.
    token_limit = "max_completion_tokens" if at_openai else "max_tokens"
    dialect = Dialect(False, 20, token_limit, "Check base_url and the network")
    return PerLoop(lambda: OpenAiCompatible(model, endpoint, dialect, key))


def key_of(endpoint: Endpoint) -> str | None:
    """The endpoint's key from the environment. Raises CtgiError where no header can hold it."""
    key = os.environ.get(endpoint.api_key_env or "", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise CtgiError(f"the key in {endpoint.api_key_env} has characters that are not allowed in a key: set it again")
    return key or None


def _at_openai(endpoint: Endpoint) -> bool:
    try:
        hosts = [parse_address(url).host for url in endpoint.servers]
    except ValueError:
        return False
    return any(host == "openai.com" or host.endswith(".openai.com") for host in hosts)


def headers_of(endpoint: Endpoint) -> dict[str, str]:
    """The endpoint's own headers with their values from the environment."""
    values: dict[str, str] = {}
    for name, source in endpoint.headers.items():
        variable = source.removeprefix("env:")
        values[name] = value = os.environ.get(variable, "").strip()
        if not value:
            raise CtgiError(f"the header {name} needs the environment variable {variable}, which is not set: export it")
        if not (value.isascii() and value.isprintable()):
            raise CtgiError(
                f"the header {name}: {variable} has characters that are not allowed in a header: set it again"
            )
    return values


class OpenAiCompatible:
    """One model at one endpoint, on one server or several. Everything inside belongs to the loop it was opened in."""

    def __init__(self, model: str, endpoint: Endpoint, dialect: Dialect, key: str | None) -> None:
        self._servers = [_Server(model, endpoint.at(url), dialect, key) for url in endpoint.servers or ("",)]
        self.endpoint = ", ".join(server.name for server in self._servers)
        self._settings = endpoint
        self._images = DataUrls(endpoint.min_pixels, endpoint.max_pixels, size=2 * endpoint.at_once)
        self._limits = Limits(endpoint, named(self._servers), self._servers[0].cure or dialect.cure)
        self._pool = ServerPool(self._servers, endpoint.concurrency, endpoint.backoff_s)

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Answer one request; raises as Mllm.chat says."""
        async with self._limits.slots:
            url = await self._images.get(request.image) if request.image else None
            return await self._answer(request, url)

    async def probe(self) -> Abilities:
        """Ask for yes or no about a picture where an unconstrained model would name the color."""
        bounds = self._settings.min_pixels, self._settings.max_pixels
        picture = encode(Image.new("RGB", (128, 384), "red"), *bounds)
        images = True
        async with self._limits.slots:
            try:
                reply = await self._answer(_PROBE, picture, needs_text=False)
            except ToolError:
                images = False
                reply = await self._answer(_PROBE, None, needs_text=False)
        takes = any(server.form.takes("structured_outputs") for server in self._servers)
        structured = takes and reply.text in _PROBE.choices
        return Abilities(images=images, logprobs=reply.confidence is not None, structured=structured)

    async def aclose(self) -> None:
        """Close the connections."""
        for server in self._servers:
            await server.aclose()

    async def _answer(self, request: ChatRequest, image_url: str | None, *, needs_text: bool = True) -> ChatReply:
        """The reply, with the endpoint's retries."""
        numbers = itertools.count()

        async def attempt() -> ChatReply:
            is_last = next(numbers) == self._settings.retries
            return await self._pool.call(lambda server: server.answer(request, image_url, needs_text, is_last=is_last))

        return await self._limits.call(attempt, request.image.sha256 if request.image else "")


class _Server:
    """A server of the model, and the form of requests that it takes."""

    def __init__(self, model: str, endpoint: Endpoint, dialect: Dialect, key: str | None) -> None:
        client = ServerClient(endpoint, key, headers_of(endpoint))
        self.name, self.cure = str(client.address), client.cure
        self.form = RequestForm(model, endpoint, dialect, self.name)
        variables = [endpoint.api_key_env, *(source.removeprefix("env:") for source in endpoint.headers.values())]
        self._server = ModelServer(model, client, " or ".join(filter(None, variables)))

    async def answer(
        self, request: ChatRequest, image_url: str | None, needs_text: bool, *, is_last: bool
    ) -> ChatReply:
        """One try; the last of all finds out which fields break the server."""
        try:
            reply = await self._negotiated(request, image_url, needs_text)
        except BrokenError as failure:
            if not is_last:
                raise
            reply = await self._without_what_breaks_it(failure, request, image_url, needs_text)
        self._server.worked = True
        return reply

    async def aclose(self) -> None:
        """Close the connections."""
        await self._server.aclose()

    async def _negotiated(self, request: ChatRequest, image_url: str | None, needs_text: bool) -> ChatReply:
        """One try, with all fields that the server accepts."""
        given_up = self.form.given_up
        while True:
            try:
                reply = await self._ask(request, image_url, given_up, needs_text)
                break
            except RefusedError as refusal:
                culprits = self.form.culprits(refusal.complaint, request, given_up)
                if not culprits:
                    raise await self._server.refused(refusal.complaint) from None
                given_up |= culprits
        self.form.learn(request, given_up)
        return reply

    async def _without_what_breaks_it(
        self, failure: BrokenError, request: ChatRequest, image_url: str | None, needs_text: bool
    ) -> ChatReply:
        """The reply without the fields that cause a status 500.

        The first try omits all fields that never worked here; if it fails too, the server is down. Then each field is
        put back, and only those that make it fail again, twice, are given up.
        """

        async def works(without: GivenUp) -> ChatReply | None:
            try:
                return await self._ask(request, image_url, without, needs_text)
            except (Unavailable, RefusedError):
                return None

        before = self.form.given_up
        suspects = self.form.unproven(request, before)
        blamed = frozenset(suspects)
        reply = await works(before | blamed) if suspects else None
        if reply is None:
            raise failure
        for name in reversed(suspects):
            fuller = before | (blamed - {name})
            if again := await works(fuller) or await works(fuller):
                blamed, reply = blamed - {name}, again
        self.form.learn(request, before | blamed)
        return reply

    async def _ask(self, request: ChatRequest, image_url: str | None, given_up: GivenUp, needs_text: bool) -> ChatReply:
        content = await self._server.post(self.form.body(request, image_url, given_up))
        try:
            return read_reply(
                content,
                request.choices,
                needs_text=needs_text,
                max_tokens=request.max_tokens,
                hide=self._server.hide,
            )
        except RefusedError as error:
            raise await self._server.meaning(error.complaint) from None

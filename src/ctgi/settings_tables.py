"""The tables of ctgi.toml: endpoints, and the numbers of the retriever and of both dialogues."""

import re
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ctgi.errors import CtgiError
from ctgi.files import user_folder
from ctgi.network import Proxies, addresses
from ctgi.reading import Json

_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_HEADER = re.compile(r"[A-Za-z0-9-]+")
RequestField = Literal[
    "structured_outputs", "logprobs", "seed", "top_p", "temperature", "stream", "system",
    "max_tokens", "max_completion_tokens",
]  # fmt: skip


def _no_nul(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a file name cannot contain a NUL byte")
    return path


FilePath = Annotated[Path, AfterValidator(_no_nul)]


def _as_one(urls: object) -> object:
    if not isinstance(urls, list | tuple):
        return urls
    if not urls or not all(isinstance(url, str) and url.strip() for url in urls):
        raise ValueError("expected an address like http://127.0.0.1:8000/v1, or a list of them")
    return ",".join(url.strip() for url in urls)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Endpoint(_Table):
    """A place where a multimodal model answers; `[endpoints.NAME]`, used by the bindings `NAME:model`."""

    provider: str | None = None
    """Backend class; the endpoint's own name if left out."""
    base_url: Annotated[str | None, BeforeValidator(_as_one)] = None
    """One address, or those of several servers of the same model: as a list, or separated by commas. A call goes to
    the least busy of them, and one that fails is left out for a while."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself is never in a file."""
    proxies: Proxies = "remote"
    """What is reached through the proxies of the environment; as under [network] if left out."""
    concurrency: int = Field(32, ge=1)
    """Requests in flight at once, to each server."""
    timeout_s: float = Field(120, gt=0)
    retries: int = Field(3, ge=0)
    """Tries after the first for refused connections, timeouts, 408, 409, 429 and 5xx, and unreadable replies."""
    backoff_s: float = Field(0.5, ge=0)
    """Wait before the second try, doubled before each further one; a Retry-After of the server comes on top."""
    failures_to_stop: int = Field(8, ge=1)
    """Calls in a row that must fail, each with all its retries, before the endpoint counts as gone."""
    temperature: float = Field(0.01, ge=0)
    seed: int = 0
    max_tokens: int = Field(2048, ge=16)
    """Limit of tokens of a reply, including thoughts. Tools ask for fewer; a reply that was cut off is requested again
    with this limit, and so is every reply once the model was seen to think."""
    leave_out: tuple[RequestField, ...] = ()
    """Fields to omit from all requests. Those that a server refuses are omitted anyway."""
    extra_body: Json = Field(default_factory=dict)
    """Further fields of each request, like chat_template_kwargs = {enable_thinking = false}."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Further headers, each with the environment variable of its value: api-key = "env:AZURE_KEY"."""
    min_pixels: int = Field(50_176, ge=1)
    """Smaller images are enlarged to this area: a small crop gives Qwen2-VL too few tokens to see by."""
    max_pixels: int = Field(200_704, ge=784)
    """Larger images are shrunk to this area before they are sent; 28 x 28 px make one Qwen2-VL token."""
    batch_size: int = Field(8, ge=1)
    """In-process models: requests per forward pass."""
    device: str = "auto"
    """In-process models: cpu, cuda, cuda:1 ...; auto takes a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """In-process models: auto is bfloat16 on a GPU and float32 on the CPU, where bfloat16 halves the memory, and the
    time too if the processor has AMX."""

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses in `base_url`."""
        return addresses(self.base_url or "")

    @property
    def at_once(self) -> int:
        """Requests in flight at once, to all servers together."""
        return self.concurrency * max(1, len(self.servers))

    def at(self, server: str) -> "Endpoint":
        """The same for one of its servers."""
        return self.model_copy(update={"base_url": server})

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, name: str | None) -> str | None:
        if name and not re.fullmatch(_VARIABLE, name):
            raise ValueError("expected the name of an environment variable that holds the key, like LAB_KEY")
        return name

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "Endpoint":
        if self.min_pixels > self.max_pixels:
            raise ValueError("min_pixels is above max_pixels")
        return self

    @model_validator(mode="after")
    def _no_secret_in_headers(self) -> "Endpoint":
        for name, source in self.headers.items():
            if not _HEADER.fullmatch(name) or not re.fullmatch(f"env:{_VARIABLE}", source):
                # no ValueError: its message would show the value
                raise CtgiError(
                    "headers of an endpoint: expected a header's name and the environment variable of its value, "
                    'like {"api-key" = "env:LAB_KEY"}; the value itself never stands in a file'
                )
        return self


class RetrieverSettings(_Table):
    """How images and queries are embedded; `[retriever]`."""

    image_size: tuple[int, int] | None = None
    """(height, width) in px; None keeps the model's own. (384, 128) is the field's choice for person crops."""
    context_length: int | None = None
    """Text tokens; 248 stretches the positions of a 77-token CLIP as Long-CLIP does. None keeps the model's own."""
    batch_size: int = Field(64, ge=1)
    workers: int = Field(2, ge=0)
    """Threads that decode images."""
    device: str = "auto"
    storage: Literal["float32", "float16"] = "float32"
    index: str = "Flat"
    """A faiss factory string, for example HNSW32 or IVF4096,PQ64."""
    rerank: int = Field(0, ge=0)
    """How many of the best images a matching head looks at again, like BLIP's; 0 leaves them as they are."""


class MtgSettings(_Table):
    """Multi-turn text generation; `[mtg]`."""

    turns: int = Field(6, ge=0)
    """N: questions asked per image."""
    seed: int = 0
    question_pool: FilePath | None = None
    """A YAML file like agents/question_pool.yaml; None takes that one."""
    min_confidence: float = Field(0.2, ge=0, le=1)
    """Answers with less confidence are dropped, if the backend reports one."""
    judge: Literal["words", "clip"] = "words"
    """How redundancy and relevance are measured: shared words, or the retriever's text and image embeddings."""
    max_overlap: float = Field(0.8, gt=0, le=1)
    """words: share of a statement's words found in one earlier statement from which it is redundant."""
    max_text_similarity: float = Field(0.95, gt=0, le=1)
    """clip: cosine to an earlier statement from which an answer is redundant."""
    min_image_similarity: float = Field(0.15, ge=-1, le=1)
    """clip: cosine to the image under which an answer is irrelevant."""


class MtiSettings(_Table):
    """Multi-turn text interaction; `[mti]`. docs/decisions explains choices that the paper leaves open."""

    k: int = Field(20, ge=1)
    """K: candidates verified."""
    xi: float = Field(0.85, ge=-1, le=1)
    """xi: a top-1 similarity above it, once confirmed, ends the verification."""
    lam: float = Field(0.8, ge=0, le=1)
    """Lambda of Eq. 7: weight of the original query."""
    max_anchors: int = Field(1, ge=1)
    rounds: int = Field(1, ge=1)
    questions: int = Field(6, ge=1)
    """Diagnostic questions asked per round."""
    fusion: Literal["refined", "final"] = "refined"
    """Where the anchor's 1 goes: into the refined term (ICL), or the final score (Eq. 7 read literally)."""
    split: bool = True
    """Where captions of the gallery are given: ask first what tells the likeliest candidates apart."""
    wave_growth: int = Field(4, ge=1)
    """Candidates verified at once: 1, then this many times more each wave. 1 verifies strictly one by one."""


class AgentSettings(_Table):
    """What an agent may spend on one request of a person; `[agent]`."""

    calls: int = Field(40, ge=1)
    """Tools called; those with wrong arguments count too."""
    tokens: int = Field(200_000, ge=1)
    """Tokens of its own model, read and written: each step reads the conversation again."""
    pictures: bool = False
    """Whether its model may ask to see images. They are then sent to it, and again with each further step."""


_FILLED_IN = {
    "answer": {"question"},
    "verify": {"description"},
    "propose": {"query"},
    "reconstruct": {"description", "facts"},
    "aggregate": {"query", "facts"},
}
"""What a prompt must have a place for, in braces."""
_MAY_BE_FILLED_IN = {"propose": {"count"}}


class PromptSettings(_Table):
    """What the models are told; `[prompts]`. The embedded model keeps its own words, by which it was trained."""

    set: Literal["ctgi", "paper"] = "ctgi"
    """paper: after the appendix of the paper, without instructions of our own."""
    system: str | None = None
    """Before every dialogue; "" for none."""
    caption: str | None = Field(None, min_length=1)
    answer: str | None = None
    verify: str | None = None
    propose: str | None = None
    reconstruct: str | None = None
    aggregate: str | None = None

    @classmethod
    def names(cls) -> list[str]:
        """The prompts that can be replaced."""
        return [name for name in cls.model_fields if name != "set"]

    def own(self) -> dict[str, str]:
        """The prompts that the user wrote, by name."""
        return {name: text for name in self.names() if (text := getattr(self, name)) is not None}

    @field_validator(*_FILLED_IN)
    @classmethod
    def _has_its_places(cls, text: str | None, info: ValidationInfo) -> str | None:
        needed = _FILLED_IN[str(info.field_name)]
        shown = " and ".join(f"{{{name}}}" for name in sorted(needed))
        try:
            found = {name for _, name, *_ in Formatter().parse(text or "") if name is not None}
        except ValueError as error:
            raise ValueError(f"expected {shown} and no other braces ({error})") from None
        if text is not None and not needed <= found <= needed | _MAY_BE_FILLED_IN.get(str(info.field_name), set()):
            raise ValueError(f"expected {shown} and no other braces; write {{{{ for a brace")
        return text


def _user_cache() -> Path | None:
    folder = user_folder("XDG_CACHE_HOME", ".cache")
    return folder and folder / "replies.sqlite"


class CacheSettings(_Table):
    """Replies of models kept for later runs; `[cache]`."""

    enabled: bool = True
    file: FilePath | None = Field(default_factory=_user_cache)
    """An SQLite file, shared by all runs of this user; none by default where the user has no home."""
    max_mb: int = Field(512, ge=1)
    """Size above which the least recently used replies are deleted."""


class TelemetrySettings(_Table):
    """OpenTelemetry spans; `[telemetry]`. Nothing is sent unless an endpoint is named here or in OTEL_EXPORTER_*."""

    endpoint: str | None = None
    """Base address of an OTLP/HTTP collector, like http://127.0.0.1:4318."""
    content: bool = False
    """Questions, answers and captions too, as OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true; never images."""


class NetworkSettings(_Table):
    """The way to other machines; `[network]`."""

    proxies: Proxies = "remote"
    """HTTP_PROXY, HTTPS_PROXY and ALL_PROXY: for hosts beyond this machine and its private network, or for all."""

"""Which backend serves which tool, and the numbers of both dialogues: ctgi.toml, environment, command line."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from ctgi.errors import CtgiError
from ctgi.files import WithoutLocks, user_folder
from ctgi.network import Proxies, parse_address, public_url
from ctgi.plugins import OWN_CODE
from ctgi.reading import read_toml
from ctgi.secrets import in_url, learn
from ctgi.suggest import did_you_mean, first_problem, keys_of, nearest
from ctgi.text import plain

CONFIG_NAME = "ctgi.toml"

TOOL_NAMES = (
    "caption_image",
    "answer_question",
    "verify_match",
    "propose_questions",
    "reconstruct_caption",
    "aggregate_query",
    "search_gallery",
    "ask_user",
)
_ADDRESS = re.compile(r"@(?=[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
IMAGE_TOOLS = ("caption_image", "answer_question", "verify_match")

QWEN = "vllm:Qwen/Qwen2-VL-7B-Instruct"
CLIP = "open_clip:ViT-B-16,openai"
_TEXT_BY_TEMPLATE = {
    "propose_questions": "templates",
    "reconstruct_caption": "templates",
    "aggregate_query": "templates",
    "ask_user": "human",
}
PROFILES: dict[str, dict[str, str]] = {
    "embedded": dict.fromkeys((*IMAGE_TOOLS, "search_gallery"), "embedded") | _TEXT_BY_TEMPLATE,
    "paper": dict.fromkeys(IMAGE_TOOLS, QWEN)
    | _TEXT_BY_TEMPLATE
    | {"reconstruct_caption": "openai:gpt-4o", "aggregate_query": QWEN, "search_gallery": CLIP},
    "openai": dict.fromkeys(TOOL_NAMES, "openai:gpt-4o")
    | {"propose_questions": "templates", "search_gallery": CLIP, "ask_user": "human"},
}


class Binding(NamedTuple):
    """A backend by name: `endpoint:model`, `endpoint:model@http://host/v1`, or a bare word like `templates`."""

    endpoint: str
    model: str
    base_url: str | None

    @classmethod
    def parse(cls, spec: str) -> "Binding":
        """Split `provider:model[@url]`; the model keeps any further colon.

        Raises:
            CtgiError: the text is empty or has no provider before its colon.
        """
        text, *address = _ADDRESS.split(spec.strip(), maxsplit=1)
        url = address[0] if address else None
        endpoint, _, model = text.partition(":")
        if not endpoint:
            raise CtgiError(
                f"binding {public_spec(spec)!r}: expected provider:model, like {QWEN!r}, or templates, or human"
            )
        return cls(endpoint, model, url)

    def __str__(self) -> str:
        """As it was written, without what only its owner may know: a password or a query in its URL."""
        name = f"{self.endpoint}:{self.model}" if self.model else self.endpoint
        return f"{name}@{public_url(self.base_url)}" if self.base_url else name


def _no_nul(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a NUL byte is part of no file's name")
    return path


FilePath = Annotated[Path, AfterValidator(_no_nul)]
_HEADER = re.compile(r"[A-Za-z0-9-]+")
RequestField = Literal[
    "structured_outputs", "logprobs", "seed", "top_p", "temperature", "stream", "system",
    "max_tokens", "max_completion_tokens",
]  # fmt: skip


def public_spec(spec: str) -> str:
    """A binding as somebody wrote it, right or wrong, without what only its owner may know."""
    text, *address = _ADDRESS.split(spec, maxsplit=1)
    return "@".join([text, *map(public_url, address)])


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Endpoint(_Table):
    """A place where a multimodal model answers; `[endpoints.NAME]`, used by the bindings `NAME:model`."""

    provider: str | None = None
    """Backend class; the endpoint's own name if left out."""
    base_url: str | None = None
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself is never in a file."""
    proxies: Proxies = "remote"
    """What is reached through the proxies of the environment; as under [network] if left out."""
    concurrency: int = Field(32, ge=1)
    """Requests in flight at once."""
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
    """The most tokens of a reply, thoughts included. A tool asks for fewer; one that was cut off is asked again for
    this many, as is everything once the model was seen to think."""
    leave_out: tuple[RequestField, ...] = ()
    """Fields that requests go without from the start. Those that a server refuses are left out anyway."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
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
    """In-process models: cpu, cuda, cuda:1 ...; auto takes a GPU where there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """In-process models: auto is bfloat16 on a GPU and float32 on the CPU, where bfloat16 halves the memory, and the
    time too if the processor has AMX."""

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


class MtgSettings(_Table):
    """Multi-turn text generation; `[mtg]`."""

    turns: int = Field(6, ge=0)
    """N: questions asked per image."""
    seed: int = 0
    question_pool: FilePath | None = None
    """A YAML file like agents/question_pool.yaml; None takes that one."""
    min_confidence: float = Field(0.2, ge=0, le=1)
    """Answers that their backend believes less are dropped; backends without a confidence are not judged by it."""
    judge: Literal["words", "clip"] = "words"
    """How redundancy and relevance are measured: shared words, or the retriever's text and image embeddings."""
    max_overlap: float = Field(0.8, gt=0, le=1)
    """words: share of a statement's words found in one earlier statement from which it is redundant."""
    max_text_similarity: float = Field(0.95, gt=0, le=1)
    """clip: cosine to an earlier statement from which an answer is redundant."""
    min_image_similarity: float = Field(0.15, ge=-1, le=1)
    """clip: cosine to the image under which an answer is irrelevant."""


class MtiSettings(_Table):
    """Multi-turn text interaction; `[mti]`. What the paper leaves open is settled in docs/decisions."""

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
    wave_growth: int = Field(4, ge=1)
    """Candidates verified at once: 1, then this many times more each wave. 1 verifies strictly one by one."""


def _user_cache() -> Path | None:
    folder = user_folder("XDG_CACHE_HOME", ".cache")
    return folder and folder / "replies.sqlite"


class CacheSettings(_Table):
    """Replies of models kept for later runs; `[cache]`."""

    enabled: bool = True
    file: FilePath | None = Field(default_factory=_user_cache)
    """An SQLite file, shared by all runs of this user; none by default where the user has no home."""
    max_mb: int = Field(512, ge=1)
    """Size from which the replies that were not used for longest leave."""


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


class Settings(BaseSettings):
    """All of ctgi's configuration, resolved."""

    model_config = SettingsConfigDict(
        env_prefix="CTGI_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    profile: Literal["embedded", "paper", "openai"] = "embedded"
    bindings: dict[str, str] = Field(default_factory=dict)
    endpoints: dict[str, Endpoint] = Field(default_factory=dict)
    retriever: RetrieverSettings = RetrieverSettings()
    mtg: MtgSettings = MtgSettings()
    mti: MtiSettings = MtiSettings()
    cache: CacheSettings = Field(default_factory=CacheSettings)
    telemetry: TelemetrySettings = TelemetrySettings()
    network: NetworkSettings = NetworkSettings()
    gallery: FilePath | None = None
    traces: FilePath = Path(".ctgi") / "traces"
    """Where each run leaves its trace; from the working directory."""
    without_locks: WithoutLocks = "warn"
    """On a file system that has no locks, as some network shares: go on with a warning, or stop."""

    @field_validator("bindings")
    @classmethod
    def _spread(cls, bindings: dict[str, str]) -> dict[str, str]:
        """`images` stands for the tools that look at an image and have no entry of their own."""
        named = {tool: backend for tool, backend in bindings.items() if tool != "images"}
        return (dict.fromkeys(IMAGE_TOOLS, bindings["images"]) if "images" in bindings else {}) | named

    def binding(self, tool: str) -> Binding:
        """The backend of a tool: its own entry, else the profile's."""
        return Binding.parse(self.bindings.get(tool, PROFILES[self.profile][tool]))

    def endpoint(self, binding: Binding) -> Endpoint:
        """Where a binding's model answers: its endpoint's entry over the provider's defaults.

        Keys and headers belong to their endpoint's address: a binding that names another one (`lab:model@URL`) goes
        without.
        """
        entry = self.endpoints.get(binding.endpoint, Endpoint())
        provider = entry.provider or binding.endpoint
        given = entry.model_dump(exclude_unset=True)
        defaults = {"proxies": self.network.proxies, **_PROVIDER_DEFAULTS.get(provider, {})}
        if given.get("base_url") and (provider == "openai" or provider != binding.endpoint):
            defaults.pop("api_key_env", None)  # the provider's own key is not for whoever else speaks its language
        chosen = defaults | given | {"provider": provider}
        if binding.base_url:
            if not _same_origin(binding.base_url, chosen.get("base_url")):
                chosen |= {"api_key_env": None, "headers": {}}
            chosen["base_url"] = binding.base_url
        return Endpoint(**chosen)

    def public(self) -> dict[str, Any]:
        """All values as plain JSON, without what only their owner may know."""
        values = self.model_dump(mode="json")
        values["bindings"] = {tool: str(Binding.parse(spec)) for tool, spec in self.bindings.items()}
        for endpoint in values["endpoints"].values():
            endpoint["base_url"] = endpoint["base_url"] and public_url(endpoint["base_url"])
        collector = self.telemetry.endpoint
        values["telemetry"]["endpoint"] = collector and public_url(collector)
        return values

    def secrets(self) -> set[str]:
        """Keys of all endpoints, and the passwords and queries of every address in use."""
        endpoints = [*self.endpoints.values(), *(self.endpoint(self.binding(tool)) for tool in TOOL_NAMES)]
        variables = {endpoint.api_key_env for endpoint in endpoints}
        variables |= {defaults.get("api_key_env") for defaults in _PROVIDER_DEFAULTS.values()}
        variables |= {source.removeprefix("env:") for endpoint in endpoints for source in endpoint.headers.values()}
        keys = {os.environ.get(name or "", "").strip() for name in variables}
        urls = {endpoint.base_url for endpoint in endpoints} | {self.telemetry.endpoint}
        for name, value in os.environ.items():
            if name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("HEADERS"):
                keys |= {secret for _, secret in parse_qsl(value, separator=",")}
            elif name.lower().endswith("_proxy") or (name.startswith("OTEL_") and name.endswith("ENDPOINT")):
                urls.add(value)
        return {text for text in keys.union(*(in_url(url) for url in urls if url)) if text}


def _same_origin(url: str, own: str | None) -> bool:
    try:
        return own is not None and parse_address(url).origin == parse_address(own).origin
    except ValueError:
        return False


_PROVIDER_DEFAULTS: dict[str, dict[str, Any]] = {
    "embedded": {"min_pixels": 1, "batch_size": 32, "concurrency": 64},
    "vllm": {"base_url": "http://127.0.0.1:8000/v1", "api_key_env": "VLLM_API_KEY"},
    "openai": {"base_url": "https://api.openai.com/v1", "api_key_env": "OPENAI_API_KEY"},
    "python": {"concurrency": 1},  # own code is not taken for safe in several threads
}


def find_config(start: Path) -> Path | None:
    """The ctgi.toml in `start` or the nearest folder above it, else the user's own; None where there is none.

    One that cannot be read is found too, so that it is not passed over in silence.
    """
    places = [folder / CONFIG_NAME for folder in (start, *start.parents)]
    return next((file for file in (*places, _user_config()) if file and os.path.lexists(file)), None)


def _user_config() -> Path | None:
    folder = user_folder("XDG_CONFIG_HOME", ".config")
    return folder and folder / CONFIG_NAME


def _refuse_code(path: Path, tables: dict[str, Any]) -> None:
    """A folder from somebody else must not run code because a command was started in it."""
    bindings, endpoints = (
        list(table.values()) if isinstance(table := tables.get(name), dict) else []
        for name in ("bindings", "endpoints")
    )
    providers = [entry.get("provider") for entry in endpoints if isinstance(entry, dict)]
    if OWN_CODE in [*providers, *(Binding.parse(str(spec)).endpoint for spec in bindings)]:
        raise CtgiError(
            f"{path} names code to run ({OWN_CODE}:...), and was only found, not chosen: "
            f"if it is yours, add --config {path}"
        )


def _refuse_misspelled(environment: Iterable[str]) -> None:
    """A variable that is nearly one of ours would change nothing; others may belong to somebody else's scripts."""
    for name in sorted(environment):
        table = name.removeprefix("CTGI_").partition("__")[0].lower()
        if name.startswith("CTGI_") and table not in Settings.model_fields:
            meant = _with_table(table) or nearest(table, Settings.model_fields, likeness=0.8)
            if meant:
                raise CtgiError(f"{name}: no such setting; did you mean CTGI_{meant.upper()}?")


def _with_table(name: str) -> str | None:
    """`mtg__turns` for `mtg_turns`, where that is a setting."""
    for table in Settings.model_fields:
        key = name.removeprefix(f"{table}_")
        if key != name and key in (TOOL_NAMES if table == "bindings" else keys_of(Settings, (table,))):
            return f"{table}__{key}"
    return None


def load_settings(
    *,
    binds: list[str] | None = None,
    profile: str | None = None,
    config: Path | None = None,
    **overrides: Any,
) -> Settings:
    """Settings with the command line over the environment over ctgi.toml over the defaults.

    Args:
        binds: `tool=backend` each; `images=backend` binds all tools that look at an image.
        profile: one of PROFILES.
        config: a ctgi.toml to use instead of the one found.
        overrides: tables by name, for example mti={"k": 10}.

    Raises:
        CtgiError: an unknown tool, key or value; the message names the place it stands in.
    """
    if config and not os.path.lexists(config):
        raise CtgiError(f"{plain(str(config))}: no such configuration file")
    path = config or find_config(Path.cwd())
    tables = read_toml(path, "configuration") if path else {}
    if path and config is None and path != _user_config():
        _refuse_code(path, tables)
    _refuse_misspelled(os.environ)

    class _Sources(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=tables)

    values = {name: value for name, value in overrides.items() if value}
    if profile:
        values["profile"] = profile
    if binds:
        values["bindings"] = parse_binds(binds)
    try:
        settings = _Sources(**values)
    except ValidationError as error:
        raise CtgiError(
            f"configuration ({path or 'no ctgi.toml'}, CTGI_* variables, options): {_first(error)}"
        ) from None
    except (ValueError, RecursionError) as error:  # of JSON in a variable
        raise CtgiError(
            f"CTGI_* variables: {plain(str(error))}: expected JSON, like CTGI_MTI='{{\"k\": 10}}'"
        ) from None
    unknown = sorted(set(settings.bindings) - set(TOOL_NAMES))
    if unknown:
        meant = did_you_mean(unknown[0], (*TOOL_NAMES, "images"))
        expected = f"; the tools are {', '.join(TOOL_NAMES)}"
        raise CtgiError(f"bindings: no tool is called {public_spec(unknown[0])!r}{meant or expected}")
    learn(settings.secrets())
    return settings


def parse_binds(binds: Iterable[str]) -> dict[str, str]:
    """Tool to backend, out of `tool=backend` each; `images` stands for all tools that look at an image.

    Raises:
        CtgiError: one of them is nothing of the kind.
    """
    bindings: dict[str, str] = {}
    for text in binds:
        tool, equals, backend = text.partition("=")
        if not equals or not backend:
            raise CtgiError(f"--bind {public_spec(text)!r}: expected tool=backend, like verify_match=openai:gpt-4o")
        bindings |= dict.fromkeys(IMAGE_TOOLS if tool == "images" else (tool,), backend)
    return bindings


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    shown = f" (got {problem['input']!r})" if _may_be_shown(problem) else ""
    return f"{first_problem(error, Settings)}{shown}"


def _may_be_shown(problem: Any) -> bool:
    """Whether the value in question is surely no key or password that was written in the wrong place."""
    value, kind = problem["input"], problem["type"]
    if isinstance(value, str):
        return (kind == "literal_error" or kind.endswith("_parsing")) and "@" not in value
    return isinstance(value, bool | int | float) and kind != "extra_forbidden"

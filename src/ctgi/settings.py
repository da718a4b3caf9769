"""All of ctgi's configuration, resolved: which backend serves which tool, and where that backend answers."""

import os
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ctgi.bindings import Binding
from ctgi.errors import CtgiError
from ctgi.files import WithoutLocks
from ctgi.network import addresses, parse_address, public_url
from ctgi.reading import Json
from ctgi.secrets import in_url
from ctgi.settings_tables import (
    AgentSettings,
    CacheSettings,
    Endpoint,
    FilePath,
    MtgSettings,
    MtiSettings,
    NetworkSettings,
    PromptSettings,
    RetrieverSettings,
    TelemetrySettings,
)
from ctgi.tools.specs import TOOLS, image_tools
from ctgi.tools.tool_calls import AGENT


class Settings(BaseSettings):
    """All of ctgi's configuration, resolved."""

    model_config = SettingsConfigDict(
        env_prefix="CTGI_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    profile: Literal["embedded", "laptop", "paper", "openai"] = "embedded"
    bindings: dict[str, str] = Field(default_factory=dict)
    endpoints: dict[str, Endpoint] = Field(default_factory=dict)
    retriever: RetrieverSettings = RetrieverSettings()
    mtg: MtgSettings = MtgSettings()
    mti: MtiSettings = MtiSettings()
    agent: AgentSettings = AgentSettings()
    prompts: PromptSettings = PromptSettings()
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
        return (dict.fromkeys(image_tools(), bindings["images"]) if "images" in bindings else {}) | named

    def binding(self, tool: str) -> Binding:
        """The backend of a tool, or of `agent`: its own entry, else the profile's.

        Raises:
            CtgiError: no model is bound to the agent.
        """
        if tool == AGENT:
            return self._agent_binding()
        return Binding.parse(self.bindings.get(tool, getattr(TOOLS[tool].profiles, self.profile)))

    def _agent_binding(self) -> Binding:
        spec = self.bindings.get(AGENT, _AGENT_PROFILES.get(self.profile))
        if spec is None:
            raise CtgiError(
                "no model is bound to the agent: bind one that calls tools, like --bind agent=openai:gpt-4o, or "
                "--bind agent=vllm:Qwen/Qwen3-VL-8B-Instruct with ctgi serve"
            )
        return Binding.parse(spec)

    def endpoint(self, binding: Binding) -> Endpoint:
        """Where a binding's model answers: its endpoint's entry over the provider's defaults.

        Keys and headers belong to their endpoint's address; a binding to another address (`lab:model@URL`) gets none.
        """
        entry = self.endpoints.get(binding.endpoint, Endpoint())
        provider = entry.provider or binding.endpoint
        given = entry.model_dump(exclude_unset=True)
        defaults = {"proxies": self.network.proxies, **_PROVIDER_DEFAULTS.get(provider, {})}
        if given.get("base_url") and (provider == "openai" or provider != binding.endpoint):
            defaults.pop("api_key_env", None)  # the provider's own key is not for other servers with its protocol
        chosen = defaults | given | {"provider": provider}
        if binding.base_url:
            if not _same_origin(binding.base_url, chosen.get("base_url")):
                chosen |= {"api_key_env": None, "headers": {}}
            chosen["base_url"] = binding.base_url
        return Endpoint(**chosen)

    def public(self) -> Json:
        """All values as plain JSON, without credentials."""
        values = self.model_dump(mode="json")
        values["bindings"] = {tool: str(Binding.parse(spec)) for tool, spec in self.bindings.items()}
        for endpoint in values["endpoints"].values():
            endpoint["base_url"] = endpoint["base_url"] and public_url(endpoint["base_url"])
        collector = self.telemetry.endpoint
        values["telemetry"]["endpoint"] = collector and public_url(collector)
        return values

    def secrets(self) -> set[str]:
        """Keys of all endpoints, and the passwords and queries of every address in use."""
        bound = [*TOOLS, *({AGENT} & self.bindings.keys())]
        endpoints = [*self.endpoints.values(), *(self.endpoint(self.binding(tool)) for tool in bound)]
        variables = {endpoint.api_key_env for endpoint in endpoints}
        variables |= {defaults.get("api_key_env") for defaults in _PROVIDER_DEFAULTS.values()}
        variables |= {source.removeprefix("env:") for endpoint in endpoints for source in endpoint.headers.values()}
        keys = {os.environ.get(name or "", "").strip() for name in variables}
        urls = {url for endpoint in endpoints for url in endpoint.servers} | {self.telemetry.endpoint}
        for name, value in os.environ.items():
            if name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("HEADERS"):
                keys |= {secret for _, secret in parse_qsl(value, separator=",")}
            elif name.lower().endswith("_proxy") or (name.startswith("OTEL_") and name.endswith("ENDPOINT")):
                urls.add(value)
        return {text for text in keys.union(*(in_url(url) for url in urls if url)) if text}


def _same_origin(urls: str, own: str | None) -> bool:
    """Whether all of these servers are among our own."""
    try:
        known = {parse_address(url).origin for url in addresses(own or "")}
        return all(parse_address(url).origin in known for url in addresses(urls))
    except ValueError:
        return False


_AGENT_PROFILES = {"openai": "openai:gpt-4o"}
"""Profiles with a model that calls tools."""
_PROVIDER_DEFAULTS: dict[str, Json] = {
    "embedded": {"min_pixels": 1, "batch_size": 32, "concurrency": 64},
    "vllm": {"base_url": "http://127.0.0.1:8000/v1", "api_key_env": "VLLM_API_KEY"},
    "openai": {"base_url": "https://api.openai.com/v1", "api_key_env": "OPENAI_API_KEY"},
    "python": {"concurrency": 1},  # own code is not assumed to be thread-safe
}

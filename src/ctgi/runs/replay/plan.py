"""What a replay calls anew, and what has changed since the recording that decides it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ctgi.agents.prompts import worded
from ctgi.config import Binding, Settings, load_settings, parse_binds
from ctgi.errors import CtgiError
from ctgi.network import addresses, is_local
from ctgi.plugins import OWN_CODE
from ctgi.runs import digests
from ctgi.tools.specs import TOOLS
from ctgi.tools.traces.format import Item
from ctgi.tools.traces.player import OnMiss
from ctgi.tools.traces.reader import Trace

NO_MODEL = ("templates", "human")


@dataclass(frozen=True)
class Plan:
    """How a run is replayed."""

    binds: tuple[str, ...] = ()
    """tool=backend of what is called anew; everything else is answered by the recording."""
    on_miss: OnMiss = "error"
    from_node: str | None = None
    """From the first visit of this node on, an item's calls are made anew."""
    wanted: Callable[[Item], bool] = lambda item: True
    """Which items."""
    accept_changes: bool = False
    """Serve recorded answers although the prompt they answer was changed since."""
    gallery: Path | None = None
    """Where the gallery lies now."""

    @property
    def pure(self) -> bool:
        """Whether nothing but templates is called."""
        return not self.binds and self.on_miss == "error" and self.from_node is None


def replay_settings(trace: Trace, plan: Plan, config: Path | None = None) -> Settings:
    """The recorded bindings and numbers, with the plan's bindings over them; endpoints are those of today.

    Raises:
        CtgiError: a binding or a recorded setting that this ctgi does not know.
    """
    header = trace.header
    if trace.newer:
        raise CtgiError(trace.problems[0].what)
    recorded = {name: header.settings.get(name) for name in ("mtg", "mti", "retriever", "agent", "prompts")}
    binds = [f"{tool}={spec}" for tool, spec in header.bindings.items()]
    return load_settings(binds=[*binds, *plan.binds], config=config, **recorded)


def changes(trace: Trace, settings: Settings) -> list[str]:
    """What decides a run and is not as it was: prompts, question pool, code files, each by its name."""
    return digests.changes(trace.header.digests, digests.digests(settings.mtg.question_pool, worded(settings.prompts)))


def live_tools(trace: Trace, settings: Settings, plan: Plan, changed: list[str]) -> set[str]:
    """The tools to call anew: those bound by the plan, and those whose prompt was changed since.

    Raises:
        CtgiError: a prompt was changed and the plan neither accepts that nor lets the tool go live.
    """
    live = set(parse_binds(plan.binds))
    if live and not live & trace.header.bindings.keys():
        used = ", ".join(trace.header.bindings)
        raise CtgiError(f"run {trace.header.run} never calls {', '.join(sorted(live))}: its tools are {used}")
    _check_places(trace, settings, plan, live)
    recorded = {tool: Binding.parse(spec).endpoint for tool, spec in trace.header.bindings.items()}
    stale = {
        tool: name
        for name in changed
        for tool, spec in TOOLS.items()
        if name in spec.prompt_files and recorded.get(tool, "templates") not in NO_MODEL and tool not in live
    }
    if not stale or plan.accept_changes:
        return live
    if plan.on_miss == "live":
        return live | set(stale)
    tool, name = next(iter(stale.items()))
    raise CtgiError(
        f"{name} was changed since run {trace.header.run}: its answers to {tool} belong to other words. Ask again "
        f"with --bind {tool}=... or --on-miss live, or take the recorded answers with --accept-changes"
    )


def may_go_live(trace: Trace, plan: Plan) -> list[str]:
    """The tools that a replay may call anew: those that the plan binds, or all once it makes calls of its own."""
    bound = parse_binds(plan.binds) if plan.on_miss == "error" and plan.from_node is None else trace.header.bindings
    return [tool for tool in trace.header.bindings if tool in bound]


def _check_places(trace: Trace, settings: Settings, plan: Plan, live: set[str]) -> None:
    """A trace is data: it must not choose the host that images, texts and keys go to, nor code to run."""
    if plan.on_miss == "error" and plan.from_node is None:
        return
    urls = [settings.binding(tool).base_url for tool in live]
    urls += [endpoint.base_url for endpoint in settings.endpoints.values()]
    chosen = {url for several in urls for url in addresses(several or "")}
    for tool in sorted(trace.header.bindings.keys() - live):
        recorded = Binding.parse(trace.header.bindings[tool])
        url = ",".join(url for url in addresses(recorded.base_url or "") if url not in chosen and not is_local(url))
        if recorded.endpoint == OWN_CODE:
            raise CtgiError(
                f"{tool} was served by code, {recorded}, in run {trace.header.run}: if it is yours, call it "
                f"again with --bind {tool}={recorded}"
            )
        if url:
            raise CtgiError(
                f"{tool} was served by {url} in run {trace.header.run}: to call it there again, add "
                f"--bind {tool}={trace.header.bindings[tool]}"
            )


def computed_tools(settings: Settings) -> set[str]:
    """Tools whose templates need no model, so that a miss is no reason to stop."""
    return {tool for tool in TOOLS if settings.binding(tool).endpoint == "templates"}

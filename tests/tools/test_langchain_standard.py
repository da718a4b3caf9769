"""LangChain's own standard tests over the exported tools; the model behind them is scripted, the retriever is real."""

import io
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from ctgi.agents.answerer import Answerer
from ctgi.agents.captioner import Captioner
from ctgi.agents.pool import load_pool
from ctgi.agents.questioner import TemplateQuestioner
from ctgi.agents.verifier import Verifier
from ctgi.agents.writers import TemplateAggregator, TemplateReconstructor
from ctgi.config import RetrieverSettings
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import build_gallery, open_gallery
from ctgi.retrieval.images import ref
from ctgi.testing import ScriptedMllm
from ctgi.tools.backends.human import ask_user
from ctgi.tools.detectors.own import OwnDetector
from ctgi.tools.langchain_export import as_langchain_tools
from ctgi.tools.search_gallery import GallerySearch
from ctgi.tools.specs import TOOLS
from tests.support.tiny_clip import save_people

pytestmark = pytest.mark.anyio

_FACTS = [{"question": "What color are the shoes?", "answer": "white", "statement": "The shoes are white."}]
_EXAMPLES: dict[str, dict[str, Any]] = {
    "caption_image": {"image_id": "one"},
    "answer_question": {"image_id": "one", "question": "What color are the shoes?"},
    "verify_match": {"image_id": "one", "description": "a man in a red shirt"},
    "propose_questions": {"query": "a man in a red shirt", "image_id": "one", "count": 2, "asked": ["hair"]},
    "reconstruct_caption": {"description": "A man in a red shirt.", "facts": _FACTS},
    "aggregate_query": {"query": "a man in a red shirt", "facts": _FACTS},
    "search_gallery": {
        "query": "a man in a red shirt", "k": 3, "refined_query": "a man in a red shirt and white shoes",
        "anchors": ["one"], "weight": 0.5,
    },
    "ask_user": {"question": "What color are the shoes?", "image_id": "one"},
    "detect_people": {"image_id": "one"},
}  # fmt: skip
assert set(_EXAMPLES) == set(TOOLS)
_tools: dict[str, BaseTool] = {}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def exported(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    people, settings = save_people(tmp_path_factory.mktemp("people")), RetrieverSettings()
    encoder = load_encoder(f"open_clip:local-dir:{tiny_clip}", settings)
    build_gallery([str(people)], people / ".ctgi", encoder, settings)
    mllm = ScriptedMllm(lambda request: "yes" if request.choices else "a red shirt")
    tools = {
        "caption_image": Captioner(mllm),
        "answer_question": Answerer(mllm),
        "verify_match": Verifier(mllm),
        "propose_questions": TemplateQuestioner(load_pool()),
        "reconstruct_caption": TemplateReconstructor(),
        "aggregate_query": TemplateAggregator(),
        "search_gallery": GallerySearch(open_gallery(people, encoder)),
        "ask_user": ask_user,
        "detect_people": OwnDetector(lambda picture: [(0, 0, picture.width, picture.height, 0.9)], "whole", 1),
    }
    images = {"one": ref(str(people / "0_a.png"))}
    _tools.update((tool.name, tool) for tool in as_langchain_tools(tools, images))


@pytest.fixture(autouse=True)
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("white\n"))


class _Exported:
    name: ClassVar[str]

    @property
    def tool_constructor(self) -> BaseTool:
        return _tools[self.name]

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return _EXAMPLES[self.name]


for _name in _EXAMPLES:
    for _kind, _standard in (("Unit", ToolsUnitTests), ("Integration", ToolsIntegrationTests)):
        _class = f"Test{_kind}Of{_name.title().replace('_', '')}"
        globals()[_class] = type(_class, (_Exported, _standard), {"name": _name, "__test__": True})
del ToolsUnitTests, ToolsIntegrationTests, _standard

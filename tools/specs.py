"""The table of tools.

To add a tool: one file with its protocol, what serves it, its form and its ToolSpec, and one line in `_SPECS`. It can
then be bound, listed, checked, recorded, replayed and given to an agent.
"""

from ctgi.bindings import QWEN
from ctgi.tools import forms, protocols
from ctgi.tools.tool_spec import Profiles, ToolSpec
from ctgi.tools.types import Detections, Fact, Questions, Ranking, Reply, Verdict

_GPT, _CLIP = "openai:gpt-4o", "open_clip:ViT-B-16,openai"
_SMALL, _SMALL_CLIP = "hf:Qwen/Qwen3-VL-2B-Instruct", "open_clip:ViT-B-16,datacomp_xl_s13b_b90k"
_QUERY = "a person in a red shirt"
_FACTS = [Fact("What color are the shoes?", "white", "The shoes are white.")]

_SPECS = (
    ToolSpec(
        "caption_image",
        protocols.CaptionImage,
        Reply,
        Profiles("embedded", QWEN, _GPT, _SMALL),
        forms.caption_image,
        role="ctgi.agents.captioner:Captioner",
        human="ctgi.tools.backends.human:caption_image",
        prompts=("system", "caption"),
        looks=True,
    ),
    ToolSpec(
        "answer_question",
        protocols.AnswerQuestion,
        Reply,
        Profiles("embedded", QWEN, _GPT, _SMALL),
        forms.answer_question,
        role="ctgi.agents.answerer:Answerer",
        human="ctgi.tools.backends.human:answer_question",
        prompts=("system", "caption", "answer", "thi_questions", "witness"),  # it is asked after the caption's turn
        example={"question": "What color is the person's upper-body clothing?"},
        looks=True,
    ),
    ToolSpec(
        "verify_match",
        protocols.VerifyMatch,
        Verdict,
        Profiles("embedded", QWEN, _GPT, _SMALL),
        forms.verify_match,
        role="ctgi.agents.verifier:Verifier",
        human="ctgi.tools.backends.human:verify_match",
        prompts=("system", "verify"),
        example={"description": _QUERY},
        looks=True,
    ),
    ToolSpec(
        "propose_questions",
        protocols.ProposeQuestions,
        Questions,
        Profiles("templates", QWEN, "templates", "templates"),
        forms.propose_questions,
        role="ctgi.agents.proposer:Proposer",
        template="ctgi.agents.questioner:TemplateQuestioner",
        prompts=("system", "propose", "among"),
        example={"query": _QUERY, "count": 2},
    ),
    ToolSpec(
        "reconstruct_caption",
        protocols.ReconstructCaption,
        Reply,
        Profiles("templates", _GPT, _GPT, "templates"),
        forms.reconstruct_caption,
        role="ctgi.agents.writers:Reconstructor",
        template="ctgi.agents.writers:TemplateReconstructor",
        prompts=("system", "reconstruct"),
        example={"description": _QUERY, "facts": _FACTS},
    ),
    ToolSpec(
        "aggregate_query",
        protocols.AggregateQuery,
        Reply,
        Profiles("templates", QWEN, _GPT, "templates"),
        forms.aggregate_query,
        role="ctgi.agents.writers:Aggregator",
        template="ctgi.agents.writers:TemplateAggregator",
        prompts=("system", "aggregate"),
        example={"query": _QUERY, "facts": _FACTS},
    ),
    ToolSpec(
        "search_gallery",
        protocols.SearchGallery,
        Ranking,
        Profiles("embedded", _CLIP, _CLIP, _SMALL_CLIP),
        forms.search_gallery,
    ),
    ToolSpec(
        "ask_user",
        protocols.AskUser,
        Reply,
        Profiles("human", "human", "human", "human"),
        forms.ask_user,
        human="ctgi.tools.backends.human:ask_user",
    ),
    ToolSpec(
        "detect_people",
        protocols.DetectPeople,
        Detections,
        Profiles("embedded", "embedded", "embedded", "embedded"),
        forms.detect_people,
        role="ctgi.agents.grounder:Grounder",
        openers={
            "embedded": "ctgi.tools.detectors.shipped:open_shipped",
            "hf": "ctgi.tools.detectors.hf:open_hf_detector",
            "python": "ctgi.tools.detectors.own:open_own_detector",
        },
        prompts=("locate", "locate_in_px"),
    ),
)
TOOLS: dict[str, ToolSpec] = {spec.name: spec for spec in _SPECS}
"""All tools by name, in the order in which they are listed."""


def image_tools() -> tuple[str, ...]:
    """The tools that the binding `images` includes."""
    return tuple(name for name, spec in TOOLS.items() if spec.looks)

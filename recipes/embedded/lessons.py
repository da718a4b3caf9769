"""Dialogues about a scene, in the words that ctgi sends: what is asked, and what a truthful model replies."""

from dataclasses import dataclass
from importlib.resources import files
from random import Random

import yaml

from ctgi.agents.pool import load_pool
from ctgi.agents.prompts import prompt
from ctgi.synth import words
from ctgi.synth.phrases import phrases
from ctgi.synth.words import say
from recipes.embedded import emphasis
from recipes.embedded.answers import ABSENT, ANSWERS, Scene, answer
from recipes.embedded.descriptions import Claim, draw_description, sentence

POOL = {question.attribute: question.question for question in load_pool(None).questions}
CAPTION_WORDINGS = ("Describe the person in the image.", "Describe this person.", "What does this person look like?")
OTHER_WORDINGS: dict[str, list[str]] = yaml.safe_load(
    (files("recipes.embedded") / "wordings.yaml").read_text(encoding="utf-8")
)
COMMON = ("upper_color", "lower_type", "carried_objects", "accessories", "background", "action", "upper_type",
          "lower_color", "shoes", "shoes_color", "bag", "bag_color", "gender", "hair")  # fmt: skip
MENTIONED = {
    "person": 1.0,
    "hair": 0.25,
    "upper": 1.0,
    "lower": 1.0,
    "shoes": 0.35,
    "bag": 0.9,
    "hat": 0.6,
    "held": 0.6,
    "action": 0.2,
}
"""How often a first caption mentions what is there."""
VAGUE_KINDS = 0.4
"""How often a first caption names the wider kind: shoes, a jacket, pants, a bag."""
NO_GENDER = 0.3
"""How often it says "person"."""
ASKED_WHERE_ABSENT = {
    "bag": 0.75, "bag_color": 0.5, "backpack": 0.25, "hand_held": 0.6, "hat": 0.2, "hat_color": 0.15, "glasses": 0.2,
    "upper_pattern": 0.35, "lower_pattern": 0.16, "layers": 0.14, "socks": 0.2, "belt": 0.12, "scarf": 0.14,
    "vehicle": 0.1, "other_people": 0.2, "jewelry": 0.3,
}  # fmt: skip
"""How often, beside other questions, one is asked whose answer is that there is no such thing, so that no answer is
learned as the usual one; first captions keep to what is usual.
"""
VERDICTS = 3
QUESTIONS = 8


@dataclass(frozen=True)
class Turn:
    """One prompt and the reply to learn."""

    before: str
    """The prompt up to its claims."""
    claims: list[Claim]
    after: str
    reply: str
    weight: float = 1.0
    """How much the reply counts."""

    @property
    def prompt(self) -> str:
        """All of it."""
        return self.before + "".join(claim.text for claim in self.claims) + self.after


Branch = list[Turn]
"""Turns that follow each other, right after the system's words and the image."""


def draw_branches(scene: Scene, other: Scene, rng: Random) -> list[Branch]:
    """What to learn from one picture: a dialogue now and then, some first questions, some verdicts."""
    branches = [_dialogue(scene, rng)] if rng.random() < 0.4 else []
    asked = sum(len(branch) - 1 for branch in branches)  # so that all pictures have as much to read
    attributes = [rng.choice(COMMON), *draw_questions(scene, list(POOL), QUESTIONS - 1 - asked, rng)]
    branches += [[_question(scene, attribute, rng)] for attribute in attributes]
    return branches + [[_verdict(scene, other, rng)] for _ in range(VERDICTS)]


def draw_questions(scene: Scene, attributes: list[str], count: int, rng: Random) -> list[str]:
    """Different attributes to ask about, those less often that are absent more often than not."""
    late = {
        name: rng.expovariate(ASKED_WHERE_ABSENT.get(name, 1.0) if answer(name, scene) in ABSENT else 1.0)
        for name in attributes
    }
    return sorted(attributes, key=late.__getitem__)[:count]


def caption(scene: Scene, rng: Random) -> str:
    """A sentence with the person, the main garments and what is carried, as a captioner's first look gives it.

    It is vague in a share of the cases, so that the likeliest words are exact where the picture is plain, and wide
    where kinds are hard to tell.
    """
    said = phrases(scene.person, scene.view, scene.visible, rng, vague_kinds=VAGUE_KINDS)
    said["person"] = "person" if rng.random() < NO_GENDER else say(words.PERSON[scene.person.gender], rng)
    told = {
        topic: Claim(said[topic], True)
        for topic, share in MENTIONED.items()
        if said.get(topic, "something") != "something" and rng.random() < share
    }
    while True:
        pieces = sentence(told, rng)
        if pieces[0].text.strip() == "A" and pieces[-1].text == ".":
            return "".join(piece.text for piece in pieces)


def _dialogue(scene: Scene, rng: Random) -> Branch:
    first = prompt("caption") if rng.random() < 0.8 else rng.choice(CAPTION_WORDINGS)
    turns = [Turn(first, [], "", caption(scene, rng))]
    asked = draw_questions(scene, list(ANSWERS), rng.randint(0, 6), rng)
    return turns + [_question(scene, attribute, rng) for attribute in asked]


def _question(scene: Scene, attribute: str, rng: Random) -> Turn:
    question = POOL[attribute]
    if attribute in OTHER_WORDINGS and rng.random() < 0.2:
        question = rng.choice(OTHER_WORDINGS[attribute])
    asked = prompt("answer").format(question=question) if rng.random() < 0.95 else question
    return Turn(asked, [], "", answer(attribute, scene), emphasis.ANSWERS.get(attribute, 1.0))


def _verdict(scene: Scene, other: Scene, rng: Random) -> Turn:
    description = draw_description(scene, other, rng)
    before, after = prompt("verify").split("{description}")
    claims = description.claims or [Claim(description.text)]
    return Turn(before, claims, after, "yes" if description.true else "no")


def corpus(scenes: list[Scene], rng: Random) -> list[str]:
    """Texts for the tokenizer, the fixed ones often enough that their words stay whole."""
    fixed = [prompt(name) for name in ("system", "caption", "answer", "verify")]
    fixed += [*POOL.values(), *CAPTION_WORDINGS, *(text for texts in OTHER_WORDINGS.values() for text in texts)]
    fixed += ["system user assistant yes no Yes No"]
    texts = fixed * 50
    for scene in scenes:
        texts += [draw_description(scene, rng.choice(scenes), rng).text, caption(scene, rng)]
        texts += [answer(attribute, scene) for attribute in POOL]
    return texts

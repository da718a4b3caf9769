"""With nothing configured the embedded models answer: they look at the pixels, and say what is there."""

import asyncio
import json
from pathlib import Path

import pytest

from ctgi.agents.abilities import not_seen
from ctgi.agents.assemble import open_tools
from ctgi.agents.pool import load_pool
from ctgi.config import load_settings
from ctgi.embedded import CLIP, MLLM
from ctgi.retrieval.images import ref
from recipes.embedded.answers import Scene
from tests.support.commands import Run
from tests.support.drawn_people import draw_people, names

PEOPLE = 10
SHARD_BYTES, MODEL_BYTES = 15_000_000, 40_000_000

Drawn = dict[Path, Scene]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return draw_people(tmp_path_factory.mktemp("drawn"), PEOPLE)


def test_captions_name_the_colors_of_what_is_worn(ctgi: Run, drawn: Drawn) -> None:
    done = ctgi("caption", next(iter(drawn)).parent, "--json")
    assert done.code == 0, done.err
    made = {Path(line["path"]): line for line in map(json.loads, Path("captions.jsonl").read_text().splitlines())}
    assert made.keys() == drawn.keys()
    assert not {turn["attribute"] for line in made.values() for turn in line["turns"]} & not_seen()
    assert "hair" in not_seen() or any(" hair" in line["caption"] for line in made.values())
    assert done.err.count("the embedded models answer") == 1
    for field in ("upper_color", "lower_color"):
        told = [names(made[path]["caption"], getattr(scene.person, field)) for path, scene in drawn.items()]
        assert sum(told) >= 0.8 * PEOPLE, [line["caption"] for line in made.values()]


def test_a_search_puts_the_described_person_high_and_asks_about_the_best_match(ctgi: Run, drawn: Drawn) -> None:
    folder, ranks, anchors = next(iter(drawn)).parent, [], []
    for path, scene in list(drawn.items())[:5]:
        person = scene.person
        query = (
            f"a {person.gender} in a {person.upper_color} {person.upper_type} "
            f"and {person.lower_color} {person.lower_type}"
        )
        done = ctgi("search", query, "-g", folder, "-k", PEOPLE, "--json")
        assert done.code == 0, done.err
        ranks.append(next(row["rank"] for row in done.json["results"] if Path(row["path"]) == path))
        assert len(done.json["results"]) == PEOPLE
        anchors += done.json["anchors"]
    assert sum(rank <= 2 for rank in ranks) >= 3, ranks
    assert anchors


def test_nonsense_is_not_confirmed_and_its_words_are_named(ctgi: Run, drawn: Drawn) -> None:
    done = ctgi("search", "an elephant riding a spaceship", "-g", next(iter(drawn)).parent, "--json")
    assert done.code == 0, done.err
    assert (done.json["anchors"], done.json["unknown_words"]) == ([], ["elephant", "spaceship"])
    assert "never learned" in done.json["verified"][0]["text"]
    assert "unknown to the embedded models" in done.err
    assert done.err.count("the embedded models answer") == 1


def test_a_query_of_known_words_has_no_unknown_ones(ctgi: Run, drawn: Drawn) -> None:
    done = ctgi("search", "woman with red bag", "-g", next(iter(drawn)).parent, "--json", "--no-mti")
    assert "unknown_words" not in done.json and "unknown to" not in done.err


def test_a_verdict_tells_a_true_description_from_one_in_other_colors(drawn: Drawn) -> None:
    async def judge() -> list[bool]:
        async with open_tools(load_settings(), ("verify_match",), load_pool(None)) as tools:

            async def follows(path: Path, scene: Scene) -> bool:
                person = scene.person
                told = "A {} wears a {} {} and {} {}."
                true = told.format(
                    person.gender, person.upper_color, person.upper_type, person.lower_color, person.lower_type
                )
                other = ("orange", "purple") if person.upper_color != "orange" else ("green", "red")
                false = told.format(person.gender, other[0], person.upper_type, other[1], person.lower_type)
                verdicts = [await tools["verify_match"](ref(str(path)), text) for text in (true, false)]
                return bool(verdicts[0].probability > 0.5 > verdicts[1].probability)

            return list(await asyncio.gather(*(follows(*item) for item in drawn.items())))

    assert sum(asyncio.run(judge())) >= 0.9 * PEOPLE


def test_the_files_stay_small_enough_to_ship() -> None:
    for folder in (MLLM, CLIP):
        assert sum(file.stat().st_size for file in folder.iterdir()) < MODEL_BYTES
    assert max(file.stat().st_size for file in MLLM.iterdir()) < SHARD_BYTES

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ctgi.testing import Reply, Request, ScriptedServer, http_error
from tests.support.commands import Run
from tests.support.people_dataset import people, save_people_dataset

QUERIES = 6


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six people in the layout of Interactive-PEDES: a query names the shirt, the memory all that is drawn."""
    root = save_people_dataset(tmp_path / "pedes", train=1, val=1, test=QUERIES, views=1)
    entries = json.loads((root / "data_captions.json").read_text())
    everyone = people(len(entries))
    for entry in entries:
        person = everyone[entry["id"]]
        entry["file_path"] = f"imgs/{entry.pop('img_path')}"
        entry["initial_description"] = f"A person in a {person.upper} shirt."
        entry["fine-grained_description"] = entry.pop("captions")[0]
    (root / "Interactive-PEDES_interactive_annos.json").write_text(json.dumps(entries))
    (root / "data_captions.json").unlink()
    return root


@pytest.fixture
def command(data: Path, tiny_clip: Path) -> list[Any]:
    clip = f"open_clip:local-dir:{tiny_clip}"
    return [
        "evaluate", "--data", "interactive-pedes", "--root", data, "--retriever", clip, "--dialogue", "witness",
        "-o", "measured", "--json",
    ]  # fmt: skip


def converse(seen: Request) -> Reply:
    """A questioner that asks about trousers, then about the bag; a witness that knows the trousers alone."""
    prompt = seen.prompts[-1]
    if "You are a witness" not in prompt:
        return Reply("What is in the background?" if "trousers" in prompt else "1. What color are the trousers?")
    memory = prompt.partition('"')[2].partition('"')[0]
    if "trousers?" not in prompt:
        return Reply("I don't know.")
    color = memory.partition(" trousers")[0].rpartition(" ")[2]
    return Reply(f"The person wears {color} trousers.")


def test_each_round_is_measured_with_what_the_witness_said(
    ctgi: Run, command: list[Any], double: ScriptedServer, data: Path
) -> None:
    double.replies = converse
    models = ["-b", f"propose_questions={double.binding}", "-b", f"answer_question={double.binding}"]
    done = ctgi(*command, *models, "--rounds", "2")
    assert done.code == 0, done.err
    witness = done.json["witness"]
    first, second, third = witness["turns"]
    plain = done.json["t2i"]
    assert {name: first[name] for name in plain} == plain
    assert second != first
    unsaid = {name: second[name] for name in plain}  # "I don't know" adds nothing
    assert {name: third[name] for name in plain} == unsaid
    assert set(first) == {"turn", "R@1", "R@5", "R@10", "mAP", "mINP"}
    assert (witness["user"], witness["candidates"], witness["questions_per_query"]) == ("witness", 4, 2)

    looked = [seen for seen in double.seen if seen.images]
    remembered = [seen for seen in double.seen if not seen.images]
    assert 0 < len(looked) <= 2 * QUERIES  # two queries may be the same
    assert all("You are a witness" in seen.prompts[-1] for seen in remembered)  # who sees no image
    width, height = _size(looked[0])
    assert width / height == pytest.approx((4 * 172 + 12) / 424, rel=0.01)  # four people side by side
    texts = {seen.prompts[-1].partition('described: "')[2].partition('"\n')[0] for seen in looked}
    everyone = people(QUERIES + 2)
    assert f"A person in a {everyone[2].upper} shirt. The person wears {everyone[2].lower} trousers." in texts

    asked = len(double.seen)
    assert ctgi(*command, *models, "--rounds", "2").json["witness"] == witness
    assert len(double.seen) == asked
    compared = ctgi("compare", "measured", "--json").json
    assert (compared["b"]["stage"], compared["queries"]) == ("witness", QUERIES)


def _size(seen: Request) -> tuple[int, int]:
    contents = [message["content"] for message in seen.body["messages"] if isinstance(message["content"], list)]
    parts = [part for content in contents for part in content]
    (url,) = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size


def test_without_a_model_the_witness_goes_by_words(ctgi: Run, command: list[Any]) -> None:
    done = ctgi(*command, "--no-trace")
    assert done.code == 0, done.err
    witness = done.json["witness"]
    assert len(witness["turns"]) == 6
    assert witness["bindings"] == {"propose_questions": "templates", "answer_question": "embedded"}
    assert witness["turns"][1] != witness["turns"][0]
    assert not Path("measured/candidates").exists()  # templates look at nobody
    told = ctgi(*command[:-1])
    assert "by question, witness" in told.out
    assert "mINP" in told.out


def test_a_dialogue_that_fails_is_counted_and_keeps_its_ranking(
    ctgi: Run, command: list[Any], double: ScriptedServer
) -> None:
    double.replies = lambda seen: converse(seen) if seen.images else http_error(400, "refused")
    models = ["-b", f"propose_questions={double.binding}", "-b", f"answer_question={double.binding}"]
    done = ctgi(*command, *models)
    assert done.code == 1
    assert len(done.json["witness"]["failed"]) == QUERIES
    assert "not questioned to the end" in done.err
    assert len({row["mAP"] for row in done.json["witness"]["turns"]}) == 1


def test_only_a_data_set_with_memories_has_a_witness(ctgi: Run, command: list[Any], data: Path) -> None:
    rstp = save_people_dataset(data.parent / "rstp", train=1, val=0, test=2, views=1)
    other = ctgi(*command[:2], "rstp", "--root", rstp, *command[5:])
    assert (other.code, "--data interactive-pedes has" in other.err) == (2, True)
    assert ctgi("evaluate", "--data", "rstp", "--root", rstp, "--rounds", "2").code == 2
    file = data / "Interactive-PEDES_interactive_annos.json"
    entries = json.loads(file.read_text())
    del entries[3]["fine-grained_description"]
    file.write_text(json.dumps(entries))
    lacking = ctgi(*command)
    assert (lacking.code, "object 3: fine-grained_description is missing" in lacking.err) == (2, True)

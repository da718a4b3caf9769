"""Packed dialogues must give each token what a dialogue of its own would give it."""

from random import Random

import pytest
import torch
from PIL import Image

from ctgi.agents.prompts import prompt
from ctgi.synth.person import draw_person, draw_views
from recipes.embedded import emphasis, reading
from recipes.embedded.answers import Scene
from recipes.embedded.dialogues import Speaker
from recipes.embedded.lessons import corpus, draw_branches
from recipes.embedded.packing import Packer
from recipes.embedded.pictures import fit
from recipes.embedded.qwen2vl import build_model, build_processor, spelled
from recipes.embedded.sight import Sight

SEEN = frozenset(
    ("upper", "pattern", "inner", "lower", "shoes", "socks", "bag", "hat", "glasses", "held", "scarf", "hair", "face")
)


def scene(seed: int) -> Scene:
    rng = Random(seed)
    person = draw_person(rng)
    return Scene(person, draw_views(person, rng)[0], SEEN)


@pytest.fixture(scope="module")
def parts():
    scenes = [scene(seed) for seed in range(30)]
    processor = build_processor(corpus(scenes, Random(0)))
    return processor, build_model(processor).eval(), scenes


@pytest.fixture(scope="module")
def picture():
    rng = Random(0)
    small = Image.new("RGB", (8, 24))
    small.putdata([(rng.randrange(256), rng.randrange(256), rng.randrange(256)) for _ in range(8 * 24)])
    return small.resize((150, 390))


def pixels_of(picture):
    fitted = fit(picture)
    values = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8)
    return values.view(1, fitted.height, fitted.width, 3)


def test_vision_tower_is_that_of_transformers(parts, picture):
    processor, model, _ = parts
    taken = processor.image_processor(picture, return_tensors="pt")
    with torch.no_grad():
        theirs = model.model.visual(taken["pixel_values"], taken["image_grid_thw"]).pooler_output
        _, ours = Sight(model.model.visual)(pixels_of(picture))
    torch.testing.assert_close(ours[0], theirs, atol=0.02, rtol=0.01)  # two libraries enlarge the image


def test_packed_tokens_are_predicted_as_in_a_dialogue_of_their_own(parts, picture):
    processor, model, scenes = parts
    branches = draw_branches(scenes[0], scenes[1], Random(5))
    pixels = pixels_of(picture)
    packed = Packer(processor).pack([branches], pixels.shape[1] // 14, pixels.shape[2] // 14, system=True)
    with torch.no_grad():
        speaker = Speaker(model)
        last, _ = speaker.read(speaker.look(pixels)[1], packed)
        ours = model.lm_head(last[0][packed.before]).log_softmax(-1)
        theirs = torch.cat([_alone(processor, model, branch, picture) for branch in branches])
    assert len(branches) >= 5
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0.01)


def _alone(processor, model, branch, picture):
    """Log probabilities of the replies' tokens, by the chat template and transformers' own forward."""
    said = [{"role": "system", "content": [{"type": "text", "text": prompt("system")}]}]
    for index, turn in enumerate(branch):
        image = [] if index else [{"type": "image", "image": picture}]
        said.append({"role": "user", "content": [*image, {"type": "text", "text": turn.prompt}]})
        said.append({"role": "assistant", "content": [{"type": "text", "text": turn.reply}]})
    inputs = processor.apply_chat_template(said, tokenize=True, return_dict=True, return_tensors="pt")
    logits = model(**inputs).logits[0].log_softmax(-1)
    ids = inputs["input_ids"][0].tolist()
    kept, at = [], 0
    for turn in branch:
        reply = processor.tokenizer(f"{turn.reply}<|im_end|>")["input_ids"]
        header = processor.tokenizer("<|im_start|>assistant\n")["input_ids"]
        at = next(i for i in range(at, len(ids)) if ids[i : i + len(header)] == header) + len(header)
        assert ids[at : at + len(reply)] == reply
        kept.append(logits[at - 1 : at + len(reply) - 1])
    return torch.cat(kept)


def test_a_mask_gives_what_groups_give(parts):
    processor, _, scenes = parts
    dialogues = [draw_branches(scenes[seed], scenes[seed + 1], Random(seed)) for seed in range(3)]
    packed = Packer(processor).pack(dialogues, 24, 12, system=True)
    rows = torch.randn(3, packed.ids.shape[1], 3 * 256)
    masked, grouped = (attend(rows, 64) for attend in (reading._masked(packed, rows.dtype), reading._grouped(packed)))
    real = packed.branches >= 0
    torch.testing.assert_close(masked[real], grouped[real], atol=1e-4, rtol=1e-4)


def test_the_image_has_the_positions_that_transformers_gives_it(parts):
    processor, model, scenes = parts
    packed = Packer(processor).pack([draw_branches(scenes[0], scenes[1], Random(0))], 24, 12, system=True)
    ids = packed.ids[:, : packed.shared]
    kinds = (ids == model.config.image_token_id).long()
    theirs, _ = model.model.get_rope_index(ids, kinds, torch.tensor([[1, 24, 12]]))
    assert packed.positions[:, 0, : packed.shared].equal(theirs[:, 0])
    assert int(kinds.sum()) == 72 and int(kinds[0].nonzero()[0]) == packed.image


def test_what_is_to_be_foretold_stands_after_the_token_that_foretells_it(parts):
    processor, _, scenes = parts
    dialogues = [draw_branches(scenes[seed], scenes[seed + 1], Random(seed)) for seed in range(3)]
    packed = Packer(processor).pack(dialogues, 24, 12, system=False)
    assert packed.ids.flatten()[packed.before + 1].equal(packed.wanted)
    replies = [turn.reply for branches in dialogues for branch in branches for turn in branch]
    assert processor.tokenizer.decode(packed.wanted) == "".join(f"{reply}<|im_end|>" for reply in replies)


def test_claims_are_marked_at_their_last_token(parts):
    processor, _, scenes = parts
    packer, marked = Packer(processor), 0
    for seed in range(20):
        branches = draw_branches(scenes[seed], scenes[seed + 1], Random(seed))
        packed = packer.pack([branches], 24, 8, system=True)
        claims = [claim for branch in branches for turn in branch for claim in turn.claims if claim.true is not None]
        assert packed.true.tolist() == [int(claim.true) for claim in claims]
        assert packed.counts.tolist() == pytest.approx([emphasis.CLAIMS.get(claim.topic, 1.0) for claim in claims])
        words = [processor.tokenizer.decode(packed.ids[0, : place + 1]) for place in packed.judged]
        assert all(text.endswith(claim.text) for text, claim in zip(words, claims, strict=True))
        marked += len(claims)
    assert marked > 100


def test_all_of_a_batch_moves_to_a_device(parts):
    processor, _, scenes = parts
    packed = Packer(processor).pack([draw_branches(scenes[0], scenes[1], Random(0))], 24, 12, system=True)
    moved = vars(packed.to(torch.device("meta")))
    assert {value.device.type for value in moved.values() if isinstance(value, torch.Tensor)} == {"meta"}
    assert (moved["shared"], moved["image"], moved["groups"]) == (packed.shared, packed.image, [])


def test_words_that_a_tokenizer_never_met_are_named(parts):
    processor, _, _ = parts
    assert spelled(processor, ["a man in a black xylophone", "the xylophone", "a black qwertz"]) == [
        "xylophone",
        "qwertz",
    ]

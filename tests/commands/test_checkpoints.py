"""`ctgi import`, `ctgi inspect`, and searching with the checkpoints of others."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ctgi.config import RetrieverSettings
from ctgi.retrieval.encoder import load_encoder
from tests.support.commands import Run
from tests.support.foreign_files import best_pth, clip_like_openai, irra_state, openai_names, save_encoder


def test_a_search_takes_a_published_checkpoint_and_says_what_it_is(
    ctgi: Run, people: Path, caplog: pytest.LogCaptureFixture
) -> None:
    best_pth(Path("irra/best.pth"), irra_state(clip_like_openai()))
    done = ctgi("search", "a man in red", "-g", people, "--no-mti", "--bind", "search_gallery=trained:irra", "--json")
    assert done.code == 0
    assert len(done.json["results"]) == 8
    assert caplog.text.count("irra/best.pth: IRRA, QuickGELU; not said there, assumed: images of 96 x 32 px") == 1


def test_an_imported_checkpoint_is_a_run_with_the_same_vectors(ctgi: Run, people: Path) -> None:
    best_pth(Path("best.pth"), irra_state(clip_like_openai()))
    made = ctgi("import", "best.pth", "--out", "run", "--json").json
    assert (made["layout"], made["run"], made["image_size"]) == ("IRRA", "run", [96, 32])
    assert json.loads(Path("run/run.json").read_text())["imported"]["layout"] == "IRRA"
    assert ctgi("inspect", "run", "--json").json["layout"] == "ctgi train"
    scores = []
    for binding in ("trained:best.pth", "trained:run"):
        done = ctgi("search", "a man", "-g", people, "--no-mti", "--bind", f"search_gallery={binding}", "--json")
        scores.append([(result["path"], round(result["score"], 6)) for result in done.json["results"]])
    assert scores[0] == scores[1]
    again = ctgi("import", "best.pth", "--out", "run")
    assert (again.code, "holds a run already" in again.err) == (2, True)
    own = ctgi("import", "run", "--out", "other")
    assert (own.code, "use it as it is, trained:run" in own.err) == (2, True)
    assert not Path("other").exists()


def test_inspect_says_what_a_file_is_and_what_it_does_not_tell(ctgi: Run) -> None:
    clip = clip_like_openai((64, 64), 248)
    table = openai_names(clip)["positional_embedding"]
    torch.save(openai_names(clip) | {"positional_embedding_res": table}, "long.pt")
    torch.save(openai_names(clip), "plain.pt")
    found = ctgi("inspect", "long.pt", "--json").json
    assert (found["layout"], found["activation"], found["context_length"]) == ("Long-CLIP", "QuickGELU", 248)
    assert ctgi("inspect", "plain.pt", "--json").json["activation"] == "not told by the file"
    assert "layout          a CLIP in OpenAI's names" in ctgi("inspect", "plain.pt").out
    refused = ctgi("import", "plain.pt", "--out", "run")
    assert (refused.code, "--activation quickgelu" in refused.err, Path("run").exists()) == (2, True, False)
    for activation, name in (("quickgelu", "QuickGELU"), ("gelu", "GELU")):
        made = ctgi("import", "plain.pt", "--out", activation, "--activation", activation, "--json").json
        assert made["activation"] == ctgi("inspect", activation, "--json").json["activation"] == name


def test_inspect_lists_what_is_missing(ctgi: Run) -> None:
    state = irra_state(clip_like_openai())
    del state["base_model.ln_final.weight"], state["base_model.visual.proj"]
    best_pth(Path("best.pth"), state)
    done = ctgi("inspect", "best.pth")
    assert done.code == 2
    assert "vectors depend on are missing: model.visual.proj, model.ln_final.weight" in done.err


def test_a_run_is_written_for_other_programs(ctgi: Run, work: Path) -> None:
    run = save_encoder(work / "best.pt", clip_like_openai())
    done = ctgi("export", run, "--to", "irra", "--json")
    assert done.json["files"] == [str(work / "best-irra" / name) for name in ("best.pth", "configs.yaml")]
    assert ctgi("inspect", work / "best-irra", "--json").json["layout"] == "IRRA"
    assert ctgi("export", run, "--to", "safetensors", "--out", "safe").out == "safe/model.safetensors\n"
    assert ctgi("inspect", "safe", "--json").json["layout"] == "ctgi train"
    for arguments, message in (
        ([run, "--to", "irra"], "is there already: choose another --out"),
        (["--to", "irra"], "--to irra needs the run to write: ctgi export RUN --to irra"),
        ([run, "--to", "rde"], "no token selection"),
        ([run, "--to", "irra", "--csv", "a.csv"], "--csv: without effect with --to"),
        (["captions.jsonl", "--out", "folder"], "--out: without effect without --to"),
    ):
        refused = ctgi("export", *arguments)
        assert (refused.code, message in refused.err) == (2, True), refused.err


@pytest.mark.slow
def test_the_gallery_of_a_run_is_searched_with_its_onnx(ctgi: Run, people: Path) -> None:
    run = save_encoder(Path("best.pt"), clip_like_openai())
    done = ctgi("export", run, "--to", "onnx", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["files"] == [f"best-onnx/{name}" for name in ("image.onnx", "text.onnx", "encoder.json")]
    assert ctgi("index", people, "--out", "gallery", "--bind", f"search_gallery=trained:{run}").code == 0
    rankings = []
    for binding in (f"trained:{run}", "onnx:best-onnx"):
        found = ctgi(
            "search", "a man in red", "-g", "gallery", "--no-mti", "--bind", f"search_gallery={binding}", "--json"
        )
        rankings.append([(one["path"], round(one["score"], 4)) for one in found.json["results"]])
    assert rankings[0] == rankings[1]
    encoders = [load_encoder(binding, RetrieverSettings()) for binding in (f"trained:{run}", "onnx:best-onnx")]
    pixels = torch.randn(3, 3, 96, 32, generator=torch.Generator().manual_seed(5))
    texts = [["a man"], ["a man", "a woman in a long red coat with a black bag, gray trousers and white shoes " * 3]]
    for ours, theirs in (
        [encoder.encode_images(pixels) for encoder in encoders],
        *([encoder.encode_texts(one).vectors for encoder in encoders] for one in texts),
    ):
        np.testing.assert_allclose(theirs, ours, atol=1e-5)

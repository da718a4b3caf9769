"""The embedded retriever's first and last stages: random weights, and the folder that ships."""

import torch
from safetensors.torch import load_file

from ctgi.retrieval.clip_tokens import load_clip
from ctgi.settings_tables import RetrieverSettings
from ctgi.training.checkpoints import save_checkpoint
from recipes.embedded.clip import WEIGHTS, export, save_start

CAPTION = [49_406, 320, 49_407]
"""Start, one word, end."""
SHRUNK = 0.9


def test_what_ships_keeps_the_learned_words_and_drops_the_others(tmp_path):
    save_start(tmp_path / "start", seed=0)
    encoder = load_clip(f"open_clip:local-dir:{tmp_path / 'start'}", RetrieverSettings())
    words = encoder.model.token_embedding.weight.data
    words *= SHRUNK  # weight decay
    words[CAPTION] += 0.01 * torch.randn(3, 128, generator=torch.Generator().manual_seed(0))
    learned = words[CAPTION].half()
    state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    content = {"kind": "irra", "model": encoder.settings(), "state": state}
    save_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt", content)

    export(tmp_path / "run", tmp_path / "start", tmp_path / "out")

    shipped = load_file(tmp_path / "out" / WEIGHTS)["token_embedding.weight"]
    assert torch.equal(shipped[CAPTION], learned)
    assert shipped.any(dim=1).sum() == 3
    assert (tmp_path / "out" / WEIGHTS).stat().st_size < 25_000_000
    text = torch.tensor([CAPTION])
    again = load_clip(f"open_clip:local-dir:{tmp_path / 'out'}", RetrieverSettings())
    torch.testing.assert_close(again.encode_text(text), encoder.encode_text(text), rtol=0.02, atol=0.02)

"""The embedded retriever's last stage: the folder that ships."""

import torch
from safetensors.torch import load_file

from ctgi.retrieval.clip_tokens import load_clip
from ctgi.settings_tables import RetrieverSettings
from recipes.embedded.clip import WEIGHTS, new_clip, save_clip

CAPTION = [49_406, 320, 49_407]
"""Start, one word, end."""


def test_what_ships_loads_as_any_open_clip_folder(tmp_path):
    torch.manual_seed(0)
    model = new_clip()
    save_clip(model, tmp_path)
    assert load_file(tmp_path / WEIGHTS)["visual.proj"].dtype == torch.float16
    assert (tmp_path / WEIGHTS).stat().st_size < 25_000_000
    encoder = load_clip(f"open_clip:local-dir:{tmp_path}", RetrieverSettings())
    ids = torch.tensor([CAPTION + [0] * 245])
    torch.testing.assert_close(encoder.encode_text(ids), model.encode_text(ids), rtol=0.02, atol=0.02)

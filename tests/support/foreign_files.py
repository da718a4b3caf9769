"""Small random models in the layouts in which others publish theirs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ctgi.retrieval.clip_tokens import ClipTokens, build_clip
from ctgi.retrieval.token_selection import TwoBranches
from ctgi.training.checkpoints import save_checkpoint

LOOK = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
RDE_NAMES = {
    "visul_emb_layer.mlp.layers.0.": "image_selection.dense.",
    "visul_emb_layer.mlp.bns.0.": "image_selection.norm.",
    "visul_emb_layer.mlp.layers.1.": "image_selection.out.",
    "visul_emb_layer.fc.": "image_selection.skip.",
    "texual_emb_layer.mlp.layers.0.": "text_selection.dense.",
    "texual_emb_layer.mlp.bns.0.": "text_selection.norm.",
    "texual_emb_layer.mlp.layers.1.": "text_selection.out.",
    "texual_emb_layer.linear.": "text_selection.skip.",
}


def clip_like_openai(
    image_size: tuple[int, int] = (96, 32),
    length: int = 77,
    *,
    quick_gelu: bool = True,
    seed: int = 0,
    channels: int = 64,
    **look: Any,
) -> ClipTokens:
    """A CLIP with heads of 64 channels, as in OpenAI's models; its random weights fit half precision."""
    vision = {"image_size": list(image_size), "patch_size": 16, "width": 64, "layers": 2, "head_width": channels}
    text = {"context_length": length, "vocab_size": 49_408, "width": 64, "heads": 64 // channels, "layers": 2}
    name = {"embed_dim": 64, "vision_cfg": vision, "text_cfg": text, "quick_gelu": quick_gelu}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        clip = build_clip({"name": name, "image_size": image_size, **LOOK, **look})
        for value in clip.parameters():
            value.data = (value.data + 0.1 * torch.randn_like(value)).half().float()
    return clip.eval()


def two_branches(clip: ClipTokens, ratio: float = 0.3) -> TwoBranches:
    """RDE's encoder as it is released, with statistics that show whether they were read."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = TwoBranches(clip, out_dim=32, ratio=ratio, max_words=None, fillers=True)
        for selection in (model.image_selection, model.text_selection):
            selection.norm.running_mean.normal_()
            selection.norm.running_var.uniform_(0.5, 2)
    return model.eval()


def openai_names(clip: ClipTokens) -> dict[str, Tensor]:
    """The weights of a CLIP in OpenAI's names."""
    return {name: value.clone() for name, value in clip.model.state_dict().items()}


def irra_state(clip: ClipTokens) -> dict[str, Tensor]:
    """As IRRA saves it: under base_model., without a temperature, with its heads."""
    base = {f"base_model.{name}": value for name, value in openai_names(clip).items() if name != "logit_scale"}
    heads = {
        "classifier.weight": torch.zeros(7, 64),
        "mlm_head.fc.bias": torch.zeros(9),
        "ln_post.bias": torch.ones(64),
    }
    return base | heads


def rde_state(model: TwoBranches) -> dict[str, Tensor]:
    """As RDE saves it, with the layers that its code has and never uses."""
    ours = model.state_dict()
    selection = {
        theirs + name.removeprefix(own): value
        for theirs, own in RDE_NAMES.items()
        for name, value in ours.items()
        if name.startswith(own)
    }
    idle = {"visul_emb_layer.linear.weight": torch.ones(32, 64), "texual_emb_layer.mlp.bns.1.weight": torch.ones(32)}
    base = {name: value for name, value in irra_state(model.clip).items() if name.startswith("base_model.")}
    return base | selection | idle


def save_encoder(path: Path, encoder: ClipTokens | TwoBranches) -> Path:
    """A checkpoint of `ctgi train` that holds no heads."""
    kind = "rde" if isinstance(encoder, TwoBranches) else "irra"
    state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    save_checkpoint(path, {"kind": kind, "description": encoder.settings(), "state": state})
    return path


def best_pth(path: Path, state: dict[str, Tensor], options: str | None = None) -> Path:
    """What the official Checkpointer writes, and the options of the run beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": state, "epoch": 60, "top1": np.float64(73.38), "best": np.bool_(True)}, path)
    if options is not None:
        path.with_name("configs.yaml").write_text(options)
    return path


def torchscript(path: Path, clip: ClipTokens, side: int) -> Path:
    """A TorchScript archive in half precision with three integers beside the weights, as OpenAI publishes."""
    sizes = {"input_resolution": side, "context_length": 77, "vocab_size": 49_408}
    holder = _holder({name: value.half() for name, value in openai_names(clip).items()})
    for name, value in sizes.items():
        holder.register_buffer(name, torch.tensor(value))
    torch.jit.save(torch.jit.script(holder), str(path))
    return path


class _Node(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def _holder(state: dict[str, Tensor]) -> nn.Module:
    root = _Node()
    for name, value in state.items():
        *folders, last = name.split(".")
        module: nn.Module = root
        for part in folders:
            if not hasattr(module, part):
                module.add_module(part, _Node())
            module = getattr(module, part)
        module.register_parameter(last, nn.Parameter(value, requires_grad=False))
    return root


def save_siglip(folder: Path, *, naflex: bool = False) -> Any:
    """A folder as SigLIP's are, or a SigLIP 2's for images of any form."""
    from transformers import Siglip2Config, Siglip2Model, SiglipConfig, SiglipModel

    _save_tokenizer(folder, first="", padding="</s>")
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    form = {"num_patches": 16} if naflex else {"image_size": 32}
    vision = tower | form | {"patch_size": 16}
    text = tower | {"vocab_size": 9, "max_position_embeddings": 8, "projection_size": 32}
    torch.manual_seed(0)
    if naflex:
        return _save_pair(folder, Siglip2Model(Siglip2Config(vision_config=vision, text_config=text)))
    return _save_pair(folder, SiglipModel(SiglipConfig(vision_config=vision, text_config=text)))


def save_blip(folder: Path) -> Any:
    """A folder as those of BLIP for retrieval are."""
    from transformers import BlipConfig, BlipForImageTextRetrieval

    _save_tokenizer(folder, first="<cls>", padding="<pad>")
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = tower | {"vocab_size": 9, "max_position_embeddings": 16, "encoder_hidden_size": 32, "pad_token_id": 2}
    vision = tower | {"image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    model = BlipForImageTextRetrieval(
        BlipConfig(vision_config=vision, text_config=text, image_text_hidden_size=16, projection_dim=16)
    )
    for value in model.parameters():
        value.data += 0.2 * torch.randn_like(value)
    return _save_pair(folder, model)


def _save_tokenizer(folder: Path, *, first: str, padding: str) -> None:
    """A tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "</s>", "<pad>", "a", "red", "coat", "black", "bag", "<cls>"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("</s>", 1), *([(first, words.index(first))] if first else [])]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{first} $A </s>".strip(), special_tokens=ends)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token=padding, unk_token="<unk>"
    ).save_pretrained(folder)


def _save_pair(folder: Path, model: Any) -> Any:
    model.eval().save_pretrained(folder)
    looks = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3, "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(looks))
    return model

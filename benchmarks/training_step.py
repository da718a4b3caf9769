"""One IRRA training step against a straightforward version of it: seconds and peak memory, each side in its process.

ViT-B/16 with random weights, 384 x 128 px, 11,003 identities, losses sdm + id + mlm, float32 on the CPU. A step is
forward, backward and optimizer; the best of the measured ones counts. On a machine that others use, compare the
processor's seconds with --threads 1: waiting does not count there. The straightforward side runs the same weights
as the released code does: captions in full width, attention maps kept in all blocks, word logits at all positions,
Adam tensor by tensor. Captions have 25 to 60 tokens at context 77, and 70 to 160 at 248 (uniform); `full` fills
the context, so that nothing is gained by trimming; `checkpointing` is run.gradient_checkpointing=true.

Example: python -m benchmarks.training_step
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from ctgi.retrieval.clip_tokens import build_clip
from ctgi.training.config import RunSettings
from ctgi.training.distributed import World
from ctgi.training.irra import Irra
from ctgi.training.loader import Batch
from ctgi.training.losses import id_loss, sdm
from ctgi.training.masking import mask_words, uniform_draws
from ctgi.training.optimizer import OptimizerSettings, build_optimizer
from ctgi.training.step import Stepper

CLASSES = 11_003
CAPTIONS = {77: (25, 60), 248: (70, 160)}
"""Context length -> shortest and longest caption, in tokens."""
OURS = ("ours", "ours, full", "ours, checkpointing")


def build_irra(context: int) -> Irra:
    """IRRA on ViT-B/16 with random weights."""
    config: dict[str, Any] = open_clip.get_model_config("ViT-B-16") | {"quick_gelu": True}
    config["vision_cfg"] |= {"image_size": [384, 128]}
    config["text_cfg"] |= {"context_length": context}
    described = {"name": config, "image_size": [384, 128], "mean": [0.5] * 3, "std": [0.25] * 3}
    return Irra(build_clip(described), CLASSES)


def made(rows: int, context: int, *, width: str) -> Batch:
    """A random batch, padded to the context (`untrimmed`), to its longest caption (`trimmed`), or with none shorter."""
    generator = torch.Generator().manual_seed(0)
    shortest, longest = CAPTIONS[context]
    lengths = torch.randint(shortest, longest + 1, (rows,), generator=generator)
    if width == "full":
        lengths.fill_(context)
    ids = torch.zeros(rows, context, dtype=torch.int64)
    for row, length in enumerate(lengths.tolist()):
        words = torch.randint(1, 49_405, (length - 2,), generator=generator)
        ids[row, :length] = torch.cat([torch.tensor([49_406]), words, torch.tensor([49_407])])
    if width != "untrimmed":
        ids = ids[:, : int(lengths.max())]
    index = torch.arange(rows)
    pixels = torch.randn(rows, 3, 384, 128, generator=generator)
    return Batch(pixels, ids, index // 2, index, torch.ones(rows), index)


def our_step(rows: int, context: int, width: str, *, checkpointing: bool) -> Callable[[], float]:
    """A step as `ctgi train` takes it."""
    model = build_irra(context).train()
    model.set_grad_checkpointing(checkpointing)
    stepper = Stepper(
        model, build_optimizer(model, OptimizerSettings()), World(torch.device("cpu")), RunSettings(device="cpu")
    )
    batch = made(rows, context, width=width)
    return lambda: stepper.step(batch, seed=0)["total"]


def straightforward_step(rows: int, context: int) -> Callable[[], float]:
    """The same step without any of our savings."""
    model = build_irra(context).train()
    groups = [{"params": [p]} for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(groups, lr=1e-5, eps=1e-3)
    batch = made(rows, context, width="untrimmed")

    def step() -> float:
        optimizer.zero_grad()
        total = straightforward_loss(model, batch)
        total.backward()
        optimizer.step()
        return float(total)

    return step


def straightforward_loss(model: Irra, batch: Batch) -> Tensor:
    """Sum of sdm, id and mlm with full logits and all attention maps."""
    clip = model.encoder
    draws = uniform_draws(batch.ids, batch.index, torch.Generator().manual_seed(0))
    masked = mask_words(batch.ids, draws, clip.mask_id)
    x, image_maps = all_blocks(clip.visual.transformer, clip.visual._embeds(batch.pixels), None)
    image_tokens = clip.visual.ln_post(x) @ clip.visual.proj
    text_tokens, text_maps = read(clip, batch.ids)
    image, text = image_tokens[:, 0], text_tokens[torch.arange(len(batch.ids)), batch.ids.argmax(dim=1)]
    words, word_maps = read(clip, masked.ids)
    padding = torch.arange(batch.ids.shape[1]) > batch.ids.argmax(dim=1, keepdim=True)
    logits = model.interaction.head(model.interaction.fused(words, image_tokens, padding))  # [B, L, vocabulary]
    labels = batch.ids.masked_fill(~masked.chosen, 0)
    mlm = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=0)
    assert len(image_maps) + len(text_maps) + len(word_maps) == 36
    identity = id_loss(model.classifier(image), model.classifier(text), batch.pids)
    return sdm(image, text, batch.pids) + identity + mlm


def read(clip: Any, ids: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Projected tokens [B, L, D] and the attention maps of all blocks."""
    text = clip.text
    x, maps = all_blocks(text.transformer, text.token_embedding(ids) + text.positional_embedding, text.attn_mask)
    return text.ln_final(x) @ text.text_projection, maps


def all_blocks(transformer: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, list[Tensor]]:
    """Every block with its head-averaged attention map."""
    maps = []
    for block in transformer.resblocks:
        y = block.ln_1(x)
        y, attention = block.attn(y, y, y, attn_mask=mask, need_weights=True)
        x = x + y
        x = x + block.mlp(block.ln_2(x))
        maps.append(attention)
    return x, maps


def measure(side: str, context: int, rows: int, steps: int) -> None:
    """Prints the best step's seconds, by the clock and of the processor, the first loss, and the peak memory in GiB."""
    torch.manual_seed(0)
    step = (
        straightforward_step(rows, context)
        if side == "straightforward"
        else our_step(rows, context, "full" if side == "ours, full" else "trimmed", checkpointing="checkpoint" in side)
    )
    loss = step()  # warm-up: Adam's state is made here
    by_clock, of_processor = [], []
    for _ in range(steps):
        started, used = time.perf_counter(), time.process_time()
        step()
        by_clock.append(time.perf_counter() - started)
        of_processor.append(time.process_time() - used)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{min(by_clock):.2f} {min(of_processor):.2f} {loss:.4f} {peak:.2f}")


def main() -> None:
    """Print a line per context length and side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8, help="images in a step")
    parser.add_argument("--steps", type=int, default=3, help="measured steps; the best counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--only", nargs=2, metavar=("SIDE", "CONTEXT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.only:
        measure(arguments.only[0], int(arguments.only[1]), arguments.batch, arguments.steps)
        return
    from machine import describe_machine

    print(f"{describe_machine()}; {arguments.threads} threads, batch {arguments.batch}", flush=True)
    for context in CAPTIONS:
        found = {}
        for side in ("straightforward", *OURS):
            numbers = [f"--{name}={getattr(arguments, name)}" for name in ("batch", "steps", "threads")]
            command = [sys.executable, __file__, *numbers, "--only", side, str(context)]
            done = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            taken, used, loss, peak = map(float, done.split())
            found[side] = (taken, used, peak)
            print(
                f"{context} tokens, {side}: {taken:.2f} s ({used:.2f} s of processor), first loss {loss:.4f}, "
                f"peak {peak:.2f} GiB",
                flush=True,
            )
        for side in OURS:
            clock, processor, memory = (a / b for a, b in zip(found["straightforward"], found[side], strict=True))
            print(
                f"{context} tokens, {side}: {clock:.2f} times as fast ({processor:.2f} by processor), "
                f"{1 / memory:.2f} of the memory",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Errors that stop a training run, with a cure."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import Split
from ctgi.text import plain
from ctgi.training.checkpoints import save_checkpoint
from ctgi.training.config import TrainConfig
from ctgi.training.loader import Batch


class NotFiniteError(Exception):
    """A loss or gradient is infinite or not a number; the weights are unchanged."""


def stopped_by(error: NotFiniteError, batch: Batch, split: Split, path: Path, where: str) -> CtgiError:
    """Save the batch, with image paths and captions, to `path`; returns the error that ends the run."""
    rows = batch.index.tolist()
    content = {
        **vars(batch.to(torch.device("cpu"))),
        "captions": [split.captions[row] for row in rows],
        "paths": [split.images[split.caption_images[row]] for row in rows],
        "reason": str(error),
    }
    save_checkpoint(path, content)
    return CtgiError(
        f"{where}: {error}. The weights are as before; the batch ({len(rows)} rows) is in {plain(str(path))}. "
        "Look at its captions and images; lower optim.lr, set run.clip_norm=1, or use run.precision=fp32 or bf16, "
        "and continue with --resume"
    )


@contextmanager
def memory_explained(config: TrainConfig) -> Iterator[None]:
    """Turn out-of-memory errors, on GPU or CPU, into a message that names the settings to lower.

    Raises:
        CtgiError: the memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_memory(error):
            raise
        raise CtgiError(f"out of memory ({plain(str(error).strip())[:160]}). {_advice(config)}") from None


def _is_memory(error: Exception) -> bool:
    told = ("can't allocate memory", "out of memory", "DataLoader worker (pid", "shared memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(words in str(error) for words in told)


def _advice(config: TrainConfig) -> str:
    run, data = config.run, config.data
    advice = [f"run.accumulate={2 * run.accumulate} (the loss stays the same)"]
    if not run.gradient_checkpointing:
        advice.append("run.gradient_checkpointing=true")
    if run.precision == "fp32":
        advice.append("run.precision=bf16")
    advice += (
        [f"data.batch_size below {data.batch_size}", f"data.workers below {data.workers}"]
        if data.workers
        else [f"data.batch_size below {data.batch_size}"]
    )
    advice.append(f"model.image_size={list(config.model.image_size or ())} or model.context_length smaller")
    return f"Try, in this order: {'; '.join(advice)}"

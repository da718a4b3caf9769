"""An in-process transformers vision-language model: `hf:PATH_OR_ID`.

Requests are prepared in a few threads and answered in one, which takes all waiting requests of one kind as a
batch: free text up to some length, or choices, which need no generation.
"""

import asyncio
import math
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import TemplateError
from PIL import Image

from ctgi.device import pick_device
from ctgi.errors import CtgiError, ToolError
from ctgi.reading import Json
from ctgi.retrieval.images import ImageRef, display, picture_at, ref
from ctgi.settings_tables import Endpoint
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest
from ctgi.tools.backends.hf_checkpoint import check_checkpoint, explained_memory, load_checkpoint
from ctgi.tools.backends.hf_model import Checkpoint
from ctgi.tools.backends.hf_prompt import Prompt, lengthened
from ctgi.tools.backends.hf_queue import Queue
from ctgi.tools.backends.thoughts import closing, opens
from ctgi.tools.traces.call_notes import spend

T = TypeVar("T")
PREPARING_THREADS = 2
_TAIL = 16
"""Number of tokens at a prompt's end in which a template may open a thought."""


def open_hf(model: str, endpoint: Endpoint) -> "HfMllm":
    """A vision-language checkpoint in this process; its weights are loaded at the first request.

    Args:
        model: a folder as `save_pretrained` writes it, or a model's name on the hub.
        endpoint: its device, dtype, batch_size, min_pixels, max_pixels and concurrency count here.

    Raises:
        CtgiError: no such folder or device, or no checkpoint in the folder.
    """
    check_checkpoint(model)
    return HfMllm(model, endpoint, pick_device(endpoint.device, "the endpoint's device"))


class HfMllm:
    """Answers chat requests with a transformers model, several at a time. An `Mllm`."""

    def __init__(self, model: str, endpoint: Endpoint, device: str) -> None:
        self.endpoint = f"this process ({device})"
        self._settings = endpoint
        self._name = f"hf:{model}"
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="ctgi-hf-model")
        self._preparers = ThreadPoolExecutor(PREPARING_THREADS, thread_name_prefix="ctgi-hf-prepare")
        self._source = (model, device, endpoint.dtype, 2 * endpoint.concurrency)
        self._loaded: Future[Checkpoint] | None = None
        self._processor = threading.Lock()  # tokenizers change their own state while they encode
        self._image = lru_cache(maxsize=2 * endpoint.concurrency)(self._read)
        self._queue = Queue(endpoint.batch_size, 4 * endpoint.concurrency)
        self._closed = False

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Answer one request; see `Mllm`. The confidence includes the end-of-text token, if there is one."""
        if self._closed:
            raise CtgiError(f"{self._name}: closed already: call the tools while they are open")
        checkpoint = await self._checkpoint()
        with self._queue.preparing():
            prompt, seconds = await asyncio.get_running_loop().run_in_executor(
                self._preparers, self._timed_prepare, checkpoint, request
            )
        waiting = self._queue.put(prompt, _kind(prompt))
        self._model_thread.submit(self._answer, checkpoint)
        reply = await _shared(waiting.reply)
        spend(seconds + waiting.seconds)
        return reply

    async def probe(self) -> Abilities:
        """Ask for the color of a generated image, and for a yes or no."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "probe.png"
            Image.new("RGB", (128, 384), "red").save(path)
            image = ref(str(path))
            text, choice = await asyncio.gather(
                self.chat(ChatRequest("What color is this?", image, max_tokens=4)),
                self.chat(ChatRequest("Is this red? Answer yes or no.", image, choices=("yes", "no"))),
            )
        return Abilities(images=True, logprobs=text.confidence is not None, structured=bool(choice.choices))

    async def aclose(self) -> None:
        """End the threads: waiting requests are cancelled, and the current batch is finished."""
        self._closed = True
        for executor in (self._preparers, self._model_thread):
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)
        self._queue.cancel()
        self._loaded = None
        self._image.cache_clear()

    async def _checkpoint(self) -> Checkpoint:
        if self._loaded is None:
            self._loaded = self._model_thread.submit(load_checkpoint, *self._source)
        return await _shared(self._loaded)

    # --- in the preparing threads ---

    def _timed_prepare(self, checkpoint: Checkpoint, request: ChatRequest) -> tuple[Prompt, float]:
        started = time.perf_counter()
        return self._prepare(checkpoint, request), time.perf_counter() - started

    def _prepare(self, checkpoint: Checkpoint, request: ChatRequest) -> Prompt:
        processor = checkpoint.processor
        bounds = _pixel_bounds(processor, self._settings)
        picture = self._image(request.image, *bounds) if request.image else None
        with self._processor:
            inputs = self._encode(processor, request, picture)
            told = processor.tokenizer.decode(inputs["input_ids"][0, -_TAIL:])
            close = processor.tokenizer.encode(f"{closing(told)}\n\n", add_special_tokens=False) if opens(told) else []
            goes_on = not close and not told[-1:].isspace()
            choices = tuple((choice, _spellings(processor.tokenizer, choice, goes_on)) for choice in request.choices)
        shape = inputs["input_ids"].shape
        after = close if choices else []  # a choice is an answer, not a thought
        prompt = Prompt(
            tokens={name: lengthened(name, tensor, after) for name, tensor in inputs.items() if tensor.shape == shape},
            image={name: tensor for name, tensor in inputs.items() if tensor.shape != shape},
            image_id=request.image.sha256 if request.image else "",
            max_tokens=0 if choices else request.max_tokens,
            thinking=bool(close) and not choices,
            choices=choices,
        )
        _check_length(prompt, checkpoint.context_length)
        return prompt

    def _encode(self, processor: Any, request: ChatRequest, picture: Image.Image | None) -> Json:
        added = processor.tokenizer.added_tokens_decoder.values()
        control = [token.content for token in added if token.special]
        try:
            return dict(
                processor.apply_chat_template(
                    _messages(request, picture, control),
                    tokenize=True,
                    return_dict=True,
                    return_tensors="pt",
                    add_generation_prompt=True,
                )
            )
        except (ValueError, TemplateError) as error:  # such as an image 200 times as long as wide
            what = display(request.image.path) if request.image else "the prompt"
            raise ToolError(f"{self._name} cannot take {what}: {error}") from None

    def _read(self, image: ImageRef, low: int, high: int) -> Image.Image:
        with picture_at(image.path, image.sha256) as picture:
            return _bounded(picture.image, low, high)

    # --- in the model's thread ---

    def _answer(self, checkpoint: Checkpoint) -> None:
        """Answer the next batch; an earlier call may have left nothing to do."""
        batch = self._queue.take()
        if not batch:
            return
        started = time.perf_counter()
        try:
            with explained_memory(f"{self._name}, {len(batch)} requests at once"):
                replies = self._replies(checkpoint, [one.prompt for one in batch])
        except BaseException as error:
            for one in batch:
                one.reply.set_exception(error)
            return
        for one, reply in zip(batch, replies, strict=True):
            one.seconds = (time.perf_counter() - started) / len(batch)
            one.reply.set_result(reply)

    def _replies(self, checkpoint: Checkpoint, prompts: Sequence[Prompt]) -> list[ChatReply]:
        if prompts[0].choices:
            return checkpoint.choose(prompts, self._settings.batch_size)
        return checkpoint.generate(prompts, self._settings.temperature, self._settings.seed)


async def _shared(work: Future[T]) -> T:
    """A result for several waiting callers: one that gives up neither cancels it nor leaves an unretrieved error."""
    result = asyncio.wrap_future(work)
    result.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return await asyncio.shield(result)


def _kind(prompt: Prompt) -> tuple[Any, ...]:
    """What prompts of a batch must share: the kind of answer, and image tensors that can be joined."""
    shapes = tuple((name, tuple(tensor.shape[1:])) for name, tensor in prompt.image.items())
    return prompt.max_tokens, tuple(prompt.tokens), shapes


def _messages(request: ChatRequest, picture: Image.Image | None, control: list[str]) -> list[Json]:
    def part(text: str) -> Json:
        for token in control:  # text must not contain tokens that end a turn or stand for an image
            text = text.replace(token, f"{token[:1]} {token[1:]}")
        return {"type": "text", "text": text}

    messages: list[Json] = []
    if request.system:
        messages.append({"role": "system", "content": [part(request.system)]})
    for prompt, reply in request.history:
        messages.append({"role": "user", "content": [part(prompt)]})
        messages.append({"role": "assistant", "content": [part(reply)]})
    messages.append({"role": "user", "content": [part(request.prompt)]})
    if picture is not None:
        first = next(message for message in messages if message["role"] == "user")
        first["content"].insert(0, {"type": "image", "image": picture})
    return messages


def _spellings(tokenizer: Any, choice: str, goes_on: bool) -> tuple[tuple[int, ...], ...]:
    """Token sequences of a choice as given and capitalized; both count.

    Where a prompt ends within a line, as in `Assistant:`, the choice after a space counts as well.
    """
    texts = [choice, choice[:1].upper() + choice[1:]]
    texts += [f" {text}" for text in texts] if goes_on else []
    return tuple(dict.fromkeys(tuple(tokenizer.encode(text, add_special_tokens=False)) for text in texts))


def _check_length(prompt: Prompt, context_length: int) -> None:
    spellings = (len(spelling) for _, group in prompt.choices for spelling in group)
    reply = max(spellings, default=prompt.max_tokens)
    if prompt.length + reply > context_length:
        raise ToolError(
            f"the prompt is too long: {prompt.length} tokens and a reply of up to {reply} do not fit into "
            f"the model's {context_length}"
        )


def _pixel_bounds(processor: Any, endpoint: Endpoint) -> tuple[int, int]:
    """(min, max) area in px of an image for the processor, which applies its own bounds too.

    An image that a Qwen2-VL-like processor would shrink again is not enlarged first.
    """
    low, high = endpoint.min_pixels, endpoint.max_pixels
    image_processor = processor.image_processor
    if hasattr(image_processor, "merge_size"):  # its size holds areas, where others have side lengths
        low = min(low, image_processor.size["longest_edge"])
    return min(low, high), high


def _bounded(image: Image.Image, low: int, high: int) -> Image.Image:
    area = image.width * image.height
    scale = math.sqrt(min(max(area, low), high) / area)
    if scale == 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC)

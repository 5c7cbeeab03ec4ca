"""Questions to answers: prompts, batches and greedy generation with pruned models."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from vtprune.attach.attachment import attach
from vtprune.attach.prefix import Prefix
from vtprune.errors import UserError
from vtprune.stages import Pruner


@dataclass(frozen=True)
class Question:
    """One document of a task: ``text`` as the model is given it, and how the task words it."""

    doc: int
    text: str
    images: tuple[Image.Image, ...]


def chat_prompt(processor: Any, text: str, images: int) -> str:
    """The prompt that the processor's chat template makes of ``images`` images and ``text``."""
    content = [{"type": "image"}] * images + [{"type": "text", "text": text}]
    return processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )


def encode(model: Any, processor: Any, questions: Iterable[Question]) -> Any:
    """What a model is given for a batch of questions, on its device, padded on the left.

    Raises:
        UserError: for a question without an image.
    """
    questions = list(questions)
    for question in questions:
        if not question.images:
            raise UserError(f"question {question.doc} has no image, so there is nothing to prune in its prompt")
    texts, start = [question.text for question in questions], processor.tokenizer.bos_token
    begun = start is not None and all(text.startswith(start) for text in texts)
    return processor(
        images=[image for question in questions for image in question.images],
        text=texts,
        padding=True,
        return_tensors="pt",
        **({"add_special_tokens": False} if begun else {}),
    ).to(model.device, model.dtype)


def as_seen(processor: Any, pixels: torch.Tensor) -> Image.Image:
    """The picture that a model sees: ``[3, height, width]`` pixel values, their normalisation undone."""
    mean, std = (
        torch.tensor(getattr(processor.image_processor, name)).view(3, 1, 1) for name in ("image_mean", "image_std")
    )
    values = (pixels.float().cpu() * std + mean).clamp(0, 1) * 255
    return Image.fromarray(values.round().to(torch.uint8).permute(1, 2, 0).numpy())


@torch.inference_mode()
def answer(
    model: Any, processor: Any, questions: Iterable[Question], methods: Sequence[Pruner], arguments: Mapping[str, Any]
) -> Iterator[tuple[int, list[str]]]:
    """Greedy answers to a batch of questions, cut at the first of ``until``; without special tokens.

    The images, and the decoder's layers before the methods prune, are computed once for all methods;
    each method's answers are those that it gives alone.

    Yields:
        The index of a method and its answers, as soon as they are made; not in the order of ``methods``.

    Raises:
        UserError: for a question without an image.
        Exception: whatever the model or the processor raise; nothing is swallowed.
    """
    prefix = Prefix(encode(model, processor, questions))
    variants = [(index, attach(method, model, prefix)) for index, method in enumerate(methods)]
    for index, variant in sorted(variants, key=lambda pair: pair[1].first_layer):
        with variant:
            found = generate(model, processor, prefix.inputs, arguments)
        yield index, found


def generate(model: Any, processor: Any, inputs: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[str]:
    """Greedy answers to encoded questions, cut at the first of ``until``; without special tokens."""
    tokenizer = processor.tokenizer
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    output = model.generate(
        **inputs,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        num_beams=arguments["num_beams"],
        max_new_tokens=arguments["max_new_tokens"],
        pad_token_id=pad,
    )
    found = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [_cut(text, arguments["until"]) for text in found]


def _cut(text: str, until: Iterable[str]) -> str:
    """The text before the first of the stop strings."""
    ends = [text.find(stop) for stop in until if stop and stop in text]
    return text[: min(ends)] if ends else text

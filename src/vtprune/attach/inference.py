"""Asking a model questions about images: prompts, encoding, greedy generation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from PIL import Image

from vtprune.attach.families import FAMILIES
from vtprune.errors import UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import BatchFeature, PreTrainedModel, ProcessorMixin


@dataclass(frozen=True)
class Question:
    """A question about images.

    Attributes:
        doc: number of the question, for messages.
        text: the prompt as the model gets it, with the chat template.
        images: the images that the prompt shows, in order.
    """

    doc: int
    text: str
    images: tuple[Image.Image, ...]


def chat_prompt(processor: ProcessorMixin, text: str, images: int) -> str:
    """The prompt that the processor's chat template makes of `images` images and `text`."""
    content = [{"type": "image"}] * images + [{"type": "text", "text": text}]
    messages: list[Any] = [{"role": "user", "content": content}]
    return processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


def encode(model: PreTrainedModel, processor: ProcessorMixin, questions: Iterable[Question]) -> BatchFeature:
    """The model's inputs for a batch of questions, on its device and padded on the left.

    Raises:
        UserError: for a question without an image.
    """
    questions = list(questions)
    for question in questions:
        if not question.images:
            raise UserError(f"question {question.doc} has no image, so there is nothing to prune in its prompt")
    texts, begin = [question.text for question in questions], processor.tokenizer.bos_token
    # Some chat templates begin with the begin-of-sequence token, which the tokenizer must not add again.
    has_begin = begin is not None and all(text.startswith(begin) for text in texts)
    by_prompt: list[list[Image.Image]] = [list(question.images) for question in questions]
    inputs = processor(
        images=by_prompt if _takes_images_by_prompt(model) else [image for images in by_prompt for image in images],
        text=texts,
        padding=True,
        return_tensors="pt",
        **({"add_special_tokens": False} if has_begin else {}),
    )
    return cast("BatchFeature", inputs.to(model.device, model.dtype))


def _takes_images_by_prompt(model: PreTrainedModel) -> bool:
    """Whether the processor of a model needs a list of images for each prompt; those of LLaVA take one list of all."""
    return any(FAMILIES[cls.__name__].nested_images for cls in type(model).__mro__ if cls.__name__ in FAMILIES)


def as_seen(processor: ProcessorMixin, pixels: torch.Tensor) -> Image.Image:
    """The picture that a model sees, with the normalisation undone.

    Args:
        pixels: `[3, height, width]` as the processor makes them.
    """
    mean, std = (
        torch.tensor(getattr(processor.image_processor, name)).view(3, 1, 1) for name in ("image_mean", "image_std")
    )
    values = (pixels.float().cpu() * std + mean).clamp(0, 1) * 255
    return Image.fromarray(values.round().to(torch.uint8).permute(1, 2, 0).numpy())


def generate(
    model: PreTrainedModel, processor: ProcessorMixin, inputs: Mapping[str, Any], arguments: Mapping[str, Any]
) -> list[str]:
    """Greedy answers to encoded questions, without special tokens. Call it within `torch.inference_mode()`.

    Args:
        inputs: as `encode` returns them.
        arguments: `max_new_tokens`, `num_beams`, and `until`: strings at the first of which an answer is cut off.
    """
    tokenizer = processor.tokenizer
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    output = cast(Any, model).generate(
        **inputs,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        num_beams=arguments["num_beams"],
        max_new_tokens=arguments["max_new_tokens"],
        pad_token_id=pad,
    )
    answers = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [_cut_off(text, arguments["until"]) for text in answers]


def _cut_off(text: str, until: Iterable[str]) -> str:
    """The text before the first of the stop strings."""
    ends = [text.find(stop) for stop in until if stop and stop in text]
    return text[: min(ends)] if ends else text

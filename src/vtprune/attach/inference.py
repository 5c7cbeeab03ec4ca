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


# Names under which processors and tokenizers keep the words that stand for images and videos, or for their ends.
_IMAGE_WORDS = (
    "image_token",
    "context_image_token",
    "start_image_token",
    "end_image_token",
    "boi_token",
    "eoi_token",
    "vision_start_token",
    "vision_end_token",
    "fake_image_token",
    "global_image_token",
    "global_image_tag",
    "video_token",
)


def image_words(processor: ProcessorMixin) -> list[str]:
    """The words that stand for images in a processor's prompts, and so must not occur in a question."""
    owners = processor, getattr(processor, "tokenizer", None)
    words = {getattr(owner, name, None) for owner in owners for name in _IMAGE_WORDS}
    return sorted(word for word in words if isinstance(word, str) and word)


def chat_prompt(processor: ProcessorMixin, text: str, images: int) -> str:
    """The prompt that the processor's chat template makes of `images` images and `text`.

    Raises:
        UserError: if the text holds a word that stands for an image.
    """
    for word in image_words(processor):
        if word in text:
            raise UserError(
                f"the question {text!r} holds {word}, which stands for an image in the model's prompts: write the word "
                "another way"
            )
    content = [{"type": "image"}] * images + [{"type": "text", "text": text}]
    messages: list[Any] = [{"role": "user", "content": content}]
    return processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


def encode(model: PreTrainedModel, processor: ProcessorMixin, questions: Iterable[Question]) -> BatchFeature:
    """The model's inputs for a batch of questions, on its device and padded on the left.

    Raises:
        UserError: if there is no question, or for a question without an image or whose prompt has not one place for
            each image.
    """
    questions = list(questions)
    if not questions:
        raise UserError("there is no question to encode: pass at least one")
    for question in questions:
        _check_places(processor, question)
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


def _check_places(processor: ProcessorMixin, question: Question) -> None:
    """Check that a prompt has one place for each image: otherwise it would show the images of another prompt."""
    if not question.images:
        raise UserError(f"question {question.doc} has no image, so there is nothing to prune in its prompt")
    word = cast(Any, processor).image_token
    places = question.text.count(word)
    if places != len(question.images):
        raise UserError(
            f"question {question.doc} has {len(question.images)} images, but its prompt has {places} times the word "
            f"{word}, which stands for an image: write it once for each image, and another way in the question itself"
        )


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

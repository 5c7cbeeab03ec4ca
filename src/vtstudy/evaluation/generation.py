"""Generation arguments of tasks, batches of questions, and blank images."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from vtstudy.evaluation.errors import EvaluationError

DEFAULT_MAX_NEW_TOKENS = 128  # of LLaVA's own evaluation scripts, for tasks that give no number
_MID_GREY = (127, 127, 127)
_IGNORED = ("temperature", "top_p", "top_k", "do_sample", "image_aspect_ratio")  # greedy decoding needs none of them


def generation_arguments(task_arguments: Mapping[str, Any], *, task: str, limit: int | None = None) -> dict[str, Any]:
    """A task's generation arguments in one spelling: `max_new_tokens`, `num_beams`, `until`.

    A task with `do_sample: false` is greedy, whatever temperature stands beside it (MM-Vet's 0.2).

    Args:
        task_arguments: as the task spells them.
        task: the task's name, for messages.
        limit: at most so many new tokens, whatever the task says.

    Raises:
        EvaluationError: if the task asks for sampling, or has an argument that is not supported.
    """
    remaining = dict(task_arguments)
    samples = remaining.get("do_sample")
    if samples if samples is not None else (remaining.get("temperature") or 0) > 0:
        raise EvaluationError(f"task {task} asks for sampling, but only greedy answers are supported")
    until = remaining.pop("until", None) or []
    tokens = int(remaining.pop("max_new_tokens", None) or remaining.pop("max_gen_toks", None) or DEFAULT_MAX_NEW_TOKENS)
    arguments = {
        "max_new_tokens": min(tokens, limit) if limit else tokens,
        "num_beams": int(remaining.pop("num_beams", None) or 1),
        "until": [until] if isinstance(until, str) else [str(stop) for stop in until],
    }
    unknown = [key for key in remaining if key not in _IGNORED]
    if unknown:
        raise EvaluationError(f"task {task} has the generation argument '{unknown[0]}', which is not supported")
    return arguments


def blank(image: Image.Image) -> Image.Image:
    """A mid-grey image of the same size."""
    return Image.new("RGB", image.size, _MID_GREY)


def batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices in batches of `size`, by length (ties in the order given): less padding.

    A batch depends on the questions alone, not on which of them are answered already, so that a resumed run computes
    the batches of the first run. (The last bits of a sum depend on the shape of the batch.)
    """
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    for start in range(0, len(order), size):
        yield order[start : start + size]

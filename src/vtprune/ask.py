"""Ask a model about an image, without and with pruning, and draw the tokens that survive.

Needs pillow and matplotlib.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import PreTrainedModel, ProcessorMixin

from vtprune import drawing
from vtprune.attach import Kept, load
from vtprune.attach.inference import Question, as_seen, chat_prompt, encode, generate
from vtprune.command import check_device
from vtprune.cost.timing import Stopwatch
from vtprune.drawing import Panel
from vtprune.errors import UserError
from vtprune.methods import BudgetedMethod, Method, methods, parse_method

SHORT = "\nAnswer the question using a single word or phrase."  # LLaVA's wording, which the miniature was trained with
DEFAULT_KEEP = 0.1
FORMATS = (".png", ".svg", ".pdf")
RUNS = 3


@dataclass(frozen=True)
class Answer:
    """An answer of a model to a question about an image.

    Attributes:
        label: the method and its budget.
        text: the answer.
        seconds: from the image and the question to the answer; the median of three runs after a warm-up.
        tokens: the number of image tokens that the last layer saw.
    """

    label: str
    text: str
    seconds: float
    tokens: int


def ask(
    image: str | Path,
    question: str,
    checkpoint: str | Path,
    method: str = "adaptprune",
    keep: float | None = None,
    out: str | Path = "survivors.png",
    *,
    parameters: Mapping[str, Any] | None = None,
    short: bool = True,
    max_new_tokens: int = 48,
    device: str | None = None,
    dtype: str | None = None,
) -> list[Answer]:
    """Answer a question without and with pruning, and write a picture of the surviving tokens to `out`.

    The picture shows the grid cells of the tokens that the last layer sees. Tokens that are means of several
    tokens have a panel of their own: VisionZip's dominant tokens are unchanged, its contextual tokens are means.
    Tiles are drawn one by one, as the model sees them. LLaVA-NeXT's newline tokens, which end the rows of
    its any-res grid, have no place in the image: they are counted, but not drawn.

    Args:
        image: an image file.
        question: the question.
        checkpoint: a folder, or an id on the Hugging Face Hub.
        method: the name of a pruning method.
        keep: fraction of the image tokens that stay; None for 0.1 where the method has a budget.
        out: the file of the picture; its ending names the format.
        parameters: the method's other parameters.
        short: ask for a single word or phrase.
        max_new_tokens: the longest answer.
        device: such as `cpu` or `cuda:1`; None for a GPU if there is one.
        dtype: such as `bfloat16`; None for float32 on a CPU, else the checkpoint's.

    Returns:
        The answer of the unpruned model and that of the pruned one.

    Raises:
        UserError: if an argument is wrong, or the checkpoint cannot be loaded.
    """
    out = Path(out)
    if out.suffix.lower() not in FORMATS:
        raise UserError(f"the picture can be written as {', '.join(FORMATS)}, not as {out.name!r}")
    if not question.strip():
        raise UserError("the question is empty")
    if max_new_tokens < 1:
        raise UserError(f"max-new-tokens must be at least 1, not {max_new_tokens}")
    check_device(device)
    photo = _open(image)
    pruner = _pruning_method(method, keep, parameters or {})
    if dtype is None and (device or ("cuda" if torch.cuda.is_available() else "cpu")).startswith("cpu"):
        dtype = "float32"
    model, processor = load(checkpoint, device=device, dtype=dtype)
    prompt = chat_prompt(processor, question.strip() + (SHORT if short else ""), 1)
    asked = Question(0, prompt, (photo,))

    text, seconds = _timed_answer(model, processor, asked, max_new_tokens)
    with pruner.attach(model) as pruned:
        pruned_text, pruned_seconds = _timed_answer(model, processor, asked, max_new_tokens)
        kept = pruned.kept[0]
    label = f"{method}, keep {pruner.keep}" if isinstance(pruner, BudgetedMethod) else method
    backgrounds = _backgrounds(model, processor, asked, len(kept))
    panels = [
        panel
        for name, grid, background in zip(_panel_names(method, kept), kept, backgrounds, strict=True)
        if _size(grid)  # for very wide images, LLaVA-NeXT's any-res grid has no row
        for panel in panels_of(name, grid, background)
    ]
    # With a single grid, the image as the model sees it stands beside the tokens; with several, the file's.
    _write_picture(backgrounds[0] if len(kept) == 1 else photo, panels, out)
    return [
        Answer("unpruned", text, seconds, sum(_size(grid) for grid in kept)),
        Answer(label, pruned_text, pruned_seconds, sum(len(grid.indices) for grid in kept)),
    ]


def panels_of(name: str, grid: Kept, background: Image.Image) -> list[Panel]:
    """Return the panels of one grid: its surviving tokens, and in a second panel those that are means of others."""
    count, merged = len(grid.indices), int(grid.merged.sum())
    if merged == 0:
        everything = torch.ones(count, dtype=torch.bool)
        return [_panel(f"{name}: {count} of {_size(grid)} tokens", grid, everything, background)]
    return [
        _panel(f"{name}: {count - merged} dominant of {_size(grid)} tokens", grid, ~grid.merged, background),
        _panel(f"and {merged} contextual (mean of others)", grid, grid.merged, background),
    ]


def _panel(title: str, grid: Kept, chosen: torch.Tensor, background: Image.Image) -> Panel:
    height, width = grid.grid
    columns = width
    if grid.part == "any-res":  # its last column holds the newline tokens
        columns = width - 1
    rows, places = grid.indices[chosen] // width, grid.indices[chosen] % width
    drawn = places < columns
    if grid.part == "any-res":
        title += f", {int((~drawn).sum())} of them newlines (not drawn)"
    # For very tall images, only newline tokens are left: then no cell of the image survives.
    mask = np.zeros((height, max(1, columns)), dtype=bool)
    mask[rows[drawn].numpy(), places[drawn].numpy()] = True
    return Panel(title, background, mask)


def _size(grid: Kept) -> int:
    return grid.grid[0] * grid.grid[1]


def _open(path: str | Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")  # a phone's photo lies on its side without this
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # pillow raises these for damaged files
        reason = getattr(error, "strerror", None) or "it is damaged, or not an image"
        raise UserError(f"the image {path} cannot be read ({reason})") from error


def _pruning_method(name: str, keep: float | None, parameters: Mapping[str, Any]) -> Method:
    if name == "none":
        raise UserError("method 'none' prunes nothing: name a method to compare with the unpruned model")
    if keep is None and name in methods() and methods()[name].takes_keep():
        keep = DEFAULT_KEEP
    return parse_method(name, keep, **parameters)


def _panel_names(method: str, kept: Sequence[Kept]) -> list[str]:
    """Name each panel by the method and, where there are several grids, by its part of the image."""
    if len(kept) == 1:
        return [method]
    parts = [f"tile {number}" if grid.part == "tile" else grid.part for number, grid in enumerate(kept, start=1)]
    return [f"{method}, {part}" for part in parts]


def _timed_answer(
    model: PreTrainedModel, processor: ProcessorMixin, question: Question, max_new_tokens: int
) -> tuple[str, float]:
    """Return the answer, and the median seconds of `RUNS` runs after a warm-up."""
    arguments = {"max_new_tokens": max_new_tokens, "num_beams": 1, "until": []}
    stopwatch, seconds = Stopwatch(model.device), []
    for _ in range(1 + RUNS):
        stopwatch.start()
        with torch.inference_mode():
            (text,) = generate(model, processor, encode(model, processor, [question]), arguments)
        seconds.append(stopwatch.lap())
    return text.strip(), statistics.median(seconds[1:])


def _backgrounds(
    model: PreTrainedModel, processor: ProcessorMixin, question: Question, grids: int
) -> list[Image.Image]:
    """Return what each grid lies on: the tile as the model sees it, or the complete image."""
    pixels = encode(model, processor, [question])["pixel_values"]
    if pixels.ndim != 4 or len(pixels) != grids:  # LLaVA-NeXT's any-res grid lies over all tiles of an image
        return [question.images[0]] * grids
    return [as_seen(processor, tile) for tile in pixels]


def _write_picture(image: Image.Image, panels: list[Panel], out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        drawing.picture(image, panels, out)
    except OSError as error:
        raise UserError(f"the picture {out} cannot be written ({error.strerror})") from error

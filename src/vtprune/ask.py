"""One image, one question: the answers without and with pruning, and a picture of the surviving tokens."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vtprune.errors import UserError

SHORT = "\nAnswer the question using a single word or phrase."  # LLaVA's own; the miniature was trained with it
DEFAULT_KEEP = 0.1
FORMATS = (".png", ".svg", ".pdf")
RUNS = 3


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        label: the method and what it keeps.
        text: the answer.
        seconds: from the picture and the question to the answer, the middle one of three runs after a first.
        tokens: image tokens that the last layer saw.
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
    """The answers without and with pruning, in this order; writes the picture to ``out``.

    The picture shows where the tokens stand that the last layer sees. Tokens that others were merged
    into are shown apart: VisionZip's dominant ones stay as they are, its contextual ones are means.
    Tiles are drawn one by one, as the model sees them. LLaVA-NeXT's newline tokens, which end the rows of
    its any-res grid, stand nowhere on the picture: they are counted among the tokens, but not drawn.

    Args:
        keep: fraction of the image tokens that stay; None for 0.1 where the method takes one.
        parameters: the method's others.
        short: ask for a single word or phrase.

    Raises:
        ValueError, CheckpointError: one sentence that says what is wrong.
    """
    import torch

    from vtprune.attach import load
    from vtprune.attach.inference import Question, chat_prompt
    from vtprune.methods import BudgetedMethod

    out = Path(out)
    if out.suffix.lower() not in FORMATS:
        raise UserError(f"the picture can be written as {', '.join(FORMATS)}, not as {out.name!r}")
    if not question.strip():
        raise UserError("the question is empty")
    if max_new_tokens < 1:
        raise UserError(f"max-new-tokens must be at least 1, not {max_new_tokens}")
    check_device(device)
    shown = _opened(image)
    pruner = _method(method, keep, parameters or {})
    if dtype is None and (device or ("cuda" if torch.cuda.is_available() else "cpu")).startswith("cpu"):
        dtype = "float32"
    model, processor = load(checkpoint, device=device, dtype=dtype)
    asked = Question(0, chat_prompt(processor, question.strip() + (SHORT if short else ""), 1), (shown,))
    arguments = {"max_new_tokens": max_new_tokens, "num_beams": 1, "until": []}

    text, seconds = _timed(model, processor, asked, arguments)
    with pruner.attach(model) as pruned:
        pruned_text, pruned_seconds = _timed(model, processor, asked, arguments)
        kept = pruned.kept[0]
    total, left = sum(grid.grid[0] * grid.grid[1] for grid in kept), sum(len(grid.indices) for grid in kept)
    label = f"{method}, keep {pruner.keep}" if isinstance(pruner, BudgetedMethod) else method
    image, seen = _seen(model, processor, asked, len(kept))
    panels = [
        (title, picture, mask)
        for name, grid, picture in zip(_names(method, kept), kept, seen, strict=True)
        if grid.grid[0] * grid.grid[1]  # LLaVA-NeXT leaves no row of very wide pictures
        for title, mask in _panels(name, grid)
    ]
    _draw(image, panels, out)
    return [Answer("unpruned", text, seconds, total), Answer(label, pruned_text, pruned_seconds, left)]


def check_device(device: str | None) -> None:
    """Raise ``ValueError`` unless models can be put on the device (None leaves the choice to them)."""
    import torch

    if device is None:
        return
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"there is no device {device!r}: name one such as cpu, cuda or cuda:1") from error
    if found.type != "cpu":
        backend = getattr(torch, found.type, None)
        count = backend.device_count() if hasattr(backend, "device_count") else 0
        if (found.index or 0) >= count:
            raise UserError(
                f"device {device} is not available: torch finds {count} {found.type} devices here (cpu is always there)"
            )


def _opened(path: str | Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # pillow's own for broken files
        reason = getattr(error, "strerror", None) or "it is damaged or no image"
        raise UserError(f"the image {path} cannot be read ({reason})") from error


def _method(name: str, keep: float | None, parameters: Mapping[str, Any]) -> Any:
    from vtprune.methods import get_method, methods

    if name == "none":
        raise UserError("method 'none' prunes nothing: name one to compare the unpruned model with")
    if keep is None and name in methods() and methods()[name].takes_keep():
        keep = DEFAULT_KEEP
    return get_method(name, **({} if keep is None else {"keep": keep}), **parameters)


def _names(method: str, kept: Sequence[Any]) -> list[str]:
    """What the panels of each grid are called: the method and, where there are several, the part, tiles with a number."""
    if len(kept) == 1:
        return [method]
    parts = [f"tile {number}" if grid.part == "tile" else grid.part for number, grid in enumerate(kept, start=1)]
    return [f"{method}, {part}" for part in parts]


def _panels(name: str, grid: Any) -> list[tuple[str, Any]]:
    """The titles and masks of one grid: its survivors, those that are means of others apart."""
    import numpy as np

    (height, width), newline = grid.grid, grid.part == "any-res"
    columns = width - newline

    def panel(title: str, chosen: Any) -> tuple[str, Any]:
        rows, places = grid.indices[chosen] // width, grid.indices[chosen] % width
        shown = places < columns
        # Of very tall pictures, newline tokens are all that is left: then nothing of the picture survives.
        mask = np.zeros((height, max(1, columns)), dtype=bool)
        mask[rows[shown].numpy(), places[shown].numpy()] = True
        return title + (f", {int((~shown).sum())} of them newlines (not drawn)" if newline else ""), mask

    size, count = height * width, len(grid.indices)
    merged = int(grid.merged.sum())
    if merged == 0:
        return [panel(f"{name}: {count} of {size} tokens", slice(None))]
    return [
        panel(f"{name}: {count - merged} dominant of {size} tokens", ~grid.merged),
        panel(f"and {merged} contextual (mean of others)", grid.merged),
    ]


def _timed(model: Any, processor: Any, question: Any, arguments: Mapping[str, Any]) -> tuple[str, float]:
    """The answer, and the middle time of some runs after a first that warms up."""
    import torch

    from vtprune.attach.inference import encode, generate

    times = []
    for _ in range(1 + RUNS):
        start = time.perf_counter()
        with torch.inference_mode():
            (text,) = generate(model, processor, encode(model, processor, [question]), arguments)
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        times.append(time.perf_counter() - start)
    return text.strip(), statistics.median(times[1:])


def _seen(model: Any, processor: Any, question: Any, grids: int) -> tuple[Image.Image, list[Image.Image]]:
    """The picture, and for each grid what it is laid on: the tile as the model sees it, or the whole picture."""
    from vtprune.attach.inference import as_seen, encode

    pixels = encode(model, processor, [question])["pixel_values"]
    if pixels.ndim != 4 or len(pixels) != grids:  # LLaVA-NeXT's any-res grid lies over all tiles of a picture
        return question.images[0], [question.images[0]] * grids
    tiles = [as_seen(processor, tile) for tile in pixels]
    return tiles[0] if grids == 1 else question.images[0], tiles


def _draw(image: Image.Image, shown: list[tuple[str, Image.Image, Any]], out: Path) -> None:
    from vtprune.drawing import picture

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        picture(image, shown, out)
    except OSError as error:
        raise UserError(f"the picture {out} cannot be written ({error.strerror})") from error

"""What the model answered with the tokens that Figures 1, 6 and 7 show, from the explorer's data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from vtstudy.report.charts.survivors import METHODS, Example, Replies, Reply, Survivors
from vtstudy.report.explorer.data import BASELINE, Data, budget, explorer_data, model_of

SAME_PICTURE = 5.0
"""Two files show the same picture if their colours differ by less than this on average, of 255.

The explorer's files are compressed: that changes colours by up to 3. Different pictures differ by 7 and more."""


def panel_answers(data: Survivors, folder: Path, model: str) -> dict[Example, Replies]:
    """The replies to each example that the explorer shows too; none without the explorer's data.

    A reply belongs to a panel only if the explorer's method kept just the tokens that the panel shows.

    Args:
        data: the examples and their kept tokens.
        folder: the explorer's data.
        model: ours, as results.csv names it; the answers of another one are left out.

    Raises:
        TableError: if a file of the explorer is missing or wrong.
    """
    if not folder.is_dir() or model_of(folder / "explorer.json").name != model:
        return {}
    shown = {entry["key"]: entry["pictures"] for entry in explorer_data(folder)["benchmarks"]}
    found = {}
    for example in data.examples:
        picture = _same(data.folder / example.picture, example.question, shown.get(example.benchmark, ()), folder)
        if picture:
            found[example] = Replies(
                picture["references"], _reply(picture[BASELINE]), _of_panels(data, example, picture)
            )
    return found


def _same(path: Path, question: str, pictures: Iterable[Data], folder: Path) -> Data | None:
    """The explorer's picture that shows what a file shows, and about which the same was asked."""
    alike = [
        (difference, number, picture)
        for number, picture in enumerate(pictures)
        if picture["question"].splitlines()[0] == question
        and (difference := _difference(path, folder / picture["file"])) < SAME_PICTURE
    ]
    return min(alike)[2] if alike else None


def _difference(first: Path, second: Path) -> float:
    """Mean difference of the colours of two pictures, of 255; infinite for pictures of other sizes."""
    with Image.open(first) as one, Image.open(second) as other:
        if one.size != other.size:
            return np.inf
        pixels = [np.asarray(image.convert("RGB"), dtype=float) for image in (one, other)]
    return float(np.abs(pixels[0] - pixels[1]).mean())


def _of_panels(data: Survivors, example: Example, picture: Data) -> dict[tuple[str, float], Reply]:
    answers: Mapping[str, Mapping[str, Data]] = picture["answers"]
    replies = {}
    for method in METHODS:
        for keep in data.keeps:
            answer = answers.get(method, {}).get(budget(keep))
            if answer and answer.get("kept") == np.packbits(data.mask(example, method, keep)).tobytes().hex():
                replies[method, keep] = _reply(answer)
    return replies


def _reply(answer: Data) -> Reply:
    return Reply(answer["text"], answer.get("right"))

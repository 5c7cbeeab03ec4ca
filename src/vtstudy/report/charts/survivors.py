"""Figures 1, 6 and 7: the kept image tokens, drawn on the image; dropped tokens fade to white."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from vtprune.drawing import FIXED, INK, draw_tokens
from vtstudy.report import formatting
from vtstudy.report.charts.style import Chart, tight_layout
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.results_table import read_data

METHODS = ("fastv", "adaptprune")
RIGHT, WRONG = "✓", "✗"
SMALL, LETTER, LINE = 6.5, 0.056, 0.105
"""Size of the answers in points; width of a letter and height of a line in inches."""
MOST_LINES = 3
"""A longer answer is cut."""
EXAMPLES = ("benchmark", "example", "question", "picture", "height", "width")
SURVIVORS = ("benchmark", "method", "keep", "example", "row", "column")
POSITIONS = ("benchmark", "method", "keep", "row", "column", "share")


@dataclass(frozen=True)
class Example:
    """An image of a benchmark with its question; `height` and `width` count the grid cells of its image tokens."""

    benchmark: str
    example: int
    question: str
    picture: str
    height: int
    width: int


@dataclass(frozen=True)
class Reply:
    """An answer of the model; `right` goes from 0 to 1, and is None for a caption."""

    text: str
    right: float | None

    @property
    def marked(self) -> str:
        """The answer with whether it is right."""
        if self.right is None:
            return self.text
        mark = {0.0: WRONG, 1.0: RIGHT}.get(self.right) or f"{formatting.percent(round(self.right, 2))} right:"
        return f"{mark} {self.text}"


@dataclass(frozen=True)
class Replies:
    """What the model answered about an example.

    Attributes:
        references: what is right, or captions by people.
        unpruned: the reply with all tokens.
        pruned: by method and keep ratio, the reply with the tokens that are drawn.
    """

    references: list[str]
    unpruned: Reply
    pruned: dict[tuple[str, float], Reply]

    @property
    def is_caption(self) -> bool:
        return self.unpruned.right is None


@dataclass(frozen=True)
class Survivors:
    """The kept image tokens of some images, and how often each place of the grid is kept.

    Attributes:
        folder: holds the pictures.
        examples: the images.
        survivors: one row for each kept token, with the columns `SURVIVORS`.
        positions: the share of a benchmark's images in which a place is kept, with the columns `POSITIONS`.
        fixed: a place counts as fixed from this share on.
    """

    folder: Path
    examples: list[Example]
    survivors: pd.DataFrame
    positions: pd.DataFrame
    fixed: float

    @classmethod
    def read(cls, folder: Path, fixed: float) -> Survivors:
        """Read what the experiment `figure1` wrote.

        Raises:
            TableError: if a file is missing or wrong.
        """
        examples = read_data(folder / "examples.csv", EXAMPLES, ("example", "height", "width"))
        survivors = read_data(folder / "survivors.csv", SURVIVORS, ("keep", "example", "row", "column"))
        positions = read_data(folder / "positions.csv", POSITIONS, ("keep", "row", "column", "share"))
        rows = examples[list(EXAMPLES)].itertuples(index=False)
        return cls(
            folder,
            [Example(r.benchmark, int(r.example), r.question, r.picture, int(r.height), int(r.width)) for r in rows],
            survivors,
            positions,
            fixed,
        )

    @property
    def keeps(self) -> list[float]:
        """The keep ratios, largest first."""
        return sorted(map(float, self.survivors["keep"].unique()), reverse=True)

    def by_benchmark(self) -> dict[str, list[Example]]:
        groups: dict[str, list[Example]] = {}
        for example in self.examples:
            groups.setdefault(example.benchmark, []).append(example)
        return groups

    def mask(self, example: Example, method: str, keep: float) -> np.ndarray:
        """The kept cells of an image, bool `[height, width]`."""
        rows = _of(self.survivors, example, method, keep)
        return _grid(example, rows[rows["example"] == example.example])

    def beside_another(self, example: Example, method: str, keep: float) -> np.ndarray:
        """The kept cells that have a kept one among their eight neighbours, bool `[height, width]`."""
        mask = self.mask(example, method, keep)
        padded = np.pad(mask, 1)
        around = [
            padded[1 + down : 1 + down + mask.shape[0], 1 + right : 1 + right + mask.shape[1]]
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
            if (down, right) != (0, 0)
        ]
        return mask & np.logical_or.reduce(around)

    def lower_half(self, benchmark: str, method: str, keep: float) -> float:
        """The percentage of the kept tokens that lie in the lower half of the picture, mean over a benchmark."""
        example = self.by_benchmark()[benchmark][0]
        rows = _of(self.positions, example, method, keep)
        lower = rows["row"] >= example.height / 2
        return float(100 * rows.loc[lower, "share"].sum() / rows["share"].sum())

    def fixed_mask(self, example: Example, method: str, keep: float) -> np.ndarray:
        """The cells that a method keeps in nearly every image of the benchmark, bool `[height, width]`."""
        rows = _of(self.positions, example, method, keep)
        return _grid(example, rows[rows["share"] >= self.fixed - 1e-9])


def _of(frame: pd.DataFrame, example: Example, method: str, keep: float) -> pd.DataFrame:
    return frame[(frame["benchmark"] == example.benchmark) & (frame["method"] == method) & (frame["keep"] == keep)]


def _grid(example: Example, cells: pd.DataFrame) -> np.ndarray:
    mask = np.zeros((example.height, example.width), dtype=bool)
    mask[cells["row"].to_numpy(int), cells["column"].to_numpy(int)] = True
    return mask


def compare(
    data: Survivors,
    replies: Mapping[Example, Replies],
    examples: Sequence[Example],
    keeps: Sequence[float],
    name: str,
    title: str,
    columns: int = 1,
) -> Chart:
    """FastV above AdaptPrune for each example, at each keep ratio, with the answers below the panels.

    Args:
        data: the kept tokens.
        replies: what the model answered, where that is known.
        examples: the images.
        keeps: the ratios.
        name: of its files.
        title: for readers.
        columns: how many examples stand side by side.
    """
    fixed = formatting.percent(data.fixed)
    alt = [
        _halves_message(data, [example.benchmark for example in examples], min(keeps)),
        *_right_message(replies, examples, keeps),
    ]
    return Chart(
        name,
        title,
        "The first questions of each benchmark, not chosen by hand. Heavy frames: positions that the method keeps in "
        f"at least {fixed} of the benchmark's images. {_replies_caption(replies, examples, keeps)}",
        " ".join(alt),
        partial(_draw_compare, data, replies, examples, keeps, columns),
    )


def _draw_compare(
    data: Survivors,
    replies: Mapping[Example, Replies],
    examples: Sequence[Example],
    keeps: Sequence[float],
    columns: int,
) -> Figure:
    lines = -(-len(examples) // columns)
    panels = 1 + len(keeps)
    side = min(1.35, 9.4 / (columns * (panels + 0.35)))
    letters = int(side / LETTER)
    below = _below(replies, examples, keeps, letters)
    height = 2 * side + 0.62 + LINE * (2 * max((text.count("\n") + 1 for text in below.values()), default=0))
    height += LINE * any(example in replies for example in examples)
    figure = Figure(
        figsize=(side * columns * (panels + 0.35) + 0.3, lines * height + 0.35),
        layout=tight_layout(),
    )
    groups = np.atleast_1d(figure.subfigures(lines, columns, squeeze=False)).flat
    for group, example in zip(groups, examples, strict=False):
        image = Image.open(data.folder / example.picture)
        group.suptitle(_heading(example, replies.get(example), 13 * panels), x=0.02, ha="left", fontsize=8)
        axes = group.subplots(2, panels, squeeze=False)
        for line, method in enumerate(METHODS):
            draw_tokens(axes[line, 0], image)
            axes[line, 0].set_ylabel(method_label(method), fontsize=8)
            for axis, keep in zip(axes[line, 1:], keeps, strict=True):
                draw_tokens(axis, image, data.mask(example, method, keep), data.fixed_mask(example, method, keep))
                axis.set_xlabel(below.get((example, method, keep), ""), fontsize=SMALL, labelpad=2)
                if line == 0:
                    axis.set_title(f"{formatting.percent(1 - keep)} pruned", fontsize=8, pad=3)
            if line == 0:
                axes[0, 0].set_title("image", fontsize=8, pad=3)
        if example in replies:
            axes[0, 0].set_xlabel(_wrapped(replies[example].unpruned, letters), fontsize=SMALL, labelpad=2)
    fixed = formatting.percent(data.fixed)
    handles = [
        _frame_handle("kept token", INK, 0.5),
        _frame_handle(f"kept at this position in at least {fixed} of the images", FIXED, 1.6),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def _below(
    replies: Mapping[Example, Replies], examples: Sequence[Example], keeps: Sequence[float], letters: int
) -> dict[tuple[Example, str, float], str]:
    """The answers by panel, in lines of at most so many letters."""
    return {
        (example, method, keep): _wrapped(reply, letters)
        for example in examples
        if example in replies
        for (method, keep), reply in replies[example].pruned.items()
        if keep in keeps
    }


def _wrapped(reply: Reply, letters: int) -> str:
    return "\n".join(textwrap.wrap(reply.marked, letters, max_lines=MOST_LINES, placeholder="…")) or "(nothing)"


def _heading(example: Example, replied: Replies | None, length: int) -> str:
    """The question; below it what is right, if that is known."""
    asked = f"{benchmark_label(example.benchmark)}: {_short(example.question, length)}"
    if replied is None:
        return asked
    right = replied.references[0] if replied.is_caption else " or ".join(replied.references)
    return f"{asked}\n{'a reference' if replied.is_caption else 'right'}: {_short(right, length)}"


def _replies_caption(replies: Mapping[Example, Replies], examples: Sequence[Example], keeps: Sequence[float]) -> str:
    """How to read the answers, and why some are left out."""
    known = {panel for example in examples if example in replies for panel in replies[example].pruned}
    if not known:
        return "The model's answers are left out: the explorer's data has none with these tokens."
    text = (
        "Below a panel: what the model answered with just these tokens, below the first image with all tokens; "
        f"{RIGHT} right, {WRONG} wrong, a percentage where annotators disagree, no mark at captions."
    )
    unasked = [keep for keep in keeps if not any(keep == other for _, other in known)]
    if unasked:
        listed = formatting.listed([formatting.percent(1 - keep) for keep in unasked])
        text += f" With {listed} pruned, nothing was asked."
    asked = [(method, keep) for method in METHODS for keep in keeps if keep not in unasked]
    if any(
        panel not in (replies[example].pruned if example in replies else {}) for example in examples for panel in asked
    ):
        text += " Other panels without an answer show tokens with which nothing was asked."
    return text


def _right_message(
    replies: Mapping[Example, Replies], examples: Sequence[Example], keeps: Sequence[float]
) -> list[str]:
    """How many of each method's answers below the panels are right."""
    parts = []
    for method in METHODS:
        judged = [
            reply.right
            for example in examples
            if example in replies
            for (of, keep), reply in replies[example].pruned.items()
            if of == method and keep in keeps and reply.right is not None
        ]
        if judged:
            right = formatting.how_many(sum(share == 1 for share in judged))
            parts.append(f"{method_label(method)} {right} of {len(judged)}")
    return [f"Answers that are right: {formatting.listed(parts)}."] if parts else []


def _halves_message(data: Survivors, benchmarks: Sequence[str], keep: float) -> str:
    """From which half of the pictures the methods keep tokens."""
    parts = []
    for benchmark in dict.fromkeys(benchmarks):
        halves = [
            f"{method_label(method)} {formatting.number(data.lower_half(benchmark, method, keep), 0)} %"
            for method in METHODS
        ]
        parts.append(f"{benchmark_label(benchmark)}: {' and '.join(halves)}")
    pruned = formatting.percent(1 - keep)
    return f"Share of the kept tokens in the lower half of the picture, {pruned} pruned. {'; '.join(parts)}."


def neighbours(data: Survivors, example: Example, keep: float, name: str) -> Chart:
    """The tokens that FastV and AdaptPrune keep of one picture; those beside another one have heavy frames."""
    told = [f"{method_label(method)} keeps {_beside(data, example, method, keep)}" for method in METHODS]
    return Chart(
        name,
        "Adjacent tokens that are kept",
        f"The first picture of {benchmark_label(example.benchmark)}, {formatting.percent(1 - keep)} pruned.",
        f"{'; '.join(told)}.",
        partial(_draw_neighbours, data, example, keep),
    )


def _draw_neighbours(data: Survivors, example: Example, keep: float) -> Figure:
    figure = Figure(figsize=(6.4, 2.9), layout=tight_layout())
    axes = figure.subplots(1, 1 + len(METHODS))
    image = Image.open(data.folder / example.picture)
    draw_tokens(axes[0], image)
    axes[0].set_title("image", fontsize=9)
    for axis, method in zip(axes[1:], METHODS, strict=True):
        draw_tokens(axis, image, data.mask(example, method, keep), data.beside_another(example, method, keep))
        axis.set_title(f"{method_label(method)}: {_beside(data, example, method, keep)}", fontsize=9)
    handles = [_frame_handle("kept token", INK, 0.5), _frame_handle("beside another kept token", FIXED, 1.6)]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def _beside(data: Survivors, example: Example, method: str, keep: float) -> str:
    """How many of the kept tokens of an image lie beside another one."""
    beside = data.beside_another(example, method, keep).sum()
    return f"{beside} of {data.mask(example, method, keep).sum()} beside another"


def _frame_handle(label: str, colour: str, width: float) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker="s",
        markersize=7,
        markerfacecolor="white",
        markeredgecolor=colour,
        markeredgewidth=width,
        label=label,
    )


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"

"""Which of our measurements answers which printed cell: the one place where the names meet.

A new experiment is made known to the report here: a line in ``LINKS`` for its table, a
label for each new method, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from . import fmt

# Printed column -> benchmark key of reports/results.csv.
BENCHMARKS = {
    "Nocaps": "nocaps", "Flickr30K": "flickr30k", "VQAv2": "vqav2", "GQA": "gqa", "OK-VQA": "okvqa",
    "VizWiz": "vizwiz", "TextVQA": "textvqa", "ChartQA": "chartqa", "DocVQA": "docvqa", "POPE": "pope",
    "MME": "mme", "MMB": "mmbench",
}
BENCHMARK_LABELS = {key: name for name, key in BENCHMARKS.items()} | {
    "mmbench": "MMBench", "mme_cognition": "MME cognition", "mean": "Mean, % of unpruned",
}

METHOD_LABELS = {
    "baseline": "Unpruned", "blind": "Blank image", "chance": "Chance", "vtw": "VTW", "fastv": "FastV",
    "adaptprune": "AdaptPrune", "adaptprune_as_written": "AdaptPrune as written", "random": "Random",
    "(a)": "(a) attention", "(b)": "(b) correction", "(c)": "(c) distance", "(d)": "(d) similarity",
}

# The same names inside a sentence.
IN_SENTENCES = {"Unpruned": "the unpruned model", "Random": "random selection"}

# Rows of ours that have no keep ratio of their own.
UNPRUNED = ("baseline", "blind", "chance")


@dataclass(frozen=True)
class Model:
    """A model of the paper: its checkpoint on the Hub, and the miniature that stands in for it."""

    checkpoint: str
    miniature: str | None = None


MODELS = {
    "LLaVA-1.5-7B": Model("llava-hf/llava-1.5-7b-hf", "miniature-llava"),
    "LLaVA-1.5-13B": Model("llava-hf/llava-1.5-13b-hf"),
    "LLaVA-NeXT-7B": Model("llava-hf/llava-v1.6-vicuna-7b-hf"),
    "InternVL2-2B": Model("OpenGVLab/InternVL2-2B"),
    "InternVL2-8B": Model("OpenGVLab/InternVL2-8B"),
}


@dataclass(frozen=True)
class Row:
    """What a printed row measures, and where ours stands: (experiment, method), the first found counts."""

    quantity: str
    sources: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Link:
    """How the rows and columns of one published table meet ours."""

    table: int
    title: str
    rows: dict[str, Row] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    keep: float = 0.1
    extra: tuple[tuple[str, str], ...] = ()  # rows of ours that the paper does not print


def _rows(experiment: str, **names: str) -> dict[str, Row]:
    return {printed: Row(method, ((experiment, method),)) for printed, method in names.items()}


_MAIN = _rows("table1", baseline="baseline", FastV="fastv", AdaptPrune="adaptprune")

LINKS = {
    link.table: link
    for link in (
        Link(1, "LLaVA at 90 % pruning", _MAIN | _rows("table1", VTW="vtw"), BENCHMARKS,
             extra=(("table1", "adaptprune_as_written"), ("table1", "random"))),
        Link(2, "InternVL2 at 90 % pruning",
             _rows("table2", baseline="baseline", FastV="fastv", AdaptPrune="adaptprune"), BENCHMARKS),
        Link(3, "Inference cost on POPE", _MAIN, {"Score": "pope"}),
        Link(4, "Ablation: correction, distance, similarity", {
            "baseline": Row("baseline", (("table4", "baseline"), ("table1", "baseline"))),
            "(a)": Row("fastv", (("table4", "(a)"), ("table1", "fastv"))),
            "(b)": Row("(b)", (("table4", "(b)"),)),
            "(c)": Row("(c)", (("table4", "(c)"),)),
            "(d)": Row("adaptprune", (("table4", "(d)"), ("table1", "adaptprune"))),
        }, BENCHMARKS),
        Link(5, "Alternative pruning strategies", _MAIN | _rows("table1", Random="random"), BENCHMARKS),
        Link(6, "MMBench by category"),
        Link(7, "MMBench by L2 category"),
        Link(8, "MME by sub-task"),
    )
}

# The ten perception sub-tasks, whose sum is the MME score of Tables 1 and 2 (Table 8 prints 14).
MME_PERCEPTION = ("Artwork", "Celebrity", "Count", "Color", "Position", "OCR", "Landmark", "Scene", "Existence",
                  "Posters")

# MMBench's own hierarchy: the L2 category of each category of Table 6.
MMBENCH_L2 = {
    "Attribute Reasoning": ("Function Reasoning", "Identity Reasoning", "Physical Property Reasoning"),
    "Coarse Perception": ("Image Emotion", "Image Quality", "Image Scene", "Image Style", "Image Topic"),
    "Finegrained Perception (Cross-Instance)": (
        "Action Recognition", "Attribute Comparison", "Spatial Relationship"),
    "Finegrained Perception (Instance-Level)": (
        "Attribute Recognition", "Celebrity Recognition", "OCR", "Object Localization"),
    "Logic Reasoning": ("Future Prediction", "Structured Image-Text Understanding"),
    "Relation Reasoning": ("Nature Relation", "Physical Relation", "Social Relation"),
}


def quantity(method: str) -> str:
    """The canonical name of a method: rows (a) and (d) of the ablation are FastV and AdaptPrune."""
    row = LINKS[4].rows.get(method)
    return row.quantity if row else method


def method_label(method: str) -> str:
    return METHOD_LABELS.get(method, method)


def term_label(term: str) -> str:
    """"adaptprune - fastv" as a reader should see it."""
    return f" {fmt.MINUS} ".join(method_label(name) for name in term.split(" - "))


def benchmark_label(benchmark: str) -> str:
    return BENCHMARK_LABELS.get(benchmark, benchmark)


def same_checkpoint(published: str, ours: str) -> bool:
    """Whether our model is the paper's own, so that absolute scores may be compared."""
    known = MODELS.get(published)
    return known is not None and _base(ours) == _base(known.checkpoint)


def answers_to(published: str, ours: str) -> bool:
    """Whether our model is the paper's own or the miniature that stands in for it."""
    known = MODELS.get(published)
    return same_checkpoint(published, ours) or (known is not None and _base(ours) == known.miniature)


def _base(name: str) -> str:
    return PurePosixPath(name).name

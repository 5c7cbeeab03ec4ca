"""Which of our measurements answers which printed cell: the one place where the names meet.

A new table is made known to the report here: a line in ``LINKS``, and a label for each new
method.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from vtstudy.benchmarks import ADAPTPRUNE, BENCHMARKS, MMBENCH_GROUPS, printed_parts
from vtstudy.report import fmt

# Printed column -> benchmark key of reports/results.csv.
COLUMNS = {BENCHMARKS[key].column or BENCHMARKS[key].title: key for key in ADAPTPRUNE}
BENCHMARK_LABELS = {key: benchmark.title for key, benchmark in BENCHMARKS.items()} | {
    "mme_cognition": "MME cognition",
    "mean": "Mean, % of unpruned",
}

METHOD_LABELS = {
    "baseline": "Unpruned",
    "blind": "Blank image",
    "chance": "Chance",
    "vtw": "VTW",
    "fastv": "FastV",
    "adaptprune": "AdaptPrune",
    "adaptprune_as_written": "AdaptPrune as written",
    "random": "Random",
    "(a)": "(a) attention",
    "(b)": "(b) correction",
    "(c)": "(c) distance",
    "(d)": "(d) similarity",
    "fitprune": "FitPrune",
    "skip": "Skip",
    "random3x3": "Random 3x3",
    "maxpool3x3": "Max-pooling 3x3",
    "avgpool3x3": "Average-pooling",
    "last": "The last 10%",
}

# E-AdaPrune's hosts, each with a fixed and a spectral budget, and its other measurements.
METHOD_LABELS |= {"pyramiddrop": "PyramidDrop", "visionzip": "VisionZip"}
METHOD_LABELS |= {
    f"{host}_spectral": f"{METHOD_LABELS[host]}, spectral"
    for host in ("fastv", "adaptprune", "pyramiddrop", "visionzip")
}
METHOD_LABELS |= {
    "budget_by_content": "Budget by content",
    "randomised_is_exact": "Randomised budget is exact",
    "randomised": "Milliseconds, randomised",
}

# What the figures' experiments measure; of a method it stands after the method's name ("fastv adjacency").
MEASURED = {
    "overlap": "positions kept in another image too",
    "neighbour_similarity": "similarity to the nearest kept token",
    "neighbour_key_similarity": "key similarity to the nearest kept token",
    "adjacency": "kept tokens beside another one",
}
METHOD_LABELS |= {
    "none": "All tokens",
    "benchmarks alike": "Correlation of two benchmarks’ maps",
    "halves alike": "Correlation of two halves’ maps",
    "layers alike": "Correlation of two layers’ maps",
    "last quarter": "The last quarter’s share of the image attention",
}
# Metrics of results.csv, most of them lmms-eval's names, with their units.
METRICS = {
    "nocaps_CIDEr": "CIDEr",
    "flickr_CIDEr": "CIDEr",
    "exact_match": "exact match, %",
    "relaxed_overall": "relaxed accuracy, %",
    "anls": "ANLS, %",
    "pope_accuracy": "accuracy, %",
    "mme_perception_score": "points of 2,000",
    "mme_cognition_score": "points of 800",
    "gpt_eval_score": "accuracy, % (static judge, no GPT)",
    "percent_of_baseline": "% of the unpruned score",
    "position_overlap": "%",
    "pearson": "Pearson’s r",
    "share_of_image_attention": "share",
    "neighbour_similarity": "cosine",
    "neighbour_key_similarity": "cosine",
    "adjacency": "%",
}

# A second reading of a method's text, which is no method of its own: the reading that stands for the method.
READINGS = {"adaptprune_as_written": "adaptprune"}

# The same names inside a sentence.
IN_SENTENCES = {
    "Unpruned": "the unpruned model",
    "Random": "random selection",
    "Blank image": "the model given a blank image",
    "Max-pooling 3x3": "max-pooling 3x3",
    "Average-pooling": "average-pooling",
    "The last 10%": "keeping the last 10 %",
}

# Rows of ours that have no keep ratio of their own.
UNPRUNED = ("baseline", "blind", "chance")


# The paper's models, and their checkpoints on the Hub. What is run for each stands in params.yaml.
MODELS = {
    "LLaVA-1.5-7B": "llava-hf/llava-1.5-7b-hf",
    "LLaVA-1.5-13B": "llava-hf/llava-1.5-13b-hf",
    "LLaVA-NeXT-7B": "llava-hf/llava-v1.6-vicuna-7b-hf",
    "InternVL2-2B": "OpenGVLab/InternVL2-2B",
    "InternVL2-8B": "OpenGVLab/InternVL2-8B",
}

_PARTS = {name: {} for name in ("mme", "categories", "groups")}
for _key, _name in printed_parts().items():
    _kind, _, _part = _key.partition("/")
    _PARTS["mme" if _kind == "mme" else "groups" if _part in MMBENCH_GROUPS else "categories"][_name] = _key
MMBENCH_BY_CATEGORY = dict(sorted(_PARTS["categories"].items()))
"""Printed category -> benchmark key, as Tables 6 to 8 link them."""
MMBENCH_BY_GROUP = dict(sorted(_PARTS["groups"].items()))
MME_BY_SUBTASK = _PARTS["mme"]
BENCHMARK_LABELS |= printed_parts()


@dataclass(frozen=True)
class Row:
    """What a printed method measures, and where ours stands: (experiment, method), the first found counts."""

    quantity: str
    sources: tuple[tuple[str, str], ...]
    keep: float = 0.1


@dataclass(frozen=True)
class Link:
    """How the methods and benchmarks of one published table meet ours.

    In Tables 1 to 5 a printed row is a method and a column a benchmark; in 6 to 8 they are ``turned``.
    """

    table: int
    title: str
    methods: dict[str, Row]
    benchmarks: dict[str, str]
    turned: bool = False
    extra: tuple[tuple[str, str], ...] = ()  # rows of ours that the paper does not print
    noun: str = "benchmark"

    def place(self, row: str, column: str) -> tuple[Row, str] | None:
        """Method and benchmark of a printed cell; None where no experiment of ours measures it."""
        method, benchmark = (column, row) if self.turned else (row, column)
        if method in self.methods and benchmark in self.benchmarks:
            return self.methods[method], self.benchmarks[benchmark]
        return None


def _rows(experiment: str, **names: str) -> dict[str, Row]:
    return {printed: Row(method, ((experiment, method),)) for printed, method in names.items()}


def _ratios(experiment: str) -> dict[str, Row]:
    """The columns of Tables 6 to 8."""
    found = {"baseline": Row("baseline", ((experiment, "baseline"),))}
    for name, method in (("FastV", "fastv"), ("AdaptPrune", "adaptprune")):
        for keep in (0.1, 0.25):
            found[f"{name} {100 - 100 * keep:g}%"] = Row(method, ((experiment, method),), keep)
    return found


def _floors(experiment: str) -> tuple[tuple[str, str], ...]:
    return tuple((experiment, method) for method in ("blind", "chance"))


_MAIN = _rows("table1", baseline="baseline", FastV="fastv", AdaptPrune="adaptprune")
_OURS = ("adaptprune_as_written", "random")

LINKS = {
    link.table: link
    for link in (
        Link(
            1,
            "LLaVA at 90 % pruning",
            _MAIN | _rows("table1", VTW="vtw"),
            COLUMNS,
            extra=tuple(("table1", method) for method in _OURS),
        ),
        Link(
            2,
            "InternVL2 at 90 % pruning",
            _rows("table2", baseline="baseline", FastV="fastv", AdaptPrune="adaptprune"),
            COLUMNS,
            extra=tuple(("table2", method) for method in (*_OURS, "vtw")),
        ),
        Link(3, "Inference cost on POPE", _MAIN, {"Score": "pope"}),
        Link(
            4,
            "Ablation: correction, distance, similarity",
            {
                "baseline": Row("baseline", (("table4", "baseline"), ("table1", "baseline"))),
                "(a)": Row("fastv", (("table4", "(a)"), ("table1", "fastv"))),
                "(b)": Row("(b)", (("table4", "(b)"),)),
                "(c)": Row("(c)", (("table4", "(c)"),)),
                "(d)": Row("adaptprune", (("table4", "(d)"), ("table1", "adaptprune"))),
            },
            COLUMNS,
        ),
        Link(
            5,
            "Alternative pruning strategies",
            _rows(
                "table5",
                **{
                    "baseline": "baseline",
                    "FastV": "fastv",
                    "AdaptPrune": "adaptprune",
                    "FitPrune": "fitprune",
                    "Skip": "skip",
                    "Random": "random",
                    "Random 3x3": "random3x3",
                    "Max-pooling 3x3": "maxpool3x3",
                    "Average-pooling": "avgpool3x3",
                    "The last 10%": "last",
                },
            ),
            COLUMNS,
        ),
        Link(6, "MMBench by category", _ratios("table6_7"), MMBENCH_BY_CATEGORY, True, _floors("table6_7"), "category"),
        Link(
            7,
            "MMBench by group of categories",
            _ratios("table6_7"),
            MMBENCH_BY_GROUP,
            True,
            _floors("table6_7"),
            "group",
        ),
        Link(8, "MME by sub-task", _ratios("table8"), MME_BY_SUBTASK, True, _floors("table8"), "sub-task"),
    )
}


def quantity(method: str) -> str:
    """The canonical name of a method: rows (a) and (d) of the ablation are FastV and AdaptPrune."""
    row = LINKS[4].methods.get(method)
    return row.quantity if row else method


def method_label(method: str) -> str:
    """ "fastv" as a reader should see it; "fastv adjacency" and "fastv tau=0.9" too."""
    if method in METHOD_LABELS:
        return METHOD_LABELS[method]
    host, _, rest = method.partition(" ")
    if rest in MEASURED:
        return f"{method_label(host)}: {MEASURED[rest]}"
    return f"{METHOD_LABELS[host]}, {rest.replace('tau=', 'τ = ')}" if host in METHOD_LABELS and rest else method


def term_label(term: str) -> str:
    """ "adaptprune - fastv" as a reader should see it; what both measure is said once."""
    names = term.split(" - ")
    hosts, measured = [name.partition(" ")[0] for name in names], {name.partition(" ")[2] for name in names}
    what = measured.pop() if len(names) == 2 and len(measured) == 1 else ""
    label = f" {fmt.MINUS} ".join(method_label(name) for name in (hosts if what in MEASURED else names))
    return f"{label}: {MEASURED[what]}" if what in MEASURED else label


def benchmark_label(benchmark: str) -> str:
    """ "okvqa" as a reader should see it; "nocaps ~ okvqa", of which two were compared, too."""
    return " and ".join(BENCHMARK_LABELS.get(name, name) for name in benchmark.split(" ~ "))


def metric_label(metric: str, benchmark: str = "") -> str:
    """What a number of results.csv is and its unit, in words; the same for a difference of two."""
    name = metric.removeprefix("difference:")
    if name != metric and name == "percent_of_baseline":
        return "percentage points of the unpruned score"
    return "points of 200" if benchmark.startswith("mme/") else METRICS.get(name, name)


def unit(metric: str, benchmark: str = "") -> str:
    """The unit alone, for an axis: "%", "CIDEr", "points"."""
    label = metric_label(metric, benchmark)
    return "%" if "%" in label else label.partition(" ")[0]


def panel_label(benchmark: str, metric: str) -> str:
    """A chart's panel: the benchmark and the unit of its scores."""
    return (
        benchmark_label(benchmark)
        if benchmark == "mean"
        else f"{benchmark_label(benchmark)}, {unit(metric, benchmark)}"
    )


def same_checkpoint(published: str, ours: str) -> bool:
    """Whether our model is the paper's own, so that absolute scores may be compared."""
    return published in MODELS and base(ours) == base(MODELS[published])


def base(name: str) -> str:
    """A checkpoint's name without its folder or its owner on the Hub."""
    return PurePosixPath(name).name

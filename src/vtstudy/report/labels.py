"""Names for readers: of methods, pairs, benchmarks, metrics and units."""

from vtprune.methods import methods
from vtstudy.benchmarks import BENCHMARKS, printed_parts
from vtstudy.report import formatting
from vtstudy.results_table import DIFFERENCE, MEAN, PERCENT

BENCHMARK_LABELS = (
    {key: benchmark.title for key, benchmark in BENCHMARKS.items()}
    | printed_parts()
    | {"mme_cognition": "MME cognition", MEAN: "Mean, % of unpruned"}
)

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
    "last": "Last tokens",
    "pyramiddrop": "PyramidDrop",
    "visionzip": "VisionZip",
    "cdpruner": "CDPruner without CLIP",
    "dart": "DART",
    "divprune": "DivPrune",
    "fastervlm": "FasterVLM",
    "holov": "HoloV",
    "pooled": "Smaller picture",
    "prumergeplus": "PruMerge+",
    "scope": "SCOPE",
    "sparsevlm": "SparseVLM",
    "vispruner": "VisPruner",
    "none": "All tokens",
    # What is measured besides scores stands in the column of methods, too.
    "budget_by_content": "Budget by content",
    "randomised_is_exact": "Randomised budget is exact",
    "randomised": "Milliseconds, randomised",
    "benchmarks alike": "Correlation of two benchmarks’ maps",
    "halves alike": "Correlation of two halves’ maps",
    "layers alike": "Correlation of two layers’ maps",
    "last quarter": "The last quarter’s share of the image attention",
}
METHOD_LABELS |= {
    f"{host}_spectral": f"{METHOD_LABELS[host]}, spectral"
    for host in ("fastv", "adaptprune", "pyramiddrop", "visionzip")
}
QUANTITY_LABELS = {
    "overlap": "positions kept in another image too",
    "neighbour_similarity": "similarity to the nearest kept token",
    "neighbour_key_similarity": "key similarity to the nearest kept token",
    "adjacency": "kept tokens beside another one",
}
"""What is measured of a method besides its score; the name follows the method's ("fastv adjacency")."""

METRIC_LABELS = {
    "mme_cognition_score": "points of 800",
    PERCENT: "% of the unpruned score",
    "position_overlap": "%",
    "pearson": "Pearson’s r",
    "share_of_image_attention": "share",
    "neighbour_similarity": "cosine",
    "neighbour_key_similarity": "cosine",
    "adjacency": "%",
}
"""Metrics that are not a benchmark's own, with their units."""

ROUTE_LABELS = {
    "svd": "full SVD",
    "gram": "Gram matrix",
    "randomised": "randomised, until the budget is certain",
    "randomised, rank t": "randomised, first t energies alone",
}
"""Ways to compute a spectral budget."""

READINGS = {"adaptprune_as_written": "adaptprune"}
"""A second reading of a method's text, which is not a method of its own, and the method."""

_IN_SENTENCES = {
    "Unpruned": "the unpruned model",
    "Random": "random selection",
    "Blank image": "the model given a blank image",
    "Max-pooling 3x3": "max-pooling 3x3",
    "Average-pooling": "average-pooling",
    "Last tokens": "keeping the last tokens",
    "Smaller picture": "a smaller picture",
}


def method_label(method: str) -> str:
    """The name of a method ("fastv"), of a quantity of it ("fastv adjacency") or of a variant ("fastv tau=0.9").

    A method without a label of its own has the name of its class.
    """
    if method in METHOD_LABELS:
        return METHOD_LABELS[method]
    host, _, rest = method.partition(" ")
    if rest in QUANTITY_LABELS:
        return f"{method_label(host)}: {QUANTITY_LABELS[rest]}"
    if rest and host in METHOD_LABELS:
        return f"{METHOD_LABELS[host]}, {rest.replace('tau=', 'τ = ')}"
    return methods()[method].__name__ if method in methods() else method


def variant_label(method: str) -> str:
    """A method of the sensitivity experiment without its host."""
    host, _, rest = method.partition(" ")
    if rest:
        return rest
    return "projected (assumed)" if host.endswith("_spectral") else f"{method_label(host)}, fixed"


def in_sentence(label: str) -> str:
    """A method's label as it is written inside a sentence."""
    return _IN_SENTENCES.get(label, label)


def term_label(term: str) -> str:
    """The name of a method or of a pair "A - B"; a quantity that both sides share is named once."""
    names = term.split(" - ")
    quantities = {name.partition(" ")[2] for name in names}
    shared = quantities.pop() if len(names) == 2 and len(quantities) == 1 else ""
    if shared not in QUANTITY_LABELS:
        return f" {formatting.MINUS} ".join(map(method_label, names))
    hosts = [method_label(name.partition(" ")[0]) for name in names]
    return f"{f' {formatting.MINUS} '.join(hosts)}: {QUANTITY_LABELS[shared]}"


def benchmark_label(benchmark: str) -> str:
    """The name of a benchmark ("okvqa"), or of two that are compared ("nocaps ~ okvqa")."""
    return " and ".join(BENCHMARK_LABELS.get(name, name) for name in benchmark.split(" ~ "))


def metric_label(metric: str, benchmark: str = "") -> str:
    """A metric of results.csv with its unit, in words; a paired difference has the unit of its two scores.

    Args:
        metric: as results.csv names it.
        benchmark: its row's benchmark, if known: two benchmarks may share a metric's name and not its unit.
    """
    name = metric.removeprefix(DIFFERENCE)
    if name == PERCENT and name != metric:
        return "percentage points of the unpruned score"
    if benchmark.startswith("mme/"):
        return "points of 200"
    whole = BENCHMARKS.get(benchmark.partition("/")[0])
    if whole and whole.metric == name:
        return whole.unit
    units = (entry.unit for entry in BENCHMARKS.values() if entry.metric == name)
    return METRIC_LABELS.get(name) or next(units, name)


def unit(metric: str, benchmark: str = "") -> str:
    """The unit alone, for an axis: "%", "CIDEr", "points"."""
    label = metric_label(metric, benchmark)
    return "%" if "%" in label else label.partition(" ")[0]


def panel_label(benchmark: str, metric: str) -> str:
    """The title of a chart's panel: the benchmark and the unit of its scores."""
    if benchmark == MEAN:
        return benchmark_label(benchmark)
    return f"{benchmark_label(benchmark)}, {unit(metric, benchmark)}"

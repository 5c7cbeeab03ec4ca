"""The sections of the report about the paper's figures: charts, and sentences made from their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vtstudy.report import formatting
from vtstudy.report.charts import attention_maps, curves, diagram, survivors
from vtstudy.report.charts.style import Chart
from vtstudy.report.errors import ReportError
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.report.panel_answers import panel_answers
from vtstudy.report.results import Measurement
from vtstudy.report.table_links import KEEP, KEY_MODEL
from vtstudy.results_table import MEAN, read_data

ATTENTION = ("benchmark", "layer", "row", "column", "attention")
CORRELATION = ("layer", "first", "second", "correlation", "ci_low", "ci_high")


@dataclass(frozen=True)
class Section:
    """The paper's figures that one experiment answers; without charts, the experiment was not run.

    Attributes:
        id: the experiment's name.
        title: for readers.
        charts: to be drawn.
        sentences: what the charts' numbers say.
        measured: whether the charts show measurements, not a diagram.
    """

    id: str
    title: str
    charts: list[Chart] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    measured: bool = True


def sections(inputs: Inputs, model: str | None) -> list[Section]:
    """The figures whose experiments were run.

    Args:
        inputs: the measurements, and where the experiments' files are.
        model: ours, as results.csv names it; None if it was not run.

    Raises:
        UserError: if a file of an experiment is wrong.
    """
    ratios = Section("figure5", "Figure 5: pruning ratios")
    redundancy = Section("figure3", "Figure 3: redundancy of the kept tokens")
    if model and "figure3" in inputs.results.experiments:
        redundancy.charts.extend(_neighbours(inputs))
        redundancy.charts.append(curves.redundancy(inputs.results, model, "figure3", inputs.interval))
        redundancy.sentences.extend(_redundancy_sentences(inputs, model))
    if model and "figure5" in inputs.results.experiments:
        ratios.charts.append(
            curves.ratio_curves(
                inputs.results,
                inputs.printed,
                model,
                inputs.title(KEY_MODEL),
                inputs.interval,
            )
        )
        ratios.sentences.extend(_ratio_sentences(inputs, model))
    return [
        _survivors(inputs, model),
        _attention(inputs, model),
        redundancy,
        Section("figure4", "Figure 4: the method", [diagram.diagram("figure4")], measured=False),
        ratios,
    ]


def _survivors(inputs: Inputs, model: str | None) -> Section:
    section = Section("figure1", "Figures 1, 6 and 7: which tokens survive")
    folder = inputs.folders.data / "figure1"
    if not (model and folder.is_dir()):
        return section
    data = _read_survivors(inputs, folder)
    examples, keeps = list(data.by_benchmark().values()), data.keeps
    replies = panel_answers(data, inputs.folders.data / "explorer", model)
    title = "FastV and AdaptPrune at different pruning ratios"
    section.charts.append(survivors.compare(data, replies, examples[0][:1], keeps, "figure1", title))
    second_of_each = [of_benchmark[min(1, len(of_benchmark) - 1)] for of_benchmark in examples[:2]]
    section.charts.append(survivors.compare(data, replies, second_of_each, keeps, "figure6", "Survivors by task"))
    title = f"More of {benchmark_label(examples[-1][0].benchmark)}"
    section.charts.append(survivors.compare(data, replies, examples[-1], keeps[:3], "figure7", title, columns=2))
    section.sentences.append(_halves_sentence(data, examples[0][0].benchmark, keeps[-1]))
    section.sentences.extend(_overlap_sentences(inputs, model))
    return section


def _halves_sentence(data: survivors.Survivors, benchmark: str, keep: float) -> str:
    """Where in the picture the methods keep tokens; the paper says that FastV keeps the lower part."""
    fastv, adaptprune = (data.lower_half(benchmark, method, keep) for method in survivors.METHODS)
    return (
        f"FastV takes {formatting.number(fastv, 0)} % of its tokens from the lower half of the picture, AdaptPrune "
        f"{formatting.number(adaptprune, 0)} % ({benchmark_label(benchmark)}, {formatting.percent(1 - keep)} pruned); "
        "the paper shows FastV in the lower part."
    )


def _neighbours(inputs: Inputs) -> list[Chart]:
    """The picture of Figure 3, if the kept tokens of some pictures were recorded."""
    folder = inputs.folders.data / "figure1"
    if not folder.is_dir():
        return []
    data = _read_survivors(inputs, folder)
    keep = min(data.keeps, key=lambda ratio: abs(ratio - KEEP))
    return [survivors.neighbours(data, data.examples[0], keep, "figure3_tokens")]


def _read_survivors(inputs: Inputs, folder: Path) -> survivors.Survivors:
    try:
        fixed = float(inputs.provenance["parameters"]["fixed"])
    except (KeyError, TypeError, ValueError) as error:
        raise ReportError(
            f"{inputs.folders.provenance} does not say with which share 'parameters.fixed' figure1 was run."
        ) from error
    return survivors.Survivors.read(folder, fixed)


def _overlap_sentences(inputs: Inputs, model: str) -> list[str]:
    """How many of the positions kept in one image are kept in another image too, at the smallest ratio."""
    sentences = []
    for benchmark in inputs.results.benchmarks("figure1", model):
        overlaps = {
            method: inputs.results.series("figure1", model, f"{method} overlap", benchmark)[-1]
            for method in curves.METHODS
        }
        listed = [f"{method_label(method)} {overlap.text()}" for method, overlap in overlaps.items()]
        sentences.append(
            f"{benchmark_label(benchmark)}, {formatting.percent(1 - overlaps['fastv'].keep)} pruned: of the positions "
            f"kept in one image another image keeps this percentage as well: {formatting.listed(listed)}."
        )
    return sentences


def _attention(inputs: Inputs, model: str | None) -> Section:
    section = Section("figure2", "Figures 2, 8 and 9: positional bias of attention")
    folder = inputs.folders.data / "figure2"
    if not (model and folder.is_dir()):
        return section
    attention = read_data(folder / "attention.csv", ATTENTION, ("layer", "row", "column", "attention"))
    maps = attention_maps.relative(attention)
    benchmarks = list(dict.fromkeys(benchmark for benchmark, _ in maps))
    for name, shown in (("figure2", benchmarks[:2]), ("figure8", benchmarks[2:3]), ("figure9", benchmarks[3:])):
        if shown:
            section.charts.append(attention_maps.heatmaps(maps, shown, name))
    if len(benchmarks) > 1:
        lines = read_data(folder / "correlation.csv", CORRELATION, ("layer", "correlation", "ci_low", "ci_high"))
        section.charts.append(attention_maps.agreement(lines, "figure2_correlation", inputs.interval))
        alike = inputs.results.score("figure2", model, "benchmarks alike", MEAN)
        if alike:
            section.sentences.append(_alike_sentence(inputs, model, alike))
    section.sentences.extend(_attention_sentences(inputs, model))
    return section


def _alike_sentence(inputs: Inputs, model: str, alike: Measurement) -> str:
    """Whether maps of different benchmarks are as alike as maps of one benchmark."""
    halves = [half.value for half in inputs.results.measurements("figure2", model, "halves alike")]
    text = f"Maps of two benchmarks correlate by {alike.text(2)}"
    if not halves:
        return f"{text}, mean over pairs and layers."
    spread = f"{formatting.number(min(halves), 2)} to {formatting.number(max(halves), 2)}"
    return f"{text}; two halves of one benchmark’s questions by {spread}. The paper’s maps look almost the same."


def _attention_sentences(inputs: Inputs, model: str) -> list[str]:
    leads = {
        "halves alike": "The same between two halves of one benchmark's own questions, which is as alike as the "
        "sample lets maps be",
        "last quarter": "Share of the image attention that the last quarter of the image tokens receives (0.25 if "
        "position did not matter)",
        "layers alike": "Correlation of two layers' maps on the same benchmark",
    }
    sentences = []
    for quantity, lead in leads.items():
        listed = [
            f"{benchmark_label(measurement.benchmark)} {measurement.text(2)}"
            for measurement in inputs.results.measurements("figure2", model, quantity)
        ]
        if listed:
            sentences.append(f"{lead}: {formatting.listed(listed)}.")
    return sentences


def _redundancy_sentences(inputs: Inputs, model: str) -> list[str]:
    """The redundancy of FastV's kept tokens against AdaptPrune's, at the smallest ratio."""
    sentences = []
    for metric, title, digits in (
        ("neighbour_similarity", "similarity to the nearest kept token", 2),
        ("adjacency", "percentage of kept tokens next to another one", 1),
    ):
        pair = f"fastv {metric} - adaptprune {metric}"
        for benchmark in inputs.results.benchmarks("figure3", model):
            for measurement in inputs.results.series("figure3", model, pair, benchmark)[-1:]:
                sentences.append(
                    f"{benchmark_label(benchmark)}, {formatting.percent(1 - measurement.keep)} pruned: FastV's {title} "
                    f"minus AdaptPrune's is {measurement.text(digits, sign=True)}."
                )
    return sentences


def _ratio_sentences(inputs: Inputs, model: str) -> list[str]:
    """At each ratio, AdaptPrune's lead over FastV, and FastV's lead over random selection."""
    over_random = {lead.keep: lead for lead in inputs.results.series("figure5", model, "fastv - random", MEAN)}
    sentences = []
    for lead in inputs.results.series("figure5", model, "adaptprune - fastv", MEAN):
        sentence = (
            f"{formatting.percent(1 - lead.keep)} pruned: AdaptPrune {formatting.MINUS} FastV is "
            f"{lead.text(sign=True)} percentage points of the unpruned score, mean over the benchmarks"
        )
        if lead.keep in over_random:
            other = over_random[lead.keep].text(sign=True)
            sentence += f"; FastV {formatting.MINUS} Random is {other}"
        sentences.append(f"{sentence}.")
    return sentences

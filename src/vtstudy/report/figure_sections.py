"""The paper's figures: each drawn from what its experiment wrote, with the sentences that its numbers make."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from vtstudy.report import curves, diagram, fmt, maps, survivors
from vtstudy.report.figures import Figure
from vtstudy.report.labels import benchmark_label, method_label
from vtstudy.report.results import Inputs, Measure, ReportError, mapping, table

ATTENTION = ("benchmark", "layer", "row", "column", "attention")
CORRELATION = ("layer", "first", "second", "correlation", "ci_low", "ci_high")
EXAMPLES = ("benchmark", "example", "question", "picture", "height", "width")
SURVIVORS = ("benchmark", "method", "keep", "example", "row", "column")
POSITIONS = ("benchmark", "method", "keep", "row", "column", "share")


@dataclass(frozen=True)
class Section:
    """Figures of the paper that one experiment answers; without charts it was not run."""

    id: str
    title: str
    charts: list[Figure] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    measured: bool = True  # a diagram is not


def sections(inputs: Inputs, model: str | None, data: Path, out: Path) -> list[Section]:
    """Draw what there is into ``out``.

    Args:
        model: ours, as results.csv names it.
        data: folder of the experiments' files, ``figure1/`` and so on; what is absent was not run.
        out: folder of the figures.
    """
    ran = inputs.results.experiments
    return [
        _survivors(inputs, model, data / "figure1", out),
        _attention(inputs, model, data / "figure2", out),
        Section(
            "figure3",
            "Figure 3: redundancy of the kept tokens",
            *(
                (
                    [curves.redundancy(inputs.results, model, out, "figure3", inputs.interval)],
                    _redundancy(inputs, model),
                )
                if model and "figure3" in ran
                else ()
            ),
        ),
        Section("figure4", "Figure 4: the method", [diagram.diagram(out, "figure4")], measured=False),
        Section(
            "figure5",
            "Figure 5: pruning ratios",
            *(
                ([curves.ratio_curves(inputs.results, model, out, "figure5", inputs.interval)], _ratios(inputs, model))
                if model and "figure5" in ran
                else ()
            ),
        ),
    ]


def _survivors(inputs: Inputs, model: str | None, folder: Path, out: Path) -> Section:
    section = Section("figure1", "Figures 1, 6 and 7: which tokens survive")
    if not (model and folder.is_dir()):
        return section
    file = folder.parent / "scores" / f"{folder.name}.json"
    facts = mapping(file)
    try:
        fixed = float(facts["parameters"]["fixed"])
    except (KeyError, TypeError, ValueError) as error:
        raise ReportError(f"{file} does not say which share 'parameters.fixed' is.") from error
    found = survivors.Survivors(
        folder,
        _numbers(folder / "examples.csv", EXAMPLES, ("example", "height", "width")),
        _numbers(folder / "survivors.csv", SURVIVORS, ("keep", "example", "row", "column")),
        _numbers(folder / "positions.csv", POSITIONS, ("keep", "row", "column", "share")),
        fixed,
    )
    rows = {name: list(found.of(name).itertuples(index=False)) for name in found.examples["benchmark"].unique()}
    first, *others = rows
    few = found.keeps[:3]
    section.charts.append(
        survivors.compare(
            found, rows[first][:1], found.keeps, out, "figure1", "FastV and AdaptPrune at different pruning ratios"
        )
    )
    pairs = [examples[min(1, len(examples) - 1)] for examples in list(rows.values())[:2]]
    section.charts.append(survivors.compare(found, pairs, found.keeps, out, "figure6", "Survivors by task"))
    last = others[-1] if others else first
    section.charts.append(
        survivors.compare(found, rows[last], few, out, "figure7", f"More of {benchmark_label(last)}", columns=2)
    )
    for benchmark in inputs.results.benchmarks("figure1", model):
        kept = {
            m: curves.series(inputs.results, "figure1", model, f"{m} overlap", benchmark)[-1] for m in curves.METHODS
        }
        told = [f"{method_label(method)} {_with_interval(m)}" for method, m in kept.items()]
        section.sentences.append(
            f"{benchmark_label(benchmark)}, {survivors.percent(1 - kept['fastv'].keep)} pruned: of the positions kept in "
            f"one image another image keeps this percentage as well: {fmt.names(told)}."
        )
    return section


def _attention(inputs: Inputs, model: str | None, folder: Path, out: Path) -> Section:
    section = Section("figure2", "Figures 2, 8 and 9: positional bias of attention")
    if not (model and folder.is_dir()):
        return section
    relative = maps.relative(_numbers(folder / "attention.csv", ATTENTION, ("layer", "row", "column", "attention")))
    benchmarks = list(dict.fromkeys(benchmark for benchmark, _ in relative))
    groups = {"figure2": benchmarks[:2], "figure8": benchmarks[2:3], "figure9": benchmarks[3:]}
    section.charts.extend(maps.heatmaps(relative, names, out, figure) for figure, names in groups.items() if names)
    results = inputs.results
    if len(benchmarks) > 1:
        lines = _numbers(folder / "correlation.csv", CORRELATION, ("layer", "correlation", "ci_low", "ci_high"))
        section.charts.append(maps.agreement(lines, out, "figure2_correlation", inputs.interval))
        alike = results.cell("figure2", model, "benchmarks alike", "mean")
        if alike:
            section.sentences.append(
                f"Correlation of two benchmarks' maps, mean over pairs and layers: {_with_interval(alike, 2)}."
            )
    for method, sentence in (
        (
            "halves alike",
            "The same between two halves of one benchmark's own questions, which is as alike as the sample lets maps be",
        ),
        (
            "last quarter",
            "Share of the image attention that the last quarter of the image tokens receives (0.25 if position did not matter)",
        ),
        ("layers alike", "Correlation of two layers' maps on the same benchmark"),
    ):
        told = [
            f"{benchmark_label(m.benchmark)} {_with_interval(m, 2)}"
            for m in results.measures
            if (m.experiment, m.model, m.method) == ("figure2", model, method)
        ]
        if told:
            section.sentences.append(f"{sentence}: {fmt.names(told)}.")
    return section


def _redundancy(inputs: Inputs, model: str) -> list[str]:
    """FastV's kept set against AdaptPrune's, at the least kept."""
    told = []
    for metric, title in (
        ("neighbour_similarity", "similarity to the nearest kept token"),
        ("adjacency", "percentage of kept tokens next to another one"),
    ):
        pair = f"fastv {metric} - adaptprune {metric}"
        for benchmark in inputs.results.benchmarks("figure3", model):
            every = curves.series(inputs.results, "figure3", model, pair, benchmark)
            told += [
                f"{benchmark_label(benchmark)}, {survivors.percent(1 - m.keep)} pruned: FastV's {title} minus AdaptPrune's is "
                f"{_with_interval(m, 2 if metric != 'adjacency' else 1, sign=True)}."
                for m in every[-1:]
            ]
    return told


def _ratios(inputs: Inputs, model: str) -> list[str]:
    """At each ratio, AdaptPrune's lead over FastV, and FastV's over a random choice."""
    leads = {
        pair: {m.keep: m for m in curves.series(inputs.results, "figure5", model, pair, "mean")}
        for pair in ("adaptprune - fastv", "fastv - random")
    }
    told = []
    for keep, lead in leads["adaptprune - fastv"].items():
        over = leads["fastv - random"].get(keep)
        more = f"; FastV {fmt.MINUS} Random is {_with_interval(over, sign=True)}" if over else ""
        told.append(
            f"{survivors.percent(1 - keep)} pruned: AdaptPrune {fmt.MINUS} FastV is {_with_interval(lead, sign=True)} percentage points "
            f"of the unpruned score, mean over the benchmarks{more}."
        )
    return told


def _with_interval(m: Measure, digits: int = 1, sign: bool = False) -> str:
    return fmt.estimate(m.value, m.low, m.high, sign, digits)


def _numbers(path: Path, columns: tuple[str, ...], numeric: tuple[str, ...]) -> pd.DataFrame:
    """A data file of a figure; in ``numeric`` columns every value is a number."""
    frame = table(path, columns)
    if frame.empty:
        raise ReportError(f"{path} holds no data.")
    for name in numeric:
        values = pd.to_numeric(frame[name], errors="coerce")
        if values.isna().any():
            raise ReportError(f"{path}, line {int(values.isna().idxmax()) + 2}: '{name}' is not a number.")
        frame[name] = values
    return frame

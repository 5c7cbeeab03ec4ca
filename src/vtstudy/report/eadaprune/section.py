"""E-AdaPrune's part of the report: its published numbers, its claims, and what our experiments found."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from vtstudy.report.charts.style import Chart
from vtstudy.report.eadaprune import charts, sentences, tables, words
from vtstudy.report.eadaprune.data import FILES, SpectralData
from vtstudy.report.eadaprune.published_values import PublishedNumber, judge_published
from vtstudy.report.inputs import Inputs, read_mapping
from vtstudy.report.table_links import KEEP, KEY_MODEL
from vtstudy.report.text_table import Table
from vtstudy.report.verdicts.claims import ClaimResult, judge_claims


@dataclass(frozen=True)
class Part:
    """Charts, sentences and tables about one question; without any of them, nothing was run.

    Attributes:
        id: for links.
        title: for readers.
        charts: to be drawn.
        sentences: what the numbers say.
        tables: of the numbers.
        source: the files that hold the numbers.
    """

    id: str
    title: str
    charts: list[Chart] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    source: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class EAdaPruneSection:
    """The second paper's part, for the pages and the CSV files.

    Attributes:
        claims: its claims.
        published: its published numbers.
        parts: what was measured, question by question.
        answer: whether spectral budgets win.
        elsewhere: what spectral budgets gain on other models.
        density: what the budgets follow.
    """

    claims: list[ClaimResult]
    published: list[PublishedNumber]
    parts: list[Part]
    answer: str
    elsewhere: list[str]
    density: str

    @property
    def findings(self) -> list[str]:
        return [text for text in (self.answer, *self.elsewhere, self.density) if text]

    def published_frame(self) -> pd.DataFrame:
        """verdicts_eadaprune.csv: one row for each published number."""
        return pd.DataFrame([number.record() for number in self.published])


def eadaprune_section(inputs: Inputs, model: str | None) -> EAdaPruneSection:
    """Judge the second paper's numbers and claims, and gather its charts.

    Args:
        inputs: the measurements, and where the files are.
        model: ours, as results.csv names it; None if it was not run.

    Raises:
        UserError: if a file is missing or wrong.
    """
    folder = inputs.folders.published
    claims = judge_claims(inputs, read_mapping(folder / "claims_eadaprune.yaml"))
    data = SpectralData.read(inputs, model)
    published = judge_published(inputs, data)
    return EAdaPruneSection(
        claims,
        published,
        _parts(data),
        sentences.whether_spectral_wins(data),
        sentences.gains_elsewhere(inputs, model),
        sentences.density_in_brief(data),
    )


def _parts(data: SpectralData) -> list[Part]:
    """Every part in the order of the page; one that was not run is empty."""
    parts = [
        Part("matched", "Fixed against spectral budgets at the same average", source=_source(data, "matched")),
        Part("words", "A word kept, and a word lost", source=_source(data, "words")),
        Part("tasks", "Benchmarks that only E-AdaPrune has"),
        Part("sweep", "Scores against the energy threshold", source=_source(data, "sweep", "matched")),
        Part("assumptions", "Which assumptions matter", source=_source(data, "variants")),
        Part(
            "spectra",
            "The spectra, and the budgets that follow",
            source=_source(data, "decay", "budgets", "calibration"),
        ),
        Part("density", "Budget against known density", source=_source(data, "budgets", "correlation")),
        Part("agreement", "Randomised against exact budgets", source=_source(data, "agreement")),
        Part("latency", "What a budget costs", source=_source(data, "latency")),
    ]
    by_id = {part.id: part for part in parts}
    by_id["tasks"].tables.append(tables.own_benchmarks(data))
    for name, fill in (
        ("matched", _fill_matched),
        ("words", _fill_words),
        ("sweep", _fill_sweep),
        ("assumptions", _fill_assumptions),
        ("spectra", _fill_spectra),
        ("density", _fill_density),
        ("agreement", _fill_agreement),
        ("latency", _fill_latency),
    ):
        if by_id[name].source:
            fill(by_id[name], data)
    if not by_id["density"].source and not data.inputs.is_miniature(KEY_MODEL):
        parts.remove(by_id["density"])  # how much a photograph holds is not known
    return parts


def _source(data: SpectralData, *names: str) -> list[str]:
    """Where the numbers of a part are; empty if one of its tables is missing, so that the part was not run."""
    if not all(name in data.tables for name in names):
        return []
    files = [f"results/{FILES[name][0]}" for name in names]
    experiment = FILES[names[0]][0].partition("/")[0]
    if experiment in data.inputs.results.experiments:
        return [f"results.csv (experiment {experiment})", *files]
    return files


def _fill_matched(part: Part, data: SpectralData) -> None:
    if not data.keeps:  # the counts of tokens are there, the scores are not
        return
    keep = min(data.keeps, key=lambda ratio: abs(ratio - KEEP))
    interval = data.inputs.interval
    part.charts.extend([charts.matched(data, interval), charts.by_benchmark(data, keep, interval)])
    part.sentences.extend(
        [
            sentences.token_ratios(data),
            sentences.largest_gain(data),
            *sentences.gains_by_host(data, keep),
            sentences.AVERAGE_TOKENS,
            sentences.questions_asked(data),
        ]
    )
    part.tables.append(tables.matched(data))
    elsewhere = tables.gains(data)
    if elsewhere:
        part.tables.append(elsewhere)


def _fill_words(part: Part, data: SpectralData) -> None:
    part.charts.append(words.kept_words(data))


def _fill_sweep(part: Part, data: SpectralData) -> None:
    part.charts.append(charts.sweep(data, data.inputs.interval))
    part.tables.append(tables.sweep(data))


def _fill_assumptions(part: Part, data: SpectralData) -> None:
    part.charts.append(charts.sensitivity(data, data.inputs.interval))
    part.sentences.extend(sentences.assumptions(data))
    part.tables.append(tables.variants(data))


def _fill_spectra(part: Part, data: SpectralData) -> None:
    part.charts.extend([charts.decay(data), charts.distribution(data)])
    if "examples" in data.tables:
        part.charts.append(charts.examples(data))


def _fill_density(part: Part, data: SpectralData) -> None:
    part.charts.append(charts.scatter(data))
    part.sentences.extend(sentences.density(data))


def _fill_agreement(part: Part, data: SpectralData) -> None:
    part.sentences.append(sentences.agreement(data))
    part.tables.append(tables.agreement(data))


def _fill_latency(part: Part, data: SpectralData) -> None:
    part.charts.append(charts.latency(data))
    part.sentences.extend(sentences.latency(data))
    part.tables.append(tables.latency(data))

"""The layer K before which tokens are dropped: at which K FastV's criterion holds, and who leads at each K."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from vtprune.methods import FastV
from vtstudy.report import formatting
from vtstudy.report.charts.layer_curves import layer_curves
from vtstudy.report.charts.style import Chart
from vtstudy.report.controls import FASTV_AT_HALF, HALF
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import method_label
from vtstudy.report.results import HIGHER, LOWER, Measurement, Results
from vtstudy.report.table_links import KEEP, KEY_MODEL
from vtstudy.report.text_table import Table
from vtstudy.report.verdicts.correction import clear_sides
from vtstudy.results_table import MEAN

EXPERIMENT = "layers"
PAIRS = (("adaptprune", "fastv"), ("adaptprune", "random"), ("fastv", "random"))


@dataclass(frozen=True)
class SweptModel:
    """What the sweep measured on one model.

    Attributes:
        name: as results.csv has it.
        title: what readers call it.
        results: all measurements.
    """

    name: str
    title: str
    results: Results = field(repr=False)

    @cached_property
    def layers(self) -> list[int]:
        """The layers K, in order."""
        found = (re.search(r" K=(\d+)$", name) for name in self.results.methods(EXPERIMENT, self.name))
        return sorted({int(match[1]) for match in found if match})

    @cached_property
    def methods(self) -> list[str]:
        names = (name.partition(" K=") for name in self.results.methods(EXPERIMENT, self.name))
        return list(dict.fromkeys(method for method, mark, _ in names if mark))

    @cached_property
    def keeps(self) -> list[float]:
        """The keep ratios, largest first."""
        return self.results.keeps(EXPERIMENT, self.name, _at(self.methods[0], self.layers[0]))

    def score(self, method: str, layer: int, keep: float) -> Measurement | None:
        """A method's mean percent of the unpruned score."""
        return self.results.score(EXPERIMENT, self.name, _at(method, layer), MEAN, keep)

    def leads(self, pair: tuple[str, str], keep: float) -> dict[int, Measurement]:
        """By layer, how far the first method of a pair is ahead of the second."""
        found = {
            layer: self.results.difference(
                EXPERIMENT, self.name, f"{_at(pair[0], layer)} - {_at(pair[1], layer)}", MEAN, keep
            )
            for layer in self.layers
        }
        return {layer: lead for layer, lead in found.items() if lead}

    def meeting_the_criterion(self) -> list[int]:
        """The layers at which FastV keeps at least 95 % of the score with half of the tokens."""
        found = {layer: self.score("fastv", layer, HALF) for layer in self.layers}
        return [layer for layer, score in found.items() if score and score.value >= FASTV_AT_HALF]


@dataclass(frozen=True)
class LayerSweep:
    """The part of the report about the layer K; without models, the experiment was not run.

    Attributes:
        models: those that were swept, the main one first.
        of_main: what the picture shows of the main one.
        charts: the picture.
        sentences: the same of all models.
        tables: by model, the numbers at each layer; then the leads at the published layer and over all.
    """

    models: list[SweptModel] = field(default_factory=list)
    of_main: list[str] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def layer_sweep(inputs: Inputs) -> LayerSweep:
    """What was measured at other layers than the published one."""
    models = _swept(inputs)
    if not models:
        return LayerSweep()
    first = models[0]
    level = inputs.interval / 100
    of_each = [
        [_criterion_sentence(model), *([_lead_sentence(model, KEEP, level)] if KEEP in model.keeps else [])]
        for model in models
    ]
    sentences = [sentence for of_model in of_each for sentence in of_model]
    title = sentences[0].partition(" (")[0].rstrip(".")
    charts = [layer_curves(first, models[1:], title, published_layer(), inputs.interval)]
    return LayerSweep(
        models, of_each[0], charts, sentences, [_claims_table(models, level), *map(_scores_table, models)]
    )


def published_layer() -> int:
    """The K of the papers' tables."""
    layer = FastV.layer
    assert isinstance(layer, int)  # not a share of the depth
    return layer


def _at(method: str, layer: int) -> str:
    return f"{method} K={layer}"


def _swept(inputs: Inputs) -> list[SweptModel]:
    """The swept models, that of the main tables first, then other seeds of it."""
    main = inputs.results.model_for(KEY_MODEL)
    names = [name for name in inputs.results.models if EXPERIMENT in inputs.results.experiments_of(name)]
    names.sort(key=lambda name: name != main)
    title = inputs.title(KEY_MODEL)
    models = [SweptModel(name, title if name == main else f"another seed ({name})", inputs.results) for name in names]
    return [model for model in models if model.layers]


def _criterion_sentence(model: SweptModel) -> str:
    """At which layers FastV's own criterion holds."""
    met = model.meeting_the_criterion()
    where = _layers(met) if met else "no K"
    missed = [layer for layer in model.layers if layer not in met]
    text = f"{_start(model)}FastV keeps at least {FASTV_AT_HALF:g} % with half of the tokens at {where}"
    if met and missed:
        text += f", not at {_layers(missed)}"
    scores = [score for layer in missed if (score := model.score("fastv", layer, HALF))]
    if scores:
        text += f" ({formatting.listed([formatting.number(score.value) + ' %' for score in scores])})"
    return f"{text}."


def _lead_sentence(model: SweptModel, keep: float, level: float) -> str:
    """At how many layers AdaptPrune is ahead of FastV."""
    leads = model.leads(("adaptprune", "fastv"), keep)
    sides = clear_sides(list(leads.values()), level)
    values = [lead.value for lead in leads.values()]
    up, down = (formatting.how_many(sides.count(side)) for side in (HIGHER, LOWER))
    return (
        f"{_start(model)}AdaptPrune with {formatting.percent(keep)} of the tokens is clearly ahead of FastV at {up} of "
        f"{len(leads)} K and clearly behind at {down} ({formatting.signed(min(values))} to "
        f"{formatting.signed(max(values))} points)."
    )


def _start(model: SweptModel) -> str:
    return "" if not model.title.startswith("another") else f"{model.title[0].upper()}{model.title[1:]}: "


def _layers(layers: Sequence[int]) -> str:
    return f"K = {formatting.listed([str(layer) for layer in layers])}"


def _claims_table(models: Sequence[SweptModel], level: float) -> Table:
    """Each lead at the published layer, and over all layers."""
    published = published_layer()
    lines = []
    for model in models:
        for keep in model.keeps:
            for pair in PAIRS:
                leads = model.leads(pair, keep)
                if not leads:
                    continue
                sides = clear_sides(list(leads.values()), level)
                at_published = leads[published].text(sign=True) if published in leads else formatting.NONE
                values = [lead.value for lead in leads.values()]
                cells = [
                    formatting.percent(keep),
                    at_published,
                    f"{formatting.signed(min(values))} to {formatting.signed(max(values))}",
                    *(f"{sides.count(side)} of {len(leads)}" for side in (HIGHER, LOWER)),
                ]
                name = f" {formatting.MINUS} ".join(map(method_label, pair))
                lines.append((f"{name}, {model.title}", cells))
    heads = ["Kept", f"At the published K = {published}", "Over all K", "Clearly above zero", "Clearly below"]
    return Table(
        "Leads in percentage points of the unpruned score, mean of the benchmarks. Clear: after Holm’s correction over "
        "the layers.",
        heads,
        lines,
        first="Lead",
    )


def _scores_table(model: SweptModel) -> Table:
    """All means of a model."""
    lines = []
    for keep in model.keeps:
        for layer in model.layers:
            scores = [model.score(method, layer, keep) for method in model.methods]
            cells = [score.text() if score else formatting.NONE for score in scores]
            lines.append((f"K = {layer}, {formatting.percent(keep)} kept", cells))
    caption = f"{model.title[0].upper()}{model.title[1:]}: mean percent of the unpruned score."
    return Table(caption, [*map(method_label, model.methods)], lines, first="Layer")

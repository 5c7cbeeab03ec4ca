"""What is missing, with the command that fills it, and what the results cannot show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vtstudy.report import formatting
from vtstudy.report.controls import Control, State
from vtstudy.report.inputs import Inputs
from vtstudy.report.method_table import MethodTable


@dataclass(frozen=True)
class Gap:
    """Something that was not done: what, and the command that does it; "" if there is none yet."""

    what: str
    command: str


def gaps(inputs: Inputs, methods: MethodTable, checked: Sequence[Control]) -> list[Gap]:
    """What is missing."""
    found = []
    others = [model for model in inputs.run_models() if not model.is_papers]
    if others:
        papers = formatting.listed([model.paper for model in others])
        found.append(
            Gap(f"The papers’ checkpoints of {papers}: a first answer in hours on a GPU", "make reproduce PROFILE=lite")
        )
        found.append(Gap("The same on all questions: days on GPUs", "make reproduce PROFILE=paper"))
    if methods.experiment != "methods":
        listed = f": {formatting.listed(methods.missing)}" if methods.missing else ""
        found.append(Gap(f"Some methods on the same questions and budgets{listed}", "vtstudy run methods"))
    found += [
        Gap(f"A control: {control.title[0].lower()}{control.title[1:]}", "")
        for control in checked
        if control.state == State.NOT_MEASURED
    ]
    latency = inputs.folders.data / "spectra_latency" / "latency.csv"
    if not latency.is_file() or "recorded" not in latency.read_text(encoding="utf-8"):
        command = "python benchmarks/spectra.py --device cuda --json reports/recorded/spectra.json"
        found.append(Gap("Times of spectral budgets on a GPU", command))
    if not (inputs.folders.data / "explorer").is_dir():
        found.append(Gap("Answers under the pictures of kept tokens (Figures 1, 6 and 7)", "vtstudy explorer"))
    if not (inputs.folders.data / "eadaprune" / "words.csv").is_file():
        found.append(Gap("A word that E-AdaPrune’s budget keeps and a fixed one loses", "vtstudy run eadaprune"))
    if not any("mmvet" in inputs.results.benchmarks("eadaprune", model) for model in inputs.results.models):
        found.append(Gap("MM-Vet of E-AdaPrune, which a GPT judge grades", "make reproduce PROFILE=paper"))
    return found


def limitations(inputs: Inputs) -> list[str]:
    """What the results cannot show, whatever they are."""
    sentences = []
    if any(model.is_miniature for model in inputs.run_models()):
        sentences += [
            "The stand-ins are small and trained on rendered pictures: their directions may not carry over.",
            "All stand-ins descend from one training, so their agreement is not independent.",
        ]
    sentences += [
        "E-AdaPrune is a reconstruction from summaries. What they leave open is a parameter, marked as our assumption.",
        "MMBench is scored by a static judge, the paper’s by GPT.",
        f"Intervals are {inputs.interval:g} % bootstrap intervals over questions, without the variation of trainings.",
        "Holm’s correction covers the comparisons of one claim, not all claims together.",
    ]
    return sentences

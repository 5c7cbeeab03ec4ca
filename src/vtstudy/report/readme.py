"""The table of results in the repository's README, between two marks."""

from __future__ import annotations

from pathlib import Path

from vtstudy.report import formatting
from vtstudy.report.errors import ReportError
from vtstudy.report.inputs import Inputs
from vtstudy.report.labels import method_label, term_label
from vtstudy.report.results import Measurement
from vtstudy.report.table_links import KEEP
from vtstudy.report.tables import main_experiment
from vtstudy.results_table import MEAN

BEGIN, END = "<!-- results -->", "<!-- /results -->"
METHODS = ("fastv", "adaptprune", "random")
PAIR = "adaptprune - fastv"


def results_table(inputs: Inputs) -> str:
    """A Markdown table: for each model that was run, what is left of the unpruned score, with intervals.

    The scores are means over the benchmarks of the percent of the unpruned score; the last column is a difference of
    two of them, in percentage points.
    """
    own = all(model.is_papers for model in inputs.run_models())
    heads = [
        "model" if own else "stand-in for",
        *(f"{method_label(method)}, %" for method in METHODS),
        term_label(PAIR),
    ]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    results = inputs.results
    for paper_model in inputs.models:
        ours = results.model_for(paper_model)
        experiment = main_experiment(inputs, ours)
        if ours is None or experiment is None:
            continue
        scores = [results.score(experiment, ours, method, MEAN, KEEP) for method in METHODS]
        lead = results.difference(experiment, ours, PAIR, MEAN, KEEP)
        cells = [paper_model, *(_text(score) for score in scores), _text(lead, sign=True)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _text(measurement: Measurement | None, sign: bool = False) -> str:
    return measurement.text(sign=sign) if measurement else formatting.NONE


def marked_block(readme: Path) -> str:
    """The text between the marks of a README.

    Raises:
        ReportError: if the file or one of the marks is missing.
    """
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    if BEGIN not in text or END not in text:
        raise ReportError(f"{readme} has no lines '{BEGIN}' and '{END}' to put the table of results between.")
    return text.partition(BEGIN)[2].partition(END)[0].strip("\n")


def fill_readme(readme: Path, inputs: Inputs) -> None:
    """Put the table of results between the marks of a README, in place of what is there.

    Raises:
        ReportError: if the file or one of the marks is missing.
    """
    marked_block(readme)
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{BEGIN}\n{results_table(inputs)}\n{END}{after}", encoding="utf-8")

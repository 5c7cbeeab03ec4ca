"""The numbers in README.md are those of the committed results."""

import re

import pytest
from helpers import ROOT

from vtstudy.report import ReportError
from vtstudy.report.eadaprune.data import SpectralData
from vtstudy.report.inputs import Folders, load
from vtstudy.report.readme import BEGIN, END, fill_readme, marked_block, results_table
from vtstudy.report.results import HIGHER, LOWER

README = ROOT / "README.md"


@pytest.fixture(scope="module")
def inputs():
    return load(Folders(ROOT / "reports/miniature", ROOT / "data/published", ROOT / "params.yaml"))


def test_the_table_of_results_is_that_of_the_report(inputs):
    """After a change of the results, `vtstudy report --readme README.md` writes it anew."""
    assert marked_block(README) == results_table(inputs)


def test_the_table_has_a_line_for_each_model_that_was_run(inputs):
    lines = results_table(inputs).splitlines()
    models = [model for model in inputs.models if inputs.results.model_for(model)]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == models
    assert len({line.count("|") for line in lines}) == 1


def test_counts_of_spectral_comparisons(inputs):
    """Where README.md counts the comparisons of spectral and fixed budgets, the counts are right."""
    data = SpectralData.read(inputs, inputs.results.model_for("LLaVA-1.5-7B"))
    sides = [data.gain(host, "mean", keep).side for host in data.hosts for keep in data.keeps]
    counts = (sides.count(HIGHER), len(sides), sides.count(LOWER))
    found = re.findall(r"better in (\d+) of (\d+) comparisons, worse in (\d+)", README.read_text())
    assert all(tuple(map(int, numbers)) == counts for numbers in found)


def test_only_the_marked_block_is_written(inputs, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    fill_readme(readme, inputs)
    assert marked_block(readme) == results_table(inputs)
    text = readme.read_text()
    assert text.startswith("above\n") and text.endswith(f"{END}\nbelow\n") and "old" not in text
    fill_readme(readme, inputs)
    assert readme.read_text() == text


def test_a_readme_without_marks_is_refused(inputs, tmp_path):
    with pytest.raises(ReportError, match="README"):
        fill_readme(tmp_path / "README.md", inputs)

"""The paper's figures: drawn from what the experiments write."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import synthetic_data
from helpers import synthetic_results as synthetic

from vtprune.errors import UserError
from vtstudy.report.charts.attention_maps import relative
from vtstudy.report.charts.survivors import Survivors
from vtstudy.report.inputs import Folders, load
from vtstudy.report.paper_figures import sections


@pytest.fixture
def folder(tmp_path):
    synthetic.write(tmp_path, [*synthetic.rows(), *synthetic.figure_rows()])
    synthetic_data.write_figures(tmp_path / "results")
    return tmp_path


def drawn(folder) -> dict[str, list[str]]:
    """Names of the charts of each section."""
    inputs = load(Folders(folder, synthetic.PUBLISHED, folder / "params.yaml"))
    of_paper = sections(inputs, synthetic.MODEL, folder / "figures")
    return {section.id: [chart.name for chart in section.charts] for section in of_paper}


def test_every_figure_is_drawn(folder, undrawn):
    assert drawn(folder) == {
        "figure1": ["figure1", "figure6", "figure7"],
        "figure2": ["figure2", "figure2_correlation"],
        "figure3": ["figure3_tokens", "figure3"],
        "figure4": ["figure4"],
        "figure5": ["figure5"],
    }


def test_a_figure_without_data_is_not_drawn(folder, undrawn):
    for name in ("figure1", "figure2"):
        shutil.rmtree(folder / "results" / name)
    charts = drawn(folder)
    assert not charts["figure1"] and not charts["figure2"] and charts["figure3"]


def test_sentences_have_the_numbers_of_the_figures(folder, undrawn):
    inputs = load(Folders(folder, synthetic.PUBLISHED, folder / "params.yaml"))
    of_paper = {s.id: " ".join(s.sentences) for s in sections(inputs, synthetic.MODEL, folder / "figures")}
    assert "0.31 (0.21 to 0.41)" in of_paper["figure2"] and "0.42 (0.32 to 0.52)" in of_paper["figure2"]
    assert "90 % pruned" in of_paper["figure1"] and "FastV 60.0" in of_paper["figure1"]
    assert "−24.5 (−25.5 to −23.5)" in of_paper["figure5"]
    assert "+0.25 (+0.20 to +0.30)" in of_paper["figure3"]


@pytest.mark.parametrize(
    ("name", "content", "key"),
    [
        ("attention.csv", "benchmark,layer\n", "row, column, attention"),
        ("attention.csv", "benchmark,layer,row,column,attention\n", "no data"),
        ("attention.csv", "benchmark,layer,row,column,attention\nx,0,0,0,much\n", "line 2: 'attention'"),
    ],
)
def test_damaged_data_is_refused(folder, undrawn, name, content, key):
    (folder / "results/figure2" / name).write_text(content)
    with pytest.raises(UserError, match=key):
        drawn(folder)


def test_a_run_without_the_share_of_fixed_places_is_refused(folder, undrawn):
    facts = json.loads((folder / "provenance.json").read_text())
    del facts["parameters"]["fixed"]
    (folder / "provenance.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"parameters\.fixed"):
        drawn(folder)


def test_masks_are_those_of_the_files(folder):
    data = Survivors.read(folder / "results/figure1", 0.9)
    example = data.by_benchmark()["nocaps"][0]
    assert data.keeps == [0.5, 0.1]
    kept = data.mask(example, "fastv", 0.5)
    assert kept.shape == (4, 3) and kept.sum() == 6 and kept[:2].all()
    fixed = data.fixed_mask(example, "fastv", 0.5)
    assert fixed.sum() == 3 and fixed[0].all()


def test_maps_are_multiples_of_an_even_spread():
    frame = pd.DataFrame(
        {"benchmark": "b", "layer": 0, "row": [0, 0, 1, 1], "column": [0, 1, 0, 1], "attention": [1, 1, 2, 4]}
    )
    assert np.array_equal(relative(frame)["b", 0], np.array([[0.5, 0.5], [1, 2]]))

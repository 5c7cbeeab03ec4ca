"""The paper's figures: drawn from what the experiments write."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import synthetic_data
from helpers import synthetic_results as synthetic
from matplotlib.text import Text
from PIL import Image

from vtprune.errors import UserError
from vtstudy.report.charts.attention_maps import relative
from vtstudy.report.charts.survivors import Replies, Reply, Survivors
from vtstudy.report.inputs import Folders, load
from vtstudy.report.panel_answers import panel_answers
from vtstudy.report.paper_figures import sections

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    synthetic.write(tmp_path, [*synthetic.rows(), *synthetic.figure_rows()])
    synthetic_data.write_figures(tmp_path / "results")
    return tmp_path


def drawn(folder) -> dict[str, list[str]]:
    """Names of the charts of each section."""
    inputs = load(Folders(folder, synthetic.PUBLISHED, folder / "params.yaml"))
    of_paper = sections(inputs, synthetic.MODEL)
    return {section.id: [chart.name for chart in section.charts] for section in of_paper}


def test_every_figure_is_drawn(folder):
    assert drawn(folder) == {
        "figure1": ["figure1", "figure6", "figure7"],
        "figure2": ["figure2", "figure2_correlation"],
        "figure3": ["figure3_tokens", "figure3"],
        "figure4": ["figure4"],
        "figure5": ["figure5"],
    }


def test_a_figure_without_data_is_not_drawn(folder):
    for name in ("figure1", "figure2"):
        shutil.rmtree(folder / "results" / name)
    charts = drawn(folder)
    assert not charts["figure1"] and not charts["figure2"] and charts["figure3"]


def test_sentences_have_the_numbers_of_the_figures(folder):
    inputs = load(Folders(folder, synthetic.PUBLISHED, folder / "params.yaml"))
    of_paper = {s.id: " ".join(s.sentences) for s in sections(inputs, synthetic.MODEL)}
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
def test_damaged_data_is_refused(folder, name, content, key):
    (folder / "results/figure2" / name).write_text(content)
    with pytest.raises(UserError, match=key):
        drawn(folder)


def test_a_run_without_the_share_of_fixed_places_is_refused(folder):
    facts = json.loads((folder / "provenance.json").read_text())
    del facts["parameters"]["fixed"]
    (folder / "provenance.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"parameters\.fixed"):
        drawn(folder)


def explorer(folder, **changes) -> None:
    """The explorer's data about the first picture of TextVQA, and a caption of the first of Nocaps.

    FastV keeps the first tokens, as it does in the figure, and is right with a half of them, wrong with a tenth.
    """
    told = {"question": "What is it?\nAnswer with a word.", "colour": None, "kept": "fc00", "model": synthetic.MODEL}
    told |= changes
    at = folder / "results/explorer"
    at.mkdir()
    with Image.open(folder / "results/figure1/one.png") as picture:
        shown = Image.new("RGB", picture.size, told["colour"]) if told["colour"] else picture
        shown.save(at / "one.webp", lossless=True)
    same = {"file": "one.webp", "height": 4, "width": 3, "references": '["a key", "key"]', "picture": 0}
    of_each = [{"benchmark": name, "question": told["question"], **same} for name in ("nocaps", "textvqa")]
    synthetic_data.dump(at / "pictures.csv", of_each)
    answers = [
        {
            "benchmark": name,
            "picture": 0,
            "method": method,
            "keep": keep,
            "answer": answer,
            "right": right,
            "kept": kept,
        }
        for name in ("nocaps", "textvqa")
        for method, keep, answer, right, kept in (
            ("baseline", None, "key", 1, ""),
            ("fastv", 0.5, "key", 1, told["kept"]),
            ("fastv", 0.1, "bird", 0, "8000"),
        )
    ]
    for answer in answers:
        answer |= {"merged": "", "cider": 10 if answer["benchmark"] == "nocaps" else None}
        answer["right"] = None if answer["benchmark"] == "nocaps" else answer["right"]
    synthetic_data.dump(at / "answers.csv", answers)
    synthetic_data.dump(at / "methods.csv", [{"method": "fastv", "summary": "By attention."}])
    facts = {"paper": "LLaVA-1.5-7B", "model": told["model"], "checkpoint": "some/model", "checkpoint_source": None}
    (at / "explorer.json").write_text(json.dumps(facts))


def replies(folder) -> dict[tuple[str, int], Replies]:
    """What was answered, by benchmark and number of the example."""
    data = Survivors.read(folder / "results/figure1", 0.9)
    found = panel_answers(data, folder / "results/explorer", synthetic.MODEL)
    return {(example.benchmark, example.example): replied for example, replied in found.items()}


def test_answers_stand_below_the_tokens_that_they_were_given_with(folder):
    assert replies(folder) == {}
    explorer(folder)
    replied = replies(folder)["textvqa", 0]
    assert replied.references == ["a key", "key"] and replied.unpruned == Reply("key", 1.0)
    assert replied.pruned == {("fastv", 0.5): Reply("key", 1.0), ("fastv", 0.1): Reply("bird", 0.0)}
    assert [reply.marked for reply in replied.pruned.values()] == ["✓ key", "✗ bird"]
    assert Reply("red", 0.3).marked == "30 % right: red" and Reply("a red key", None).marked == "a red key"
    assert replies(folder)["nocaps", 0].is_caption and not replied.is_caption


@pytest.mark.parametrize(
    "changes",
    [{"question": "Where is it?"}, {"colour": "blue"}, {"model": "another"}],
    ids=["question", "picture", "model"],
)
def test_answers_about_something_else_are_left_out(folder, changes):
    explorer(folder, **changes)
    assert replies(folder) == {}


def test_answers_with_other_tokens_are_left_out(folder):
    explorer(folder, kept="f800")
    assert list(replies(folder)["textvqa", 0].pruned) == [("fastv", 0.1)]


def test_the_caption_says_which_answers_are_left_out(folder):
    inputs = load(Folders(folder, synthetic.PUBLISHED, folder / "params.yaml"))
    without = sections(inputs, synthetic.MODEL)[0].charts[-1]
    assert "left out" in without.caption and "right" not in without.alt
    explorer(folder)
    chart = sections(inputs, synthetic.MODEL)[0].charts[-1]
    assert "left out" not in chart.caption and "Other panels" in chart.caption  # AdaptPrune was not asked
    assert "FastV 2 of 4" in chart.alt  # both examples show the same picture
    texts = {text.get_text() for text in chart.draw().findobj(Text)}
    assert {"✓ key", "✗ bird"} <= texts and any("right: a key or key" in text for text in texts)


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

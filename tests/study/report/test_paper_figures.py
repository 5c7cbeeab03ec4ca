"""The paper's figures: drawn from what the experiments write, with one sentence for what they did not."""

import re

import numpy as np
import pandas as pd
import pytest
from helpers import synthetic_results as synthetic
from PIL import Image

from vtstudy.report import ReportError, build_report, survivors
from vtstudy.report.maps import relative


def dumps(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(lines).to_csv(path, index=False)


def figure_rows(model="miniature-llava"):
    """Rows of results.csv as the experiments of figures 1, 2, 3 and 5 write them."""
    found = []

    def add(experiment, method, keep, benchmark, metric, value, half=1.0):
        values = (experiment, model, method, keep, benchmark, metric, value, 40, value - half, value + half)
        found.append(dict(zip(synthetic.COLUMNS, values, strict=True)))

    for keep in (0.5, 0.1):
        for name, value in (("fastv", 60.0), ("adaptprune", 35.5), ("random", 100 * keep)):
            add("figure1", f"{name} overlap", keep, "nocaps", "position_overlap", value)
            for metric in ("neighbour_similarity", "neighbour_key_similarity", "adjacency"):
                add("figure3", f"{name} {metric}", keep, "nocaps", metric, value / 100, 0.01)
            add("figure5", name, keep, "nocaps", "nocaps_CIDEr", value)
            add("figure5", name, keep, "mean", "percent_of_baseline", value)
        for metric in ("neighbour_similarity", "adjacency"):
            add("figure3", f"fastv {metric} - adaptprune {metric}", keep, "nocaps", f"difference:{metric}", 0.25, 0.05)
        add("figure5", "adaptprune - fastv", keep, "mean", "difference:percent_of_baseline", -24.5)
    add("figure5", "baseline", 1.0, "nocaps", "nocaps_CIDEr", 90.0)
    add("figure5", "baseline", 1.0, "mean", "percent_of_baseline", 100.0, 0.0)
    add("figure2", "benchmarks alike", 1.0, "nocaps ~ textvqa", "pearson", 0.31, 0.1)
    add("figure2", "benchmarks alike", 1.0, "mean", "pearson", 0.31, 0.1)
    add("figure2", "last quarter", 1.0, "nocaps", "share_of_image_attention", 0.42, 0.1)
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Inputs of a report with all figures: a 4x3 grid, two benchmarks, two layers."""
    folder = tmp_path_factory.mktemp("figures")
    files = synthetic.write(folder, [*synthetic.rows(), *figure_rows()])
    data, grid = files["figures"], [(r, c) for r in range(4) for c in range(3)]
    rng = np.random.default_rng(0)
    dumps(
        data / "figure2/attention.csv",
        [
            {"benchmark": b, "layer": layer, "row": r, "column": c, "attention": rng.random() + r}
            for b in ("nocaps", "textvqa")
            for layer in (0, 1)
            for r, c in grid
        ],
    )
    dumps(
        data / "figure2/correlation.csv",
        [
            {"layer": layer, "first": "nocaps", "second": "textvqa", "correlation": 0.3, "ci_low": 0.2, "ci_high": 0.4}
            for layer in (0, 1)
        ],
    )
    cases = [(b, m, k) for b in ("nocaps", "textvqa") for m in ("fastv", "adaptprune") for k in (0.5, 0.1)]
    dumps(
        data / "figure1/examples.csv",
        [
            {"benchmark": b, "example": e, "question": "What is it?", "picture": "one.png", "height": 4, "width": 3}
            for b in ("nocaps", "textvqa")
            for e in (0, 1)
        ],
    )
    dumps(
        data / "figure1/survivors.csv",
        [
            {"benchmark": b, "method": m, "keep": k, "example": e, "row": r, "column": c}
            for b, m, k in cases
            for e in (0, 1)
            for r, c in grid[: int(12 * k)]
        ],
    )
    dumps(
        data / "figure1/positions.csv",
        [
            {"benchmark": b, "method": m, "keep": k, "row": r, "column": c, "share": 1.0 if r == 0 else 0.1}
            for b, m, k in cases
            for r, c in grid
        ],
    )
    Image.new("RGB", (30, 40), (200, 30, 30)).save(data / "figure1/one.png")
    (data / "scores").mkdir()
    (data / "scores/figure1.json").write_text('{"parameters": {"fixed": 0.9}}')
    return files


def test_all_figures_are_in_the_report(files):
    out = build_report(**files).parent
    text = (out / "README.md").read_text()
    for name in ("figure1", "figure2", "figure2_correlation", "figure3", "figure4", "figure5", "figure6", "figure7"):
        assert f"(figures/{name}.png)" in text
        assert (out / f"figures/{name}.png").stat().st_size > 5000 and (out / f"figures/{name}.svg").is_file()
    assert "mean over pairs and layers: 0.31 (0.21 to 0.41)" in text
    assert (
        "90 % pruned: of the positions kept in one image another image keeps this percentage as well: FastV 60.0"
        in text
    )
    assert "90 % pruned: AdaptPrune − FastV is −24.5 (−25.5 to −23.5) percentage points" in text
    assert "FastV's similarity to the nearest kept token minus AdaptPrune's is +0.25 (+0.20 to +0.30)" in text
    page = (out / "index.html").read_text()
    assert "Not run." not in page and page.count("data:image/png") == text.count("](figures/")


def test_what_was_not_run_is_said(files, tmp_path):
    text = (build_report(**files | {"figures": tmp_path / "absent", "out": tmp_path}).parent / "README.md").read_text()
    assert text.count("Not run.") == 2 and "(figures/figure3.png)" in text


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("figure2/attention.csv", "benchmark,layer\n", "lacks the columns row, column, attention"),
        ("figure2/attention.csv", "benchmark,layer,row,column,attention\n", "holds no data"),
        (
            "figure2/attention.csv",
            "benchmark,layer,row,column,attention\nx,0,0,0,much\n",
            "line 2: 'attention' is not a number",
        ),
        ("scores/figure1.json", "{}", "does not say which share 'parameters.fixed' is"),
    ],
)
def test_damaged_data_is_one_sentence(files, tmp_path, name, content, sentence):
    path = files["figures"] / name
    whole = path.read_text()
    path.write_text(content)
    try:
        with pytest.raises(ReportError, match=re.escape(sentence)):
            build_report(**files | {"out": tmp_path})
    finally:
        path.write_text(whole)


def test_masks_are_those_of_the_files(files):
    folder = files["figures"] / "figure1"
    data = survivors.Survivors(
        folder, *(pd.read_csv(folder / f"{n}.csv") for n in ("examples", "survivors", "positions")), 0.9
    )
    example = next(data.of("nocaps").itertuples(index=False))
    assert data.keeps == [0.5, 0.1]
    kept = data.mask(example, "fastv", 0.5)
    assert kept.shape == (4, 3) and kept.sum() == 6 and kept[:2].all()
    assert data.fixed_mask(example, "fastv", 0.5).sum() == 3 and data.fixed_mask(example, "fastv", 0.5)[0].all()


def test_maps_are_multiples_of_an_even_spread():
    frame = pd.DataFrame(
        {"benchmark": "b", "layer": 0, "row": [0, 0, 1, 1], "column": [0, 1, 0, 1], "attention": [1, 1, 2, 4]}
    )
    assert np.array_equal(relative(frame)["b", 0], np.array([[0.5, 0.5], [1, 2]]))

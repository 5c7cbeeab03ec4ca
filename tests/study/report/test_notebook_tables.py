"""Tables in words, for the notebooks."""

import math
import re

import pandas as pd

from vtstudy.report.notebook_tables import in_words, show

ROW = {
    "model": "m",
    "method": "adaptprune_as_written - fastv",
    "keep": 0.05,
    "benchmark": "okvqa",
    "metric": "difference:exact_match",
    "value": -1.25,
    "ci_low": -2.0,
    "ci_high": 0.5,
    "n": 40,
}


def cells(html: str) -> list[list[tuple[str, str]]]:
    """Class and text of the cells, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [re.findall(r'<t[hd](?: class="(\w+)")?>(.*?)</t[hd]>', row) for row in rows]


def test_rows_are_put_into_words():
    no_interval = {"ci_low": math.nan, "ci_high": math.nan}
    rows = [
        ROW,
        ROW | {"method": "vtw", "keep": math.nan, "benchmark": "mean", "metric": "percent_of_baseline"} | no_interval,
        ROW
        | {
            "method": "fastv adjacency - random adjacency",
            "benchmark": "nocaps ~ mme/color",
            "metric": "difference:percent_of_baseline",
        },
    ]
    table = in_words(pd.DataFrame(rows))
    assert list(table) == ["Model", "Method", "Kept, %", "Benchmark", "Unit", "Value", "95 % interval", "Questions"]
    assert table["Method"].tolist()[:2] == ["AdaptPrune as written − FastV", "VTW"]
    assert table["Benchmark"].tolist() == ["OK-VQA", "Mean", "Nocaps and Color"]
    assert table["95 % interval"].tolist() == ["−2.0 to +0.5", "", "−2.0 to +0.5"]
    assert table["Value"].tolist() == ["−1.2"] * 3
    assert table["Unit"].tolist()[0] == "exact match, %"
    shown = [[text for _, text in row] for row in cells(show(pd.DataFrame(rows)).data)]
    assert [row[2] for row in shown] == ["Kept, %", "5", "", "5"]


def test_numbers_are_written_as_in_the_report():
    """One decimal, three on a scale that ends at 1, more where an interval would seem to reach zero."""
    rows = [
        {"benchmark": "mean", "metric": metric, "value": value, "ci_low": low, "ci_high": high}
        for metric, value, low, high in (
            ("difference:percent_of_baseline", -0.1274, -1.029, 0.72),
            ("difference:percent_of_baseline", -0.8315, -1.577, -0.0416),
            ("percent_of_baseline", 73.12, 71.39, 74.89),
            ("pearson", -0.0504, -0.1009, 0.06),
        )
    ]
    table = in_words(pd.DataFrame(rows))
    assert table["Value"].tolist() == ["−0.1", "−0.83", "73.1", "−0.050"]
    assert table["95 % interval"].tolist() == ["−1.0 to +0.7", "−1.58 to −0.04", "71.4 to 74.9", "−0.101 to 0.060"]
    plain = pd.DataFrame({"x": [-0.12741], "y": [-1e-7], "spearman": [-0.5], "ci_low": [-0.6], "ci_high": [-0.4]})
    assert [text for _, text in cells(show(plain).data)[1]] == ["−0.1274", "−1e−07", "−0.5", "−0.6 to −0.4"]
    assert cells(show(plain, digits=2).data)[1][0][1] == "−0.13"


def test_words_are_left_and_numbers_right():
    rows = [
        {"statement": "A claim", "device": "-", "value": -1.5, "interval": "−2 to −1", "n": 3},
        {"statement": "7", "device": "", "value": math.nan, "interval": "", "n": 4},
    ]
    head, first, second = cells(show(pd.DataFrame(rows)).data)
    assert [css for css, _ in head] == [css for css, _ in first] == ["left", "left", "", "", ""]
    assert [text for _, text in head] == ["Claim", "Device", "Value", "95 % interval", "Questions"]
    assert [text for _, text in second] == ["7", "", "", "", "4"]


def test_repeated_row_labels_are_left_empty():
    rows = [("GQA", "%", 5), ("GQA", "%", 10), ("POPE", "%", 5)]
    frame = pd.DataFrame(
        [{"Benchmark": b, "Unit": u, "Kept, %": k, "Method": "FastV", "Value": "1.0"} for b, u, k in rows]
    )
    table = frame.pivot(index=["Benchmark", "Unit", "Kept, %"], columns="Method", values="Value")
    shown = show(table, index=True).data
    assert 'colspan="3"' in shown and ">Method</th>" in shown
    assert [[text for _, text in row] for row in cells(shown)[1:]] == [
        ["Benchmark", "Unit", "Kept, %", "FastV"],
        ["GQA", "%", "5", "1.0"],
        ["", "", "10", "1.0"],
        ["POPE", "%", "5", "1.0"],
    ]
    assert [css for css, _ in cells(shown)[1]] == ["left", "left", "", ""]


def test_text_is_escaped():
    assert "a &lt; b" in show(pd.DataFrame({"x": ["a < b"]})).data

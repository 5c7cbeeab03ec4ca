"""The written report: complete, self-contained, repeatable, and honest about the sign."""

import csv
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers import synthetic_results as synthetic

import vtstudy.report
from vtstudy.report import fmt
from vtstudy.report.__main__ import main


class Page(HTMLParser):
    """Tags, links and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.cells, self.text, self.open = [], set(), [], "", []
        self.feed(text)
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        self.links += [attrs[a] for a in ("src", "href") if a in attrs]
        self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        if tag in self.open:
            del self.open[len(self.open) - 1 - self.open[::-1].index(tag) :]

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
        if "td" in self.open and self.cells:
            self.cells[-1] += data


def test_every_printed_cell_is_in_all_outputs(default):
    out = default
    page = Page((out / "index.html").read_text())
    markdown = (out / "README.md").read_text()
    with open(out / "verdicts.csv") as file:
        verdicts = list(csv.DictReader(file))
    with open(synthetic.PUBLISHED / "adaptprune.csv") as file:
        published = list(csv.DictReader(file))
    assert [(v["table"], v["model"], v["row"], v["column"], v["published"]) for v in verdicts] == [
        (p["table"], p["model"], p["row"], p["column"], p["value"]) for p in published
    ]
    assert {v["verdict"] for v in verdicts} == {"not run"}
    # As often in the pages as in the tables: nothing dropped, though a number may come from ours as well.
    shown = [c.strip() for c in page.cells]
    for value in {p["value"] for p in published}:
        wanted = sum(p["value"] == value for p in published)
        assert sum(c == value or c.startswith((value + "ours", value + "not run")) for c in shown) >= wanted, value
        assert (
            len(re.findall(rf"\| {re.escape(value)}(?: \(ours [^)]*\))?(?: not run \(\d\))?(?= \|)", markdown))
            >= wanted
        ), value


def test_the_page_is_self_contained(default):
    text = (default / "index.html").read_text()
    page = Page(text)
    assert page.links
    for link in page.links:
        assert link.startswith("data:image/png;base64,") or (link.startswith("#") and link[1:] in page.ids), link
    assert not re.search(r"https?://|@import|url\(|<script|<link", text)


def test_markdown_links_to_figures_that_exist(default):
    out = default
    linked = re.findall(r"!\[[^\]]*\]\((.*?)\)", (out / "README.md").read_text())
    assert len(linked) == 5
    for link in linked:
        assert (out / link).is_file() and (out / link).with_suffix(".svg").is_file()


def test_every_figure_has_a_caption_of_its_own(default):
    with open(default / "figures/captions.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} == {path.stem for path in (default / "figures").glob("*.png")}
    assert len({row["title"] for row in rows}) == len(rows) and all(row["caption"] and row["alt"] for row in rows)
    assert "Table 1, LLaVA-1.5-7B beside miniature-llava" in next(
        row["title"] for row in rows if row["name"] == "retention_table1"
    )


def test_markdown_tables_are_whole(default):
    columns = 0
    for line in (default / "README.md").read_text().splitlines():
        if line.startswith("|"):
            count = len(re.findall(r"(?<!\\)\|", line))
            assert columns in (0, count), line
            columns = count
        else:
            columns = 0


def test_two_reports_are_the_same_bytes(default, report):
    first, second = (
        {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()} for out in (default, report())
    )
    assert first == second and len(first) == 19


def test_no_machine_path_gets_in(default):
    for name in ("index.html", "README.md"):
        text = (default / name).read_text()
        assert "/home/" not in text and "models/miniature-llava" not in text and "miniature-llava" in text


@pytest.mark.parametrize(
    ("gain", "sentence", "rank"),
    [
        (12, "AdaptPrune is better than FastV on average: +12.0 percentage points", "number 2"),
        (-12, "AdaptPrune is worse than FastV on average: −12.0 percentage points", "the best"),
        (0, "AdaptPrune and FastV cannot be told apart on average: 0.0 percentage points", "the best"),
    ],
)
def test_the_text_follows_the_numbers(report, gain, sentence, rank):
    out = report(synthetic.rows(gain=gain))
    for text in (Page((out / "index.html").read_text()).text, (out / "README.md").read_text()):
        assert sentence in text
        # AdaptPrune's second reading is listed, and not counted as a method.
        assert (
            f"Random selection is {rank} of these 4 methods" in text
            and f"(AdaptPrune as written {80 + gain / 2:.1f} %)" in text
        )


def test_counts_of_claims_agree(report):
    out = report(synthetic.rows(gain=3, half=2.5, spread=True))
    with open(out / "claims.csv") as file:
        verdicts = [row["verdict"] for row in csv.DictReader(file)]
    found = re.search(
        r"Of (\d+) claims, (\d+) (?:is|are) reproduced, (\d+) differs?, (\d+) (?:is|are) undecided and (\d+)",
        (out / "README.md").read_text(),
    )
    assert [int(n) for n in found.groups()] == [
        len(verdicts),
        *(verdicts.count(v) for v in ("reproduced", "differs", "undecided", "not run")),
    ]


def test_the_report_opens_with_the_counts_and_what_is_missing(default):
    page = Page((default / "index.html").read_text()).text
    opening = page[: page.index("Verdict on ours")]
    for name in ("reproduced", "differ", "undecided", "could not be run"):
        assert re.search(rf"\d+ ?claims? {name}", opening), name
    assert "nothing was run for LLaVA-1.5-13B, LLaVA-NeXT-7B, InternVL2-2B and InternVL2-8B" in opening
    assert "no checkpoint stands for InternVL2-8B yet (1)" in opening


def test_every_verdict_has_its_figures(default):
    """All that was compared is in claim_items.csv, in the page and in the Markdown, with its interval."""
    page, markdown = Page((default / "index.html").read_text()).text, (default / "README.md").read_text()
    with open(default / "claims.csv") as file:
        claims = {row["id"]: row for row in csv.DictReader(file)}
    with open(default / "claim_items.csv") as file:
        items = list(csv.DictReader(file))
    assert {row["id"] for row in items} == set(claims)
    judged = [row for row in items if row["value"]]
    assert len(judged) > 100
    for row in judged:
        assert row["outcome"] != "missing" and float(row["ci_low"]) <= float(row["value"]) <= float(row["ci_high"])
        several = sum(other["id"] == row["id"] for other in items) > 1
        assert (f"| {row['id']} | {row['case']} |" in markdown) == several
    assert all(row["why"] for row in items if not row["value"])
    for name in claims:
        assert f"`{name}`" in markdown and name in page
    assert "Figures and intervals" in page


def test_a_verdict_leads_to_its_rows(default):
    """claim_items.csv and verdicts.csv name the row of results.csv that each number stands in."""

    def read(path):
        with open(path) as file:
            return list(csv.DictReader(file))

    def key(row, prefix=""):
        return tuple(row[prefix + name] for name in ("experiment", "model", "method", "benchmark", "metric"))

    rows = {key(row): float(row["value"]) for row in read(default.parent / "results.csv")}
    for item in (item for item in read(default / "claim_items.csv") if item["value"]):
        assert abs(rows[key(item)]) == pytest.approx(abs(float(item["value"])), abs=1e-4), item
    cells = [cell for cell in read(default / "verdicts.csv") if cell["ours"]]
    assert len(cells) > 60
    for cell in cells:
        assert rows[key(cell, "ours_")] == pytest.approx(float(cell["ours"]), abs=1e-4), cell


def test_a_model_that_does_not_look_is_named(report):
    found = [
        r
        | (
            {"value": 30.0, "ci_low": 25.0, "ci_high": 35.0}
            if (r["method"], r["benchmark"]) == ("baseline", "pope") and r["experiment"] == "table1"
            else {}
        )
        for r in synthetic.rows()
    ]
    assert "On POPE the unpruned model is not clearly above" in (report(found) / "README.md").read_text()


def test_table1_alone_is_enough(report):
    """A partial run gives a report that says what is missing."""
    out = report([r for r in synthetic.rows() if r["experiment"] == "table1" and r["method"] != "random"])
    text = (out / "README.md").read_text()
    assert "the experiment table4 was not run (" in text and "| **not run** |" in text


def test_a_lite_run_judges_the_scores(report):
    text = (report(synthetic.rows(model="llava-hf/llava-1.5-7b-hf"), "lite") / "README.md").read_text()
    assert re.search(r"Of the 484 printed cells, \d+ are reproduced within the declared tolerance", text)
    assert "is not the paper's model" not in text


def run(files):
    return main([part for name, value in files.items() for part in (f"--{name}", str(value))])


@pytest.mark.parametrize("name", ["results", "provenance", "params", "published"])
def test_a_missing_file_is_one_sentence(tmp_path, capsys, name):
    files = synthetic.write(tmp_path, synthetic.rows())
    assert run(files | {name: tmp_path / "absent"}) == 2
    assert re.fullmatch(r"vtprune report: .*absent\S* does not exist\.\n", capsys.readouterr().err)


def test_wrong_input_is_one_sentence(tmp_path, capsys):
    found = synthetic.rows()

    def error(text, rows=found, columns=synthetic.COLUMNS, **contents):
        files = synthetic.write(tmp_path, rows, columns=columns)
        for name, content in contents.items():
            files[name].write_text(content)
        assert run(files) == 2
        message = capsys.readouterr().err
        assert text in message and message.count("\n") == 1, message

    error("lacks the columns ci_low, ci_high", columns=synthetic.COLUMNS[:-2])
    error("holds no results", rows=[])
    error("line 2: 'value' is not a number", rows=[found[0] | {"value": "many"}, *found[1:]])
    error("line 2: 'value' is not a number", rows=[found[0] | {"value": ""}, *found[1:]])
    error("line 3 repeats the", rows=[found[0], found[0]])
    error("no model that stands for one of the paper's (found: gpt)", rows=synthetic.rows(model="gpt"))
    error("no 'report.tolerances.default'", params="report: {}\n")
    error("cannot be read", params="a: [\n")
    error(
        "must have a 'paper' and a 'checkpoint'",
        params="report: {tolerances: {default: 1}}\nmodels: {a: b}\n",
    )
    error("does not say which 'profile'", provenance="{}")
    error("cannot be read", provenance="{")


def test_the_command(tmp_path):
    files = synthetic.write(tmp_path, synthetic.rows())
    arguments = [part for name, value in files.items() for part in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "vtstudy.report", *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.strip() == str(files["out"] / "index.html"), done.stderr


def test_reporting_imports_no_other_layer():
    for path in Path(vtstudy.report.__file__).parent.glob("*.py"):
        text = path.read_text()
        assert not re.search(r"^\s*(?:from|import) (?:vtprune|torch|transformers)|from \.\.", text, re.MULTILINE), path


@pytest.mark.parametrize(
    ("low", "high", "bounds", "written"),
    [
        (-0.339, -0.003, (0,), "−0.339 to −0.003"),
        (-0.34, -0.02, (0,), "−0.34 to −0.02"),
        (0.04, 0.3, (0,), "+0.04 to +0.30"),
        (0.8, 2, (0,), "+0.8 to +2.0"),
        (0, 2, (0,), "0.0 to +2.0"),
        (-0.04, 1, (0,), "0.0 to +1.0"),
        (-0.04, 0.04, (0,), "0.0 to 0.0"),  # these include it
        (0.0001, 1, (0,), "+0.0001 to +1.0000"),
        (1.13, 1.148, (1.15,), "+1.130 to +1.148"),
        (80.04, 81.97, (80, 82), "+80.04 to +81.97"),
        (math.nan, math.nan, (0,), ""),
    ],
)
def test_an_interval_that_excludes_a_bound_does_not_show_it(low, high, bounds, written):
    assert fmt.interval(low, high, True, fmt.decimals(low, high, bounds)) == written


def test_a_decided_mean_shows_its_sign(report):
    found = [
        r
        | (
            {"value": -0.17, "ci_low": -0.34, "ci_high": -0.02}
            if (r["method"], r["benchmark"]) == ("adaptprune - adaptprune_as_written", "mean")
            else {}
        )
        for r in synthetic.rows()
    ]
    assert (
        "−0.17 percentage points of the unpruned score, 95 % interval −0.34 to −0.02"
        in (report(found) / "README.md").read_text()
    )

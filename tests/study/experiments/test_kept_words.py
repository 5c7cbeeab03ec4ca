"""The examples of a word that a spectral budget keeps or loses are the first of their kind, drawn as measured."""

import csv

import numpy as np
import pytest
from helpers.tiny_llava import build_checkpoint, write_data
from PIL import Image

from vtprune.methods import FastV, NoPruning, SpectralBudget
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.requests import Variant
from vtstudy.experiments.kept_words import KEPT, LOST, first_examples, matches, write_kept_words
from vtstudy.report.eadaprune.words import mask

pytestmark = pytest.mark.slow

VARIANTS = {
    ("baseline", None): Variant(NoPruning()),
    ("fastv", 0.5): Variant(FastV(0.5)),
    ("fastv_spectral", 0.5): Variant(FastV(SpectralBudget(0.9))),
    ("fastv", 0.25): Variant(FastV(0.25)),
    ("fastv_spectral", 0.25): Variant(FastV(SpectralBudget(0.5))),
}


def scores(**values):
    """By variant, the scores of four questions; all wrong where nothing is said."""
    named = {f"{name}_{keep}": variant for (name, keep), variant in VARIANTS.items()}
    return {variant: np.array(values.get(name.replace(".", ""), [0.0] * 4)) for name, variant in named.items()}


def test_budgets_near_a_tenth_come_first():
    assert [(match.host, match.keep) for match in matches(VARIANTS)] == [("fastv", 0.25), ("fastv", 0.5)]


def test_the_first_question_that_one_budget_alone_answers_is_shown():
    found = first_examples(matches(VARIANTS), scores(fastv_025=[0, 100, 0, 100], fastv_spectral_025=[60, 100, 100, 0]))
    assert [(example.side, example.match.keep, example.question) for example in found] == [
        (KEPT, 0.25, 2),
        (LOST, 0.25, 3),
    ]


def test_a_further_budget_is_looked_at_where_the_first_has_no_such_question():
    found = first_examples(matches(VARIANTS), scores(fastv_025=[100] * 4, fastv_spectral_05=[0, 0, 100, 0]))
    assert [(example.side, example.match.keep, example.question) for example in found] == [
        (KEPT, 0.5, 2),
        (LOST, 0.25, 0),
    ]
    assert first_examples(matches(VARIANTS), scores()) == []


class Scored:
    """What an evaluator says of a benchmark, as far as it is read."""

    def __init__(self, values):
        self.values = np.array(values, dtype=float)


def test_examples_are_written_as_the_budgets_left_them(tmp_path, monkeypatch):
    """16 tokens: the fixed budget keeps 4 of them, the spectral one another number."""
    build_checkpoint(tmp_path / "tiny")
    data = write_data(tmp_path / "data", "textvqa")
    evaluator = Evaluator(tmp_path / "tiny", data, cache=tmp_path / "cache", max_new_tokens=3, device="cpu")
    count = len(evaluator.questions("textvqa"))
    right = {VARIANTS["fastv", 0.25]: 0, VARIANTS["fastv_spectral", 0.25]: 1}

    def scored(variant, benchmark, limit):
        return {benchmark: Scored([100.0 * (right.get(variant) == number) for number in range(count)])}

    monkeypatch.setattr(evaluator, "scores", scored)
    folder = tmp_path / "words"
    write_kept_words(evaluator, VARIANTS, {"pope": None}, folder)
    assert not folder.exists()  # no question is about text
    write_kept_words(evaluator, VARIANTS, {"textvqa": None}, folder)
    written = (folder / "words.csv").read_bytes()
    kept, lost = csv.DictReader(written.decode().splitlines())
    assert (kept["side"], lost["side"], kept["host"], kept["keep"]) == (KEPT, LOST, "fastv", "0.25")
    for row in (kept, lost):
        assert mask(row["fixed_kept"], int(row["height"]), int(row["width"])).sum() == 4
        assert 1 <= mask(row["spectral_kept"], int(row["height"]), int(row["width"])).sum() <= 16
        assert Image.open(folder / row["picture"]).size[0] > 4 and row["question"]
    monkeypatch.setattr(type(evaluator.checkpoint), "model", property(lambda _: pytest.fail("loaded again")))
    write_kept_words(evaluator, VARIANTS, {"textvqa": None}, folder)
    assert (folder / "words.csv").read_bytes() == written

"""Names for readers."""

import pytest

from vtstudy.report.labels import (
    METHOD_LABELS,
    benchmark_label,
    method_label,
    metric_label,
    panel_label,
    term_label,
    unit,
)


@pytest.mark.parametrize(
    ("method", "label"),
    [
        ("fastv", "FastV"),
        ("fastv_spectral", "FastV, spectral"),
        ("fastv tau=0.9", "FastV, τ = 0.9"),
        ("fastv adjacency", "FastV: kept tokens beside another one"),
        ("unknown", "unknown"),
    ],
)
def test_methods(method, label):
    assert method_label(method) == label


def test_a_quantity_of_both_sides_is_named_once():
    assert term_label("adaptprune - fastv") == "AdaptPrune − FastV"
    assert term_label("fastv adjacency - random adjacency") == "FastV − Random: kept tokens beside another one"


def test_benchmarks():
    assert benchmark_label("okvqa") == "OK-VQA"
    assert benchmark_label("nocaps ~ mme/color") == "Nocaps and Color"


@pytest.mark.parametrize(
    ("metric", "benchmark", "label"),
    [
        ("exact_match", "okvqa", "exact match, %"),
        ("difference:exact_match", "okvqa", "exact match, %"),
        ("gpt_eval_score", "mmbench", "accuracy, % (static judge, no GPT)"),
        ("gpt_eval_score", "mmvet", "GPT’s grade, %"),
        ("mme_perception_score", "mme", "points of 2,000"),
        ("mme_perception_score", "mme/OCR", "points of 200"),
        ("percent_of_baseline", "mean", "% of the unpruned score"),
        ("difference:percent_of_baseline", "mean", "percentage points of the unpruned score"),
        ("pope_accuracy", "", "accuracy, %"),
        ("unknown", "pope", "unknown"),
    ],
)
def test_a_metric_has_the_unit_of_its_benchmark(metric, benchmark, label):
    assert metric_label(metric, benchmark) == label


def test_units_of_panels():
    assert unit("exact_match", "gqa") == "%"
    assert panel_label("mme", "mme_perception_score") == "MME, points"
    assert panel_label("mean", "percent_of_baseline") == benchmark_label("mean")


def test_a_method_without_a_label_has_the_name_of_its_class(monkeypatch):
    monkeypatch.delitem(METHOD_LABELS, "dart")
    assert method_label("dart") == "DART" and method_label("nothing of the kind") == "nothing of the kind"

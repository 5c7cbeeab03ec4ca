"""The comparison of all methods: which variants and pairs it has, and at which budgets it asks them."""

from vtprune.methods import methods
from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.config import load
from vtstudy.experiments.all_methods import ALL_METHODS
from vtstudy.experiments.registry import get_experiment
from vtstudy.experiments.runner import variants_of

ALONE = {"baseline", "blind", "vtw"}
"""The variants that take no budget."""


def test_every_method_with_a_budget_is_compared_with_adaptprune():
    budgeted = set(methods()) - {"none", "vtw"}
    assert set(ALL_METHODS.variants) == budgeted | ALONE
    assert set(ALL_METHODS.pairs) == {f"{name} - adaptprune" for name in budgeted - {"adaptprune"}}
    assert ALL_METHODS.benchmarks == ADAPTPRUNE


def test_every_method_gets_every_budget_and_the_unpruned_model_is_asked_once():
    settings = get_experiment("methods").settings_of(load("params.yaml"))
    variants = variants_of(ALL_METHODS, settings)
    keeps = (0.5, 0.25, 0.1, 0.05)
    assert {keep for name, keep in variants if name == "pooled"} == set(keeps)
    assert {keep for name, keep in variants if name in ALONE} == {None}
    assert len(variants) == len(ALONE) + len(keeps) * (len(ALL_METHODS.variants) - len(ALONE))

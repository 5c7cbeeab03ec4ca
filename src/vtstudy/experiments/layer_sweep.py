"""The layer K before which tokens are dropped, swept: the same methods at every K, on the same questions.

FastV's authors chose K = 2 in LLaVA-1.5 because half of the tokens can be dropped there at nearly no cost. A smaller
model has fewer layers, and the attention of a single one may rank tokens by something else than what is asked. So a
claim is read at the published K and at all others, and the criterion of FastV's authors says where K should be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.experiments.adaptprune_tables import BLIND, UNPRUNED
from vtstudy.experiments.settings import LayerSettings
from vtstudy.experiments.spec import BASELINE, Experiment, VariantSpec
from vtstudy.results_table import DIFFERENCE

NAME = "layers"
# MME's score is a sum over fourteen sub-tasks, so that a limit leaves too few questions of each.
BENCHMARKS = tuple(name for name in ADAPTPRUNE if name != "mme")
_COMPARED = (("adaptprune", "fastv"), ("adaptprune", "random"), ("fastv", "random"))


@dataclass(frozen=True)
class SweptSpec(VariantSpec):
    """A variant whose layer is swept, so that settings of a model do not replace it."""

    def _parameters(self, layers: Mapping[str, int]) -> dict[str, Any]:
        return dict(self.parameters)


def sweep(settings: LayerSettings, matching: object = None) -> Experiment:
    """A variant `fastv K=2` for each method and layer, and the differences of methods at the same layer.

    Args:
        matching: not used: no budget is matched.
    """
    variants: dict[str, VariantSpec] = {BASELINE: UNPRUNED, "blind": BLIND}
    for layer in settings.prune_before:
        variants |= {at(method, layer): SweptSpec(method, {"layer": layer}) for method in settings.methods}
    pairs = [
        f"{at(first, layer)} - {at(second, layer)}"
        for layer in settings.prune_before
        for first, second in _COMPARED
        if {first, second} <= set(settings.methods)
    ]
    return Experiment(NAME, settings.benchmarks or BENCHMARKS, variants, tuple(pairs), chance=True)


def at(method: str, layer: int) -> str:
    """The name of a method's variant at a layer."""
    return f"{method} K={layer}"


def pivot(results: pd.DataFrame) -> pd.DataFrame:
    """Scores with a row for each variant and keep ratio, and a column for each benchmark, the mean last.

    Args:
        results: rows of results.csv of one model; differences are left out.
    """
    scores = results[~results["metric"].str.startswith(DIFFERENCE)]
    scores = scores.assign(keep=scores["keep"].fillna(-1.0))  # guessing has no keep ratio
    table = scores.pivot_table(index=["keep", "method"], columns="benchmark", values="value", sort=False)
    return table.sort_index(level="keep", ascending=False, sort_remaining=False, kind="stable")

"""All methods of the library on the same questions, at the same budgets: a comparison that neither paper prints."""

from vtprune.methods import methods
from vtstudy.benchmarks import ADAPTPRUNE as ADAPTPRUNE_BENCHMARKS
from vtstudy.experiments.adaptprune_tables import BLIND, UNPRUNED
from vtstudy.experiments.spec import BASELINE, Experiment, VariantSpec

_BUDGETED = tuple(name for name, method in methods().items() if method.takes_keep())
_WITHOUT_BUDGET = tuple(name for name in methods() if name not in (*_BUDGETED, "none"))

# A method that is added to the library is in this table as soon as it is registered.
ALL_METHODS = Experiment(
    name="methods",
    benchmarks=ADAPTPRUNE_BENCHMARKS,
    variants={
        BASELINE: UNPRUNED,
        "blind": BLIND,
        **{name: VariantSpec(name) for name in (*_BUDGETED, *_WITHOUT_BUDGET)},
    },
    pairs=tuple(f"{name} - adaptprune" for name in _BUDGETED if name != "adaptprune"),
    chance=True,
)

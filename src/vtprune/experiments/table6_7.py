"""Tables 6 and 7: MMBench's 20 categories and their 6 groups, at 90 % and 75 % pruning."""

import sys

from .design import Experiment, Row, at

PRUNED = {"fastv": Row("fastv"), "adaptprune": Row("adaptprune")}

EXPERIMENT = Experiment(
    name="table6_7",
    benchmarks=("mmbench",),
    rows={"baseline": Row(), **at(0.1, **PRUNED), **at(0.25, **PRUNED)},
    pairs=("adaptprune@0.1 - fastv@0.1", "adaptprune@0.25 - fastv@0.25"),
    parts=True,
)

if __name__ == "__main__":
    from .common import main

    sys.exit(main(EXPERIMENT))

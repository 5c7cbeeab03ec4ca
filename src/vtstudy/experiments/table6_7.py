"""Tables 6 and 7: MMBench's 20 categories and their 6 groups, at 90 % and 75 % pruning.

The blind row and chance are ours: a category that the model answers without looking says nothing about pruning.
"""

import sys

from vtstudy.experiments.spec import Experiment, Row

EXPERIMENT = Experiment(
    name="table6_7",
    benchmarks=("mmbench",),
    rows={"baseline": Row(), "blind": Row(image="blank"), "fastv": Row("fastv"), "adaptprune": Row("adaptprune")},
    pairs=("adaptprune - fastv",),
    chance=True,
    parts=True,
    keeps=(0.1, 0.25),
)

if __name__ == "__main__":
    from vtstudy.experiments.runner import main

    sys.exit(main(EXPERIMENT))

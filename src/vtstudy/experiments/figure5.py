"""Figure 5: scores against the share of pruned tokens, on the eight benchmarks of the paper's ablation.

The paper's figure does not print its values, and its text does not name the eight; the ablation's
are our assumption. Random selection is ours.
"""

import sys

from vtstudy.experiments.spec import Experiment, Row

EXPERIMENT = Experiment(
    name="figure5",
    benchmarks=("nocaps", "flickr30k", "gqa", "okvqa", "docvqa", "textvqa", "pope", "mmbench"),
    rows={"baseline": Row(), "fastv": Row("fastv"), "adaptprune": Row("adaptprune"), "random": Row("random")},
    pairs=("adaptprune - fastv", "adaptprune - random", "fastv - random", "fastv - baseline", "adaptprune - baseline"),
)

if __name__ == "__main__":
    from vtstudy.experiments.runner import main

    sys.exit(main(EXPERIMENT))

"""Table 1, a block of it for each model: VTW, FastV, AdaptPrune in both readings and random against the whole model."""

import sys

from vtstudy.benchmarks import ADAPTPRUNE
from vtstudy.experiments.spec import Experiment, Row

EXPERIMENT = Experiment(
    name="table1",
    benchmarks=ADAPTPRUNE,
    rows={
        "baseline": Row(),
        "blind": Row(image="blank"),
        "vtw": Row("vtw"),
        "fastv": Row("fastv"),
        "adaptprune": Row("adaptprune", {"reading": "as_published"}),
        "adaptprune_as_written": Row("adaptprune", {"reading": "as_written"}),
        "random": Row("random"),
    },
    pairs=(
        "adaptprune - fastv",
        "adaptprune - random",
        "fastv - random",
        "fastv - vtw",
        "adaptprune_as_written - adaptprune",
        "fastv - baseline",
        "adaptprune - baseline",
        "baseline - blind",
    ),
    chance=True,
    papers=("LLaVA-1.5-7B", "LLaVA-1.5-13B", "LLaVA-NeXT-7B"),
)

if __name__ == "__main__":
    from vtstudy.experiments.runner import main

    sys.exit(main(EXPERIMENT))

"""Table 5: other ways to choose as many tokens. Rows (a) to (g) are the strategies that it prints."""

import sys

from vtstudy.experiments.spec import Experiment, Row

STRATEGIES = ("fitprune", "skip", "random", "random3x3", "maxpool3x3", "avgpool3x3", "last")

EXPERIMENT = Experiment(
    name="table5",
    benchmarks=("gqa", "okvqa", "textvqa", "mmbench"),
    rows={"baseline": Row(), **{name: Row(name) for name in ("fastv", "adaptprune", *STRATEGIES)}},
    pairs=(
        *(f"adaptprune - {name}" for name in ("fastv", *STRATEGIES)),
        *(f"fastv - {name}" for name in STRATEGIES),
        "maxpool3x3 - avgpool3x3",
        *(f"{name} - last" for name in STRATEGIES if name != "last"),
    ),
)

if __name__ == "__main__":
    from vtstudy.experiments.runner import main

    sys.exit(main(EXPERIMENT))

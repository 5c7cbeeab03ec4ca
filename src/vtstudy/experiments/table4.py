"""Table 4: what each of AdaptPrune's cues adds. Row (a) is FastV, row (d) the whole method."""

import sys

from vtstudy.experiments.spec import Experiment, Row

EXPERIMENT = Experiment(
    name="table4",
    benchmarks=("nocaps", "flickr30k", "gqa", "okvqa", "docvqa", "textvqa", "pope", "mmbench"),
    rows={
        "baseline": Row(),
        "(a)": Row("fastv"),
        "(b)": Row("adaptprune", {"distance": False, "similarity": False}),
        "(c)": Row("adaptprune", {"similarity": False}),
        "(d)": Row("adaptprune"),
    },
    pairs=("(b) - (a)", "(c) - (b)", "(d) - (c)", "(d) - (a)", "(c) - (a)", "(d) - (b)"),
)

if __name__ == "__main__":
    from vtstudy.experiments.runner import main

    sys.exit(main(EXPERIMENT))

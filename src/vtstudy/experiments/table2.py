"""Table 2: InternVL2, whose framework has no captions; a block for each model."""

import sys

from vtstudy.experiments.spec import Experiment
from vtstudy.experiments.table1 import EXPERIMENT as TABLE1

EXPERIMENT = Experiment(
    name="table2",
    benchmarks=("vqav2", "gqa", "okvqa", "vizwiz", "textvqa", "chartqa", "docvqa", "pope", "mme", "mmbench"),
    rows=TABLE1.rows,
    pairs=TABLE1.pairs,
    chance=True,
    papers=("InternVL2-2B", "InternVL2-8B"),
)

if __name__ == "__main__":
    from vtstudy.experiments.runner import main

    sys.exit(main(EXPERIMENT))

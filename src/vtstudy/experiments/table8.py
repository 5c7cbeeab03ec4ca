"""Table 8: MME's 14 sub-tasks, at 90 % and 75 % pruning."""

import sys
from dataclasses import replace

from vtstudy.experiments.table6_7 import EXPERIMENT as TABLE6_7

EXPERIMENT = replace(TABLE6_7, name="table8", benchmarks=("mme",))

if __name__ == "__main__":
    from vtstudy.experiments.runner import main

    sys.exit(main(EXPERIMENT))

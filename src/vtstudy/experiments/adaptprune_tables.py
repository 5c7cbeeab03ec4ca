"""AdaptPrune's tables as data: the benchmarks, the variants and the compared pairs of each.

Figure 5 is here as well, because its points are scores of variants like those of a table.
"""

from vtstudy.benchmarks import ADAPTPRUNE as ADAPTPRUNE_BENCHMARKS
from vtstudy.experiments.spec import Experiment, VariantSpec

UNPRUNED = VariantSpec()
BLIND = VariantSpec(image="blank")
FASTV = VariantSpec("fastv")
ADAPTPRUNE = VariantSpec("adaptprune")  # as published
RANDOM = VariantSpec("random")

ABLATION = ("nocaps", "flickr30k", "gqa", "okvqa", "docvqa", "textvqa", "pope", "mmbench")
STRATEGIES = ("fitprune", "skip", "random", "random3x3", "maxpool3x3", "avgpool3x3", "last")

MAIN_VARIANTS = {
    "baseline": UNPRUNED,
    "blind": BLIND,
    "vtw": VariantSpec("vtw"),
    "fastv": FASTV,
    "adaptprune": VariantSpec("adaptprune", {"reading": "as_published"}),
    "adaptprune_as_written": VariantSpec("adaptprune", {"reading": "as_written"}),
    "random": RANDOM,
}
MAIN_PAIRS = (
    "adaptprune - fastv",
    "adaptprune - random",
    "fastv - random",
    "fastv - vtw",
    "adaptprune_as_written - adaptprune",
    "fastv - baseline",
    "adaptprune - baseline",
    "baseline - blind",
)

TABLE1 = Experiment(
    name="table1",
    benchmarks=ADAPTPRUNE_BENCHMARKS,
    variants=MAIN_VARIANTS,
    pairs=MAIN_PAIRS,
    chance=True,
    papers=("LLaVA-1.5-7B", "LLaVA-1.5-13B", "LLaVA-NeXT-7B"),
)
# InternVL2. The authors' framework for it has no captions.
TABLE2 = Experiment(
    name="table2",
    benchmarks=("vqav2", "gqa", "okvqa", "vizwiz", "textvqa", "chartqa", "docvqa", "pope", "mme", "mmbench"),
    variants=MAIN_VARIANTS,
    pairs=MAIN_PAIRS,
    chance=True,
    papers=("InternVL2-2B", "InternVL2-8B"),
)
# The ablation. Row (a) is FastV, row (d) is the complete AdaptPrune.
TABLE4 = Experiment(
    name="table4",
    benchmarks=ABLATION,
    variants={
        "baseline": UNPRUNED,
        "(a)": FASTV,
        "(b)": VariantSpec("adaptprune", {"distance": False, "similarity": False}),
        "(c)": VariantSpec("adaptprune", {"similarity": False}),
        "(d)": ADAPTPRUNE,
    },
    pairs=("(b) - (a)", "(c) - (b)", "(d) - (c)", "(d) - (a)", "(c) - (a)", "(d) - (b)"),
)
# Other strategies that keep the same number of tokens: rows (a) to (g) of the paper's table.
TABLE5 = Experiment(
    name="table5",
    benchmarks=("gqa", "okvqa", "textvqa", "mmbench"),
    variants={"baseline": UNPRUNED, **{name: VariantSpec(name) for name in ("fastv", "adaptprune", *STRATEGIES)}},
    pairs=(
        *(f"adaptprune - {name}" for name in ("fastv", *STRATEGIES)),
        *(f"fastv - {name}" for name in STRATEGIES),
        "maxpool3x3 - avgpool3x3",
        *(f"{name} - last" for name in STRATEGIES if name != "last"),
    ),
)
# MMBench's 20 categories (Table 6) and their 6 groups (Table 7). `blind` and chance are additions of this study:
# a category that the model answers without the image says nothing about pruning.
TABLE6_7 = Experiment(
    name="table6_7",
    benchmarks=("mmbench",),
    variants={"baseline": UNPRUNED, "blind": BLIND, "fastv": FASTV, "adaptprune": ADAPTPRUNE},
    pairs=("adaptprune - fastv",),
    chance=True,
    parts=True,
    keeps=(0.1, 0.25),
)
# MME's 14 sub-tasks.
TABLE8 = Experiment(
    name="table8",
    benchmarks=("mme",),
    variants=TABLE6_7.variants,
    pairs=TABLE6_7.pairs,
    chance=True,
    parts=True,
    keeps=(0.1, 0.25),
)
# Scores at several keep ratios. The paper neither prints the values nor names the eight benchmarks. We assume those
# of the ablation, and add random selection.
FIGURE5 = Experiment(
    name="figure5",
    benchmarks=ABLATION,
    variants={"baseline": UNPRUNED, "fastv": FASTV, "adaptprune": ADAPTPRUNE, "random": RANDOM},
    pairs=("adaptprune - fastv", "adaptprune - random", "fastv - random", "fastv - baseline", "adaptprune - baseline"),
)

TABLES = (TABLE1, TABLE2, TABLE4, TABLE5, TABLE6_7, TABLE8, FIGURE5)

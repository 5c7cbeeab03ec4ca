"""Benchmarks of E-AdaPrune that the Hub alone has: no data set of the miniature world stands for them."""

import os
from pathlib import Path

from vtstudy.evaluation.errors import EvaluationError
from vtstudy.world.hub_rows import BENCHMARKS, Benchmark

TASKS = Path(__file__).parent / "tasks"
"""Folder of this package's own lmms-eval tasks."""

FURTHER = {
    "mmvet": Benchmark("MM-Vet", "mmvet", "MMVet", "test", "gpt_eval_score", {}, scale=1.0),
    # Of the images; the task asks about its videos as well, frame by frame.
    "seedbench": Benchmark("SEED-Bench", "seedbench", "SEED-Bench", "test", "seed_image", {}),
    # The questions that have an image.
    "scienceqa": Benchmark(
        "ScienceQA", "scienceqa_img", "ScienceQA", "test", "exact_match", {}, config="ScienceQA-IMG"
    ),
    # The metric keeps its name although no GPT is asked.
    "mmbench_cn": Benchmark(
        "MMBench-CN", "mmbench_cn_dev_static", "MMBench", "dev", "gpt_eval_score", {}, config="cn", scale=1.0
    ),
}
ALL = BENCHMARKS | FURTHER
_JUDGED = ("mmvet",)  # by GPT


def check_available(name: str, local: bool) -> None:
    """Whether a benchmark can be scored here.

    Args:
        local: whether the data are the miniature world's.

    Raises:
        EvaluationError: for one of ``FURTHER`` with local data, and for one that asks a GPT judge without a key to
            it (its task would score 0 for every answer).
    """
    if name in FURTHER and local:
        raise EvaluationError(
            f"{ALL[name].title} has no data set in the miniature world; it needs the Hub's (evaluation.data: null)"
        )
    if name in _JUDGED and not os.environ.get("OPENAI_API_KEY"):
        raise EvaluationError(
            f"{ALL[name].title}: its task asks a GPT judge, and OPENAI_API_KEY is not set; set it, or leave {name} out of the benchmarks"
        )

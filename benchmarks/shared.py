"""Speed of answering many variants in one pass over a benchmark, compared with one variant after another.

    python benchmarks/shared.py [--benchmarks pope gqa nocaps] [--limit 64] [--rounds 3]

The variants are FastV and AdaptPrune at eight fractions each, and the unpruned model. Both ways begin with an empty
cache and must give the same answers.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import torch
from printing import markdown_table, progress_bar, ratio

from vtprune.cost.timing import interleaved
from vtprune.methods import AdaptPrune, FastV, NoPruning
from vtstudy.evaluation.answer_cache import AnswerCache
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.requests import Request, Variant

KEEPS = (0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05)


class Run:
    """Answers requests in an empty cache, one group after another.

    Attributes:
        answers: of the last call, for each request.
    """

    def __init__(self, evaluator: Evaluator, groups: list[list[Request]]) -> None:
        self.evaluator, self.groups = evaluator, groups
        self.answers: list[list[str]] = []

    def __call__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.evaluator.cache = AnswerCache(folder)
            for group in self.groups:
                self.evaluator.answer(group)
            requests = [request for group in self.groups for request in group]
            self.answers = [[answer.text for answer in self.evaluator.answers(request)] for request in requests]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="data/checkpoints/miniature-llava")
    parser.add_argument("--data", default="data/miniature", help="folder of the data sets")
    parser.add_argument("--benchmarks", nargs="+", default=["pope", "gqa", "nocaps"])
    parser.add_argument("--limit", type=int, default=64, help="questions of each benchmark")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-new-tokens", type=int, default=48)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    variants = [Variant(NoPruning())] + [Variant(method(keep)) for method in (FastV, AdaptPrune) for keep in KEEPS]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        evaluator = Evaluator(
            options.checkpoint,
            options.data,
            cache=Path(folder),
            batch_size=options.batch_size,
            max_new_tokens=options.max_new_tokens,
            device=options.device,
            dtype=options.dtype,
        )
        for benchmark in options.benchmarks:
            requests = [Request(variant, benchmark, options.limit) for variant in variants]
            one_by_one = Run(evaluator, [[request] for request in requests])
            together = Run(evaluator, [requests])
            seconds = interleaved(
                {"one by one": one_by_one, "together": together},
                options.rounds,
                torch.device(options.device),
                progress=progress_bar(benchmark, 2 * (1 + options.rounds)),
            )
            rows.append(
                [
                    benchmark,
                    str(len(together.answers[0])),
                    *(f"{statistics.median(times):.2f}" for times in seconds.values()),
                    ratio(seconds["one by one"], seconds["together"]),
                    "yes" if one_by_one.answers == together.answers else "NO",
                ]
            )
    print(
        f"device {options.device}, {options.dtype}, {len(variants)} variants, batches of {options.batch_size}, "
        f"{options.rounds} rounds, {torch.get_num_threads()} threads\n"
    )
    header = ["benchmark", "questions", "one by one, s", "together, s", "ratio [quartiles]", "same answers"]
    markdown_table(header, rows)


if __name__ == "__main__":
    main()

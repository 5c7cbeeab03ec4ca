"""The ratio curves' variants on a benchmark: one after another, and together with what they share computed once.

    python benchmarks/shared.py [--benchmarks pope gqa nocaps] [--limit 64] [--rounds 3]

FastV and AdaptPrune at eight ratios each, and the unpruned model. Both ways begin with an empty
store, end with lmms-eval's scores, and must leave the same bytes in the store. "scoring alone" is a
run of all variants that finds every answer stored: the part that is not shared.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import torch
from timing import interleaved, ratio, table

from vtprune.methods import AdaptPrune, FastV, NoPruning
from vtstudy.evaluation.answer_cache import PredictionStore
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.requests import Variant

KEEPS = (0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05)


class Runs:
    """Runs of one evaluator, each kind with a store of its own."""

    def __init__(self, evaluator: Evaluator, folder: Path) -> None:
        self.evaluator, self.folder = evaluator, folder

    def evaluate(self, name: str, groups: list[list[Cell]], benchmark: str, *, empty: bool = True) -> None:
        if empty:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.evaluator.store = PredictionStore(self.folder / name)
        for cells in groups:
            self.evaluator.evaluate_all(cells, [benchmark])

    def stored(self, name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / name).glob("*.jsonl")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="data/checkpoints/miniature-llava")
    parser.add_argument("--data", default="data/miniature", help="folder of the data sets")
    parser.add_argument("--benchmarks", nargs="+", default=["pope", "gqa", "nocaps"])
    parser.add_argument("--limit", type=int, default=64, help="questions of each")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-new-tokens", type=int, default=48)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    cells = [Variant(NoPruning())] + [Variant(method(keep)) for method in (FastV, AdaptPrune) for keep in KEEPS]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        evaluator = Evaluator(
            options.checkpoint,
            options.data,
            store=folder,
            batch_size=options.batch_size,
            limit=options.limit,
            max_new_tokens=options.max_new_tokens,
            device=options.device,
            dtype=options.dtype,
        )
        runs = Runs(evaluator, Path(folder))
        for name in options.benchmarks:
            questions = evaluator.questions([name])
            seconds = interleaved(
                {
                    "apart": lambda name=name: runs.evaluate("apart", [[cell] for cell in cells], name),
                    "together": lambda name=name: runs.evaluate("together", [cells], name),
                    "scoring": lambda name=name: runs.evaluate("apart", [cells], name, empty=False),
                },
                rounds=options.rounds,
                device=torch.device(options.device),
                label=name,
            )
            same = runs.stored("apart") == runs.stored("together")
            answering = {
                way: [t - s for t, s in zip(seconds[way], seconds["scoring"], strict=True)]
                for way in ("apart", "together")
            }
            rows.append(
                [
                    name,
                    str(questions),
                    *(f"{sorted(seconds[way])[len(seconds[way]) // 2]:.2f}" for way in seconds),
                    ratio(seconds["apart"], seconds["together"]),
                    ratio(answering["apart"], answering["together"]),
                    "yes" if same else "NO",
                ]
            )
    print(
        f"device {options.device}, {options.dtype}, {len(cells)} variants, batches of {options.batch_size}, "
        f"{options.rounds} rounds, {torch.get_num_threads()} threads\n"
    )
    header = [
        "benchmark",
        "questions",
        "apart, s",
        "together, s",
        "scoring alone, s",
        "apart / together [quartiles]",
        "without scoring",
        "same predictions",
    ]
    print(table(header, rows))


if __name__ == "__main__":
    main()

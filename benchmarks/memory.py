"""Peak memory of listing, answering, scoring and measuring, at two numbers of questions.

    python benchmarks/memory.py [--sizes 1000 4000]

The questions have VQAv2's schema. Five of them show one picture of 640 x 480, which takes 0.9 MB when it is decoded.
Each size runs in a process of its own, and the peak is read after each step. The last column extrapolates the line
through the two sizes to VQAv2's 214,354 questions.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image
from printing import markdown_table
from tqdm import tqdm

from vtprune.methods import AdaptPrune, FastV, NoPruning
from vtstudy.evaluation.environment import prepare
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.requests import Request, Variant
from vtstudy.experiments import figure_runner, redundancy
from vtstudy.experiments.settings import FigureSettings
from vtstudy.world.hub_rows import write_benchmark
from vtstudy.world.items import Item

VQAV2 = 214_354
PER_PICTURE = 5
COLORS = ("red", "green", "blue", "yellow")


class Pictures(Mapping[str, Image.Image]):
    """Pictures by the text of their number, each made when it is asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __getitem__(self, name: str) -> Image.Image:
        number = int(name)
        return Image.new("RGB", (640, 480), (number % 256, number // 256 % 256, 99))

    def __iter__(self) -> Iterator[str]:
        return map(str, range(self.count))

    def __len__(self) -> int:
        return self.count


def write_questions(folder: Path, count: int) -> None:
    """Write a data set of so many questions in VQAv2's schema."""
    items = [
        Item("vqav2", str(n // PER_PICTURE), f"What color is object {n % 977}?", (COLORS[n % 4],) * 10)
        for n in range(count)
    ]
    write_benchmark(folder, "vqav2", items, Pictures(-(-count // PER_PICTURE)))


def measure(checkpoint: str, folder: Path, batch_size: int) -> dict[str, float]:
    """The peak memory of this process in MiB after each step, in order."""
    peaks = {}

    def note(step: str) -> None:
        peaks[step] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    evaluator = Evaluator(
        checkpoint,
        folder / "data",
        cache=folder / "answers",
        batch_size=batch_size,
        max_new_tokens=2,
        device="cpu",
        dtype="float32",
    )
    evaluator.answer([Request(Variant(NoPruning()), "vqav2", batch_size)])
    note("the model and one batch")
    evaluator.questions("vqav2")
    note("listing the questions")
    variants = [Variant(method) for method in (NoPruning(), FastV(0.1), AdaptPrune(0.1))]
    evaluator.answer([Request(variant, "vqav2") for variant in variants])
    note("answers of three methods")
    settings = FigureSettings(
        checkpoint=checkpoint,
        data=str(folder / "data"),
        cache=str(folder / "answers"),
        out=str(folder / "results"),
        benchmarks=("vqav2",),
        keeps=(0.1,),
        batch_size=batch_size,
        resamples=20,
        device="cpu",
        dtype="float32",
    )
    figure_runner.run("figure3", redundancy.measure, settings)
    note("figure 3")
    evaluator.scores(variants[0], "vqav2")
    note("scores of one method")
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="data/checkpoints/miniature-llava")
    parser.add_argument("--sizes", type=int, nargs=2, default=[1000, 4000], help="two numbers of questions")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # what the processes of the two sizes do
    options = parser.parse_args()
    if options.measure is not None:
        prepare(offline=True)
        print(json.dumps(measure(options.checkpoint, options.measure, options.batch_size)))
        return

    peaks = []
    for size in tqdm(options.sizes, desc="sizes"):
        with tempfile.TemporaryDirectory() as folder:
            write_questions(Path(folder) / "data", size)
            command = [sys.executable, __file__, "--checkpoint", options.checkpoint, "--measure", folder]
            done = subprocess.run(
                [*command, "--batch-size", str(options.batch_size)], stdout=subprocess.PIPE, text=True, check=True
            )
            peaks.append(json.loads(done.stdout.splitlines()[-1]))
    few, many = options.sizes
    rows = []
    for step, at_few in peaks[0].items():
        slope = (peaks[1][step] - at_few) / (many - few)
        at_all = at_few + slope * (VQAV2 - few)
        rows.append([step, f"{at_few:.0f}", f"{peaks[1][step]:.0f}", f"{1024 * slope:.1f}", f"{at_all / 1024:.1f}"])
    header = ["peak up to", f"{few}, MiB", f"{many}, MiB", "a question, KiB", f"at {VQAV2}, GiB"]
    markdown_table(header, rows)


if __name__ == "__main__":
    main()

"""Makes the twelve data sets of the miniature world, in the schemas of their Hub originals.

``python -m vtstudy.world.datasets --out data/miniature`` reads the counts from ``params.yaml``.
Every picture is from the evaluation's side of the split (`Picture.held_out`), so that training
has seen none of them. Beside the data sets it writes ``density.csv``: what each image holds.
"""

import argparse
import csv
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import yaml
from PIL import Image
from tqdm import tqdm

from vtstudy.world.hub_rows import TABLES, write_benchmark
from vtstudy.world.items import Item
from vtstudy.world.pictures import sample
from vtstudy.world.questions import SOURCES, Question, ask
from vtstudy.world.scene import Picture, render

_SPLITS = {"human": "human_test", "augmented": "augmented_test"}  # ChartQA's own names


def _answers(question: Question, others: list[Question], rng: Random) -> tuple[str, ...]:
    """As many answers as the original has; of ten annotators up to two disagree."""
    if question.references:
        return question.references
    if TABLES[question.benchmark].answers != 10:
        return (question.answer,)
    answers = [question.answer] * 10
    wrong = [q.answer for q in others if q.answer != question.answer] or ["unsure"]
    for i in range(rng.choice((0, 0, 1, 2))):
        answers[9 - i] = rng.choice(wrong)
    return tuple(answers)


def _quota(benchmark: str, count: int) -> dict[str, int]:
    """How many questions of each category; one nameless category where there are none."""
    spec = TABLES[benchmark]
    names = spec.categories or ("",)
    each = -(-count // len(names))
    return dict.fromkeys(names, each + each % 2 if spec.balanced else each)


def _choose(
    benchmark: str, questions: list[Question], have: Counter, quota: dict[str, int], rng: Random
) -> list[Question]:
    """Of one picture's questions those to keep, from the category that lacks most of its quota."""
    by_category: dict[str, list[Question]] = {}
    for q in questions:
        by_category.setdefault(q.category if q.category in quota else "", []).append(q)
    lacking = [c for c in by_category if have[c] < quota[c]]
    if not lacking:
        return []
    category = min(lacking, key=lambda c: (have[c] / quota[c], c))
    found, spec = by_category[category], TABLES[benchmark]
    return (
        found if spec.balanced else rng.sample(found, min(len(found), quota[category] - have[category], spec.per_image))
    )


def make_benchmark(benchmark: str, count: int, seed: int) -> tuple[list[Item], dict[str, Picture]]:
    """At least `count` questions of `benchmark` and the pictures they are about, the same for a seed."""
    rng = Random(f"{benchmark}-{seed}")
    quota = _quota(benchmark, count)
    have: Counter = Counter()
    items: list[Item] = []
    pictures: dict[str, Picture] = {}
    while any(have[c] < n for c, n in quota.items()):
        kind = rng.choice(SOURCES[benchmark])
        picture = sample(rng, kind, held_out=True)
        if picture.fingerprint in pictures:
            continue
        asked = [replace(q, category=_SPLITS.get(q.category, q.category)) for q in ask(picture, benchmark, rng)]
        chosen = _choose(benchmark, asked, have, quota, rng)
        for q in chosen:
            have[q.category if q.category in quota else ""] += 1
            words = tuple(t.string for t in picture.texts)
            items.append(
                Item(benchmark, picture.fingerprint, q.text, _answers(q, asked, rng), q.category, q.options, words)
            )
            pictures[picture.fingerprint] = picture
    return items, pictures


def make_all(out: Path, counts: dict[str, int], seed: int) -> None:
    """Writes all twelve data sets and ``density.csv`` to `out`, which is emptied first."""
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    rows = []
    for benchmark in tqdm(TABLES, desc="data sets", unit="set"):
        items, pictures = make_benchmark(benchmark, counts.get(benchmark, counts["default"]), seed)
        images = {key: Image.fromarray(render(picture)) for key, picture in pictures.items()}
        write_benchmark(out, benchmark, items, images)
        rows += [
            {"benchmark": benchmark, "image_id": key, "kind": p.kind, "quality": p.quality} | p.density()
            for key, p in pictures.items()
        ]
    with (out / "density.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the data sets; emptied first")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args()
    settings = yaml.safe_load(args.params.read_text())["world"]
    make_all(args.out, settings["questions"], settings["seed"])


if __name__ == "__main__":
    main()

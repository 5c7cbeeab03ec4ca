"""The miniature world's data sets: which questions about which pictures each benchmark gets.

Every picture is held out (`Picture.held_out`): training has seen none of them. `density.csv`, beside the data
sets, says how much each image shows.
"""

import csv
import platform
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from random import Random

from PIL import Image
from tqdm import tqdm

from vtstudy.stamp import Stamp
from vtstudy.world.hub_rows import TABLES, write_benchmark
from vtstudy.world.items import Item
from vtstudy.world.pictures import sample
from vtstudy.world.questions import SOURCES, Question, ask
from vtstudy.world.scene import Picture, render


def _answers(question: Question, others: list[Question], rng: Random) -> tuple[str, ...]:
    """As many answers as the original data set has; where it has ten, up to two of them are wrong."""
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
    """How many questions each category gets; the only category of a benchmark without categories is empty."""
    table = TABLES[benchmark]
    names = table.categories or ("",)
    per_category = -(-count // len(names))  # rounded up
    if table.balanced:
        per_category += per_category % 2
    return dict.fromkeys(names, per_category)


def _choose(
    benchmark: str, questions: list[Question], have: Counter[str], quota: dict[str, int], rng: Random
) -> list[Question]:
    """The questions of one picture to keep: some of the category that is furthest from its quota."""
    by_category: dict[str, list[Question]] = {}
    for q in questions:
        by_category.setdefault(q.category if q.category in quota else "", []).append(q)
    lacking = [c for c in by_category if have[c] < quota[c]]
    if not lacking:
        return []
    category = min(lacking, key=lambda c: (have[c] / quota[c], c))
    candidates, table = by_category[category], TABLES[benchmark]
    if table.balanced:
        return candidates
    return rng.sample(candidates, min(len(candidates), quota[category] - have[category], table.per_image))


def make_benchmark(benchmark: str, count: int, seed: int) -> tuple[list[Item], dict[str, Picture]]:
    """At least `count` questions of a benchmark, and by image id the pictures; the same seed gives the same."""
    rng = Random(f"{benchmark}-{seed}")
    quota = _quota(benchmark, count)
    have: Counter[str] = Counter()
    items: list[Item] = []
    pictures: dict[str, Picture] = {}
    while any(have[c] < n for c, n in quota.items()):
        kind = rng.choice(SOURCES[benchmark].pictures)
        picture = sample(rng, kind, held_out=True)
        if picture.fingerprint in pictures:
            continue
        questions = ask(picture, benchmark, rng)
        chosen = _choose(benchmark, questions, have, quota, rng)
        for q in chosen:
            have[q.category if q.category in quota else ""] += 1
            words = tuple(t.string for t in picture.texts)
            items.append(
                Item(benchmark, picture.fingerprint, q.text, _answers(q, questions, rng), q.category, q.options, words)
            )
            pictures[picture.fingerprint] = picture
    return _interleaved(items, quota), pictures


def _interleaved(items: list[Item], categories: Iterable[str]) -> list[Item]:
    """The items, one picture of each category after the other, so that the first ones are of all categories alike.

    Few pictures have what some categories ask about, so that in the order of drawing these come late.
    """
    images: dict[str, dict[str, None]] = {category: {} for category in categories}
    if len(images) == 1:
        return items
    for item in items:
        images[item.category][item.image_id] = None
    places = {
        (category, image): (turn, number)
        for number, (category, of_category) in enumerate(images.items())
        for turn, image in enumerate(of_category)
    }
    return sorted(items, key=lambda item: places[item.category, item.image_id])


def make_all(out: Path, counts: Mapping[str, int], seed: int) -> bool:
    """Write all data sets and `density.csv` to the folder `out`, which is emptied first.

    Nothing is done if the folder holds what these settings and this code made.

    Args:
        counts: number of questions by benchmark, and `default` for the others.

    Returns:
        Whether the data sets were written.
    """
    versions = {"python": platform.python_version()} | {name: version(name) for name in ("numpy", "pillow", "pyarrow")}
    stamp = Stamp(
        out / "made.json", {"counts": dict(counts), "seed": seed, "versions": versions}, ("world", "benchmarks")
    )
    if stamp.matches(out):
        return False
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
    stamp.write(out)
    return True

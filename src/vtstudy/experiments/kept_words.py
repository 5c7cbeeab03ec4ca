"""A word that a spectral budget keeps, and one that it loses: E-AdaPrune's example, on questions about text.

For each side, the first question of the benchmark counts at which only one of the two budgets reads the word, so that
nobody chose it. Hosts and budgets are tried in the order of `matches`: the budget nearest to a tenth first.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from vtstudy.evaluation.cache_key import ANSWERING, meaning, method_key
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.requests import Request, Variant
from vtstudy.experiments.activations import Probe
from vtstudy.experiments.eadaprune import SUFFIX
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.provenance import versions
from vtstudy.experiments.token_maps import token_maps

BENCHMARKS = ("textvqa", "textvqa_ocr")
"""The benchmarks of questions about text; the first that an experiment has is looked at."""
KEPT, LOST = "kept", "lost"
BUDGET = 0.1
_MEASURING = ("vtstudy.experiments.activations", "vtstudy.experiments.token_maps")

Variants = Mapping[tuple[str, float | None], Variant]


class Match(NamedTuple):
    """A host with a fixed and with a spectral budget of the same mean."""

    host: str
    keep: float
    fixed: Variant
    spectral: Variant


class Example(NamedTuple):
    """A question that one of the two budgets answers fully, and the other not at all; `side` is `KEPT` or `LOST`."""

    side: str
    match: Match
    question: int


def matches(variants: Variants) -> list[Match]:
    """The pairs of a fixed and a spectral budget, by their distance from a tenth, and then in the order of hosts."""
    found = [
        Match(name, keep, variant, variants[name + SUFFIX, keep])
        for (name, keep), variant in variants.items()
        if keep is not None and (name + SUFFIX, keep) in variants
    ]
    return sorted(found, key=lambda match: abs(match.keep - BUDGET))


def first_examples(matched: Sequence[Match], scores: Mapping[Variant, np.ndarray]) -> list[Example]:
    """The first question at which the spectral budget keeps a word, and the first at which it loses one.

    Args:
        matched: the pairs of budgets, the preferred first.
        scores: by variant, `[questions]` from 0 to 100.

    Returns:
        At most one of each side: a side without such a question is left out.
    """
    examples = []
    for side in (KEPT, LOST):
        for match in matched:
            right, wrong = (match.spectral, match.fixed) if side == KEPT else (match.fixed, match.spectral)
            questions = np.flatnonzero((scores[right] >= 100 - 1e-6) & (scores[wrong] <= 1e-6))
            if len(questions):
                examples.append(Example(side, match, int(questions[0])))
                break
    return examples


def write_kept_words(evaluator: Evaluator, variants: Variants, limits: Mapping[str, int | None], folder: Path) -> None:
    """Write `words.csv` and a picture for each example to `folder`; nothing if no benchmark is about text.

    Images that lie on several grids (LLaVA-NeXT's, InternVL's tiles) are left out: the picture shows one grid.
    """
    benchmark = next((name for name in BENCHMARKS if name in limits), None)
    if benchmark is None:
        return
    limit, matched = limits[benchmark], matches(variants)
    scores = {
        variant: evaluator.scores(variant, benchmark, limit)[benchmark].values
        for match in matched
        for variant in (match.fixed, match.spectral)
    }
    rows = [
        row
        for example in first_examples(matched, scores)
        if (row := _row(evaluator, benchmark, limit, example, folder)) is not None
    ]
    if rows:
        write_csv(folder / "words.csv", rows)


def _row(
    evaluator: Evaluator, benchmark: str, limit: int | None, example: Example, folder: Path
) -> dict[str, object] | None:
    match, number = example.match, example.question
    budgets = {"fixed": match.fixed, "spectral": match.spectral}
    questions, checkpoint = evaluator.questions(benchmark, limit), evaluator.checkpoint
    key = {
        **checkpoint.key(),
        "question": questions.digests["shown"][number],
        "methods": [method_key(variant.method, checkpoint.family) for variant in budgets.values()],
        "software": versions(("torch", "transformers", "numpy", "pillow")),
        "code": meaning([*_MEASURING, *ANSWERING, *checkpoint.family]),
    }

    def prompt() -> Any:
        return evaluator.loader(benchmark, limit).load(number, "shown")

    def tokens() -> list[list[Any]]:
        methods = {name: variant.method for name, variant in budgets.items()}
        maps = token_maps(checkpoint.model, checkpoint.processor, methods, [prompt()])
        return [[[*part.grid, part.kept] for part in maps[name][0]] for name in budgets]

    def picture() -> dict[str, np.ndarray]:
        probe = Probe(checkpoint.model, checkpoint.processor, batch_size=1, bar=tqdm(disable=True))
        return {"picture": np.asarray(probe.picture(prompt()))}

    maps = evaluator.measurements.data("kept-words", key, tokens)
    if any(len(parts) != 1 for parts in maps):
        return None
    file = f"word-{example.side}.png"
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(evaluator.measurements.arrays("kept-words-picture", key, picture)["picture"]).save(folder / file)
    answers = [
        evaluator.answers(Request(variant, benchmark, limit, tokens=True))[number].text for variant in budgets.values()
    ]
    (height, width, fixed), (*_, spectral) = maps[0][0], maps[1][0]
    return {
        "side": example.side,
        "benchmark": benchmark,
        "host": match.host,
        "keep": match.keep,
        "question": questions.wordings[number].strip().splitlines()[0],
        "picture": file,
        "height": height,
        "width": width,
        "fixed_answer": answers[0],
        "spectral_answer": answers[1],
        "fixed_kept": fixed,
        "spectral_kept": spectral,
    }

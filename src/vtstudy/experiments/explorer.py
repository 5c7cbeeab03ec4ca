"""The explorer's data: a few pictures of each benchmark, the tokens that each method leaves, and the answers.

The variants, the budgets and the answers are those of the experiment `methods`, so that the explorer asks nothing. Of
each benchmark, it shows the first questions about different pictures: nobody chose them.
"""

import json
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vtprune.errors import UserError
from vtprune.methods import methods
from vtstudy.benchmarks import BENCHMARKS, limit_of
from vtstudy.config import Config
from vtstudy.evaluation.cache_key import ANSWERING, data_digest, meaning, method_key
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.references import references
from vtstudy.evaluation.requests import Request, Variant
from vtstudy.experiments.all_methods import ALL_METHODS
from vtstudy.experiments.figure_runner import Study
from vtstudy.experiments.files import write
from vtstudy.experiments.provenance import checkpoint_facts, facts
from vtstudy.experiments.registry import get_experiment
from vtstudy.experiments.runner import limits_of, requests_of, variants_of
from vtstudy.experiments.settings import FigureSettings, Settings
from vtstudy.experiments.single_answers import caption_unit, share_right
from vtstudy.experiments.spec import BASELINE
from vtstudy.experiments.token_maps import TokenMap, token_maps
from vtstudy.results_table import UNPRUNED

NAME = "explorer"
_MAPPING = ("vtstudy.experiments.token_maps",)
_JUDGING = ("vtstudy.experiments.single_answers", "vtstudy.evaluation.references")
_QUALITY = 88
"""Of pictures that are smaller in WebP's lossy form."""

Variants = Mapping[tuple[str, float | None], Variant]
Row = dict[str, Any]


def explore(config: Config, **changes: Any) -> Path:
    """Write the folder `explorer` of the results; returns it.

    It holds pictures.csv (a row for each picture with its question), answers.csv (a row for each variant and picture),
    methods.csv (what each method does), explorer.json (the facts of the run, with the paper's model) and the pictures
    as WebP files. In answers.csv, `right` is how right an answer is, from 0 to 1; a caption has its CIDEr in place of
    that.

    Args:
        changes: settings of the command line; None changes nothing.

    Raises:
        UserError: if the parameters lack a section that the explorer needs.
        EvaluationError: if the images do not lie on one grid each.
    """
    section = config.experiments.explorer
    if section is None:
        raise UserError(f"the parameters have no section 'experiments.{NAME}', which the explorer needs")
    start = time.perf_counter()
    entry = get_experiment(ALL_METHODS.name)
    model = next(iter(entry.models(config)), None)
    settings: Settings = entry.settings_of(config, model, **changes)
    limits = limits_of(ALL_METHODS, settings)
    # The page asks for a budget, so that a method that takes none has no place on it.
    variants = {
        (name, keep): variant
        for (name, keep), variant in variants_of(ALL_METHODS, settings).items()
        if keep is not None or name in UNPRUNED
    }
    of_figure = FigureSettings(**settings.model_dump(), benchmarks=tuple(limits))
    with tqdm(desc=NAME, total=len(limits), unit="benchmark", dynamic_ncols=True) as bar:
        study = Study(NAME, of_figure, tqdm(disable=True))
        study.evaluator.answer(requests_of(ALL_METHODS, settings))
        pictures: list[Row] = []
        answers: list[Row] = []
        for benchmark in limits:
            _show(study, benchmark, variants, section.pictures, pictures, answers)
            bar.update()
    study.table("pictures", pictures)
    study.table("answers", answers)
    study.table(
        "methods", [{"method": name, "summary": _summary(name)} for name in dict.fromkeys(name for name, _ in variants)]
    )
    seconds = time.perf_counter() - start
    run_facts = facts(settings, **checkpoint_facts(study.evaluator.checkpoint), seconds=seconds, answers=len(answers))
    write(
        study.folder / f"{NAME}.json",
        json.dumps({"paper": config.model(model).paper, **run_facts}, indent=2) + "\n",
    )
    return study.folder


def _show(
    study: Study[FigureSettings],
    benchmark: str,
    variants: Variants,
    count: int,
    pictures: list[Row],
    answers: list[Row],
) -> None:
    """Save the pictures of one benchmark, and add the rows about them."""
    questions = study.questions(benchmark)
    chosen = first_about_each(questions.images, count)
    maps = _maps(study, benchmark, variants, chosen)
    texts = {key: _answers(study, benchmark, variant, chosen) for key, variant in variants.items()}
    judged = _judged(study, benchmark, texts, chosen)
    ciders = _ciders(study, benchmark, variants, judged["units"])
    for number, index in enumerate(chosen):
        file = f"{benchmark}-{number}.webp"
        save(study.picture(benchmark, index), study.folder / file)
        height, width = maps[number]["grid"]
        pictures.append(
            {
                "benchmark": benchmark,
                "picture": number,
                "file": file,
                "height": height,
                "width": width,
                "question": questions.wordings[index].strip(),
                "references": json.dumps(judged["references"][number], ensure_ascii=False),
            }
        )
        for position, (name, keep) in enumerate(variants):
            kept, merged = maps[number]["maps"].get(_label(name, keep), ("", ""))
            answers.append(
                {
                    "benchmark": benchmark,
                    "picture": number,
                    "method": name,
                    "keep": keep,
                    "answer": texts[name, keep][number],
                    "right": judged["right"][number][position],
                    "cider": ciders[number][position] if ciders else None,
                    "kept": kept,
                    "merged": merged,
                }
            )


def first_about_each(images: Sequence[int], count: int) -> list[int]:
    """The indices of the first questions about the first `count` different images.

    Args:
        images: the number of each question's image.
    """
    first: dict[int, int] = {}
    for index, image in enumerate(images):
        first.setdefault(image, index)
    return list(first.values())[:count]


def save(picture: Any, path: Path) -> None:
    """Write a picture as WebP, without loss where that is not larger."""
    candidates = []
    forms: tuple[dict[str, Any], ...] = ({"lossless": True}, {"quality": _QUALITY})
    for number, options in enumerate(forms):
        candidate = path.with_name(f".{path.stem}.{number}{path.suffix}")
        picture.save(candidate, "WEBP", method=6, **options)
        candidates.append(candidate)
    smaller, larger = sorted(candidates, key=lambda candidate: candidate.stat().st_size)
    larger.unlink()
    smaller.replace(path)


def _label(name: str, keep: float | None) -> str:
    return f"{name} {keep}"


def _summary(name: str) -> str:
    """What a method does, in one sentence; empty for the unpruned model."""
    return methods()[name].summary() if name in methods() and name != "none" else ""


def _answers(study: Study[FigureSettings], benchmark: str, variant: Variant, chosen: Sequence[int]) -> list[str]:
    limit = limit_of(study.settings.limit, benchmark)
    stored = study.evaluator.answers(Request(variant, benchmark, limit))
    return [stored[index].text for index in chosen]


def _maps(study: Study[FigureSettings], benchmark: str, variants: Variants, chosen: Sequence[int]) -> list[Row]:
    """For each picture its grid, and by variant its kept and its merged tokens."""
    pruned = {_label(*key): variant.method for key, variant in variants.items() if key[0] not in (BASELINE, "blind")}
    family = study.evaluator.checkpoint.family
    details = {
        "chosen": list(chosen),
        "methods": {label: method_key(method, family) for label, method in pruned.items()},
        "code": meaning([*_MAPPING, *ANSWERING, *family]),
    }

    def measure() -> list[Row]:
        prompts = [study.prompts(benchmark, slice(index, index + 1))[0] for index in chosen]
        checkpoint = study.evaluator.checkpoint
        found = token_maps(checkpoint.model, checkpoint.processor, pruned, prompts)
        return [
            {
                "grid": list(_single(benchmark, next(iter(found.values()))[number]).grid),
                "maps": {name: list(_single(benchmark, of_method[number])[1:]) for name, of_method in found.items()},
            }
            for number in range(len(chosen))
        ]

    return study.evaluator.measurements.data("token-maps", study.key(benchmark, details), measure)


def _single(benchmark: str, parts: list[TokenMap]) -> TokenMap:
    if len(parts) != 1:
        raise EvaluationError(
            f"a prompt of {BENCHMARKS[benchmark].title} has {len(parts)} grids of tokens, but the explorer shows one"
        )
    return parts[0]


def _judged(
    study: Study[FigureSettings],
    benchmark: str,
    texts: Mapping[tuple[str, float | None], Sequence[str]],
    chosen: Sequence[int],
) -> Row:
    """For each picture the references, how right each variant's answer is, and the name of its caption's score."""
    evaluator = study.evaluator
    key = {
        "benchmark": benchmark,
        "data": evaluator.data_key(benchmark),
        "lmms_eval": version("lmms-eval"),
        "chosen": list(chosen),
        "answers": data_digest(list(texts.values())),
        "code": meaning(_JUDGING),
    }

    def judge() -> Row:
        task = evaluator.tasks.task(benchmark)
        numbers = [study.questions(benchmark).documents[index] for index in chosen]
        by_number = dict(enumerate(evaluator.tasks.documents(benchmark, max(numbers) + 1)))
        documents = [by_number[number] for number in numbers]
        captions = BENCHMARKS[benchmark].java
        return {
            "references": [references(document) for document in documents],
            "right": [
                [share_right(benchmark, task, document, of_variant[number]) for of_variant in texts.values()]
                for number, document in enumerate(documents)
            ],
            "units": [caption_unit(benchmark, document, task) for document in documents] if captions else [],
        }

    return evaluator.measurements.data("single-answers", key, judge)


def _ciders(
    study: Study[FigureSettings], benchmark: str, variants: Variants, units: Sequence[str]
) -> list[list[float]]:
    """For each picture the CIDEr of each variant's caption; empty for a benchmark without captions."""
    if not units:
        return []
    limit = limit_of(study.settings.limit, benchmark)
    scores = [study.evaluator.scores(variant, benchmark, limit)[benchmark] for variant in variants.values()]
    by_unit = [dict(zip(score.units, score.values.tolist(), strict=True)) for score in scores]
    return [[values[unit] for values in by_unit] for unit in units]

"""Made-up files of the experiment `explorer`, as small as they can be while everything on the page is in use."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

GRID = 4
KEEPS = (0.5, 0.25, 0.125)
METHODS = {"adaptprune": "By attention and place.", "fastv": "By attention.", "pooled": "Means of neighbours."}
QUESTIONS = {
    "pope": ("Is there a key in the image?\nAnswer yes or no.", ["yes"], 3),
    "textvqa": ("What number is on the sign?", ["311", "31", "11", "3"], 2),
    "nocaps": ("Provide a one-sentence caption for the provided image.", ["a <b>dog</b> & a cat"], 1),
}
"""By benchmark the question, its references, and the number of pictures."""
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")


def kept_cells(method: str, keep: float, picture: int) -> list[int]:
    """The tokens that a method keeps: other ones for each method and picture."""
    count = int(GRID * GRID * keep)
    first = (3 * list(METHODS).index(method) + picture) % (GRID * GRID)
    return sorted((first + cell) % (GRID * GRID) for cell in range(count))


def write_explorer_files(folder: Path, *, source: Mapping[str, str] | None = None) -> Path:
    """Write the folder; returns it.

    Args:
        source: where the model was fetched from; None for a stand-in.
    """
    folder.mkdir(parents=True)
    pictures = list(_pictures(folder))
    _write(folder / "pictures.csv", pictures)
    _write(folder / "answers.csv", [answer for picture in pictures for answer in _answers(picture)])
    summaries = {"baseline": "", "blind": "", **METHODS}
    _write(folder / "methods.csv", [{"method": name, "summary": text} for name, text in summaries.items()])
    name = "llava-1.5-7b-hf" if source else "miniature-llava"
    facts = {"paper": "LLaVA-1.5-7B", "model": name, "checkpoint": f"data/models/{name}", "checkpoint_source": source}
    (folder / "explorer.json").write_text(json.dumps(facts))
    return folder


def _pictures(folder: Path) -> Iterator[dict[str, object]]:
    colours = iter(COLOURS)
    for benchmark, (question, references, count) in QUESTIONS.items():
        for number in range(count):
            file = f"{benchmark}-{number}.webp"
            Image.new("RGB", (32, 32), next(colours)).save(folder / file, lossless=True)
            yield {
                "benchmark": benchmark,
                "picture": number,
                "file": file,
                "height": GRID,
                "width": GRID,
                "question": question,
                "references": json.dumps(references),
            }


def _answers(picture: Mapping[str, object]) -> Iterator[dict[str, object]]:
    benchmark, number = str(picture["benchmark"]), int(str(picture["picture"]))
    caption = benchmark == "nocaps"
    same = {"benchmark": benchmark, "picture": number}

    def judged(answer: str, right: float) -> dict[str, object]:
        return {"answer": answer, "right": "" if caption else right, "cider": 100 * right if caption else ""}

    for method, right in (("baseline", 1.0), ("blind", 0.0)):
        yield {**same, "method": method, "keep": "", **judged(method, right), "kept": "", "merged": ""}
    for keep in KEEPS:
        for method, right in zip(METHODS, (1.0, 0.0, 0.3), strict=True):
            kept = kept_cells(method, keep, number)
            merged = _digits(kept[:1]) if method == "pooled" else ""
            answer = judged("" if method == "fastv" and keep == KEEPS[-1] else f"{method} at {keep:g}", right)
            yield {**same, "method": method, "keep": keep, **answer, "kept": _digits(kept), "merged": merged}


def _digits(cells: Sequence[int]) -> str:
    bits = sum(1 << (GRID * GRID - 1 - cell) for cell in cells)
    return f"{bits:0{GRID * GRID // 4}x}"


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

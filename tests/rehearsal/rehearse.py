"""The rehearsal of a real run: `make rehearse`, or `python tests/rehearsal/rehearse.py --profile lite`.

Replicas of the papers' checkpoints and data sets lie on a local stand-in for the Hub. In a copy of this repository,
`make reproduce PROFILE=lite` and `PROFILE=paper` fetch them, ask a handful of questions, and write the report. Only the
numbers of questions and the precision differ from the real run, and the scores are those of random weights. Then the
verdicts are counted: every printed value must have one, or a reason.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.local_hub import LocalHub
from helpers.local_judge import LocalJudge
from helpers.replicas import write_data_sets, write_models
from rehearsal.project import Finished, Project

TOKEN = "hf_rehearsal"
"""lmms-eval's tasks ask for a login, so that the real run needs a token, too."""
QUESTIONS = {"default": 6, "mme": None, "mmbench": None, "mmbench_cn": 6}
"""All of MME and MMBench, because every sub-task and category has printed values of its own."""
JUDGED = {"paper": {"judged": 475, "as a ratio": 9}}
"""How many of the 484 printed values must have a verdict. The other 9 are times and memories of another GPU."""
WORDS_OF_THE_MINIATURE = ("miniature", "stand-in", "12 × 12", "12 x 12", "6 × 6", "6 x 6", "rendered")


def few_questions(params: dict[str, Any]) -> None:
    """Change a profile's parameters so that few questions are asked, in the precision that CPUs are fast in."""
    evaluation = params["evaluation"]
    evaluation |= {"limit": QUESTIONS, "dtype": "float32", "batch_size": 8, "max_new_tokens": 3, "resamples": 50}
    for key, model in params["models"].items():
        if key != "llava-7b":  # Tables 3 to 8 are of that one
            model["limit"] = {"default": 3, "mme": None}
    for name in ("figure1", "figure2", "figure3", "energy", "sensitivity"):
        if name in params["experiments"]:
            params["experiments"][name]["limit"] = 4
    fewer = {
        "figure5": {"keeps": [0.5, 0.1], "limit": {"default": 3, "mme": None}},
        "methods": {"keeps": [0.1], "limit": {"default": 2, "mme": 4}},
        "layers": {"prune_before": [2, 3], "keeps": [0.1], "limit": 2},
        "eadaprune": {"hosts": ["fastv", "pyramiddrop"], "keeps": [0.1112], "limit": {"default": 2, "mme": 4}},
        "energy": {"energies": [0.9, 0.98]},
        "sensitivity": {"benchmarks": ["vqav2", "textvqa"]},
    }
    for name, section in fewer.items():
        if name in params["experiments"]:
            params["experiments"][name] |= section
    params["spectra"] |= {"calibration": 3, "limit": 4}
    params["timing"] = {"rounds": 2, "budget_rounds": 2}


def count_verdicts(reports: Path) -> Counter[str]:
    """How many printed values of AdaptPrune have each verdict; `judged` counts those that were compared."""
    verdicts = pd.read_csv(reports / "verdicts.csv")["verdict"]
    return Counter(verdicts.replace({"reproduced": "judged", "differs": "judged"}))


def without_reason(file: Path) -> int:
    """How many values of a file of verdicts have neither a verdict nor a reason."""
    return len(pd.read_csv(file).query("verdict == 'not run' and reason.isna()"))


def words_of_the_miniature(reports: Path) -> list[str]:
    """The lines of the report that speak of the miniature."""
    lines = (reports / "README.md").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if any(word in line.lower() for word in WORDS_OF_THE_MINIATURE)]


def rehearse(profile: str, project: Project) -> list[str]:
    """Run a profile's pipeline in the copy, print what it took, and return what is wrong with its report."""
    project.change(profile, few_questions)
    finished = project.reproduce(profile)
    reports = project.folder / "reports" / profile
    verdicts = count_verdicts(reports)
    describe(profile, finished)
    print(f"{profile}: {verdicts['judged']} of {verdicts.total()} printed values have a verdict ({dict(verdicts)})")
    eadaprune = Counter(pd.read_csv(reports / "verdicts_eadaprune.csv")["verdict"])
    print(f"{profile}: E-AdaPrune's values: {dict(eadaprune)}")
    problems = [
        f"{verdicts[verdict]} printed values are {verdict}, not {count}"
        for verdict, count in JUDGED.get(profile, {}).items()
        if verdicts[verdict] != count
    ]
    if profile in JUDGED and eadaprune["not run"]:
        problems.append(f"{eadaprune['not run']} of E-AdaPrune's values have no verdict")
    for name in ("verdicts.csv", "verdicts_eadaprune.csv"):
        if count := without_reason(reports / name):
            problems.append(f"{count} values of {name} have neither a verdict nor a reason")
    if lines := words_of_the_miniature(reports):
        problems.append(f"{len(lines)} lines speak of the miniature, such as: {lines[0]}")
    return problems


def describe(name: str, finished: Finished) -> None:
    """Print what a command took."""
    print(
        f"{name}: {finished.seconds / 60:.1f} minutes, {finished.gigabytes:.1f} GB in the largest process", flush=True
    )


def main() -> int:
    """Rehearse the profiles; returns 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", action="append", choices=["lite", "paper"], help="Default: lite, then paper.")
    parser.add_argument("--keep", type=Path, help="Keep everything in this folder, which must not exist.")
    options = parser.parse_args()
    begin = time.monotonic()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="rehearsal-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_models(folder / "hub")
        write_data_sets(folder / "hub")
        print(f"replicas: {time.monotonic() - begin:.0f} seconds", flush=True)
        problems = []
        with LocalHub(folder / "hub") as hub, LocalJudge() as judge:
            variables = hub.environment(folder / "home", token=TOKEN) | judge.environment
            project = Project(folder / "project", variables)
            for profile in options.profile or ["lite", "paper"]:
                problems += [f"{profile}: {problem}" for problem in rehearse(profile, project)]
    finally:
        if options.keep is None:
            shutil.rmtree(folder)
    print(*problems, sep="\n")
    print(f"the rehearsal {'failed' if problems else 'passed'}, after {(time.monotonic() - begin) / 60:.1f} minutes")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

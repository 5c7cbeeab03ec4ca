"""One replica and one table through the real commands: fetch, answer, score, report (`make rehearse` runs all)."""

from pathlib import Path

import pandas as pd
import pytest
from helpers.local_hub import LocalHub
from helpers.replicas import write_data_sets, write_models
from rehearsal.project import Project
from rehearsal.rehearse import TOKEN, few_questions, words_of_the_miniature

pytestmark = pytest.mark.slow

MODEL, KEY, TABLE = "llava-hf/llava-1.5-7b-hf", "llava-7b", "table6_7"


def only_one_model(params) -> None:
    few_questions(params)
    params["models"] = {KEY: params["models"][KEY]}
    params["experiments"] = {}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[LocalHub, Project]:
    folder = tmp_path_factory.mktemp("rehearsal")
    write_models(folder / "hub", MODEL, layers=4)  # all 32 take minutes
    write_data_sets(folder / "hub")
    with LocalHub(folder / "hub") as hub:
        project = Project(folder / "project", hub.environment(folder / "home", token=TOKEN))
        project.change("lite", only_one_model)
        params = ["--params", "profiles/lite/params.yaml"]
        for command in (["fetch", "model", KEY], ["fetch", "data"]):
            project.run("vtstudy", *command, *params)
    # Without the Hub from here on.
    for command in (["run", TABLE], ["collect"], ["report"]):
        project.run("vtstudy", *command, *params)
    return hub, project


def test_only_what_is_asked_is_fetched(finished):
    hub, _ = finished
    assert not [name for name in hub.files_of(MODEL) if name.endswith(".py")]
    # Six of sixteen questions: the first of three files, a part of the second, nothing of the third.
    files = hub.files_of("lmms-lab-encoder/VQAv2")
    assert "data/validation-00000-of-00003.parquet" in files
    assert not [name for name in files if name.startswith(("data/test", "data/validation-00002"))]


def test_every_printed_value_of_the_table_gets_a_verdict(finished):
    verdicts = pd.read_csv(finished[1].folder / "reports/lite/verdicts.csv")
    judged = verdicts[verdicts["verdict"].isin(["reproduced", "differs"])]
    assert len(verdicts) == 484
    assert judged["table"].astype(str).value_counts().to_dict() == {"6": 100, "7": 30}
    assert (judged["ours_model"] == MODEL).all() or judged["ours_model"].str.contains("llava-1.5-7b").all()
    assert verdicts.loc[~verdicts.index.isin(judged.index), "reason"].notna().all()


def test_the_report_does_not_speak_of_the_miniature(finished):
    assert words_of_the_miniature(finished[1].folder / "reports/lite") == []


def test_nothing_is_made_twice(finished):
    """Scoring again takes all answers from the cache, although the Hub is gone."""
    _, project = finished
    answers = project.folder / "data/answers"
    before = {path: path.stat().st_mtime_ns for path in Path(answers).glob("*.jsonl")}
    project.run("vtstudy", "run", TABLE, "--params", "profiles/lite/params.yaml")
    assert before
    assert before == {path: path.stat().st_mtime_ns for path in Path(answers).glob("*.jsonl")}

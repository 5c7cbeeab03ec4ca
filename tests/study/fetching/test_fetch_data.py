"""The benchmarks' data sets from a stand-in for the Hub: what comes, how much of it, and what lmms-eval reads of it."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers.replicas import write_data_sets
from helpers.using_hub import using_hub
from huggingface_hub import HfApi

from vtstudy.benchmarks import BENCHMARKS
from vtstudy.checkpoint_source import data_commits
from vtstudy.fetching.calibration import fetch_calibration
from vtstudy.fetching.cards import write_card
from vtstudy.fetching.data_sets import fetch_data, read_record
from vtstudy.fetching.hub import FetchError

pytestmark = pytest.mark.slow

NAMES = ("pope", "gqa", "vqav2", "mmbench", "mmbench_cn", "seedbench", "textvqa")


@pytest.fixture(scope="module")
def hub_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    write_data_sets(root, *NAMES)
    return root


@pytest.fixture
def hub(hub_root, tmp_path):
    """A stand-in for the Hub, which this process uses."""
    with using_hub(hub_root, tmp_path / "cache") as server:
        yield server


def stored_rows(folder: Path, pattern: str) -> list[dict]:
    return [row for file in sorted(folder.glob(pattern)) for row in pq.read_table(file).to_pylist()]


def test_only_the_first_questions_come_and_they_are_the_hubs(hub, hub_root, tmp_path):
    spec = BENCHMARKS["vqav2"]
    fetch_data(tmp_path / "data", {"vqav2": 3}, {})
    folder, original = tmp_path / "data" / spec.path, hub_root / "datasets" / spec.path
    assert stored_rows(folder, "data/validation-*") == stored_rows(original, "data/validation-*")[:3]
    # The other shards and splits are not transferred.
    assert all("validation-00000" in file for file in hub.files_of(spec.path) if file.endswith(".parquet"))


def test_all_questions_come_as_the_hubs_files(hub, hub_root, tmp_path):
    spec = BENCHMARKS["pope"]
    fetch_data(tmp_path / "data", {"pope": None}, {})
    originals = sorted((hub_root / "datasets" / spec.path / "data").glob("test-*"))
    fetched = sorted((tmp_path / "data" / spec.path / "data").glob("test-*"))
    assert [file.read_bytes() for file in fetched] == [file.read_bytes() for file in originals]


def test_gqa_brings_the_images_of_its_questions(hub, tmp_path):
    fetch_data(tmp_path / "data", {"gqa": 4}, {})
    folder = tmp_path / "data" / BENCHMARKS["gqa"].path
    questions = stored_rows(folder, "testdev_balanced_instructions/*")
    images = stored_rows(folder, "testdev_balanced_images/*")
    assert len(questions) == 4
    assert {row["id"] for row in images} == {row["imageId"] for row in questions}


def test_seedbench_brings_the_questions_about_images(hub, tmp_path):
    fetch_data(tmp_path / "data", {"seedbench": 4}, {})
    rows = stored_rows(tmp_path / "data" / BENCHMARKS["seedbench"].path, "data/test-*")
    assert [row["data_type"] for row in rows] == ["image"] * 4


def test_benchmarks_that_share_a_data_set_come_together(hub, tmp_path):
    fetch_data(tmp_path / "data", {"mmbench": 4, "mmbench_cn": 6}, {})
    folder = tmp_path / "data" / BENCHMARKS["mmbench"].path
    assert len(stored_rows(folder, "en/dev-*")) == 4
    assert len(stored_rows(folder, "cn/dev-*")) == 6


def test_what_is_there_is_not_fetched_again(hub, tmp_path):
    root = tmp_path / "data"
    fetch_data(root, {"pope": 4}, {})
    commit = HfApi(hub.endpoint).dataset_info(BENCHMARKS["pope"].path).sha
    assert data_commits(root) == {BENCHMARKS["pope"].path: commit}
    hub.served.clear()
    fetch_data(root, {"pope": 2}, {})  # fewer are among them
    assert hub.served == []
    fetch_data(root, {"pope": 6}, {})
    assert len(stored_rows(root / BENCHMARKS["pope"].path, "data/test-*")) == 6
    assert read_record(root / BENCHMARKS["pope"].path)["parts"]["default/test"]["rows"] == 6


def test_a_stopped_fetch_goes_on(hub, tmp_path, monkeypatch):
    """The data sets that were complete are not fetched again."""

    def stop(path, title, card):
        if "textvqa" in title:
            raise KeyboardInterrupt
        write_card(path, title, card)

    root, counts = tmp_path / "data", {"pope": 2, "textvqa": 2}
    with monkeypatch.context() as patched:
        patched.setattr("vtstudy.fetching.data_sets.write_card", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch_data(root, counts, {})
    hub.served.clear()
    fetch_data(root, counts, {})
    assert hub.requests_of(BENCHMARKS["pope"].path) == []
    assert len(stored_rows(root / BENCHMARKS["textvqa"].path, "data/validation-*")) == 2


def test_access_is_checked_before_the_first_download(hub, tmp_path):
    hub.gate(BENCHMARKS["textvqa"].path, "good")
    with pytest.raises(FetchError, match="hf auth login"):
        fetch_data(tmp_path / "data", {"pope": 2, "textvqa": 2}, {})
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize("revisions", [{"lmms-lab-encoder/POPE": "v9"}, {"lmms-lab-encoder/POPE": "0" * 40}])
def test_an_unknown_revision_is_refused(hub, tmp_path, revisions):
    with pytest.raises(FetchError, match="revision"):
        fetch_data(tmp_path / "data", {"pope": 2}, revisions)


def test_calibration_pictures_are_shown_by_no_question(hub, hub_root, tmp_path):
    root = tmp_path / "data"
    fetch_data(root, {"vqav2": 4, "textvqa": None, "pope": None}, {})
    assert fetch_calibration(root, ("vqav2", "textvqa", "pope"), 2) > 2
    asked = {row["image"]["bytes"] for row in stored_rows(root, "*/*/data/*.parquet")}
    pictures = [file.read_bytes() for file in (root / "calibration").rglob("*.*") if file.suffix != ".json"]
    assert len(pictures) == len(set(pictures)) and not asked & set(pictures)
    later = stored_rows(hub_root / "datasets" / BENCHMARKS["vqav2"].path, "data/validation-*")[4:]
    first = (root / "calibration/vqav2").glob("0000.*")
    assert {file.read_bytes() for file in first} <= {row["image"]["bytes"] for row in later}
    hub.served.clear()
    fetch_calibration(root, ("vqav2", "textvqa", "pope"), 2)
    assert hub.served == []


READ = """
import sys
from pathlib import Path
from vtstudy.evaluation.environment import prepare
prepare(offline=True)
from vtstudy.evaluation.lmms_tasks import LmmsTasks
tasks = LmmsTasks(Path(sys.argv[1]))
for name in sys.argv[2:]:
    requests = tasks.instances(name, None)
    _, _, to_visual, document, _, split = requests[0].args
    (image,) = to_visual(tasks.task(name).dataset[split][document])
    print(name, len(requests), image.width * image.height > 0)
"""


@pytest.mark.exhaustive
def test_lmms_eval_reads_the_copy_without_the_network(hub, tmp_path):
    root = tmp_path / "data"
    names = ["vqav2", "gqa", "pope", "mmbench", "mmbench_cn", "textvqa"]
    fetch_data(root, dict.fromkeys(names, 4), {})
    environment = os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(root), *names], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [word for name in names for word in (name, "4", "True")]

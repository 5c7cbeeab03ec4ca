"""What a profile fetches: sizes from the Hub, and from tables where it is out of reach."""

import pytest
from helpers.planning import DATA, MODEL, a_config

from vtstudy.benchmarks import ADAPTPRUNE, BENCHMARKS, EADAPRUNE
from vtstudy.fetching.hub import Repository
from vtstudy.planning.downloads import data_downloads, model_download
from vtstudy.planning.estimate import weight_bytes
from vtstudy.planning.hub import Hub


class FakeHub(Hub):
    """Answers from a table of sizes."""

    def __init__(self, **sizes: dict[str, int]) -> None:
        super().__init__()
        self.sizes = sizes

    def repository(self, kind, identifier, revision="main"):
        return Repository(kind, identifier, "0" * 40, self.sizes[kind])


@pytest.fixture(autouse=True)
def _one_experiment(monkeypatch):
    from vtstudy.experiments.registry import EXPERIMENTS

    only = {"energy": EXPERIMENTS["energy"]}
    monkeypatch.setattr("vtstudy.experiments.questions_asked.EXPERIMENTS", only)


def test_a_checkpoint_is_as_large_as_its_needed_files():
    files = {"model.safetensors": 5000, "config.json": 100, "pytorch_model.bin": 7000, "code/model.safetensors": 9}
    download = model_download(a_config().models["llava-7b"], FakeHub(model=files))
    assert (download.id, download.size, download.disk, download.from_hub) == (MODEL, 5100, 5100, True)
    download = model_download(a_config().models["llava-7b"], Hub(ask=False))
    assert (download.size, download.from_hub) == (weight_bytes("LLaVA-1.5-7B", "float16"), False)


def test_a_converted_checkpoint_needs_its_room_twice():
    model = {"paper": "InternVL2-2B", "checkpoint": "data/models/i", "source": {"id": "OpenGVLab/InternVL2-2B"}}
    download = model_download(a_config(models={"i": model}).models["i"], FakeHub(model={"model.safetensors": 5000}))
    assert (download.size, download.disk) == (5000, 10000)


def test_of_a_data_set_only_the_share_that_is_asked_is_fetched():
    files = {"data/test-0.parquet": 9000, "data/train-0.parquet": 70000}
    (download,) = data_downloads(a_config(), FakeHub(dataset=files))
    assert (download.id, download.size) == (DATA, round(9000 * 10 / BENCHMARKS["pope"].rows))
    everything = a_config(evaluation={"data": "data/hub"})
    assert data_downloads(everything, FakeHub(dataset=files))[0].size == 9000
    (download,) = data_downloads(everything, Hub(ask=False))
    assert (download.size, download.from_hub) == (BENCHMARKS["pope"].split_bytes, False)


def test_benchmarks_with_the_same_questions_are_fetched_once():
    section = {"energies": [0.9], "benchmarks": ["pope", "pope_f1", "mmbench", "mmbench_cn"]}
    files = {"data/test-0.parquet": 9000, "en/dev-0.parquet": 400, "cn/dev-0.parquet": 500}
    config = a_config(experiments={"energy": section}, evaluation={"data": "data/hub"})
    downloads = data_downloads(config, FakeHub(dataset=files))
    assert {download.id: download.size for download in downloads} == {DATA: 9000, "lmms-lab-encoder/MMBench": 900}


def test_the_papers_data_sets_have_a_number_of_questions_and_a_size():
    named = {*ADAPTPRUNE, *EADAPRUNE.values(), "scienceqa"}
    own = {name for name in named if BENCHMARKS[name].variant_of is None}
    assert all(BENCHMARKS[name].rows for name in own)
    assert {name for name in own if BENCHMARKS[name].split_bytes is None} == {"seedbench"}

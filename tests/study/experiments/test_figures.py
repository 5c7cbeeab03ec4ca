"""The figures' measurements, on arrays whose answer is known, and on a tiny model."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.tiny_llava import build_checkpoint, write_data
from PIL import Image

from vtprune.attach.inference import encode
from vtprune.methods import VTW, AdaptPrune, FastV, RandomPruning
from vtstudy.evaluation.bootstrap import bootstrap
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.experiments import attention_maps as figure2
from vtstudy.experiments import figure_runner as figures
from vtstudy.experiments import redundancy as figure3
from vtstudy.experiments import runner as common
from vtstudy.experiments import survivors as figure1
from vtstudy.experiments.adaptprune_tables import FIGURE5
from vtstudy.experiments.settings import FigureSettings, Settings, SurvivorSettings
from vtstudy.experiments.spec import Experiment
from vtstudy.experiments.token_similarity import adjacency, neighbour_similarity
from vtstudy.results_table import COLUMNS

pytestmark = pytest.mark.slow


def test_correlation():
    a = np.array([1.0, 2, 3, 4])
    assert figure2.correlation(a, 10 * a + 3) == pytest.approx(1) and figure2.correlation(a, -a) == pytest.approx(-1)
    assert figure2.correlation(a, np.ones(4)) == 0
    b = np.random.default_rng(0).random((5, 4))
    assert figure2.correlation(np.tile(a, (5, 1)), b) == pytest.approx([np.corrcoef(a, row)[0, 1] for row in b])


def test_draws_of_a_correlation_lie_about_it():
    draws = np.tanh(np.random.default_rng(0).normal(0.3, 0.1, (500, 2)))
    found = figure2.centred(draws, np.array([0.6, -0.2]))
    assert np.arctanh(found).mean(axis=0) == pytest.approx(np.arctanh([0.6, -0.2]))
    assert np.arctanh(found).std(axis=0) == pytest.approx(np.arctanh(draws).std(axis=0))


def test_the_share_of_the_last_quarter():
    assert figure2.late_share(np.ones((2, 8))) == pytest.approx([0.25, 0.25])
    assert figure2.late_share(np.array([0.0, 0, 0, 1])) == 1


def test_redundancy():
    grid = (3, 3)
    kept = np.zeros(9, dtype=bool)
    kept[[0, 1, 8]] = True  # two beside each other, one on its own
    features = np.zeros((9, 2))
    features[[0, 1]], features[8] = (1, 0), (0, 1)
    assert adjacency(kept, grid) == pytest.approx(200 / 3)
    assert neighbour_similarity(kept, features, grid) == pytest.approx(2 / 3)
    kept[1] = False
    assert adjacency(kept, grid) == 0 and neighbour_similarity(kept, features, grid) == 0
    kept[:] = False
    kept[[1, 3, 5]] = True  # 3 and 5 are both two columns or a diagonal away: 1 has two nearest
    features[[1, 3]], features[5] = (1, 0), (0, 1)
    assert neighbour_similarity(kept, features, grid) == pytest.approx((0.5 + 1 + 0) / 3)


def test_overlap():
    """Of one question an image, and of two: pairs about one image, which have all in common here, do not count."""
    kept = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]], dtype=float)
    pairs = np.mean(
        [len(set(np.flatnonzero(kept[i])) & set(np.flatnonzero(kept[j]))) / 2 for i, j in ((0, 1), (0, 2), (1, 2))]
    )
    for each in (1, 2):
        every, images = np.repeat(kept, each, axis=0), np.repeat(np.arange(3), each)
        draws = bootstrap(every, np.zeros(3 * each, dtype=int), images, resamples=20000, seed=0, name="gqa")
        value, sample = figure1.overlap(every, images, draws)
        assert value == pytest.approx(100 * pairs) and sample.mean() == pytest.approx(value, abs=1)


def test_overlap_of_images_with_unequal_numbers_of_questions():
    rng = np.random.default_rng(1)
    images = np.repeat(np.arange(40), rng.integers(1, 5, 40))
    preferred = np.array([3, 2, 2, 1, 1, 0, 0, 0, 0])
    order = (rng.random((40, 9)) + preferred)[images] + rng.random((len(images), 9))
    kept = (order.argsort(axis=1).argsort(axis=1) >= 6).astype(float)
    apart = images[:, None] != images
    value, sample = figure1.overlap(
        kept, images, bootstrap(kept, 0 * images, images, resamples=4000, seed=0, name="gqa")
    )
    assert value == pytest.approx(100 * (kept @ kept.T)[apart].mean() / 3)
    assert sample.mean() == pytest.approx(value, abs=0.2 * sample.std())


def test_figure5_is_of_eight_benchmarks_and_asks_the_unpruned_model_once():
    assert len(FIGURE5.benchmarks) == 8
    assert [name for name, spec in FIGURE5.variants.items() if not spec.takes_keep] == ["baseline"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A checkpoint of 4 layers and 4 x 4 image tokens, and two data sets."""
    folder = tmp_path_factory.mktemp("place")
    build_checkpoint(folder / "tiny-llava")
    write_data(folder / "data", "pope", "vqav2")
    return folder


def settings(place, out, kind=FigureSettings, **more):
    given = {
        "checkpoint": str(place / "tiny-llava"),
        "data": str(place / "data"),
        "cache": str(place / "answers"),
        "out": str(out),
    }
    return kind(**given | {"device": "cpu", "limit": 4, "resamples": 50, "max_new_tokens": 2, "batch_size": 3} | more)


def rows(path):
    with path.open() as file:
        found = list(csv.DictReader(file))
    assert tuple(found[0]) == COLUMNS
    return found


@pytest.mark.exhaustive
def test_attention_is_that_of_the_model(place, tmp_path):
    """The maps equal the last row of transformers' own attention weights; padding changes nothing."""
    from vtprune.attach.inference import encode

    study = figures.Study("figure2", settings(place, tmp_path, benchmarks=("pope",)), bar=None)
    questions = study.prompts("pope", slice(None))
    study.bar = type("Bar", (), {"update": lambda self, n: None})()
    probe = study.probe()
    assert probe.grids(questions).tolist() == [[4, 4]]
    seen = probe.look(questions)
    assert seen.attention.shape == (4, 4, 16)
    model, processor = probe.model, probe.processor
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        for row, question in enumerate(questions):
            inputs = encode(model, processor, [question])
            whole = model(**inputs, output_attentions=True, output_hidden_states=True)
            image = inputs["input_ids"][0] == model.config.image_token_id
            wanted = torch.stack([layer[0].mean(dim=0)[-1][image] for layer in whole.attentions])
            assert np.allclose(seen.attention[row], wanted, atol=1e-5)
            assert np.allclose(seen.embeddings[row], whole.hidden_states[0][0][image], atol=1e-5)
            keys = model.model.language_model.layers[2].self_attn.k_proj(whole.hidden_states[2][0][image])
            assert np.allclose(seen.keys[row], keys, atol=1e-4)


def test_figure2(place, tmp_path):
    given = settings(place, tmp_path, benchmarks=("pope", "vqav2"), limit=24)
    path = figures.run("figure2", figure2.measure, given)
    found = {(r["method"], r["benchmark"]): r for r in rows(path)}
    assert ("benchmarks alike", "pope ~ vqav2") in found and ("layers alike", "pope") in found
    assert found["benchmarks alike", "mean"]["value"] == found["benchmarks alike", "pope ~ vqav2"]["value"]
    for row in found.values():
        assert float(row["ci_low"]) <= float(row["ci_high"]) and int(row["n"]) in (24, 4, 28)
    with (tmp_path / "figure2/attention.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * 4 * 16
    facts = json.loads(path.with_suffix(".json").read_text())
    assert (
        facts["prompts_shown"] == 28
        and facts["answers"] == 0
        and facts["parameters"]["benchmarks"] == ["pope", "vqav2"]
    )


@pytest.mark.exhaustive
def test_halves_of_a_benchmark_show_different_images(place, tmp_path):
    """POPE's questions come six to an image: those of the first and third image against those of the others."""
    given = settings(place, tmp_path, benchmarks=("pope",), limit=24)
    found = {r["method"]: float(r["value"]) for r in rows(figures.run("figure2", figure2.measure, given))}
    study = figures.Study("demo", given, SimpleNamespace(update=lambda n: None))
    maps = study.probe().look(study.prompts("pope", slice(None))).attention.astype(float)
    halves = [np.concatenate([maps[6 * n : 6 * n + 6] for n in which]).mean(axis=0) for which in ((0, 2), (1, 3))]
    assert found["halves alike"] == pytest.approx(figure2.correlation(*halves).mean(), abs=1e-4)


def test_figure1(place, tmp_path):
    given = settings(place, tmp_path, SurvivorSettings, benchmarks=("vqav2",), keeps=(0.5, 0.25), examples=2)
    path = figures.run("figure1", figure1.measure, given)
    found = {(r["method"], r["keep"]): float(r["value"]) for r in rows(path)}
    assert len(found) == 6 and all(0 <= value <= 100 for value in found.values())
    with (tmp_path / "figure1/survivors.csv").open() as file:
        kept = [r for r in csv.DictReader(file) if (r["method"], r["keep"], r["example"]) == ("fastv", "0.25", "1")]
    assert len({(r["row"], r["column"]) for r in kept}) == 4
    assert Image.open(tmp_path / "figure1/vqav2-1.png").size == (32, 32)
    first = path.read_bytes(), (tmp_path / "figure1/survivors.csv").read_bytes()
    figures.run("figure1", figure1.measure, given)
    assert first == (path.read_bytes(), (tmp_path / "figure1/survivors.csv").read_bytes())


@pytest.mark.exhaustive
def test_survivors_are_those_of_each_method_alone(place, tmp_path):
    study = figures.Study(
        "demo", settings(place, tmp_path, benchmarks=("vqav2",)), SimpleNamespace(update=lambda n: None)
    )
    probe, questions = study.probe(), study.prompts("vqav2", slice(None))
    methods = {
        "late": VTW(3),
        "adaptprune": AdaptPrune(0.25),
        "early": FastV(0.5, layer=1),
        "random": RandomPruning(0.5),
    }
    found = probe.survivors(methods, questions)
    assert list(found) == list(methods) and found["early"].any() and not found["late"].any()
    for name, method in methods.items():
        assert np.array_equal(found[name], probe.survivors({name: method}, questions)[name])
        batch = encode(probe.model, probe.processor, questions)
        with torch.inference_mode(), method.attach(probe.model) as alone:
            probe.model(**batch)
        assert [kept.indices.tolist() for (kept,) in alone.kept] == [
            np.flatnonzero(mask).tolist() for mask in found[name]
        ]


def test_figure3(place, tmp_path):
    path = figures.run("figure3", figure3.measure, settings(place, tmp_path, benchmarks=("vqav2",), keeps=(0.25,)))
    found = {r["method"]: float(r["value"]) for r in rows(path)}
    for metric in figure3.METRICS:
        gap = found[f"fastv {metric}"] - found[f"adaptprune {metric}"]
        assert found[f"fastv {metric} - adaptprune {metric}"] == pytest.approx(gap, abs=2e-4)
    assert found["none adjacency"] == 100


@pytest.mark.exhaustive
def test_an_experiment_at_several_ratios(place, tmp_path):
    experiment = Experiment(
        "demo", ("pope",), {k: FIGURE5.variants[k] for k in ("baseline", "fastv")}, ("fastv - baseline",)
    )
    path = common.run(experiment, settings(place, tmp_path, Settings, keeps=(0.5, 0.25)))
    found = [(r["method"], r["keep"]) for r in rows(path) if r["benchmark"] == "pope"]
    assert sorted(found) == [
        ("baseline", "1"),
        ("fastv", "0.25"),
        ("fastv", "0.5"),
        ("fastv - baseline", "0.25"),
        ("fastv - baseline", "0.5"),
    ]
    assert json.loads(path.with_suffix(".json").read_text())["answers"] == 3 * 4  # the unpruned model is asked once


@pytest.mark.exhaustive
def test_a_limit_that_leaves_one_image_leaves_no_interval(place, tmp_path):
    """The run ends all the same; the mean, which is in part of that image, has no interval either."""
    experiment = Experiment(
        "demo",
        ("pope", "vqav2"),
        {k: FIGURE5.variants[k] for k in ("baseline", "random")},
        ("random - baseline",),
    )
    found = rows(common.run(experiment, settings(place, tmp_path, Settings, keep=0.5)))
    assert {r["benchmark"]: bool(r["ci_low"] and r["ci_high"]) for r in found if r["benchmark"] != "mean"} == {
        "pope": False,
        "vqav2": True,
    }
    assert not any(r["ci_low"] for r in found if r["benchmark"] == "mean")


def test_a_figure_needs_two_images(place, tmp_path):
    given = settings(place, tmp_path, SurvivorSettings, benchmarks=("pope",), limit=4)
    with pytest.raises(EvaluationError, match="pope"):
        figures.run("figure1", figure1.measure, given)


@pytest.mark.exhaustive
def test_a_figure_that_was_measured_needs_no_model(place, tmp_path, monkeypatch):
    """Its numbers, its data and its pictures are the same bytes."""
    cases = (
        ("figure1", figure1.measure, settings(place, tmp_path, SurvivorSettings, benchmarks=("vqav2",), examples=2)),
        ("figure2", figure2.measure, settings(place, tmp_path, benchmarks=("vqav2",))),
        ("figure3", figure3.measure, settings(place, tmp_path, benchmarks=("vqav2",))),
    )
    for name, measure, given in cases:
        path = figures.run(name, measure, given)
        written = {file: file.read_bytes() for file in (path, *(tmp_path / name).iterdir())}
        with monkeypatch.context() as patch:
            patch.setattr(figures.Study, "probe", None)
            assert figures.run(name, measure, given) == path
        assert {file: file.read_bytes() for file in (path, *(tmp_path / name).iterdir())} == written


@pytest.mark.exhaustive
def test_a_killed_figure_resumes_with_the_next_batch(place, tmp_path, monkeypatch):
    """Four questions in batches of three: the second run looks at the second batch alone, and has the same bytes."""
    given = settings(place, tmp_path, benchmarks=("vqav2",), keeps=(0.25,), cache=str(tmp_path / "whole"))
    expected = figures.run("figure3", figure3.measure, given).read_bytes()
    looked = []
    original = figures.Probe.look

    def look(probe, questions):
        looked.append(len(questions))
        if len(looked) == 2:
            raise KeyboardInterrupt
        return original(probe, questions)

    monkeypatch.setattr(figures.Probe, "look", look)
    killed = given.model_copy(update={"cache": str(tmp_path / "killed")})
    with pytest.raises(KeyboardInterrupt):
        figures.run("figure3", figure3.measure, killed)
    assert figures.run("figure3", figure3.measure, killed).read_bytes() == expected and looked == [3, 1, 1]
    names = {path.name.rpartition("-")[0] for path in (tmp_path / "killed/measurements").iterdir()}
    assert not any(name.endswith("-part") for name in names)

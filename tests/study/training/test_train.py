"""`train` trains a miniature only if its settings, examples or initial weights have changed."""

from copy import deepcopy

import pytest
import yaml
from helpers import ROOT

from vtprune.errors import UserError
from vtstudy.training import train as training
from vtstudy.training.recipe import meaning
from vtstudy.training.train import FIRST, RECORD, recipe_of, train
from vtstudy.world import scene

pytestmark = pytest.mark.slow

CHECKPOINTS = ROOT / "data/checkpoints"
PARAMS = {
    "training": {
        "seed": 0,
        "tower": {"steps": 1, "batch": 2, "learning_rate": 1e-3},
        "language": {"steps": 1, "tables_from": 1, "batch": 2, "learning_rate": 1e-3, "compile": False},
    },
    "derived": {},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("training")
    assert train(FIRST, PARAMS, "cpu", checkpoints=root, states=root / "states")
    return root


@pytest.mark.exhaustive
def test_a_trained_miniature_is_not_trained_again(trained):
    assert not train(FIRST, PARAMS, "cpu", checkpoints=trained, states=trained / "states")


@pytest.mark.exhaustive
def test_a_checkpoint_is_compared_again_only_if_settings_or_files_changed(trained, tmp_path, monkeypatch):
    def train_again(params=PARAMS):
        return train(FIRST, params, "cpu", checkpoints=trained, states=tmp_path)

    assert not train_again()
    monkeypatch.setattr(training, "recipe_of", lambda *_: pytest.fail("compared again"))
    assert not train_again()
    (trained / FIRST / "more.txt").touch()
    with pytest.raises(pytest.fail.Exception):
        train_again()
    (trained / FIRST / "more.txt").unlink()
    assert not train_again()
    with pytest.raises(pytest.fail.Exception):
        train_again(deepcopy(PARAMS) | {"training": PARAMS["training"] | {"seed": 1}})


@pytest.mark.exhaustive
def test_how_a_training_is_run_does_not_matter(trained):
    params = deepcopy(PARAMS)
    params["training"]["language"]["compile"] = True
    assert recipe_of(FIRST, params, trained).fingerprint == recipe_of(FIRST, PARAMS, trained).fingerprint


@pytest.mark.exhaustive
def test_a_changed_setting_seed_or_picture_changes_the_fingerprint(trained, monkeypatch):
    first = recipe_of(FIRST, PARAMS, trained)
    names = first.state_files(FIRST, trained)
    steps, seed = deepcopy(PARAMS), deepcopy(PARAMS)
    steps["training"]["language"]["steps"] = 2
    seed["training"]["seed"] = 1
    changed_steps = recipe_of(FIRST, steps, trained)
    assert changed_steps.fingerprint["tower"] == first.fingerprint["tower"]
    tower, language = changed_steps.state_files(FIRST, trained)
    assert tower == names[0] and language != names[1]
    assert recipe_of(FIRST, seed, trained).state_files(FIRST, trained)[0] != names[0]
    monkeypatch.setitem(scene.SCENES, "park", ((0, 0, 0), (170, 215, 150)))
    monkeypatch.setitem(scene.BACKGROUNDS, "park", ((0, 0, 0), (170, 215, 150)))
    repainted = recipe_of(FIRST, PARAMS, trained).fingerprint
    assert repainted["tower"]["examples"] != first.fingerprint["tower"]["examples"]
    assert repainted["tower"]["weights"] == first.fingerprint["tower"]["weights"]


@pytest.mark.exhaustive
def test_other_weights_or_fresh_train_again(trained, tmp_path):
    (tmp_path / FIRST).mkdir()
    for file in (trained / FIRST).iterdir():
        (tmp_path / FIRST / file.name).write_bytes(file.read_bytes())
    record = yaml.safe_load((tmp_path / FIRST / RECORD).read_text())
    (tmp_path / FIRST / RECORD).write_text(yaml.safe_dump(record | {"checkpoint": "0" * 16}))
    assert train(FIRST, PARAMS, "cpu", checkpoints=tmp_path, states=tmp_path / "states")
    assert train(FIRST, PARAMS, "cpu", fresh=True, checkpoints=tmp_path, states=tmp_path / "states")
    assert (tmp_path / FIRST / "model.safetensors").read_bytes() == (trained / FIRST / "model.safetensors").read_bytes()


def test_unknown_and_missing_miniatures_are_refused(tmp_path):
    derived = {"new": {"kind": "llava", "start": "gone", "layers": [0], "seed": 0, "language": {}}}
    with pytest.raises(UserError, match="'other'"):
        train("other", {"derived": derived}, checkpoints=tmp_path)
    with pytest.raises(UserError, match="gone"):
        train("new", {"derived": derived}, checkpoints=tmp_path)


def test_meaning_ignores_comments_docstrings_and_annotations():
    def one(x: int) -> int:
        """Twice."""
        return 2 * x  # doubled

    def other(x):
        return 3 * x

    first = meaning(one)

    def one(x):
        return 2 * x

    assert meaning(one) == first
    other.__name__ = "one"
    assert meaning(other) != first


@pytest.mark.parametrize(
    "name",
    [
        "miniature-llava-large",
        *(
            pytest.param(name, marks=pytest.mark.exhaustive)
            for name in (
                "miniature-llava",
                "miniature-llava-24",
                "miniature-llava-24-b",
                "miniature-next",
                "miniature-internvl",
                "miniature-internvl-small",
            )
        ),
    ],
)
def test_committed_checkpoints_are_what_params_would_make(name, tmp_path):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert not train(name, params, checkpoints=CHECKPOINTS, states=tmp_path)

"""CONTRIBUTING's recipe for a model works: its entry in params.yaml is all that a new model needs."""

import re

import yaml
from helpers import ROOT

from vtstudy.config import load
from vtstudy.experiments.plan import plan


def test_following_the_recipe_adds_a_model(tmp_path, monkeypatch):
    page = (ROOT / "CONTRIBUTING.md").read_text()
    section = page[page.index("## Adding a model") :]
    entry = yaml.safe_load(re.search(r"```yaml\n(.*?)```", section, re.DOTALL)[1])["models"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["models"] |= entry
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    monkeypatch.chdir(tmp_path)  # without data: the plan counts what the world will make
    runs = plan(load("params.yaml")).runs
    (name,) = entry
    assert [run.experiment for run in runs if run.model == name] == [entry[name]["table"]]

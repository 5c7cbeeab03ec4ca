"""Parameters: what a file may hold, and what an experiment's settings become."""

import json

import pytest
from helpers import ROOT

from vtprune.stages import placed
from vtstudy.config import ConfigError, LayerSection, load
from vtstudy.experiments.adaptprune_tables import TABLE1
from vtstudy.experiments.registry import EXPERIMENTS, get_experiment
from vtstudy.experiments.runner import variants_of

MINIMAL = {
    "profile": "lite",
    "models": {"one": {"paper": "LLaVA-1.5-7B", "table": "table1", "checkpoint": "here"}},
    "report": {"tolerances": {"default": 1.0}},
}


def config_of(folder, **sections):
    (folder / "params.yaml").write_text(json.dumps(MINIMAL | sections))
    return load(folder / "params.yaml")


@pytest.mark.parametrize(
    "name", ["params.yaml", *(f"profiles/{name}/params.yaml" for name in ("quick", "lite", "paper"))]
)
def test_the_committed_parameters_are_valid(name):
    config = load(ROOT / name)
    for key in config.models:
        for entry in EXPERIMENTS.values():
            if key in entry.models(config):
                assert entry.settings_of(config, key).checkpoint == config.models[key].checkpoint


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"evaluation": {"kept": 1}}, "kept"),
        ({"evaluation": {"keep": 0}}, "evaluation.keep"),
        ({"evaluation": {"keep": "half"}}, "evaluation.keep"),
        ({"evaluation": {"batch_size": 1.5}}, "evaluation.batch_size"),
        ({"evaluation": {"limit": True}}, "evaluation.limit"),
        ({"evaluation": {"limit": {"pope": "few"}}}, "evaluation.limit"),
        ({"evaluation": {"limit": {"popes": 1}}}, "popes"),
        ({"evaluation": []}, "evaluation"),
        ({"models": {}}, "models"),
        ({"models": {"one": "here"}}, "models.one"),
        ({"models": {"one": {"paper": "A", "table": "table1"}}}, "models.one.checkpoint"),
        ({"models": {"one": {"paper": "A", "table": "table3", "checkpoint": "b"}}}, "models.one.table"),
        ({"models": {"one": {"paper": "A", "table": "table1", "checkpoint": "b", "limit": 0}}}, "models.one.limit"),
        ({"experiments": {"figure1": {"benchmarks": ["popes"]}}}, "popes"),
        ({"experiments": {"figure1": {"benchmarks": []}}}, "experiments.figure1.benchmarks"),
        ({"experiments": {"figure1": {"benchmarks": ["pope"], "fixed": 0}}}, "experiments.figure1.fixed"),
        ({"experiments": {"figure3": {"benchmarks": ["pope"], "keeps": [0.5, 0.5]}}}, "experiments.figure3.keeps"),
        ({"experiments": {"figure3": {"benchmarks": ["pope"], "keeps": [1.5]}}}, "experiments.figure3.keeps.0"),
        ({"spectra": {"targets": [], "calibration": 1, "seed": 0}}, "spectra.targets"),
        ({"spectra": {"targets": [0.1], "calibration": 1, "seed": 0, "limits": [[1.5, 2]]}}, "spectra.limits"),
        ({"spectra": {"targets": [0.1], "calibration": 1, "seed": 0, "limits": [[None, None]]}}, "spectra.limits"),
        ({"spectra": {"targets": [0.1], "calibration": 1, "seed": 0, "limits": [[2]]}}, "spectra.limits"),
        ({"world": {"seed": 1, "questions": {"pope": 3}}}, "default"),
        ({"report": {"tolerances": {}}}, "default"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_file_and_key(tmp_path, sections, named):
    with pytest.raises(ConfigError) as error:
        config_of(tmp_path, **sections)
    assert named in str(error.value) and "params.yaml" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "profile: x", "- 1", ""])
def test_a_file_that_holds_no_parameters_is_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ConfigError):
        load(tmp_path / "params.yaml")
    with pytest.raises(ConfigError):
        load(tmp_path / "none.yaml")


def test_settings_come_from_the_narrowest_section(tmp_path):
    models = {
        "one": MINIMAL["models"]["one"],
        "two": MINIMAL["models"]["one"] | {"limit": 3},
        "three": MINIMAL["models"]["one"] | {"limit": {"default": 5, "mme": None}},
    }
    figure1 = {"benchmarks": ["gqa"], "keeps": [0.5, 0.1]}
    config = config_of(
        tmp_path,
        models=models,
        evaluation={"limit": 100, "keep": 0.2},
        experiments={"figure5": {"limit": 7}, "figure1": figure1},
    )
    table1 = get_experiment("table1")
    assert [table1.settings_of(config, key).limit for key in models] == [100, 3, {"default": 5, "mme": None}]
    assert table1.settings_of(config).ratios() == (0.2,) and table1.settings_of(config, limit=9).limit == 9
    assert get_experiment("figure5").settings_of(config, "two").limit == 7
    settings = get_experiment("figure1").settings_of(config)
    assert (settings.benchmarks, settings.ratios(), settings.limit, settings.fixed) == (("gqa",), (0.5, 0.1), 100, 0.9)
    with pytest.raises(ConfigError, match="one, two, three"):
        table1.settings_of(config, "four")


def test_every_model_is_in_its_table_and_the_first_of_its_paper_in_the_others():
    config = load(ROOT / "params.yaml")
    for table, first in (("table1", "llava-7b"), ("table2", "internvl2-2b")):
        models = EXPERIMENTS[table].models(config)
        assert models == [key for key, model in config.models.items() if model.table == table] and models[0] == first
    others = [name for name in EXPERIMENTS if name not in ("table1", "table2", "layers", "eadaprune")]
    assert all(EXPERIMENTS[name].models(config) == ["llava-7b"] for name in others)
    lite = load(ROOT / "profiles/lite/params.yaml")
    assert all(EXPERIMENTS[name].models(lite) == ["llava-7b"] for name in ("table1", *others))
    assert EXPERIMENTS["table2"].models(lite) == []
    # Other seeds, and E-AdaPrune's other backbones, come after the first.
    further = {"layers": config.experiments.layers.models, "eadaprune": config.experiments.eadaprune.backbones}
    for name, keys in further.items():
        assert keys and EXPERIMENTS[name].models(config) == ["llava-7b", *keys]
        assert EXPERIMENTS[name].models(lite) == ["llava-7b"]
        assert EXPERIMENTS[name].file_stem(config, "llava-7b") == name
        assert EXPERIMENTS[name].file_stem(config, keys[0]) == f"{name}-{keys[0]}"
    swept = config.model_copy(
        update={"experiments": config.experiments.model_copy(update={"layers": LayerSection(prune_before=(1, 2))})}
    )
    assert EXPERIMENTS["layers"].models(swept) == ["llava-7b"]
    assert EXPERIMENTS["layers"].settings_of(swept).prune_before == (1, 2)


def test_a_model_prunes_at_the_layer_that_its_entry_names(tmp_path):
    """Table 1 prints K=5 for VTW in two models of different depths."""
    paper = load(ROOT / "profiles/paper/params.yaml")
    table1 = get_experiment("table1")
    vtw = TABLE1.variants["vtw"]
    layers = [
        next(iter(placed(variants_of(TABLE1, table1.settings_of(paper, key))["vtw", None].method, depth)))
        for key, depth in (("llava-7b", 32), ("llava-13b", 40))
    ]
    assert layers == [5, 5] and vtw.variant(0.1) == vtw.variant(0.1, {"fastv": 3})
    miniature = load(ROOT / "params.yaml")
    assert all(
        variants_of(TABLE1, table1.settings_of(miniature, key))["vtw", None] == vtw.variant(0.1)
        for key in table1.models(miniature)
    )
    for layers in ({"vtv": 5}, {"none": 5}):
        config = config_of(tmp_path, models={"one": MINIMAL["models"]["one"] | {"layers": layers}})
        with pytest.raises(ConfigError, match=next(iter(layers))):
            table1.settings_of(config)


def test_a_model_that_no_table_prints(tmp_path):
    config = config_of(tmp_path, models={"one": MINIMAL["models"]["one"] | {"table": None, "paper": "LLaVA-NeXT-8B"}})
    assert EXPERIMENTS["table1"].models(config) == EXPERIMENTS["table2"].models(config) == []


def test_prompt_and_pictures_of_a_model_replace_those_of_the_section(tmp_path):
    models = {"one": MINIMAL["models"]["one"], "two": MINIMAL["models"]["one"] | {"prompt": "vicuna_v1"}}
    config = config_of(tmp_path, models=models, evaluation={"prompt": "checkpoint", "pictures": "pad"})
    found = [get_experiment("table1").settings_of(config, key) for key in models]
    assert [(each.prompt, each.pictures) for each in found] == [("checkpoint", "pad"), ("vicuna_v1", "pad")]
    with pytest.raises(ConfigError, match=r"evaluation\.prompt"):
        config_of(tmp_path, evaluation={"prompt": "vicuna"})

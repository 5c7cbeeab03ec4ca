"""A model is recognised by where its weights were fetched from."""

import json

import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report.checkpoints import RunModel, file_name
from vtstudy.report.inputs import Folders, load
from vtstudy.report.verdicts.printed_values import DIFFERS, NOT_RUN, REPRODUCED, judge_printed_values

INTERNVL = "OpenGVLab/InternVL2-2B"


@pytest.mark.parametrize("folder", ["data/models/internvl2-2b", "converted", "/somewhere/else"])
def test_a_converted_folder_of_any_name_is_the_papers(folder):
    facts = {"model": INTERNVL, "source": {"id": INTERNVL, "commit": "abc"}}
    model = RunModel.of("InternVL2-2B", folder, facts)
    assert model.is_papers and not model.is_miniature and model.revision == "abc"
    assert not RunModel.of("InternVL2-8B", folder, facts).is_papers


@pytest.mark.parametrize("folder", ["data/checkpoints/InternVL2-2B", INTERNVL, "data/checkpoints/miniature-internvl"])
@pytest.mark.parametrize("facts", [{}, {"model": "x", "source": None}])
def test_a_name_alone_proves_nothing(folder, facts):
    assert not RunModel.of("InternVL2-2B", folder, facts).is_papers


def test_a_model_of_ours_is_known_even_if_its_folder_moved():
    assert RunModel.of("LLaVA-1.5-7B", "some/where/miniature-llava", {}).is_miniature
    assert not RunModel.of("LLaVA-1.5-7B", "some/finetuned", {}).is_miniature


def test_the_slash_of_a_hub_id_does_not_get_into_a_file_name():
    assert file_name("llava-hf/llava-1.5-13b-hf") == "llava-hf--llava-1.5-13b-hf"
    assert file_name("miniature-next") == "miniature-next"


def _judged(tmp_path, facts):
    """The verdicts on a run of the papers' name under other facts."""
    files = synthetic.write(tmp_path, synthetic.rows(model="llava-7b"), "paper")
    path = tmp_path / "provenance.json"
    provenance = json.loads(path.read_text())
    provenance["models"] = {"LLaVA-1.5-7B": {"model": "llava-7b"} | facts}
    path.write_text(json.dumps(provenance))
    values = judge_printed_values(load(Folders(files["reports"], files["published"], files["params"])))
    return {value.verdict for value in values if value.ours}


@pytest.mark.slow
def test_the_recorded_source_decides_whether_scores_are_judged(tmp_path):
    source = {"id": synthetic.HUB_MODEL, "commit": synthetic.REVISION}
    assert _judged(tmp_path, {"source": source}) <= {REPRODUCED, DIFFERS}
    assert _judged(tmp_path, {"source": source | {"id": "someone/llava-1.5-7b-hf"}}) == {NOT_RUN}
    assert _judged(tmp_path, {"source": None}) == {NOT_RUN}

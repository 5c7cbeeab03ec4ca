"""A file of parameters with one model, for tests of what is checked and planned before a run."""

import json


def write_params(folder, experiments=None, **evaluation):
    """Write the file; returns its path."""
    params = {
        "profile": "lite",
        "models": {"llava-7b": {"paper": "LLaVA-1.5-7B", "table": "table1", "checkpoint": "somewhere"}},
        "evaluation": evaluation,
        "experiments": experiments or {},
        "report": {"tolerances": {"default": 1.0}},
    }
    (folder / "params.yaml").write_text(json.dumps(params))
    return folder / "params.yaml"

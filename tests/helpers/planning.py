"""A measured rate and a small profile, for the tests of the plan."""

from vtstudy.config import Config
from vtstudy.planning.rates import KindRate, Rate

MODEL, DATA = "llava-hf/llava-1.5-7b-hf", "lmms-lab-encoder/POPE"


def a_config(**changes) -> Config:
    """A profile that fetches one model, and asks it ten questions of POPE by FastV."""
    model = {"paper": "LLaVA-1.5-7B", "checkpoint": "data/models/llava", "source": {"id": MODEL}}
    values = {
        "profile": "mine",
        "models": {"llava-7b": model},
        "evaluation": {"data": "data/hub", "dtype": "float16", "limit": 10},
        "downloads": {},
        "experiments": {"energy": {"energies": [0.9], "benchmarks": ["pope"]}},
        "report": {"tolerances": {"default": 1.0}},
    }
    return Config.model_validate(values | changes)


def a_rate(**changes) -> Rate:
    values = {
        "model": "owner/name",
        "device": "NVIDIA H200",
        "gpu": True,
        "dtype": "float16",
        "batch_size": 16,
        "keep": 0.1,
        "kinds": {
            "short": KindRate(benchmark="gqa", questions=16, question=0.01, unpruned=0.02, pruned=0.005),
            "caption": KindRate(benchmark="nocaps", questions=16, question=0.01, unpruned=0.08, pruned=0.06),
        },
        "accelerator_bytes": 20 * 10**9,
        "resident_bytes": 3 * 10**9,
        "provenance": {"date": "2026-01-02T03:04:05", "commit": "0123456789ab", "cpus": 8, "threads": 8},
    }
    return Rate(**(values | changes))

"""Time and memory of a model's work, from a measured rate and from FLOPs."""

import pytest
from helpers.planning import a_rate

from vtprune.cost import cost
from vtprune.methods import get_method
from vtstudy.evaluation.requests import Variant
from vtstudy.experiments.paper_models import SIZES
from vtstudy.experiments.plan import Asked, Shown
from vtstudy.planning.estimate import (
    ANSWER_TOKENS,
    BANDWIDTH_USE,
    LAUNCH_SECONDS,
    UTILISATION,
    Work,
    accelerator_bytes,
    computed_seconds,
    measured_seconds,
    weight_bytes,
)
from vtstudy.planning.machine import data_sheet

PAPER, SHEET = "LLaVA-1.5-7B", data_sheet("A100-80GB")


def asked(benchmark: str, count: int, method: str = "none", image: str = "shown", **parameters) -> Asked:
    chosen = get_method(method, **parameters)
    return Asked("model", benchmark, Variant(chosen, image), chosen, count)


def seconds(*parts: Asked, shown: tuple[Shown, ...] = (), batch: int = 16) -> float:
    return computed_seconds(Work(parts, shown), PAPER, batch, SHEET, "float16")


def test_measured_time_is_the_sum_of_its_parts():
    parts = (asked("gqa", 100), asked("gqa", 60, "fastv", keep=0.1), asked("nocaps", 10, "fastv", keep=0.1))
    work = Work((*parts, asked("gqa", 20, image="blank")), (Shown("figure2", "model", "gqa", 5),))
    expected = (
        100 * (0.01 + 0.02)  # the questions of gqa, read once for both variants
        + 60 * 0.005
        + 10 * (0.01 + 0.06)  # nocaps has no unpruned variant
        + 20 * (0.01 + 0.02)  # without the image they are other questions
        + 5 * (0.01 + 0.02)
    )
    assert measured_seconds(work, a_rate()) == pytest.approx(expected)
    assert work.answers == 190


def test_computed_time_of_the_unpruned_model_is_that_of_its_flops():
    size = SIZES[PAPER]
    prompt = cost(size.config(), get_method("none"), size.workload).flops / (SHEET.flops * UTILISATION)
    step = max(weight_bytes(PAPER) / (SHEET.bandwidth * BANDWIDTH_USE), 32 * LAUNCH_SECONDS) / 16
    assert seconds(asked("gqa", 1000)) == pytest.approx(1000 * (prompt + (ANSWER_TOKENS["short"] - 1) * step))
    assert seconds(shown=(Shown("figure2", "model", "gqa", 7),)) == pytest.approx(7 * prompt)


def test_variants_share_the_questions():
    unpruned, pruned = asked("gqa", 100), asked("gqa", 100, "fastv", keep=0.1)
    together = seconds(unpruned, pruned)
    assert seconds(unpruned) < together < seconds(unpruned) + seconds(pruned)
    assert seconds(pruned) < seconds(unpruned)
    assert seconds(asked("nocaps", 100)) > seconds(unpruned)  # longer answers


def test_memory_grows_with_the_batch():
    assert weight_bytes(PAPER) == pytest.approx(14.1e9, rel=0.01)  # as its files on the Hub
    assert weight_bytes(PAPER, "float32") == 2 * weight_bytes(PAPER, "float16")
    one, sixteen = (accelerator_bytes(PAPER, batch, "float16") for batch in (1, 16))
    assert weight_bytes(PAPER) < one < sixteen
    # LLaVA-NeXT's prompts are five times as long.
    next_model = "LLaVA-NeXT-7B"
    growth = accelerator_bytes(next_model, 16, "float16") - weight_bytes(next_model)
    assert 4 < growth / (sixteen - weight_bytes(PAPER)) < 6

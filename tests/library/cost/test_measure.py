"""Measuring: what is run is what is meant, on tiny models of every family."""

from dataclasses import replace

import pytest
import torch
from helpers.tiny_configs import tiny_config

from vtprune.cost.measure import LOOP, LoopAdaptPrune, Plan, build, measure, prompts, variants, workload_of
from vtprune.methods import AdaptPrune, get_method

pytestmark = pytest.mark.slow

PLAN = Plan(batch=2, rounds=2, warmup=1, new_tokens=3, text_tokens=9, loop_rounds=1)
CPU = torch.device("cpu")


@pytest.mark.parametrize(("kind", "tokens", "tiles"), [("llava", 64, 1), ("llava_next", 320, 5), ("internvl", 52, 13)])
def test_the_unpruned_model_of_every_family_is_measured(kind, tokens, tiles):
    model = build(tiny_config(kind), CPU, torch.float32)
    found = measure(model, {"none": get_method("none")}, PLAN)
    assert {phase: len(each) for phase, each in found.seconds["none"].items()} == dict.fromkeys(
        ("vision", "prefill", "decode", "end_to_end"), 2
    )
    assert all(value > 0 for each in found.seconds["none"].values() for value in each)
    assert found.weight_bytes == 4 * sum(parameter.numel() for parameter in model.parameters())
    workload = workload_of(model.config, PLAN.text_tokens)
    assert (workload.image_tokens, workload.tiles) == (tokens, tiles)
    given = prompts(model.config, PLAN.text_tokens, 2, CPU, torch.float32)
    assert given["input_ids"].shape == (2, workload.image_tokens + workload.text_tokens)


def test_every_method_is_measured_and_the_loop_less_often():
    model = build(tiny_config(), CPU, torch.float32)
    before = [parameter.clone() for parameter in model.parameters()]
    candidates = variants(0.25, CPU)
    assert {"none", "fastv", "adaptprune", LOOP} <= set(candidates)
    found = measure(model, candidates, PLAN)
    assert list(found.seconds) == list(candidates) and not found.refused and not found.peak_bytes
    for name, phases in found.seconds.items():
        rounds = 1 if name == LOOP else 2
        assert {len(each) for each in phases.values()} == {rounds}
        assert ("selection" in phases) == (name != "none")
    for name in ("fastv", "adaptprune", LOOP):
        assert min(found.seconds[name]["scoring"]) > 0 and min(found.seconds[name]["selection"]) > 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_loop_chooses_the_same_tokens_as_adaptprune():
    model = build(tiny_config(), CPU, torch.float32)
    inputs = prompts(model.config, 9, 2, CPU, torch.float32)
    chosen = {}
    for method in (AdaptPrune(0.3, radius=9.0), LoopAdaptPrune(0.3, radius=9.0)):
        with method.attach(model) as pruned, torch.no_grad():
            model(**inputs)
            chosen[method.name] = [image.indices.tolist() for row in pruned.kept for image in row]
    assert chosen["adaptprune"] == chosen[LOOP]
    assert chosen[LOOP] != [list(range(19))] * 2


def test_methods_that_cannot_be_attached_are_listed_as_refused(monkeypatch):
    monkeypatch.setattr("vtprune.cost.measure.FAMILIES", {})
    model = build(tiny_config(), CPU, torch.float32)
    found = measure(
        model, {"none": get_method("none"), "fastv": get_method("fastv", keep=0.5)}, replace(PLAN, rounds=1)
    )
    assert found.refused == {"fastv": "pruning is not implemented for LlavaForConditionalGeneration"}
    assert list(found.seconds) == ["none"]

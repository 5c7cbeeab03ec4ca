"""Every method on every family: it runs, or it refuses with a reason."""

from pathlib import Path

import pytest
import torch
from helpers.attaching import first_fast
from helpers.tiny_families import CASES, IMAGE, batch, build, flat, rows_of

from vtprune.attach.families import FAMILIES
from vtprune.errors import UserError
from vtprune.methods import get_method, methods


def test_every_family_has_a_tiny_model():
    assert {type(build(*case)).__name__ for case in CASES} == set(FAMILIES)


def test_the_page_of_the_families_lists_them_all():
    page = (Path(__file__).parents[3] / "docs" / "families.md").read_text()
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(FAMILIES)


@pytest.mark.parametrize(("family", "decoder"), first_fast(CASES, unpack=True))
def test_every_method_runs_on_every_family(family, decoder):
    """With an exact budget in every row of a ragged batch."""
    model = build(family, decoder, layers=4)
    inputs = batch(rows_of(model, family))
    totals = (inputs["input_ids"] == IMAGE).sum(dim=1).tolist()
    for name, kind in methods().items():
        method = get_method(name, keep=0.3) if kind.takes_keep() else get_method(name)
        with torch.no_grad(), method.attach(model) as pruned:
            logits = model(**inputs).logits[:, -1]
            kept = [len(flat(row)) for row in pruned.kept]
        assert logits.isfinite().all()
        if kind.takes_keep():
            assert kept == [int(0.3 * total) for total in totals], name


@pytest.mark.slow
def test_methods_that_need_a_score_refuse_layers_without_one():
    """And the others run: Gemma 3 with layers of the released checkpoints' kinds."""
    model = build("gemma3", layers=4, layer_types=["sliding_attention"] * 3 + ["full_attention"])
    inputs = batch(rows_of(model, "gemma3"))
    for name, kind in methods().items():
        method = get_method(name, keep=0.3) if kind.takes_keep() else get_method(name)
        scored = any(stage.least_layer > 0 for stage in method.stages())
        if scored:
            with pytest.raises(
                UserError, match=f"{name} before layer .* take a method that needs no attention"
            ) as said:
                method.attach(model)
            assert "\n" not in str(said.value)
        else:
            with torch.no_grad(), method.attach(model):
                assert model(**inputs).logits.isfinite().all()

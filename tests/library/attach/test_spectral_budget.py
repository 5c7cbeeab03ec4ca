"""Spectral budgets on a model: the right tensors for each source of features; ragged batches equal single rows."""

import pytest
import torch
from helpers.attaching import LENGTHS, WIDE, first_fast, generate, indices

from vtprune.methods import AdaptPrune, FastV, RandomPruning, SpectralBudget
from vtprune.ops import energy_rank

SOURCES = ("vision", "projected", "hidden")
RANKINGS = {"fastv": FastV, "random": RandomPruning, "adaptprune": lambda keep: AdaptPrune(keep, **WIDE)}


@pytest.mark.parametrize("source", first_fast(SOURCES))
@pytest.mark.parametrize("ranking", first_fast(list(RANKINGS)))
def test_ragged_batch_equals_single_rows(tiny, model, source, ranking):
    inputs = tiny.prompts(LENGTHS)
    # Images of different density: the second is almost one colour.
    inputs["pixel_values"][1] *= 0.02
    inputs["pixel_values"][2, :, :16] = 0.5
    method = RANKINGS[ranking](SpectralBudget(0.95, features=source, centre=source != "vision", rank=2, oversampling=2))
    options = {"do_sample": False, "max_new_tokens": 6, "return_dict_in_generate": True, "output_logits": True}
    with method.attach(model) as pruned:
        batch = model.generate(**inputs, **options)
        kept = indices(pruned)
        assert len({len(row[0]) for row in kept}) > 1
        for row in range(3):
            alone = model.generate(**tiny.single(inputs, row), **options)
            assert indices(pruned) == [kept[row]]
            assert alone.sequences[0, -6:].tolist() == batch.sequences[row, -6:].tolist()
            for together, by_itself in zip(batch.logits, alone.logits, strict=True):
                torch.testing.assert_close(together[row], by_itself[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strategy", ["default", "full"])
def test_each_source_of_features_holds_the_right_tensors(tiny, strategy):
    model = tiny.build(kv_heads=2, vision_feature_select_strategy=strategy)
    extra = strategy == "full"
    inputs = tiny.prompts(LENGTHS[:2], per_image=tiny.grid**2 + extra)
    with torch.no_grad():
        tower = model.model.vision_tower(inputs["pixel_values"], output_hidden_states=True).hidden_states[-2]
        vision = tower if extra else tower[:, 1:]
        projected = model.model.multi_modal_projector(vision)[:, extra:]
        states = model(**inputs, output_hidden_states=True).hidden_states[2]
    is_image = inputs["input_ids"] == tiny.image
    hidden = torch.stack([states[row, is_image[row]] for row in range(2)])[:, extra:]
    for source, x in zip(SOURCES, (vision, projected, hidden), strict=True):
        # Ties aside, an energy between two of the exact sums gives just that rank.
        for energy in (0.7, 0.9, 0.97):
            wanted, _ = energy_rank(x, energy, route="svd", centre=True)
            with torch.no_grad(), FastV(SpectralBudget(energy, features=source, centre=True)).attach(model) as pruned:
                model(**inputs)
            assert [len(row[0]) for row in indices(pruned)] == wanted.clamp(min=1).tolist()


@pytest.mark.slow
def test_images_of_a_prompt_share_one_budget(tiny, model):
    inputs = tiny.prompts(LENGTHS, images=(1, 2, 3))
    for source in SOURCES:
        method = FastV(SpectralBudget(0.95, features=source, centre=True))
        with method.attach(model) as pruned:
            batch = generate(model, inputs)
            kept = indices(pruned)
            for row in range(3):
                alone = generate(model, tiny.single(inputs, row, images=(1, 2, 3)))
                assert indices(pruned) == [kept[row]]
                assert alone[0].tolist() == batch[row].tolist()
            beams = model.generate(**inputs, do_sample=False, num_beams=2, max_new_tokens=2)
            assert len(beams) == 3 and indices(pruned)[::2] == indices(pruned)[1::2] == kept
    many = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    together, _ = energy_rank(many.flatten(0, 1)[None], 0.95)
    assert together > energy_rank(many, 0.95)[0].max()


def test_images_encoded_before_the_block_have_no_vision_features(tiny, model):
    inputs = tiny.prompts(((3, 5),))
    with torch.no_grad():
        encoded = {"image": model.get_image_features(inputs.pop("pixel_values"), return_dict=True)}
        with FastV(SpectralBudget(0.9)).attach(model) as pruned:
            model(**inputs, mm_encoder_outputs=dict(encoded))
            assert 1 <= len(indices(pruned)[0][0]) <= 16
        with (
            FastV(SpectralBudget(0.9, features="vision")).attach(model),
            pytest.raises(ValueError, match="were not seen"),
        ):
            model(**inputs, mm_encoder_outputs=dict(encoded))

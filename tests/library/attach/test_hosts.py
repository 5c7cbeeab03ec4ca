"""PyramidDrop and VisionZip with fixed and spectral budgets, in every family: exact, cached, and in ragged batches."""

import pytest
import torch
from helpers.attaching import first_fast, generate, merged, recompute
from helpers.tiny_families import IMAGE, IMAGES, TODAY, batch, build, flat, prompt, rows_of

from vtprune.attach import Prefix, attach, attach_all
from vtprune.attach.families import family_of
from vtprune.methods import FastV, PyramidDrop, RandomPruning, SpectralBudget, VisionZip

FAMILIES = [("llava", "mistral"), ("llava_next", "llama"), ("internvl", "qwen2"), *TODAY]
HOSTS = {"pyramiddrop": PyramidDrop, "visionzip": lambda keep: VisionZip(keep, contextual=0.4)}
BUDGETS = {"fixed": 0.3, "spectral": SpectralBudget(0.9, centre=True, rank=2, oversampling=2)}
by_host = pytest.mark.parametrize("host", HOSTS)
by_budget = pytest.mark.parametrize("budget", BUDGETS)


@pytest.fixture(scope="module", params=first_fast(FAMILIES), ids=lambda case: case[0])
def case(request):
    """A model of four layers, and its family."""
    return build(*request.param, layers=4), request.param[0]


@by_host
def test_keeping_everything_is_bit_equal(case, host):
    model, family = case
    inputs = batch(rows_of(model, family))
    with torch.no_grad():
        expected = model(**inputs).logits
        for keep in (1.0, 10_000, SpectralBudget(0.5, k_min=10_000)):
            with HOSTS[host](keep).attach(model) as pruned:
                assert torch.equal(model(**inputs).logits, expected)
                totals = (inputs["input_ids"] == IMAGE).sum(dim=1).tolist()
                assert [flat(row) for row in pruned.kept] == [list(range(total)) for total in totals]


@by_host
@by_budget
def test_cached_generation_equals_recomputation(case, host, budget):
    """With two images in the prompt."""
    model, family = case
    inputs = prompt(model, IMAGES[family][1])
    options = {"do_sample": False, "max_new_tokens": 5, "return_dict_in_generate": True, "output_logits": True}
    with HOSTS[host](BUDGETS[budget]).attach(model) as pruned:
        out = model.generate(**inputs, **options)
        kept = {layer: flat(pruned.kept_at(layer)[0]) for layer in pruned.stage_layers}
        means = merged(pruned)
        uncached = generate(model, inputs, tokens=5, use_cache=False)
        assert {layer: flat(pruned.kept_at(layer)[0]) for layer in pruned.stage_layers} == kept
    assert host == "pyramiddrop" or max(map(len, means.values())) > 1
    tokens, logits = recompute(model, inputs, kept, tokens=5, means=means)
    assert out.sequences[0, -5:].tolist() == tokens == uncached[0].tolist()
    torch.testing.assert_close(torch.cat(out.logits), logits, rtol=1e-4, atol=1e-4)
    text = inputs["input_ids"].shape[1] - int((inputs["input_ids"] == IMAGE).sum())
    for layer, left in kept.items():
        assert out.past_key_values.get_seq_length(layer) == text + len(left) + 4


@pytest.mark.slow
@by_host
@by_budget
@pytest.mark.parametrize("attention", first_fast(["sdpa", "eager"]))
def test_ragged_batch_equals_single_rows(case, host, budget, attention):
    model, family = case
    model.set_attn_implementation(attention)
    rows = rows_of(model, family)
    rows[1]["pixel_values"] = rows[1]["pixel_values"] * 0.02  # almost one colour: a small budget
    options = {"do_sample": False, "max_new_tokens": 3, "return_dict_in_generate": True, "output_logits": True}
    with HOSTS[host](BUDGETS[budget]).attach(model) as pruned:
        together = model.generate(**batch(rows), **options)
        kept, means = [flat(row) for row in pruned.kept], [merged(pruned, row) for row in range(3)]
        assert len(set(map(len, kept))) > 1
        for number, row in enumerate(rows):
            alone = model.generate(**row, **options)
            assert [flat(part) for part in pruned.kept] == [kept[number]] and merged(pruned) == means[number]
            assert alone.sequences[0, -3:].tolist() == together.sequences[number, -3:].tolist()
            for one, other in zip(together.logits, alone.logits, strict=True):
                torch.testing.assert_close(one[number], other[0], rtol=1e-4, atol=1e-4)
    model.set_attn_implementation("sdpa")


@by_host
def test_a_row_that_keeps_everything_beside_one_that_does_not(case, host):
    model, family = case
    rows = rows_of(model, family)[:2]
    totals = [int((row["input_ids"] == IMAGE).sum()) for row in rows]
    small = totals.index(min(totals))
    with torch.no_grad():
        expected = model(**rows[small]).logits[0, -1]
        with HOSTS[host](min(totals)).attach(model) as pruned:
            logits = model(**batch(rows)).logits[small, -1]
            assert [len(flat(row)) for row in pruned.kept] == [min(totals)] * 2
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_pyramids_reach_the_budget_in_equal_ratios(case):
    model, family = case
    inputs = batch(rows_of(model, family))
    totals = (inputs["input_ids"] == IMAGE).sum(dim=1).tolist()
    spectral = SpectralBudget(0.9, features="hidden", centre=True)
    with torch.no_grad():
        with FastV(spectral, layer=1).attach(model) as pruned:  # the same features as of the first stage
            model(**inputs)
            ends = [len(flat(row)) for row in pruned.kept]
        with PyramidDrop(spectral).attach(model) as pruned:
            model(**inputs)
            counts = [[len(flat(row)) for row in pruned.kept_at(layer)] for layer in (1, 2, 3)]
    for row, (total, end) in enumerate(zip(totals, ends, strict=True)):
        even = [int((total ** (3 - step) * end**step) ** (1 / 3) + 1e-9) for step in (1, 2, 3)]
        assert [stage[row] for stage in counts] == even


def test_beams_repeat_the_merged_prompt(case):
    model, family = case
    rows = rows_of(model, family)
    with VisionZip(0.3, contextual=0.4).attach(model) as pruned:
        generate(model, batch(rows), tokens=2, num_beams=2)
        kept = [flat(row) for row in pruned.kept]
        for number, row in enumerate(rows):
            generate(model, row, tokens=2)
            assert kept[2 * number : 2 * number + 2] == [flat(pruned.kept[0])] * 2


def test_shared_prefixes_give_the_same_bits(case):
    model, family = case
    inputs = batch(rows_of(model, family))
    methods = [
        RandomPruning(0.3, layer=0),
        VisionZip(0.3, contextual=0.4),
        VisionZip(BUDGETS["spectral"]),
        PyramidDrop(0.2),
        PyramidDrop(SpectralBudget(0.9, features="hidden")),
        FastV(0.3, layer=1),
    ]
    prefix = Prefix(inputs)
    options = {"do_sample": False, "max_new_tokens": 2, "return_dict_in_generate": True, "output_logits": True}
    for index, attachment in attach_all(methods, model, prefix):
        with attachment:
            shared = model.generate(**prefix.inputs, **options)
        with attach(methods[index], model):
            alone = model.generate(**inputs, **options)
        assert all(torch.equal(a, b) for a, b in zip(shared.logits, alone.logits, strict=True))


def test_gradients_flow_to_every_token_of_a_mean(case):
    model, family = case
    if family == "llava_onevision":
        pytest.skip("an image token is made of several of the projector's outputs, or of none")
    inputs, projected = prompt(model, IMAGES[family][0]), []

    def retain(module, args, output):
        output.retain_grad()
        projected.append(output)

    handle = family_of(model).projector(model).register_forward_hook(retain)
    with VisionZip(0.3, contextual=0.4).attach(model) as pruned:
        model(**inputs).logits[:, -1].sum().backward()
        means, kept = merged(pruned), flat(pruned.kept[0])
    handle.remove()
    model.zero_grad()
    used = len(kept) - len(means) + sum(map(len, means.values()))
    assert int(projected[0].grad.any(dim=-1).sum()) == used

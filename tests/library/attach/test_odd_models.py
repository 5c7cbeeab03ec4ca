"""Copies of an attached model, odd prompts and calls, beams: right answers, or an error that says what was wrong."""

import copy
import io
import pickle

import pytest
import torch
from helpers.attaching import BY_NAME, LENGTHS, METHODS, first_fast, generate, hooks, indices, one_of_each, recompute
from helpers.tiny_families import CASES, IMAGES, batch, build, prompt
from transformers import LlavaForConditionalGeneration

from vtprune.errors import UserError
from vtprune.methods import AdaptPrune, FastV, get_method

pytestmark = pytest.mark.slow

FEW = [FastV(0.25), get_method("visionzip", keep=0.5), get_method("pyramiddrop", keep=0.25)]


# ---- copies of the model


@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_a_copy_made_within_the_block_is_not_pruned(tiny, method):
    model, inputs = tiny.build(kv_heads=2), tiny.prompts(LENGTHS)
    unpruned = generate(model, inputs)
    with method.attach(model) as pruned:
        expected = generate(model, inputs), indices(pruned)
        copied = copy.deepcopy(model)
        assert torch.equal(generate(copied, inputs), unpruned)
        assert indices(pruned) == expected[1]
        assert torch.equal(generate(model, inputs), expected[0])
    assert torch.equal(generate(copied, inputs), unpruned)
    with torch.no_grad():  # it runs with its own weights, not with those of the model that it was copied from
        copied.lm_head.weight.neg_()
        assert torch.equal(copied(**inputs).logits, -model(**inputs).logits)
        copied.lm_head.weight.neg_()
    with method.attach(copied) as pruned:
        assert torch.equal(generate(copied, inputs), expected[0]) and indices(pruned) == expected[1]


def test_a_copy_has_the_configuration_of_the_model(tiny):
    model = tiny.build(kv_heads=2, attention="eager")
    with AdaptPrune(0.25).attach(model):
        copied = copy.deepcopy(model)
    text = copied.config.text_config
    assert all(layer.self_attn.config is text for layer in copied.model.language_model.layers)
    assert text is not model.config.text_config and text._attn_implementation == "eager"
    copied.set_attn_implementation("sdpa")
    assert copied.model.language_model.layers[1].self_attn.config._attn_implementation == "sdpa"
    assert model.config.text_config._attn_implementation == "eager"


@pytest.mark.parametrize("method", FEW, **BY_NAME)
def test_a_model_saved_within_the_block_is_not_pruned(tiny, tmp_path, method):
    model, inputs = tiny.build(kv_heads=2), tiny.prompts(LENGTHS)
    with method.attach(model):  # before the model has run: transformers' own hooks cannot be pickled
        pickled, file = pickle.dumps(model), io.BytesIO()
        torch.save(model, file)
        model.save_pretrained(tmp_path)
    file.seek(0)
    unpruned = generate(model, inputs)
    read = [pickle.loads(pickled), torch.load(file, weights_only=False)]
    for other in (*read, LlavaForConditionalGeneration.from_pretrained(tmp_path)):
        other.generation_config = model.generation_config
        assert torch.equal(generate(other, inputs), unpruned)


def test_two_models_that_share_a_decoder_are_not_pruned_at_once(tiny, model):
    other = tiny.build(kv_heads=2)
    other.model.language_model = model.model.language_model
    inputs = tiny.prompts(LENGTHS)
    with FastV(0.25).attach(model) as pruned:
        expected = generate(model, inputs), indices(pruned)
        with pytest.raises(UserError, match="already"), FastV(0.5).attach(other):
            pass
        assert torch.equal(generate(model, inputs), expected[0]) and indices(pruned) == expected[1]


def test_one_attachment_is_not_entered_twice(tiny, model):
    inputs, attachment = tiny.prompts(LENGTHS), FastV(0.25).attach(model)
    with attachment:
        expected = generate(model, inputs)
        with pytest.raises(UserError, match="already"):
            attachment.__enter__()
        assert torch.equal(generate(model, inputs), expected)


def test_a_model_without_weights_is_refused(tiny):
    with torch.device("meta"):
        model = tiny.build()
    attachment = FastV(0.25).attach(model)
    assert attachment.stage_layers == (2,)  # what needs no weights works
    with pytest.raises(UserError, match="no weights") as raised, attachment:
        pass
    assert "\n" not in str(raised.value) and hooks(model) == 0


# ---- prompts


def test_empty_prompts_are_refused(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    no_rows = {name: value[:0] for name, value in inputs.items()}
    no_tokens = {name: inputs[name][:, :0] for name in ("input_ids", "attention_mask")}
    with FastV(0.25).attach(model):
        for given in (no_rows, {**inputs, **no_tokens}):
            with pytest.raises(UserError, match="empty"):
                model(**given)
        generate(model, inputs)


@pytest.mark.parametrize("method", first_fast(one_of_each(1)), **BY_NAME)
def test_a_single_token_is_kept(tiny, model, method):
    inputs = tiny.prompts(((3, 5), (1, 9)), images=(1, 2))
    with method.attach(model) as pruned:
        together = generate(model, inputs)
        assert torch.equal(generate(model, inputs, use_cache=False), together)
        assert [sum(len(part) for part in row) for row in indices(pruned)] == [1, 1]


def test_a_single_token_equals_the_recomputation(tiny, model):
    inputs = tiny.prompts(((3, 5),))
    with FastV(1).attach(model) as pruned:
        found = generate(model, inputs)
        ((kept,),) = indices(pruned)
    assert found[0].tolist() == recompute(model, inputs, {2: kept})[0]


@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_one_picture_shown_twice(tiny, model, method):
    """All its tokens have an equal one: budgets are exact, and choices are those of the batch."""
    inputs = tiny.prompts(((3, 5), (1, 2)), images=2)
    inputs["pixel_values"] = inputs["pixel_values"][[0, 0, 2, 2]]
    other = tiny.prompts(((3, 5), (1, 2)), images=2)
    with method.attach(model) as pruned:
        together, kept = generate(model, inputs), indices(pruned)
        for row in range(2):
            assert torch.equal(generate(model, tiny.single(inputs, row, images=2))[0], together[row])
            assert indices(pruned)[0] == kept[row]
        totals = [sum(map(len, row)) for row in kept]
        generate(model, other)
        assert [sum(map(len, row)) for row in indices(pruned)] == totals


@pytest.mark.parametrize("kind", [torch.float32, torch.bool, torch.int32], ids=str)
def test_masks_of_other_types(tiny, model, kind):
    inputs = tiny.prompts(LENGTHS)
    with torch.no_grad(), FastV(0.25).attach(model) as pruned:
        expected = model(**inputs).logits, indices(pruned)
        found = model(**{**inputs, "attention_mask": inputs["attention_mask"].to(kind)}).logits
        assert torch.equal(found, expected[0]) and indices(pruned) == expected[1]


def test_embeddings_in_place_of_ids_are_refused(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    embedded = {**inputs, "inputs_embeds": model.get_input_embeddings()(inputs["input_ids"])}
    with FastV(0.25).attach(model):
        for call in (lambda: model(**{**embedded, "input_ids": None}), lambda: generate(model, embedded)):
            with pytest.raises(UserError, match="input_ids"):
                call()


# ---- ways of calling


@pytest.mark.parametrize("method", FEW, **BY_NAME)
def test_arguments_by_place_tuples_and_single_logits(tiny, model, method):
    inputs = tiny.prompts(LENGTHS)
    with torch.no_grad(), method.attach(model) as pruned:
        expected = model(**inputs).logits, indices(pruned)
        for logits in (
            model(inputs["input_ids"], inputs["pixel_values"], inputs["attention_mask"]).logits,
            model(**inputs, return_dict=False)[0],
        ):
            assert torch.equal(logits, expected[0]) and indices(pruned) == expected[1]
        last = model(**inputs, logits_to_keep=1).logits
        torch.testing.assert_close(last, expected[0][:, -1:])


def test_attentions_and_hidden_states_of_a_pruned_prompt(tiny):
    """They have the length that their layer sees, and the attention is that which FastV ranks by."""
    model, inputs = tiny.build(kv_heads=2, attention="eager"), tiny.prompts(LENGTHS)
    with torch.no_grad(), FastV(0.25).attach(model) as pruned:
        output = model(**inputs, output_attentions=True, output_hidden_states=True)
        kept = indices(pruned)
    whole = inputs["input_ids"].shape[1]
    assert [part.shape[-1] for part in output.attentions] == [whole, whole, whole - 12, whole - 12]
    assert [part.shape[1] for part in output.hidden_states] == [whole] * 3 + [whole - 12] * 2
    row = output.attentions[1][:, :, -1].mean(dim=1)
    for number, (paid,) in enumerate(kept):
        image = row[number][inputs["input_ids"][number] == tiny.image]
        assert sorted(image.topk(4).indices.tolist()) == paid


def test_dropout_does_not_change_scores(tiny):
    model, inputs = tiny.build(kv_heads=2), tiny.prompts(LENGTHS)
    with torch.no_grad(), FastV(0.25).attach(model) as pruned:
        logits = model(**inputs).logits
        expected = indices(pruned)
        model.train()
        model.model.language_model.layers[1].self_attn.attention_dropout = 0.9
        assert not torch.equal(model(**inputs).logits, logits)
        assert indices(pruned) == expected


def test_an_interruption_within_a_layer_leaves_the_next_prompt_unharmed(tiny, model):
    inputs, layers = tiny.prompts(LENGTHS), model.model.language_model.layers

    def interrupt(*arguments):
        raise KeyboardInterrupt

    generate(model, inputs)  # transformers adds hooks of its own to a model that runs for the first time
    before = hooks(model)
    for number in range(len(layers)):
        with FastV(0.25).attach(model) as pruned:
            expected = generate(model, inputs), indices(pruned)
            handle = layers[number].register_forward_hook(interrupt)
            with pytest.raises(KeyboardInterrupt):
                generate(model, inputs)
            handle.remove()
            assert torch.equal(generate(model, inputs), expected[0]) and indices(pruned) == expected[1]
        assert hooks(model) == before


# ---- beams


@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_beams_of_a_batch_are_those_of_its_prompts(tiny, model, method):
    inputs = tiny.prompts(LENGTHS, images=(1, 2, 1))
    options = {"num_beams": 3, "num_return_sequences": 2, "tokens": 4}
    with method.attach(model) as pruned:
        together, kept = generate(model, inputs, **options), indices(pruned)
        assert torch.equal(generate(model, inputs, use_cache=False, **options), together)
        for row in range(3):
            alone = generate(model, tiny.single(inputs, row, images=(1, 2, 1)), **options)
            assert torch.equal(alone, together[2 * row : 2 * row + 2])
            assert indices(pruned)[0] == kept[3 * row]


@pytest.mark.parametrize("case", first_fast(CASES), ids=lambda case: "-".join(case))
def test_beams_in_every_family(case):
    model = build(*case, layers=4)
    rows = [prompt(model, images, seed=seed) for seed, images in enumerate(IMAGES[case[0]])]
    inputs, options = batch(rows), {"num_beams": 2, "tokens": 3}
    methods = [get_method("divprune", keep=0.3), get_method("visionzip", keep=0.3)]
    methods += [] if case[0] == "gemma3" else [FastV(0.3, layer=3)]
    for method in methods:
        with method.attach(model) as pruned:
            together, kept = generate(model, inputs, **options), indices(pruned)
            for number, row in enumerate(rows):
                assert torch.equal(generate(model, row, **options)[0], together[number])
                assert indices(pruned)[0] == kept[2 * number]

"""Odd uses of a pruned model: each gives the right answer, or is refused in one sentence that names it."""

import copy
import pickle

import pytest
import torch
from helpers.attaching import BY_NAME, LENGTHS, METHODS, generate, hooks, indices, merged, recompute
from helpers.tiny_families import flat
from transformers import DynamicCache, GenerationConfig

from vtprune.attach import attach
from vtprune.errors import UserError
from vtprune.methods import AdaptPrune, FastV, NoPruning, RandomPruning, VisionZip

pytestmark = pytest.mark.slow

KINDS = [AdaptPrune(0.25), VisionZip(0.5), RandomPruning(0.4, layer=0)]
TURN = torch.tensor([[9, 8, 7]])


def refused(call, message):
    with pytest.raises(UserError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


def ones(ids):
    return torch.ones_like(ids)


# ---- labels


def test_labels_of_a_pruned_prompt_are_refused(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    labels = inputs["input_ids"]
    with torch.no_grad():
        expected = model(**inputs, labels=labels).loss
        for method in METHODS:
            with method.attach(model) as pruned:
                if method.name == "none":
                    assert torch.equal(model(**inputs, labels=labels).loss, expected)
                else:
                    refused(lambda: model(**inputs, labels=labels), "labels .* pruned")
                    model(**inputs)  # the next call without labels is pruned
                    assert len(pruned.kept) == 3
        with FastV(1.0).attach(model):  # nothing is dropped
            assert torch.equal(model(**inputs, labels=labels).loss, expected)


def test_labels_of_tokens_that_continue_a_cache(tiny, model):
    inputs = tiny.prompts()
    with torch.no_grad(), FastV(0.25).attach(model):
        cache = DynamicCache(config=model.config.text_config)
        model(**inputs, past_key_values=cache)
        branch = copy.deepcopy(cache)
        out = model(input_ids=TURN, labels=TURN, past_key_values=cache)
        logits = model(input_ids=TURN, past_key_values=branch).logits
    expected = torch.nn.functional.cross_entropy(logits[0, :-1], TURN[0, 1:])
    torch.testing.assert_close(out.loss, expected)


# ---- options of generate

REFUSED = {
    "guidance_scale": 1.5,
    "negative_prompt_ids": torch.tensor([[5, 6]]),
    "negative_prompt_attention_mask": torch.tensor([[1, 1]]),
    "penalty_alpha": 0.6,
    "dola_layers": "low",
    "token_healing": True,
    "assistant_early_exit": 1,
    "use_mtp": True,
    "prompt_lookup_num_tokens": 3,
}
CONFIGURABLE = [name for name in REFUSED if not name.startswith("negative")]


@pytest.mark.parametrize("name", REFUSED)
def test_options_with_a_second_prompt_or_drafts_are_refused_by_name(tiny, model, name):
    inputs = tiny.prompts()
    with VisionZip(0.5).attach(model):
        refused(lambda: model.generate(**inputs, **{name: REFUSED[name]}), name)
        if name in CONFIGURABLE:
            config = GenerationConfig(**{name: REFUSED[name]})
            refused(lambda: model.generate(**inputs, generation_config=config), name)
        assert generate(model, inputs).shape == (1, 6)


@pytest.mark.parametrize("name", CONFIGURABLE)
def test_they_are_refused_in_the_configuration_of_the_model_too(tiny, model, name):
    """Also where the call brings a configuration that does not say anything about it."""
    inputs, before = tiny.prompts(), getattr(model.generation_config, name)
    setattr(model.generation_config, name, REFUSED[name])
    try:
        with FastV(0.5).attach(model):
            refused(lambda: model.generate(**inputs), name)
            refused(lambda: model.generate(**inputs, generation_config=GenerationConfig(max_new_tokens=2)), name)
    finally:
        setattr(model.generation_config, name, before)


def test_a_guidance_scale_of_one_is_none(tiny, model):
    inputs = tiny.prompts()
    with FastV(0.5).attach(model):
        assert torch.equal(generate(model, inputs, guidance_scale=1), generate(model, inputs))


def test_continuous_batching_is_refused(tiny, model):
    inputs = tiny.prompts()
    with FastV(0.5).attach(model):
        refused(lambda: model.generate(**inputs, cache_implementation="paged"), "continuous batching")
        refused(lambda: model.generate_batch(inputs=inputs["input_ids"].tolist()), "generate_batch")
        refused(lambda: model.init_continuous_batching(), "continuous batching")
        refused(lambda: model.continuous_batching_context_manager(), "continuous batching")
    assert not {"generate_batch", "init_continuous_batching", "continuous_batching_context_manager"} & set(vars(model))


@pytest.mark.parametrize("name", ["static", "offloaded_static", "sliding_window", "hybrid"])
def test_caches_of_a_fixed_length_are_refused_by_name(tiny, model, name):
    inputs = tiny.prompts()
    for method in KINDS:
        with method.attach(model):
            refused(lambda: model.generate(**inputs, cache_implementation=name), name)
            assert torch.equal(generate(model, inputs, cache_implementation="dynamic"), generate(model, inputs))


# ---- copies of caches, and caches after the block


@pytest.mark.parametrize("method", KINDS, **BY_NAME)
def test_a_prefix_is_used_again_through_copies_of_its_cache(tiny, model, method):
    """The documented way: fill a cache once, and copy it for each question. Copies of copies, too."""
    inputs = tiny.prompts()
    with torch.no_grad(), method.attach(model) as pruned:
        cache = DynamicCache(config=model.config.text_config)
        model(**inputs, past_key_values=cache)
        kept = {layer: flat(pruned.kept_at(layer)[0]) for layer in pruned.stage_layers}
        means = merged(pruned)
        lengths = [cache.get_seq_length(layer) for layer in range(4)]
        for seed in range(3):
            torch.manual_seed(seed)
            question = torch.randint(4, 60, (1, 4))
            ids = torch.cat((inputs["input_ids"], question), dim=1)
            branch = copy.deepcopy(cache if seed < 2 else copy.deepcopy(cache))
            found = generate(
                model, {"input_ids": question, "attention_mask": ones(ids)}, tokens=4, past_key_values=branch
            )
            expected, _ = recompute(model, {**inputs, "input_ids": ids}, kept, tokens=4, means=means)
            assert found[0].tolist() == expected
        assert [cache.get_seq_length(layer) for layer in range(4)] == lengths


@pytest.mark.parametrize("method", KINDS, **BY_NAME)
def test_one_prompt_is_continued_by_several_questions_at_once(tiny, model, method):
    """Each row of the cache repeated; what cannot belong together is refused."""
    inputs, questions = tiny.prompts(), torch.tensor([[9, 8, 7], [6, 5, 4]])
    whole = inputs["input_ids"].shape[1] + 3
    with torch.no_grad(), method.attach(model):
        cache = DynamicCache(config=model.config.text_config)
        model(**inputs, past_key_values=cache)
        alone = [
            model(input_ids=question[None], past_key_values=copy.deepcopy(cache)).logits[0] for question in questions
        ]
        cache.batch_repeat_interleave(2)
        mask = torch.ones(2, whole, dtype=torch.long)
        together = model(input_ids=questions, attention_mask=mask, past_key_values=cache).logits
        torch.testing.assert_close(together, torch.stack(alone), rtol=1e-4, atol=1e-4)
        cache = DynamicCache(config=model.config.text_config)
        model(**tiny.prompts(((3, 5), (1, 2))), past_key_values=cache)
        cache.batch_repeat_interleave(2)
        refused(lambda: model(input_ids=questions.repeat(2, 1), past_key_values=cache), "2 prompts .* 4 rows")


@pytest.mark.parametrize("method", METHODS, **BY_NAME)
def test_a_pruned_cache_is_not_continued_after_its_block(tiny, model, method):
    """Padded, or not; a copy neither; but in the block it is. What was not pruned, and new prompts, go on."""
    inputs, whole = tiny.prompts(LENGTHS), tiny.prompts()
    with torch.no_grad():
        with method.attach(model) as pruned:
            caches = [DynamicCache(config=model.config.text_config) for _ in range(2)]
            for cache, given in zip(caches, (inputs, whole), strict=True):
                model(**given, past_key_values=cache)
            copied = copy.deepcopy(caches[1])
            dropped = pruned.first_layer < 4
        lengths = [[cache.get_seq_length(layer) for layer in range(4)] for cache in caches]
        mask = torch.nn.functional.pad(inputs["attention_mask"], (0, 3), value=1)
        calls = (
            lambda: model(input_ids=TURN.expand(3, -1), attention_mask=mask, past_key_values=caches[0]),
            lambda: model(input_ids=TURN, past_key_values=caches[1]),
            lambda: model(input_ids=TURN[:, :1], past_key_values=copied),
            lambda: model.generate(
                input_ids=torch.cat((whole["input_ids"], TURN), dim=1), past_key_values=caches[1], max_new_tokens=2
            ),
        )
        for call in calls:
            if dropped:
                refused(call, f"{method.name} was attached .* within the same with block")
            else:
                call()
        if dropped:
            assert lengths == [[cache.get_seq_length(layer) for layer in range(4)] for cache in caches]
            refused(lambda: pickle.dumps(caches[0]), "saved")
            with FastV(0.5).attach(model):  # another block is not the same one
                refused(lambda: model(input_ids=TURN, past_key_values=caches[1]), "outside the with block")
        empty = DynamicCache(config=model.config.text_config)
        assert model(**whole, past_key_values=empty).logits.shape[1] == whole["input_ids"].shape[1]


def test_a_cache_that_was_emptied_after_the_block_is_filled_anew(tiny, model):
    inputs = tiny.prompts()
    with torch.no_grad():
        with FastV(0.25).attach(model):
            cache = DynamicCache(config=model.config.text_config)
            model(**inputs, past_key_values=cache)
        cache.reset()
        expected = model(**inputs).logits
        assert torch.equal(model(**inputs, past_key_values=cache).logits, expected)


# ---- further odd uses


def test_generate_within_generate(tiny, model):
    """A processor of logits that asks the model itself about another picture."""
    inputs, other = tiny.prompts(seed=0), tiny.prompts(seed=1)
    with AdaptPrune(0.25).attach(model):
        expected, asked = generate(model, inputs), generate(model, other, tokens=1)

        def ask(ids, scores):
            assert torch.equal(generate(model, other, tokens=1), asked)
            return scores

        assert torch.equal(generate(model, inputs, logits_processor=[ask]), expected)


def test_two_prompts_that_are_decoded_in_turns(tiny, model):
    """With a cache each, step by step."""
    both = [tiny.prompts(seed=0), tiny.prompts(((2, 4),), seed=1)]
    with torch.no_grad(), AdaptPrune(0.25).attach(model):
        expected = [generate(model, inputs).tolist() for inputs in both]
        caches = [DynamicCache(config=model.config.text_config) for _ in both]
        tokens = [[], []]
        given = both
        for _ in range(6):
            for row, inputs in enumerate(given):
                logits = model(**inputs, past_key_values=caches[row]).logits[0, -1]
                logits[model.generation_config.suppress_tokens] = -torch.inf
                tokens[row].append(int(logits.argmax()))
            given = [{"input_ids": torch.tensor([[answer[-1]]])} for answer in tokens]
    assert [[answer] for answer in tokens] == expected


def test_arguments_in_their_places(tiny, model):
    inputs = tiny.prompts()
    with torch.no_grad(), FastV(0.25).attach(model) as pruned:
        expected = model(**inputs).logits, indices(pruned)
        found = model(inputs["input_ids"], inputs["pixel_values"], inputs["attention_mask"]).logits
        assert torch.equal(found, expected[0]) and indices(pruned) == expected[1]
        found = model.model(**inputs, return_dict=False)[0]
        assert torch.equal(model.lm_head(found), expected[0])


def test_the_number_of_logits_is_counted_from_the_end(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    with torch.no_grad(), FastV(0.25).attach(model):
        whole = model(**inputs).logits
        assert torch.equal(model(**inputs, logits_to_keep=2).logits, whole[:, -2:])


def test_a_copy_of_the_model_made_within_the_block_does_not_run_the_original(tiny, model):
    """Its own weights answer, pruned by a block of its own or not at all; the original stays pruned."""
    inputs = tiny.prompts()
    with torch.no_grad(), RandomPruning(0.25).attach(model) as pruned:
        expected = model(**inputs).logits, indices(pruned)
        copied = copy.deepcopy(model)
        copied.lm_head.weight.zero_()
        copied.model.language_model.norm.weight.zero_()
        assert copied(**inputs).logits.abs().sum() == 0
        assert (
            copied.generate(**inputs, max_new_tokens=1, output_logits=True, return_dict_in_generate=True)
            .logits[0]
            .abs()
            .sum()
            == 0
        )
        assert torch.equal(model(**inputs).logits, expected[0]) and indices(pruned) == expected[1]


def test_a_block_that_is_entered_again_after_an_error_in_a_hook_of_somebody_else(tiny, model):
    before, inputs = hooks(model), tiny.prompts()

    def fail(*_):
        raise RuntimeError("not mine")

    handle = model.model.language_model.layers[3].register_forward_pre_hook(fail)
    attachment = attach(AdaptPrune(0.25), model)
    with attachment:
        with pytest.raises(RuntimeError, match="not mine"):
            generate(model, inputs)
        handle.remove()
        expected = generate(model, inputs)
    assert hooks(model) == before
    with attachment:
        assert torch.equal(generate(model, inputs), expected)


def test_an_unpruned_cache_is_continued_where_nothing_prunes(tiny, model):
    inputs = tiny.prompts()
    with torch.no_grad():
        cache = DynamicCache(config=model.config.text_config)
        model(**inputs, past_key_values=cache)
        expected = model(input_ids=TURN, past_key_values=copy.deepcopy(cache)).logits
        with NoPruning().attach(model):
            assert torch.equal(model(input_ids=TURN, past_key_values=copy.deepcopy(cache)).logits, expected)
            filled = DynamicCache(config=model.config.text_config)
            model(**inputs, past_key_values=filled)
        assert torch.equal(model(input_ids=TURN, past_key_values=filled).logits, expected)

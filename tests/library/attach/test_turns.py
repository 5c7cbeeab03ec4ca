"""A pruned prompt is continued from its cache, by hand and by ``generate``: as from the whole sequence."""

import pytest
import torch
from helpers.attaching import first_fast, generate, merged, recompute
from helpers.tiny_families import IMAGES, TODAY, batch, build, flat, prompt, rows_of
from transformers import DynamicCache, GenerationConfig

from vtprune.methods import FastV, PyramidDrop, RandomPruning, VisionZip

FAMILIES = [("llava", "mistral"), ("llava_next", "llama"), ("internvl", "qwen2"), *TODAY]
FROM_0 = [RandomPruning(0.4, layer=0), VisionZip(0.3, contextual=0.4)]
METHODS = [*FROM_0, FastV(0.3, layer=1), PyramidDrop(0.3)]
TURN = torch.tensor([[9, 8, 7, 6]])  # what a user says next
by_method = pytest.mark.parametrize("method", first_fast(METHODS), ids=lambda method: method.name)
by_method_from_0 = pytest.mark.parametrize("method", FROM_0, ids=lambda method: method.name)


@pytest.fixture(scope="module", params=first_fast(FAMILIES), ids=lambda case: case[0])
def case(request):
    """A model of four layers, and its family."""
    return build(*request.param, layers=4), request.param[0]


class Turn:
    """A first answer with its cache, what follows it, and what the whole sequence would be answered."""

    def __init__(self, model, inputs, pruned, answered=3):
        self.model = model
        out = model.generate(**inputs, do_sample=False, max_new_tokens=answered, return_dict_in_generate=True)
        self.cache = out.past_key_values
        self.ids = torch.cat((out.sequences, TURN), dim=1)
        self.cached = out.sequences.shape[1] - 1  # not the last of the answer
        kept = {layer: flat(pruned.kept_at(layer)[0]) for layer in pruned.stage_layers}
        self.recomputed = recompute(model, {**inputs, "input_ids": self.ids}, kept, tokens=4, means=merged(pruned))
        self.new, self.mask = self.ids[:, self.cached :], torch.ones_like(self.ids)


@by_method
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_continuing_by_hand_without_positions(case, method, masked):
    """Several tokens at a time, and then one by one."""
    model, family = case
    with torch.no_grad(), method.attach(model) as pruned:
        turn = Turn(model, prompt(model, IMAGES[family][1]), pruned)
        ids, found, start = turn.ids, [], turn.cached
        for stop in (start + 2, *range(start + 3, start + 9)):
            mask = {"attention_mask": torch.ones(1, stop, dtype=torch.long)} if masked else {}
            logits = model(input_ids=ids[:, start:stop], past_key_values=turn.cache, **mask).logits[:, -1]
            if stop >= turn.ids.shape[1]:
                found.append(logits.clone())
                logits[:, model.generation_config.suppress_tokens] = -torch.inf
                ids = torch.cat((ids, logits.argmax(dim=-1, keepdim=True)), dim=1)
            start = stop
    tokens, logits = turn.recomputed
    assert ids[0, -4:].tolist() == tokens
    torch.testing.assert_close(torch.cat(found), logits, rtol=1e-4, atol=1e-4)


@by_method
@pytest.mark.parametrize("attention", first_fast(["sdpa", "eager"]))
def test_continuing_padded_rows_by_hand_equals_single_rows(case, method, attention):
    model, family = case
    model.set_attn_implementation(attention)
    rows = rows_of(model, family)
    with torch.no_grad(), method.attach(model):
        found = []
        for inputs in (batch(rows), *rows):
            cache, mask = DynamicCache(config=model.config.text_config), inputs["attention_mask"]
            model(**inputs, past_key_values=cache)
            for new in TURN.split((3, 1), dim=1):
                mask = torch.cat((mask, torch.ones(len(mask), new.shape[1], dtype=torch.long)), dim=1)
                new = new.expand(len(mask), -1)
                logits = model(input_ids=new, attention_mask=mask, past_key_values=cache).logits
            found.append(logits[:, -1])
    # Padding shifts the positions of a row, and so how their angles are rounded.
    torch.testing.assert_close(found[0], torch.cat(found[1:]), rtol=2e-3, atol=2e-3)
    model.set_attn_implementation("sdpa")


@by_method
def test_generate_with_the_new_tokens_and_the_whole_mask(case, method):
    model, family = case
    with method.attach(model) as pruned:
        turn = Turn(model, prompt(model, IMAGES[family][1]), pruned)
        given = {"input_ids": turn.new, "attention_mask": turn.mask}
        tokens = generate(model, given, tokens=4, past_key_values=turn.cache)
    assert tokens[0].tolist() == turn.recomputed[0]


def test_generate_with_the_whole_sequence(case):
    """Right where layer 0 has cached all; where it has not, ``generate`` would cut off too little."""
    model, family = case
    for method in METHODS:
        with method.attach(model) as pruned:
            turn = Turn(model, prompt(model, IMAGES[family][1]), pruned)
            given = {"input_ids": turn.ids, "attention_mask": turn.mask}
            if method in FROM_0:
                with pytest.raises(ValueError, match=f"after position {turn.cached} ") as raised:
                    generate(model, given, tokens=4, past_key_values=turn.cache)
                assert "\n" not in str(raised.value)
            else:
                tokens = generate(model, given, tokens=4, past_key_values=turn.cache)
                assert tokens[0].tolist() == turn.recomputed[0]


@by_method_from_0
def test_ids_cut_off_by_the_length_of_the_short_cache_are_refused(case, method):
    model, family = case
    inputs = rows_of(model, family)
    both = batch([inputs[0], inputs[2]])
    with torch.no_grad(), method.attach(model):
        cache = DynamicCache(config=model.config.text_config)
        model(**both, past_key_values=cache)
        short, mask = cache.get_seq_length(), torch.cat((both["attention_mask"], torch.ones(2, 4).long()), dim=1)
        new, positions = TURN.expand(2, -1), mask.cumsum(dim=1)[:, -4:] - 1
        assert short < both["input_ids"].shape[1]
        whole = torch.cat((both["input_ids"], new), dim=1)
        for given in (
            {"input_ids": whole[:, short:]},
            {"input_ids": whole[:, short:], "attention_mask": mask},
            {
                "input_ids": whole[:, short:],
                "attention_mask": mask,
                "position_ids": (mask.cumsum(dim=1) - 1)[:, short:],
            },
            {"input_ids": new, "attention_mask": mask[:, -short - 4 :]},
            {"input_ids": new, "attention_mask": mask, "position_ids": torch.arange(short, short + 4)[None]},
            {"input_ids": new, "position_ids": torch.arange(short, short + 4)[None]},
        ):
            with pytest.raises(ValueError, match="starts earlier"):
                model(**given, past_key_values=cache)
        assert cache.get_seq_length() == short
        # Positions that count the attended tokens alone, or the padding too, as in the prompt.
        model(input_ids=new, attention_mask=mask, position_ids=positions, past_key_values=cache)
        model(
            input_ids=new[:, :1], attention_mask=torch.nn.functional.pad(mask, (0, 1), value=1), past_key_values=cache
        )


PARTIAL = [{"prompt_lookup_num_tokens": 3}, {"prefill_chunk_size": 22}]


@pytest.mark.parametrize("options", PARTIAL, ids=lambda options: next(iter(options)))
@pytest.mark.parametrize("by_config", [False, True], ids=["", "config"])
def test_a_prompt_with_drafts_or_in_chunks_is_refused(case, options, by_config):
    """Its last token is not the prompt's; the model is as it was after the block."""
    model, family = case
    inputs = prompt(model, IMAGES[family][1])
    given = {"generation_config": GenerationConfig(**options)} if by_config else options
    with (
        FastV(0.3, layer=1).attach(model),
        pytest.raises(ValueError, match=next(iter(options))),
    ):
        model.generate(**inputs, **given)
    assert "generate" not in vars(model)
    assert generate(model, inputs, tokens=2, **options).shape == (1, 2)


def test_a_cache_is_cropped_down_to_its_prompt_but_not_into_it(case):
    model, family = case
    if family == "gemma3":
        pytest.skip("transformers cannot crop the cache of a sliding layer that has dropped tokens")
    with torch.no_grad(), FastV(0.3, layer=1).attach(model) as pruned:
        turn = Turn(model, prompt(model, IMAGES[family][1]), pruned)
        new = turn.ids[:, turn.cached - 2 :]
        turn.cache.crop(-2)
        logits = model(input_ids=new, past_key_values=turn.cache).logits[:, -1]
        torch.testing.assert_close(logits, turn.recomputed[1][:1], rtol=1e-4, atol=1e-4)
        turn.cache.crop(-new.shape[1] - 1)
        with pytest.raises(ValueError, match="cropped"):
            model(input_ids=new, past_key_values=turn.cache)

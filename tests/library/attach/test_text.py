"""What methods see of the prompt's text: the numbers of eager models, before and after pruning."""

import pytest
import torch
from helpers.attaching import LENGTHS, first_fast
from helpers.tiny_families import CASES, IMAGE, QWEN, batch, build, decoder_of, rows_of

from vtprune.methods import FastV, Fraction, Method
from vtprune.ops.ranking import highest
from vtprune.stages import Stage


class Spy(Method):
    """Keeps half of the tokens before layer 1, half of these before layer 2, and remembers what it sees there."""

    name = "spy"
    needs = frozenset({"paid_by_text", "last_keys"})

    def stages(self):
        return [Stage(1, FastV(0.5), Fraction(0.5)), Stage(2, self, Fraction(0.5))]

    def select(self, features, counts):
        seen = {name: getattr(features, name)() for name in ("text", "paid_by_text", "last_keys", "final", "at_first")}
        object.__setattr__(self, "seen", {**seen, "alive": features.valid, "embeddings": features.embeddings()})
        return highest(features.paid_by_text().sum(dim=1), counts, features.valid)


@torch.no_grad()
def seen_by(model, inputs):
    spy = Spy()
    with spy.attach(model):
        model(**inputs)
    return spy.seen


@pytest.mark.parametrize("kv_heads", first_fast([2, 4, 1]))
def test_text_features_equal_the_eager_models(tiny, kv_heads):
    model = tiny.build(kv_heads=kv_heads, attention="eager")
    inputs = tiny.prompts(LENGTHS, images=(1, 2, 1))
    weights, hidden, keys = {}, {}, {}
    layers = model.model.language_model.layers
    handles = []
    with torch.no_grad():
        spy = Spy()
        with spy.attach(model) as pruned:
            for index in (1, 2):
                handles.append(
                    layers[index].register_forward_pre_hook(
                        lambda m, a, k, i=index: hidden.update({i: (a[0] if a else k["hidden_states"])}),
                        with_kwargs=True,
                    )
                )
            handles.append(layers[1].self_attn.register_forward_hook(lambda m, a, out: weights.update({1: out[1]})))
            cache = model(**inputs, output_attentions=True).past_key_values
            alive = pruned.kept_at(1)
        for handle in handles:
            handle.remove()
        keys = cache.layers[1].keys.transpose(1, 2).flatten(2)
        seen = spy.seen
        text, words = seen["text"], (inputs["input_ids"] != tiny.image) & inputs["attention_mask"].bool()
        embedded = model.get_input_embeddings()(inputs["input_ids"])
        for row in range(3):
            at = words[row].nonzero().flatten()
            assert text.present[row].sum() == len(at)
            own = text.present[row]
            assert torch.equal(text.ids[row, own], inputs["input_ids"][row, at])
            assert torch.equal(text.embeddings[row, own], embedded[row, at])
            first = int((inputs["input_ids"][row] == tiny.image).nonzero()[0])
            assert text.after_image[row, own].tolist() == (at > first).tolist()
            # The sequence of layer 1: the text and the tokens that are left, packed to the right.
            left = [16 * part + int(i) for part, kept in enumerate(alive[row]) for i in kept.indices]
            image_at = (inputs["input_ids"][row] == tiny.image).nonzero().flatten()
            order = sorted([*at.tolist(), *image_at[left].tolist()])
            shift = keys.shape[1] - len(order)
            slot = {place: shift + number for number, place in enumerate(order)}
            text_slots, image_slots = [slot[int(i)] for i in at], [slot[int(i)] for i in image_at[left]]
            assert seen["alive"][row].nonzero().flatten().tolist() == left
            image_keys, text_keys = (part[row] for part in seen["last_keys"])
            torch.testing.assert_close(image_keys[left], keys[row, image_slots])
            torch.testing.assert_close(text_keys[own], keys[row, text_slots])
            paid = weights[1][row].mean(dim=0)[text_slots][:, image_slots]
            torch.testing.assert_close(seen["paid_by_text"][row][own][:, left], paid)
            assert (seen["paid_by_text"][row][~own] == 0).all()
            assert (seen["paid_by_text"][row][:, ~seen["alive"][row]] == 0).all()
            assert int(seen["at_first"][row].sum()) == len(image_at)


@pytest.mark.parametrize(("family", "decoder"), first_fast(CASES, unpack=True))
def test_text_features_of_a_padded_batch_are_those_of_its_rows(family, decoder):
    model = build(family, decoder, layers=4)
    rows = rows_of(model, family)
    inputs = batch(rows)
    if family not in QWEN:  # rotated keys depend on the position at which a row begins
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
    together = seen_by(model, inputs)
    for number, inputs in enumerate(rows):
        alone = seen_by(model, inputs)
        words, tokens = alone["text"].present.shape[1], alone["alive"].shape[1]
        assert torch.equal(together["text"].ids[number, :words], alone["text"].ids[0])
        assert torch.equal(together["text"].after_image[number, :words], alone["text"].after_image[0])
        assert int(alone["text"].present.sum()) == int((inputs["input_ids"] != IMAGE).sum())
        pairs = [
            (together["paid_by_text"][number, :words, :tokens], alone["paid_by_text"][0]),
            *zip(
                (part[number, :words] for part in (together["last_keys"][1], together["final"][1])),
                (part[0] for part in (alone["last_keys"][1], alone["final"][1])),
                strict=True,
            ),
        ]
        for found, expected in pairs:
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_final_states_of_the_last_layer_are_the_models_own(tiny):
    """Before the last layer, the norm of the hidden states that the model says it has there."""
    model = tiny.build(layers=3, attention="eager")
    inputs = tiny.prompts(((4, 6),))
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True).hidden_states

        class Last(Spy):
            def stages(self):
                return [Stage(2, self, Fraction(0.5))]

        spy = Last()
        with spy.attach(model):
            model(**inputs)
        image = inputs["input_ids"][0] == tiny.image
        expected = decoder_of(model).norm(states[2][0])
    torch.testing.assert_close(spy.seen["final"][0][0], expected[image])
    torch.testing.assert_close(spy.seen["final"][1][0], expected[~image])

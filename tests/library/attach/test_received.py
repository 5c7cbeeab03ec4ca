"""The attention that image tokens receive: the numbers of eager models, recorded only for methods that need it."""

import gc
import weakref

import pytest
import torch
from helpers.attaching import LENGTHS, first_fast, indices
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from vtprune.attach.attention import attention_received
from vtprune.attach.recording import Recorded
from vtprune.methods import FastV, FitPrune, Fraction, Method
from vtprune.ops.ranking import highest
from vtprune.stages import Stage


class Spy(Method):
    """Keeps the tokens of FastV(0.5) before layer 1, then half of them by `received`, which it remembers."""

    name = "spy"
    needs = frozenset({"received"})

    def stages(self):
        return [Stage(1, FastV(0.5), Fraction(0.5)), Stage(3, self, Fraction(0.5))]

    def select(self, features, counts):
        object.__setattr__(self, "seen", features.received())
        return highest(self.seen[0], counts, features.valid)


def expected(weights, is_text, is_image):
    """From one row's ``[heads, length, length]`` weights: received from text and from image tokens."""
    most = weights.amax(dim=0)
    return most[is_text].sum(dim=0), most[is_image].sum(dim=0)


@pytest.mark.parametrize("block", first_fast([7, 1, 128]))
@pytest.mark.parametrize("kv_heads", first_fast([2, 4, 1]))
def test_received_equals_the_eager_models_attentions(tiny, kv_heads, block):
    model = tiny.build(kv_heads=kv_heads, attention="eager")
    inputs = tiny.prompts(LENGTHS, images=(1, 2, 1))
    attended = inputs["attention_mask"].bool()
    image = (inputs["input_ids"] == tiny.image) & attended
    text = attended & ~image
    for index, layer in enumerate(model.model.language_model.layers):
        seen = {}
        handle = layer.self_attn.register_forward_pre_hook(lambda m, a, k, s=seen: s.update(k), with_kwargs=True)
        with torch.no_grad():
            whole = model(**inputs, output_attentions=True).attentions[index]
            projected = (proj(seen["hidden_states"]) for proj in (layer.self_attn.q_proj, layer.self_attn.k_proj))
            by_head = (states.unflatten(-1, (-1, layer.self_attn.head_dim)).transpose(1, 2) for states in projected)
            rotated = apply_rotary_pos_emb(*by_head, *seen["position_embeddings"])
            payers = torch.stack((text, image), dim=1)
            got = attention_received(Recorded(*rotated, layer.self_attn.scaling), attended, payers, block=block)
        handle.remove()
        for row in range(3):
            for group, want in enumerate(expected(whole[row], text[row], image[row])):
                torch.testing.assert_close(got[row, group, attended[row]], want[attended[row]])


@pytest.mark.parametrize("layer", first_fast([2, 1, 3]))
def test_fitprune_chooses_by_the_eager_models_attentions(tiny, layer):
    model = tiny.build(kv_heads=2, attention="eager")
    inputs = tiny.prompts(LENGTHS, images=(1, 2, 3))
    with torch.no_grad():
        whole = model(**inputs, output_attentions=True).attentions[layer - 1]
        with FitPrune(0.3, layer=layer).attach(model) as pruned:
            model(**inputs)
    for row, attended in enumerate(inputs["attention_mask"].bool()):
        image = (inputs["input_ids"][row] == tiny.image) & attended
        from_text, from_image = expected(whole[row], attended & ~image, image)
        best = (from_text * from_image)[image].argsort(descending=True)[: int(0.3 * int(image.sum()))]
        kept = [16 * image_index + index for image_index, part in enumerate(indices(pruned)[row]) for index in part]
        assert kept == sorted(best.tolist())


def test_received_in_a_later_stage_counts_the_remaining_tokens(tiny):
    model = tiny.build(kv_heads=2, attention="eager")
    inputs = tiny.prompts(LENGTHS)
    spy = Spy()
    with torch.no_grad(), spy.attach(model) as pruned:
        weights = model(**inputs, output_attentions=True).attentions[2]
        kept = pruned.kept_at(1)
    for row, (before, after) in enumerate(LENGTHS):
        length = before + 8 + after
        image = torch.zeros(length, dtype=torch.bool)
        image[before : before + 8] = True
        want = expected(weights[row, :, -length:, -length:], ~image, image)
        for got, group in zip(spy.seen, want, strict=True):
            torch.testing.assert_close(got[row, kept[row][0].indices], group[image])
            assert got[row].count_nonzero() == 8


def test_a_class_token_pays_as_an_image_token_and_is_never_dropped(tiny):
    model = tiny.build(vision_feature_select_strategy="full", attention="eager")
    inputs = tiny.prompts(((3, 5),), per_image=tiny.grid**2 + 1)
    with torch.no_grad():
        whole = model(**inputs, output_attentions=True).attentions[1]
        with FitPrune(4).attach(model) as pruned:
            model(**inputs)
    image = inputs["input_ids"][0] == tiny.image
    from_text, from_image = expected(whole[0], ~image, image)
    best = (from_text * from_image)[image][1:].argsort(descending=True)[:4]
    assert indices(pruned) == [[sorted(best.tolist())]]


def test_queries_are_freed_for_methods_that_need_the_last_one_alone(tiny, monkeypatch):
    model, queries, freed = tiny.build(kv_heads=2), [], []

    class Peek(FastV):
        def select(self, features, counts):
            freed.append(queries[0]() is None)
            return super().select(features, counts)

    class PeekAtAll(Peek):
        needs = frozenset({"attention", "received"})

    of = Recorded.of

    def remember(query, *others):
        queries[:] = [weakref.ref(query)]
        return of(query, *others)

    monkeypatch.setattr(Recorded, "of", remember)
    gc.disable()
    try:
        for method in (Peek(0.25), PeekAtAll(0.25)):
            with torch.no_grad(), method.attach(model):
                model(**tiny.prompts(LENGTHS))
    finally:
        gc.enable()
    assert freed == [True, False]


@pytest.mark.parametrize("what", ["attention", "received"])
def test_a_feature_that_a_method_does_not_name_in_its_needs_is_refused(tiny, model, what):
    class Silent(FitPrune):
        needs = frozenset({"attention", "received"} - {what})

        def select(self, features, counts):
            return getattr(features, what)()

    with torch.no_grad(), Silent(0.5).attach(model), pytest.raises(ValueError, match=f"Silent.*needs.*{what}"):
        model(**tiny.prompts(LENGTHS))

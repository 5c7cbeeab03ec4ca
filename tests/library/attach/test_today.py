"""What is particular to the families of today: positions, DeepStack, windows, blocks, grids, and what is refused."""

import pytest
import torch
from helpers.attaching import first_fast, generate, merged, recompute
from helpers.tiny_families import IMAGE, IMAGES, QWEN, TODAY, batch, build, decoder_of, flat, prompt, rows_of
from transformers import AttentionInterface, DynamicCache

from vtprune.attach import Prefix, attach, attach_all
from vtprune.attach.families import family_of
from vtprune.attach.recording import Recording
from vtprune.methods import AdaptPrune, FastV, Fraction, Method, RandomPruning, VisionZip
from vtprune.ops.ranking import highest
from vtprune.stages import Stage

pytestmark = pytest.mark.slow

OPTIONS = {"do_sample": False, "max_new_tokens": 4, "return_dict_in_generate": True, "output_logits": True}


@pytest.mark.parametrize(("family", "decoder"), TODAY, ids=lambda name: name)
def test_pruning_is_exact(family, decoder):
    """Keep-all is bit-equal, cached equals recomputed equals uncached, a ragged batch equals its rows."""
    model = build(family, decoder, layers=3)
    rows = rows_of(model, family)
    with torch.no_grad():
        expected = model(**batch(rows)).logits
        for method in (FastV(1.0, layer=1), VisionZip(1.0)):
            with method.attach(model) as pruned:
                assert torch.equal(model(**batch(rows)).logits, expected)
    for method in (FastV(0.3, layer=1), VisionZip(0.4, contextual=0.4)):
        with method.attach(model) as pruned:
            together = model.generate(**batch(rows), **OPTIONS)
            kept, means = [flat(row) for row in pruned.kept], [merged(pruned, row) for row in range(3)]
            for number, row in enumerate(rows):
                alone = model.generate(**row, **OPTIONS)
                assert flat(pruned.kept[0]) == kept[number] and merged(pruned) == means[number]
                assert alone.sequences[0, -4:].tolist() == together.sequences[number, -4:].tolist()
                for one, other in zip(together.logits, alone.logits, strict=True):
                    torch.testing.assert_close(one[number], other[0], rtol=1e-4, atol=1e-4)
            uncached = generate(model, rows[2], tokens=4, use_cache=False)
        layer = pruned.stage_layers[0]
        for number in (1, 2):
            tokens, logits = recompute(model, rows[number], {layer: kept[number]}, tokens=4, means=means[number])
            assert tokens == together.sequences[number, -4:].tolist()
        torch.testing.assert_close(torch.cat(alone.logits), logits, rtol=1e-4, atol=1e-4)
        assert uncached[0].tolist() == tokens
        assert len(kept[1]) == int(method.keep.fraction * int((rows[1]["input_ids"] == IMAGE).sum()))


@pytest.mark.parametrize("family", first_fast(list(QWEN)))
def test_kept_tokens_keep_the_three_axes_of_their_positions(family):
    model = build(family, layers=3)
    inputs = prompt(model, IMAGES[family][1])
    positions, _ = model.model.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
        image_grid_thw=inputs["image_grid_thw"],
    )
    seen = []
    with torch.no_grad(), FastV(0.3, layer=1).attach(model) as pruned:
        # Hooks run in the order of their registration: this one sees what pruning has made.
        handle = (
            decoder_of(model)
            .layers[1]
            .register_forward_pre_hook(
                lambda module, args, kwargs: seen.append(kwargs["position_embeddings"]), with_kwargs=True
            )
        )
        model(**inputs)
        kept = flat(pruned.kept[0])
    handle.remove()
    at = (inputs["input_ids"][0] == IMAGE).nonzero().flatten()
    stay = torch.ones(inputs["input_ids"].shape[1], dtype=torch.bool)
    stay[at] = False
    stay[at[kept]] = True
    expected = decoder_of(model).rotary_emb(torch.zeros(1), positions[:, :, stay])
    assert all(torch.equal(got, want) for got, want in zip(seen[0], expected, strict=True))


@pytest.mark.parametrize("family", first_fast(list(QWEN)))
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_padded_rows_go_on_after_their_own_last_position(family, masked):
    """By hand, after a prompt that every layer has shortened: each row's images took another number of positions."""
    model = build(family, layers=2)
    rows = rows_of(model, family)
    found, new = [], torch.tensor([[9, 8]])
    with torch.no_grad(), RandomPruning(0.4, layer=0).attach(model):
        for inputs in (batch(rows), *rows) if masked else rows:
            cache = DynamicCache(config=model.config.text_config)
            model(**inputs, past_key_values=cache)
            mask = torch.nn.functional.pad(inputs["attention_mask"], (0, 2), value=1)
            given = {"attention_mask": mask} if masked else {}
            found.append(model(input_ids=new.expand(len(mask), -1), past_key_values=cache, **given).logits[:, -1])
    if masked:
        torch.testing.assert_close(found[0], torch.cat(found[1:]), rtol=1e-4, atol=1e-4)
    for inputs, logits in zip(rows, found[-3:], strict=True):
        with torch.no_grad(), RandomPruning(0.4, layer=0).attach(model) as pruned:
            model(**inputs)
            kept = flat(pruned.kept[0])
        longer = {**inputs, "input_ids": torch.cat((inputs["input_ids"], new), dim=1)}
        torch.testing.assert_close(logits, recompute(model, longer, {0: kept}, tokens=1)[1], rtol=1e-4, atol=1e-4)


def test_deepstack_is_cut_before_each_of_its_layers():
    model = build("qwen3_vl", layers=4)
    inputs = prompt(model, IMAGES["qwen3_vl"][1])
    for layer in range(4):
        method = RandomPruning(0.3, layer=layer)
        with method.attach(model) as pruned:
            out = model.generate(**inputs, **OPTIONS)
            kept = flat(pruned.kept[0])
        tokens, logits = recompute(model, inputs, {layer: kept}, tokens=4)
        assert out.sequences[0, -4:].tolist() == tokens
        torch.testing.assert_close(torch.cat(out.logits), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", first_fast(["qwen3_vl", "gemma3", "qwen2_5_vl"]))
def test_shared_prefixes_give_the_same_bits(family):
    """Also from layers that add features, and from a mixture of full and sliding layers."""
    model = build(family, layers=4)
    inputs = batch(rows_of(model, family))
    at_0, at_1 = VisionZip(0.4, contextual=0.4), [RandomPruning(0.3, layer=1), FastV(0.3, layer=1)]
    methods = [at_0, *at_1, AdaptPrune(0.3, layer=3)]
    prefix = Prefix(inputs)
    for index, attachment in attach_all(methods, model, prefix):
        with attachment:
            shared = model.generate(**prefix.inputs, **OPTIONS)
        with attach(methods[index], model):
            alone = model.generate(**inputs, **OPTIONS)
        assert all(torch.equal(a, b) for a, b in zip(shared.logits, alone.logits, strict=True))


@pytest.mark.parametrize("layer", first_fast([2, 0, 1, 3]))
def test_windows_of_gemma_count_the_tokens_that_are_left(layer):
    """Before and after pruning, in the prompt and when decoding, with a window shorter than both."""
    kinds = ["sliding_attention", "full_attention"] * 2
    model = build("gemma3", layers=4, layer_types=kinds)
    inputs = prompt(model, IMAGES["gemma3"][1])
    method = FastV(0.3, layer=2) if layer == 2 else RandomPruning(0.6, layer=layer)
    for implementation in ("sdpa", "eager"):
        model.set_attn_implementation(implementation)
        with method.attach(model) as pruned:
            out = model.generate(**inputs, **OPTIONS)
            kept = flat(pruned.kept[0])
        tokens, logits = recompute(model, inputs, {layer: kept}, tokens=4)
        assert out.sequences[0, -4:].tolist() == tokens
        torch.testing.assert_close(torch.cat(out.logits), logits, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"fastv before layer 3 .* layer 2, which is sliding .* among \[2\]"):
        FastV(0.3, layer=3).attach(model)


# ---- the vision tower


class Spy(Method):
    """Remembers the patches of its image tokens."""

    name = "spy"
    needs = frozenset({"tower"})

    def stages(self):
        return [Stage(0, self, Fraction(0.5))]

    def select(self, features, counts):
        object.__setattr__(self, "seen", features.tower())
        return highest(self.seen.attention, counts, features.valid)


def attention_and_keys(recorded) -> torch.Tensor:
    """`[pictures, patches, 1 + d]` of one call of the tower's attention: received, mean over all; keys, over heads."""
    weights = (recorded.query @ recorded.key.mT * recorded.scaling).softmax(dim=-1).mean(dim=(1, 2))
    return torch.cat((weights[..., None], recorded.key.mean(dim=1)), dim=-1)


@torch.no_grad()
def patches_and_expected(model, inputs, monkeypatch, join):
    """What a method gets of the tower, and the same as the model puts it in order: its projector passes it on.

    Args:
        join: makes the projector's output of the values of all calls of the tower's attention.
    """
    family, recorded, spy = family_of(model), [], Spy()
    with attach(spy, model):
        model(**inputs)
    stacks = [part for part in family.vision_tower(model).modules() if isinstance(part, torch.nn.ModuleList)]
    recording = Recording(max(stacks, key=len)[-1], recorded.append)
    monkeypatch.setattr(
        family.projector(model), "forward", lambda values: join([attention_and_keys(call) for call in recorded])
    )
    arguments = {name: inputs[name] for name in ("pixel_values", "image_sizes", "image_grid_thw") if name in inputs}
    expected = torch.cat(list(model.get_image_features(**arguments).pooler_output))
    recording.remove()
    return spy.seen, expected


@pytest.mark.parametrize("family", list(QWEN))
def test_patches_of_qwens_towers_are_those_of_the_image_tokens(family, monkeypatch):
    """Qwen2.5-VL's tower sorts them by windows."""

    def join(values):
        return torch.cat(values, dim=1)[0].unflatten(0, (-1, 4)).mean(dim=1)

    model = build(family)
    patches, expected = patches_and_expected(model, prompt(model, [(5, 3), (3, 4)]), monkeypatch, join)
    torch.testing.assert_close(patches.attention[0], expected[:, 0])
    torch.testing.assert_close(patches.keys[0], expected[:, 1:])
    assert patches.present.all()


def test_patches_of_shrunk_images_are_those_between_which_a_token_lies(monkeypatch):
    """Shrunk to a half, the four patches have equal weights in the model's interpolation, too."""
    model = build("llava_onevision")
    model.config.vision_aspect_ratio = "anyres_max_1"

    def join(values):
        model.model.image_newline.data = torch.zeros(values[0].shape[-1])
        return values[0]

    inputs = prompt(model, [(64, 64)])
    patches, expected = patches_and_expected(model, inputs, monkeypatch, join)
    assert len(expected) == 16 + 4 * 5  # 8 x 8 patches have become 4 x 4 tokens, with newlines
    torch.testing.assert_close(patches.attention[0], expected[:, 0])
    torch.testing.assert_close(patches.keys[0], expected[:, 1:])
    newline = torch.zeros(len(expected), dtype=torch.bool)
    newline[16 + 4 :: 5] = True
    assert torch.equal(~patches.present[0], newline)


def test_pictures_that_a_kernel_gets_packed_are_told_apart():
    """As FlashAttention gets them: all pictures in one row, with their ends beside it."""

    def packed(module, query, key, value, attention_mask, cu_seq_lens_q, scaling, **kwargs):
        lengths = cu_seq_lens_q.diff().tolist()
        parts = zip(*(part.split(lengths, dim=2) for part in (query, key, value)), strict=True)
        outputs = [((q @ k.mT * scaling).softmax(dim=-1) @ v).transpose(1, 2) for q, k, v in parts]
        return torch.cat(outputs, dim=1), None

    AttentionInterface.register("test_flash_packed", packed)
    model, spies = build("qwen2_5_vl"), []
    inputs = batch(rows_of(model, "qwen2_5_vl"))
    for implementation in ("sdpa", "test_flash_packed"):
        model.model.visual.config._attn_implementation_internal = implementation
        spies.append(Spy())
        with torch.no_grad(), attach(spies[-1], model):
            model(**inputs)
    for one, other in zip(spies[0].seen, spies[1].seen, strict=True):
        torch.testing.assert_close(one, other)


# ---- what is refused


@pytest.mark.parametrize("family", first_fast(list(QWEN)))
def test_sizes_that_do_not_fit_are_refused(family):
    model = build(family)
    inputs = prompt(model, IMAGES[family][1])
    with RandomPruning(0.5, layer=1).attach(model), torch.no_grad():
        more = torch.cat((inputs["image_grid_thw"], torch.tensor([[1, 2, 2]])))
        with pytest.raises(ValueError, match="3 image_grid_thw, but the prompts show 2 images"):
            model(**{**inputs, "image_grid_thw": more})
        with pytest.raises(ValueError, match="needs the image_grid_thw that its processor returns"):
            model(**{**inputs, "image_grid_thw": None})


@pytest.mark.parametrize("family", ["qwen2_5_vl", "llava_onevision"])
def test_videos_are_refused(family):
    model = build(family)
    inputs = prompt(model, IMAGES[family][0])
    with RandomPruning(0.5, layer=1).attach(model), pytest.raises(ValueError, match="videos are not supported") as said:
        model(**inputs, pixel_values_videos=torch.zeros(1))
    assert "pass frames as images" in str(said.value) and "\n" not in str(said.value)


def test_a_sub_image_with_a_part_missing_is_refused():
    model = build("smolvlm")
    inputs = prompt(model, [(1, 2)])
    inputs["input_ids"][0, 8] = 9
    message = "sub-image of prompt 0 .* not the 16"
    with RandomPruning(0.5, layer=1).attach(model), pytest.raises(ValueError, match=message):
        model(**inputs)


def test_an_image_in_a_later_turn_sees_itself_in_gemma():
    """The cache of the first prompt is shortened; the tokens of the second image see one another."""
    model = build("gemma3", layers=3)
    whole, first = prompt(model, [1, 1]), 3 + 16 + 1  # the first turn ends with the word after the first image
    turns = [
        {**whole, "input_ids": whole["input_ids"][:, :first]},
        {**whole, "input_ids": whole["input_ids"][:, first:]},
    ]
    turns[0] |= {name: whole[name][:, :first] for name in ("attention_mask", "token_type_ids")}
    for turn, pixels in zip(turns, whole["pixel_values"].split(1), strict=True):
        turn["pixel_values"] = pixels
    for layer in (0, 1):
        cache = DynamicCache(config=model.config.text_config)
        with torch.no_grad(), RandomPruning(0.4, layer=layer).attach(model) as pruned:
            model(**turns[0], past_key_values=cache)
            kept = [*flat(pruned.kept[0]), *range(16, 32)]
            logits = model(**turns[1], past_key_values=cache).logits[:, -1]
        expected = recompute(model, whole, {layer: kept}, tokens=1)[1]
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_images_in_later_turns_of_qwen_need_positions():
    model = build("qwen2_5_vl")
    inputs = prompt(model, IMAGES["qwen2_5_vl"][0])
    cache = DynamicCache(config=model.config.text_config)
    with torch.no_grad(), RandomPruning(0.4, layer=1).attach(model):
        model(**inputs, past_key_values=cache)
        del inputs["attention_mask"]
        with pytest.raises(ValueError, match="images that continue a cache need position_ids"):
            model(**inputs, past_key_values=cache)

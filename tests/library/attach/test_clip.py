"""CDPruner with CLIP's own relevance: the numbers of CLIP's two towers, at the tokens that its patches become."""

import pytest
import torch
from helpers.tiny_families import BY_TOKEN, IMAGE, IMAGES, batch, build, clip, flat, prompt, rows_of
from helpers.tiny_tokenizer import word_tokenizer
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig

from vtprune.errors import UserError
from vtprune.methods import CDPruner
from vtprune.methods.clip_relevance import clip_relevance

pytestmark = pytest.mark.slow

WORDS = ["<pad>", "<s>", "</s>", "<image>", "<unk>", *(f"word{number}" for number in range(5, 60))]
MOST = 8  # tokens of a text that CLIP reads, with its beginning and its end


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CLIP with both towers and a tokenizer, which is the models' too."""
    torch.manual_seed(1)
    text = CLIPTextConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=60,
        max_position_embeddings=MOST,
        projection_dim=16,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=clip().to_dict(), projection_dim=16))
    path = tmp_path_factory.mktemp("clip")
    model.save_pretrained(path)
    word_tokenizer(WORDS).save_pretrained(path)
    return str(path)


def with_tower_of(folder, family, decoder="llama"):
    model = build(family, decoder)
    model.model.vision_tower.load_state_dict(CLIPModel.from_pretrained(folder).vision_model.state_dict(), strict=False)
    return model


@torch.no_grad()
def relevance_by_clip(folder, pixels, ids):
    """Minus the cosine of each patch with each part of a text, mean over the parts: by CLIP's own classes."""
    both = CLIPModel.from_pretrained(folder).eval()
    hidden = both.vision_model(pixels, output_hidden_states=True).hidden_states[-2][:, 1:].flatten(0, 1)
    patches = both.visual_projection(both.vision_model.post_layernorm(hidden))
    total = 0.0
    parts = [ids[start : start + MOST - 2] for start in range(0, len(ids), MOST - 2)]
    for part in parts:
        pooled = both.text_model(input_ids=torch.tensor([[1, *part, 2]])).pooler_output
        total -= torch.cosine_similarity(patches, both.text_projection(pooled), dim=-1) / len(parts)
    return total


@pytest.mark.parametrize("words", [3, 15])
def test_relevance_is_that_of_clips_two_towers(folder, words, monkeypatch):
    """Of a text of one part, and of one that CLIP cannot read at once."""
    model = with_tower_of(folder, "llava")
    inputs = prompt(model, [1, 1], after=words)
    found = {}
    monkeypatch.setattr(
        "vtprune.methods.cdpruner.clip_relevance",
        lambda *given: found.setdefault("relevance", clip_relevance(*given)),
    )
    with torch.no_grad(), CDPruner(5, folder, folder).attach(model) as pruned:
        model(**inputs)
        assert len(flat(pruned.kept[0])) == 5
    ids = inputs["input_ids"][0]
    after = [int(i) for i in ids[int((ids == IMAGE).nonzero()[0]) :] if i != IMAGE]
    expected = relevance_by_clip(folder, inputs["pixel_values"], after)
    torch.testing.assert_close(found["relevance"][0].float(), expected, rtol=1e-4, atol=1e-5)


def test_a_batch_of_any_resolution_equals_its_rows(folder):
    """LLaVA-NeXT: padding is cut away, and newline tokens have no patch."""
    model = with_tower_of(folder, "llava_next")
    rows = rows_of(model, "llava_next")
    method = CDPruner(0.3, folder, folder)
    with torch.no_grad(), method.attach(model) as pruned:
        model(**batch(rows))
        together = [flat(row) for row in pruned.kept]
        for number, inputs in enumerate(rows):
            model(**inputs)
            assert flat(pruned.kept[0]) == together[number]
            assert len(together[number]) == int(0.3 * int((inputs["input_ids"] == IMAGE).sum()))


def test_the_question_counts(folder):
    model = with_tower_of(folder, "llava")
    rows = [prompt(model, [1], after=4, seed=seed) for seed in (1, 2)]
    rows[1]["pixel_values"] = rows[0]["pixel_values"]
    kept = []
    with torch.no_grad(), CDPruner(4, folder, folder).attach(model) as pruned:
        for inputs in rows:
            model(**inputs)
            kept.append(flat(pruned.kept[0]))
    assert kept[0] != kept[1]


@pytest.mark.parametrize("family", ["internvl", "qwen2_5_vl", "gemma3"])
def test_towers_that_are_not_clips_are_refused(folder, family):
    model = build(family, "qwen2" if family == "internvl" else "")
    inputs = prompt(model, IMAGES[family][0])
    with torch.no_grad(), CDPruner(4, folder, folder).attach(model):
        with pytest.raises(UserError, match="vision tower") as said:
            model(**inputs)
        assert "\n" not in str(said.value)
    assert set(BY_TOKEN) & set(inputs)


def test_a_clip_of_another_width_or_none_is_refused(folder, tmp_path):
    outputs, ids = torch.randn(1, 4, 12), torch.full((1, 3), 7)
    words = torch.ones(1, 3, dtype=torch.bool)
    with pytest.raises(UserError, match="width 16"):
        clip_relevance(folder, folder, outputs, ids, words)
    with pytest.raises(UserError, match="cannot be loaded") as said:
        clip_relevance(str(tmp_path), folder, outputs, ids, words)
    assert "\n" not in str(said.value)

"""A miniature with a fine grid begins as the one that it starts from, at four tokens a cell."""

from copy import deepcopy
from functools import partial
from random import Random

import pytest
import torch
from helpers import ROOT
from transformers import AutoModelForImageTextToText, AutoProcessor

from vtprune.attach import load
from vtprune.errors import UserError
from vtstudy.training import train_fine
from vtstudy.training.derived import derive, image_features
from vtstudy.training.fine import coarse_places, fine_llava, fine_places
from vtstudy.training.language import answer_loss, collate, packed_questions
from vtstudy.training.tower import pixels
from vtstudy.training.train import recipe_of, snapshot, train
from vtstudy.training.train_derived import ProcessorInputs
from vtstudy.world import prompts
from vtstudy.world.pictures import sample
from vtstudy.world.scene import render

START = ROOT / "data/checkpoints/miniature-llava"
BRIEF = {"steps": 1, "batch": 2, "learning_rate": 1e-3}
ROUND = BRIEF | {"compile": False}
SETTINGS = {
    "kind": "fine",
    "start": "start",
    "layers": [0, 1],
    "seed": 0,
    "tower": BRIEF,
    "language": [ROUND | {"quarters": 1, "moving": 0.5, "early": 0.1}, ROUND | {"quarters": 4}],
}


@pytest.fixture(scope="module")
def source():
    return AutoModelForImageTextToText.from_pretrained(START, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def fine(source):
    torch.manual_seed(0)
    model, processor = fine_llava(source, AutoProcessor.from_pretrained(START), list(range(6)))
    return model.eval(), processor


def _examples(processor, quarters, moved, step=0):
    draw = partial(train_fine.shown_example, tokenizer=processor.tokenizer, quarters=quarters, moved=moved)
    examples = [draw(Random(seed), step) for seed in (1, 2)]
    return train_fine.collate_shown(examples, ProcessorInputs(processor), processor.image_token_id)


def test_tokens_of_a_cell_are_its_quarters():
    assert fine_places(torch.tensor([0, 13])).tolist() == [[0, 1, 24, 25], [50, 51, 74, 75]]
    cells = torch.arange(144)
    assert torch.equal(coarse_places(fine_places(cells)), cells[:, None].expand(-1, 4))
    assert fine_places(cells).flatten().sort().values.tolist() == list(range(576))


@torch.no_grad()
def test_the_first_layer_begins_by_looking_at_the_quarters_of_the_cell(fine):
    model, processor = fine
    seen = ProcessorInputs(processor).pixels(pixels(render(sample(Random("quarters"), "sign", held_out=True))))
    tower = model.model.vision_tower
    layer = tower.encoder.layers[0]
    hidden = layer.layer_norm1(tower.pre_layrnorm(tower.embeddings(seen[None])))
    shape = (577, 4, -1)
    queries, keys = (project(hidden)[0].view(shape) for project in (layer.self_attn.q_proj, layer.self_attn.k_proj))
    weights = torch.einsum("ihd,jhd->hij", queries, keys).mul(queries.shape[-1] ** -0.5).softmax(dim=-1)[:, 1:, 1:]
    token = torch.arange(576)
    quarters = fine_places(coarse_places(token))  # [576, 4]
    for head in range(4):
        assert weights[head][token, quarters[:, head]].min() > 0.99


@torch.no_grad()
def test_the_other_layers_see_each_cell_four_times_and_answer_alike(source, fine):
    tower, teacher = fine[0].model.vision_tower, source.model.vision_tower
    picture = pixels(render(sample(Random("cells"), "scene", held_out=True)))
    hidden = teacher.pre_layrnorm(teacher.embeddings(picture[None]))
    cells = coarse_places(torch.arange(576))
    wanted = teacher(pixel_values=picture[None]).last_hidden_state[:, 1:][:, cells]
    spread = torch.cat((hidden[:, :1], hidden[:, 1:][:, cells]), dim=1)
    for layer in tower.encoder.layers[1:]:
        spread = layer(spread, attention_mask=None)
    assert (spread[:, 1:] - wanted).square().mean() < 1e-3 * wanted.var()  # the class token counts less


@torch.no_grad()
def test_training_and_evaluation_have_the_same_inputs(fine):
    model, processor = fine
    picture = render(sample(Random("further"), "scene", held_out=True))
    content = [{"type": "image"}, {"type": "text", "text": prompts.prompt("pope", "Is there a star in the image?")}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    asked = processor(images=[picture], text=[text], return_tensors="pt")
    torch.testing.assert_close(asked["pixel_values"][0], train_fine.doubled(pixels(picture)))
    batch = _examples(processor, quarters=4, moved=0.0)
    image_run = int((asked["input_ids"][0] == model.config.image_token_id).nonzero()[-1]) + 1
    assert torch.equal(batch["ids"][0, :image_run], asked["input_ids"][0, :image_run])
    assert torch.equal(train_fine.moved_places(batch)[0, :image_run], torch.arange(image_run).float())
    first = int((batch["block"][0] == 1).nonzero()[0])
    assert train_fine.moved_places(batch)[0, first] == first
    assert image_features(model, asked["pixel_values"]).shape[1] == 576 == batch["shown"].shape[1]


@torch.no_grad()
def test_before_anything_moves_one_token_a_cell_is_the_source(source, fine):
    model, processor = fine
    batch = _examples(processor, quarters=1, moved=10.0)
    assert torch.equal(batch["cells"][0], torch.arange(144))
    loss, figures = train_fine.shown_loss(model, source, 0.0, batch, torch.device("cpu"))
    questions = []
    for seed in (1, 2):
        questions.append(packed_questions(Random(seed), 0, processor.tokenizer, tables_from=0))
    coarse = collate(questions)
    wanted, wanted_figures = answer_loss(source, image_features(source, coarse["pixels"]), coarse)
    torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=1e-5)
    assert figures == pytest.approx(wanted_figures)
    weighted, with_early = train_fine.shown_loss(model, source, 0.5, batch, torch.device("cpu"))
    assert weighted > loss and 0 <= with_early["early"] <= 1


def test_places_move_to_those_of_the_fine_grid(fine):
    _, processor = fine
    start = int((_examples(processor, 1, 0.0)["ids"][0] == processor.image_token_id).nonzero()[0])
    for step, share in ((0, 0.0), (5, 0.5), (10, 1.0), (30, 1.0)):
        batch = _examples(processor, quarters=2, moved=10.0, step=step)
        shown, cells = batch["shown"][0].float(), batch["cells"][0].float()
        wanted = start + (1 - share) * cells + share * shown
        torch.testing.assert_close(train_fine.moved_places(batch)[0, start : start + 288], wanted)
        assert train_fine.moved_places(batch)[0, start + 288] == start + 144 + share * 432
        assert torch.equal(coarse_places(batch["shown"][0]).bincount(), torch.full((144,), 2))


def test_the_tower_learns_the_embedding_of_the_cell_at_its_quarters(source):
    torch.manual_seed(0)
    model, processor = fine_llava(source, AutoProcessor.from_pretrained(START), [0])
    tower = model.model.vision_tower
    inputs = ProcessorInputs(processor)
    examples = [train_fine.cells_example(Random(seed), 0, inputs) for seed in range(8)]
    batch = torch.utils.data.default_collate(examples)
    parameters = [*tower.embeddings.parameters(), *tower.encoder.layers[0].parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    losses = []
    for _ in range(12):
        loss, _ = train_fine.gathering_loss(model, source, batch, torch.device("cpu"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.exhaustive
def test_training_writes_a_checkpoint_that_loads_and_goes_on_with_a_round_more(tmp_path, monkeypatch):
    (tmp_path / "all").mkdir()
    (tmp_path / "all/start").symlink_to(START)
    folders = {"checkpoints": tmp_path / "all", "states": tmp_path / "states"}
    params = {"derived": {"new": SETTINGS}}
    with pytest.raises(UserError, match="no state"):
        snapshot("new", params, tmp_path / "early", **folders)
    assert train("new", params, "cpu", **folders)
    assert not train("new", params, "cpu", **folders)
    model, _ = load(tmp_path / "all/new")
    assert model.config.image_seq_length == 576
    stages = [line.split('"')[3] for line in (tmp_path / "all/new/history.jsonl").read_text().splitlines()]
    assert stages == ["tower", "language-1", "language-2"]
    more = deepcopy(params)
    more["derived"]["new"]["language"].append(ROUND | {"quarters": 4})
    files = recipe_of("new", params, folders["checkpoints"]).state_files("new", folders["states"])
    assert recipe_of("new", more, folders["checkpoints"]).state_files("new", folders["states"])[:3] == files
    assert snapshot("new", more, tmp_path / "early", **folders) == dict.fromkeys(stages, 1)
    assert (tmp_path / "early/model.safetensors").read_bytes() == (tmp_path / "all/new/model.safetensors").read_bytes()


def test_only_a_llava_with_the_coarse_grid_is_refined(source, fine):
    model, processor = fine
    with pytest.raises(UserError, match="patches of 8"):
        fine_llava(model, processor, [0])
    next_model, next_processor = derive("next", source, AutoProcessor.from_pretrained(START), [0])
    with pytest.raises(UserError, match="LLaVA"):
        fine_llava(next_model, next_processor, [0])

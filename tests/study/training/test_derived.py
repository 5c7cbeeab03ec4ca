"""Derived miniatures begin as the miniature that they start from, and are trained on the prompts of the evaluation."""

from random import Random

import pytest
import torch
from helpers import ROOT
from transformers import AutoModelForImageTextToText, AutoProcessor

from vtprune.attach import load
from vtprune.attach.families.internvl import InternVL
from vtprune.attach.families.llava_next import LlavaNext
from vtprune.errors import UserError
from vtstudy.training import derived
from vtstudy.training.language import answer_loss
from vtstudy.training.tower import pixels
from vtstudy.training.train import train
from vtstudy.training.train_derived import ProcessorInputs, collate_for, language_example
from vtstudy.world import prompts
from vtstudy.world import scene as world
from vtstudy.world.pictures import sample

pytestmark = pytest.mark.slow

START = ROOT / "data/checkpoints/miniature-llava"
ALL = list(range(6))


@pytest.fixture(scope="module")
def llava():
    return AutoModelForImageTextToText.from_pretrained(
        START, dtype=torch.float32
    ).eval(), AutoProcessor.from_pretrained(START)


def _picture():
    return world.render(sample(Random("further"), "scene", held_out=True))


def _inputs(processor, image):
    content = [{"type": "image"}, {"type": "text", "text": prompts.prompt("pope", "Is there a star in the image?")}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return processor(images=[image], text=[text], return_tensors="pt")


@torch.no_grad()
def test_a_deeper_model_begins_as_its_source(llava):
    source, processor = llava
    deeper, _ = derived.derive("llava", source, processor, [0, 1, 2, 2, 3, 4, 4, 5])
    assert len(deeper.model.language_model.layers) == 8
    inputs = _inputs(processor, _picture())
    assert torch.equal(deeper.eval()(**inputs).logits, source(**inputs).logits)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["next", "internvl"])
def test_teacher_targets_are_in_the_order_of_the_image_tokens(llava, kind):
    """The order of the teacher's tokens is that in which the model's own code and our layouts have them."""
    source, processor = llava
    model, processor = derived.derive(kind, source, processor, ALL)
    cells = torch.cartesian_prod(torch.arange(12.0), torch.arange(12.0))
    targets = derived.teacher_targets(cells[None], kind)[0]
    inputs = _inputs(processor, _picture())
    whole, tiles = (targets[0], targets[1:]) if kind == "next" else (targets[4], targets[:4])
    if kind == "next":
        layout = LlavaNext().layout(
            model.config, inputs["input_ids"], inputs["attention_mask"].bool(), inputs["image_sizes"]
        )
        assert [part.grid for part in layout.parts[0]] == [(6, 6), (12, 13)]
        # The model's own packing of the tiles, of features that tell their places.
        sizes, newline = inputs["image_sizes"], torch.full((2,), -1.0)
        packed, _ = model.model.pack_image_features(
            [targets], sizes, vision_feature_select_strategy="default", image_newline=newline
        )
        own = layout.positions[0, 36:].float()
        assert torch.equal(packed[0][36:][own[:, 1] < 12], own[own[:, 1] < 12])
    else:
        layout = InternVL().layout(model.config, inputs["input_ids"], inputs["attention_mask"].bool())
        assert [(part.name, part.grid) for part in layout.parts[0]] == [("tile", (6, 6))] * 4 + [("thumbnail", (6, 6))]
        corners = torch.tensor([[0, 0], [0, 6], [6, 0], [6, 6]])
        assert torch.equal(
            tiles.flatten(0, 1), (layout.positions[0, :144] + corners.repeat_interleave(36, dim=0)).float()
        )
    assert torch.equal(whole, 2 * layout.positions[0, layout.image[0] == (0 if kind == "next" else 4)] + 0.5)


@torch.no_grad()
def test_internvl_tiles_show_the_cells_of_their_targets(llava):
    """A picture that is white in one cell: the tower's patches see it where the teacher says."""
    source, processor = llava
    _, processor = derived.derive("internvl", source, processor, ALL)
    image = torch.full((3, 96, 96), -1.0)
    image[:, 8 * 7 : 8 * 8, 8 * 2 : 8 * 3] = 1.0  # row 7, column 2
    seen = ProcessorInputs(processor).pixels(image)
    light = torch.nn.functional.avg_pool2d(seen, 8).mean(dim=1).flatten(1)  # [5, 36] by cell of 8 pixels
    assert light[:4].flatten().argmax() == 2 * 36 + 1 * 6 + 2
    targets = derived.teacher_targets(torch.arange(144.0)[None, :, None], "internvl")[0, :4].flatten()
    assert targets[light[:4].flatten().argmax()] == 7 * 12 + 2


@torch.no_grad()
@pytest.mark.parametrize("kind", derived.KINDS)
def test_training_and_evaluation_have_the_same_inputs(llava, kind):
    source, processor = llava
    model, processor = derived.derive(kind, source, processor, ALL)
    inputs, image = ProcessorInputs(processor), _picture()
    asked = _inputs(processor, image)
    examples = [language_example(Random(1), 0, processor.tokenizer, inputs) for _ in range(2)]
    batch = collate_for(examples, inputs, model.config.image_token_id)
    image_run = int((asked["input_ids"][0] == model.config.image_token_id).nonzero()[-1]) + 1
    assert torch.equal(batch["ids"][0, :image_run], asked["input_ids"][0, :image_run])
    assert torch.equal(batch["position"][0, :image_run], torch.arange(image_run))
    first = int((batch["block"][0] == 1).nonzero()[0])
    assert batch["position"][0, first] == first  # a block goes on where its prompt would
    assert torch.equal(inputs.pixels(pixels(image)).flatten(), asked["pixel_values"].flatten())
    seen = derived.image_features(model.eval(), batch["pixels"])
    assert seen.shape[1] == int((batch["ids"][0] == model.config.image_token_id).sum())
    assert torch.isfinite(answer_loss(model, seen, batch)[0])


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        pytest.param("llava", [0, 1, 1, 2], marks=pytest.mark.exhaustive),
        pytest.param("next", ALL, marks=pytest.mark.exhaustive),
        pytest.param("internvl", ALL, marks=pytest.mark.exhaustive),
    ],
)
def test_training_writes_a_checkpoint_that_loads(tmp_path, kind, layers):
    (tmp_path / "all").mkdir()
    (tmp_path / "all/start").symlink_to(START)
    brief = {"steps": 1, "batch": 2, "learning_rate": 1e-3}
    settings = {"kind": kind, "start": "start", "layers": layers, "seed": 0, "language": brief | {"compile": False}}
    if kind != "llava":
        settings["tower"] = brief
    params = {"derived": {"new": settings}}
    assert train("new", params, "cpu", checkpoints=tmp_path / "all", states=tmp_path / "states")
    assert not train("new", params, "cpu", checkpoints=tmp_path / "all", states=tmp_path / "states")
    model, _ = load(tmp_path / "all/new")
    assert model.config.text_config.num_hidden_layers == len(layers)
    stages = [line.split('"')[3] for line in (tmp_path / "all/new/history.jsonl").read_text().splitlines()]
    assert stages == (["language"] if kind == "llava" else ["tower", "language"])


def test_unknown_kinds_and_layers_are_refused(llava):
    with pytest.raises(UserError, match="blip"):
        derived.derive("blip", *llava, ALL)
    with pytest.raises(UserError, match="layers"):
        derived.derive("llava", *llava, [0, 6])

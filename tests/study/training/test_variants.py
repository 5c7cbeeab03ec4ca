"""The further miniatures: they begin as what they come from, and are trained on the prompts that they will get."""

from random import Random

import pytest
import torch
from helpers import ROOT
from transformers import AutoModelForImageTextToText, AutoProcessor

from vtprune.attach import load
from vtprune.attach.families.internvl import InternVL
from vtprune.attach.families.llava_next import LlavaNext
from vtstudy.training import train_variant as further
from vtstudy.training import variants
from vtstudy.training.language import answer_loss
from vtstudy.training.tower import pixels
from vtstudy.training.train_variant import Reader, grow
from vtstudy.world import prompts
from vtstudy.world import scene as world
from vtstudy.world.pictures import sample

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
    deeper, _ = variants.variant("llava", source, processor, [0, 1, 2, 2, 3, 4, 4, 5])
    assert len(deeper.model.language_model.layers) == 8
    inputs = _inputs(processor, _picture())
    assert torch.equal(deeper.eval()(**inputs).logits, source(**inputs).logits)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["next", "internvl"])
def test_a_cell_is_taught_what_llava_sees_there(llava, kind):
    """The order of the teacher's tokens is that in which the model's own code and our layouts have them."""
    source, processor = llava
    model, processor = variants.variant(kind, source, processor, ALL)
    cells = torch.cartesian_prod(torch.arange(12.0), torch.arange(12.0))
    taught = variants.teacher_of(cells[None], kind)[0]
    inputs = _inputs(processor, _picture())
    whole, tiles = (taught[0], taught[1:]) if kind == "next" else (taught[4], taught[:4])
    if kind == "next":
        layout = LlavaNext().layout(
            model.config, inputs["input_ids"], inputs["attention_mask"].bool(), inputs["image_sizes"]
        )
        assert [part.grid for part in layout.parts[0]] == [(6, 6), (12, 13)]
        # The model's own packing of the tiles, of features that tell their places.
        sizes, newline = inputs["image_sizes"], torch.full((2,), -1.0)
        packed, _ = model.model.pack_image_features(
            [taught], sizes, vision_feature_select_strategy="default", image_newline=newline
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
def test_internvl_tiles_are_cut_as_they_are_taught(llava):
    """A picture that is white in one cell: the tower's patches see it where the teacher says."""
    source, processor = llava
    _, processor = variants.variant("internvl", source, processor, ALL)
    image = torch.full((3, 96, 96), -1.0)
    image[:, 8 * 7 : 8 * 8, 8 * 2 : 8 * 3] = 1.0  # row 7, column 2
    seen = Reader(processor).pixels(image)
    light = torch.nn.functional.avg_pool2d(seen, 8).mean(dim=1).flatten(1)  # [5, 36] by cell of 8 pixels
    assert light[:4].flatten().argmax() == 2 * 36 + 1 * 6 + 2
    taught = variants.teacher_of(torch.arange(144.0)[None, :, None], "internvl")[0, :4].flatten()
    assert taught[light[:4].flatten().argmax()] == 7 * 12 + 2


@torch.no_grad()
@pytest.mark.parametrize("kind", variants.KINDS)
def test_a_question_is_trained_as_it_will_be_asked(llava, kind):
    source, processor = llava
    model, processor = variants.variant(kind, source, processor, ALL)
    reader, image = Reader(processor), _picture()
    asked = _inputs(processor, image)
    batch = further._widened(
        [further._asked(Random(1), 0, processor.tokenizer, reader) for _ in range(2)],
        reader,
        model.config.image_token_id,
    )
    image_run = int((asked["input_ids"][0] == model.config.image_token_id).nonzero()[-1]) + 1
    assert torch.equal(batch["ids"][0, :image_run], asked["input_ids"][0, :image_run])
    assert torch.equal(batch["position"][0, :image_run], torch.arange(image_run))
    first = int((batch["block"][0] == 1).nonzero()[0])
    assert batch["position"][0, first] == first  # a block goes on where its prompt would
    assert torch.equal(reader.pixels(pixels(image)).flatten(), asked["pixel_values"].flatten())
    seen = variants.features(model.eval(), batch["pixels"])
    assert seen.shape[1] == int((batch["ids"][0] == model.config.image_token_id).sum())
    assert torch.isfinite(answer_loss(model, seen, batch)[0])


@pytest.mark.parametrize("kind, layers", [("next", ALL), ("internvl", ALL), ("llava", [0, 1, 1, 2])])
def test_training_writes_a_checkpoint_that_loads(tmp_path, kind, layers):
    (tmp_path / "all").mkdir()
    (tmp_path / "all/start").symlink_to(START)
    brief = {"steps": 1, "batch": 2, "learning_rate": 1e-3}
    settings = {"kind": kind, "start": "start", "layers": layers, "seed": 0, "language": brief | {"compile": False}}
    if kind != "llava":
        settings["tower"] = brief
    grow("new", settings, tmp_path / "all", tmp_path / "work", torch.device("cpu"))
    model, _ = load(tmp_path / "all/new")
    assert model.config.text_config.num_hidden_layers == len(layers)
    stages = [line.split('"')[3] for line in (tmp_path / "all/new/history.jsonl").read_text().splitlines()]
    assert stages == (["language"] if kind == "llava" else ["tower", "language"])


def test_what_cannot_be_made_is_said(llava):
    with pytest.raises(ValueError, match="kind must be one of"):
        variants.variant("blip", *llava, ALL)
    with pytest.raises(ValueError, match="layers must be some of 0 to 5"):
        variants.variant("llava", *llava, [0, 6])

"""Loading checkpoints, intact and damaged."""

import errno
import fcntl
import json

import pytest
import torch
from helpers import tiny_families as tinyfamilies
from transformers import AutoProcessor, LlamaConfig, LlamaForCausalLM

from vtprune import FastV, load
from vtprune.errors import CheckpointError


@pytest.fixture(scope="module")
def checkpoint(tiny, tmp_path_factory):
    """A folder with a tiny model and a processor for it."""
    pytest.importorskip("torchvision")  # transformers' image processors need it
    from helpers.tiny_tokenizer import word_tokenizer
    from transformers import CLIPImageProcessor, LlavaProcessor

    folder = tmp_path_factory.mktemp("checkpoint")
    tiny.build(kv_heads=2).save_pretrained(folder)
    words = ["<pad>", "<s>", "</s>", "<image>", "<unk>", "what", "is", "this", "?"]
    side = 8 * tiny.grid
    images = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    LlavaProcessor(
        images,
        word_tokenizer(words),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    ).save_pretrained(folder)
    return folder


def copy_of(checkpoint, tmp_path):
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_a_loaded_checkpoint_answers(tiny, checkpoint):
    from PIL import Image

    model, processor = load(checkpoint, device="cpu", dtype="float32", attn_implementation="eager")
    assert not model.training and model.config.text_config._attn_implementation == "eager"
    pictures = [Image.new("RGB", (50, 40), colour) for colour in ("red", "blue")]
    inputs = processor(
        images=pictures, text=["<image> what ?", "<image> what is this ?"], padding=True, return_tensors="pt"
    )
    assert inputs["attention_mask"][0, 0] == 0  # padded on the left
    with FastV(0.25).attach(model) as pruned:
        assert model.generate(**inputs, max_new_tokens=3).shape[0] == 2
        assert [len(row[0].indices) for row in pruned.kept] == [4, 4]
    assert next(load(str(checkpoint), device="cpu", dtype=torch.bfloat16)[0].parameters()).dtype == torch.bfloat16


def refused(path) -> str:
    with pytest.raises(CheckpointError) as raised:
        load(path, device="cpu")
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_a_missing_folder_is_refused(tmp_path):
    assert "there is no such folder" in refused(tmp_path / "absent")
    assert "there is no such folder" in refused("./absent")


def test_a_folder_without_configuration_is_refused(tmp_path):
    assert "no config.json" in refused(tmp_path)


@pytest.mark.parametrize("length", [0, 5, 200, -100])
def test_truncated_weights_are_refused(checkpoint, tmp_path, length):
    folder = copy_of(checkpoint, tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:length])
    assert "weights cannot be loaded" in refused(folder)


def test_missing_weights_are_refused(checkpoint, tmp_path):
    folder = copy_of(checkpoint, tmp_path)
    (folder / "model.safetensors").unlink()
    assert "weights cannot be loaded" in refused(folder)


def test_weights_that_lack_a_layer_are_refused(checkpoint, tmp_path):
    folder = copy_of(checkpoint, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 5
    config["text_config"].pop("layer_types", None)
    (folder / "config.json").write_text(json.dumps(config))
    assert "lack" in refused(folder)


def test_weights_of_another_shape_are_refused(checkpoint, tmp_path):
    folder = copy_of(checkpoint, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 128
    (folder / "config.json").write_text(json.dumps(config))
    assert "shape" in refused(folder)


def test_a_broken_configuration_is_refused(checkpoint, tmp_path):
    folder = copy_of(checkpoint, tmp_path)
    (folder / "config.json").write_text('{"model_type": "llava", ')
    assert "configuration cannot be read" in refused(folder)


def test_a_local_checkpoint_needs_no_locks(checkpoint, monkeypatch):
    """`flock` raises ENOLCK on many network disks."""
    no_locks(monkeypatch)
    model, _ = load(checkpoint, device="cpu")
    assert next(model.parameters()).device.type == "cpu"


def test_a_cache_without_locks_is_named(checkpoint, monkeypatch):
    """The libraries of the Hub lock the files of their caches."""
    no_locks(monkeypatch)

    def locking(*arguments, **options):
        fcntl.flock(0, fcntl.LOCK_EX)

    monkeypatch.setattr(AutoProcessor, "from_pretrained", locking)
    with pytest.raises(CheckpointError, match="HF_HOME") as raised:
        load(checkpoint, device="cpu")
    assert "No locks available" in str(raised.value) and "\n" not in str(raised.value)


def no_locks(monkeypatch):
    def refused(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    for name in ("flock", "lockf", "fcntl"):
        monkeypatch.setattr(fcntl, name, refused)


def test_a_missing_processor_is_refused(checkpoint, tmp_path):
    folder = copy_of(checkpoint, tmp_path)
    for file in folder.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    assert "processor cannot be loaded" in refused(folder)


def test_another_architecture_is_refused(tmp_path):
    small = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(num_hidden_layers=1, **small)).save_pretrained(tmp_path)
    message = refused(tmp_path)
    assert "LlamaForCausalLM" in message and "LlavaForConditionalGeneration" in message


@pytest.mark.parametrize(
    ("architecture", "hint"),
    [
        ("InternVLChatModel", "vtprune convert"),
        ("LlavaLlamaForCausalLM", "llava-hf"),
    ],
)
def test_checkpoints_in_the_authors_formats_get_a_hint(tmp_path, architecture, hint):
    config = {"architectures": [architecture], "model_type": "internvl_chat", "auto_map": {"AutoConfig": "code.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert hint in refused(tmp_path)


@pytest.mark.parametrize(("family", "decoder"), [("llava_next", "mistral"), ("internvl", "qwen2")])
def test_checkpoints_of_the_other_families_prune_pictures_of_any_shape(family, decoder, tmp_path):
    """Pictures of any shape, from the processor of the checkpoint."""
    pytest.importorskip("torchvision")
    from PIL import Image

    tinyfamilies.save(family, decoder, tmp_path)
    model, processor = load(tmp_path, device="cpu", dtype="float32")
    pictures = [Image.new("RGB", size, "red") for size in ((50, 40), (300, 20), (33, 90))]
    text = [processor.apply_chat_template(message, add_generation_prompt=True) for message in tinyfamilies.MESSAGES]
    inputs = processor(images=pictures, text=text, padding=True, return_tensors="pt")
    assert inputs["attention_mask"][0, 0] == 0  # padded on the left
    totals = (inputs["input_ids"] == model.config.image_token_id).sum(dim=1).tolist()
    with FastV(0.25, layer=1).attach(model) as pruned:
        assert model.generate(**inputs, max_new_tokens=3, min_new_tokens=3).shape[1] == inputs["input_ids"].shape[1] + 3
        assert [sum(len(part.indices) for part in row) for row in pruned.kept] == [total // 4 for total in totals]
        grids = [[part.grid for part in row if part.image == 0] for row in pruned.kept]
    if family == "llava_next":
        # 50 wide and 40 high goes on 2x2 tiles: 6 of the 8 rows. 300 by 20 on 3 beside one another,
        # where it is less than a row high, and transformers leaves none.
        assert grids == [[(4, 4), (6, 9)], [(4, 4), (0, 13)]]
    else:  # twelve tiles, 4x3 of them and 12x1, and the thumbnail
        assert grids == [[(4, 4)] * 13, [(4, 4)] * 13]

"""The replicas have the structure of what they stand for."""

import io
import json
from pathlib import Path

import pytest
import torch
from datasets import load_dataset
from helpers.replicas import DATA_SETS, rows_in, write_data_sets, write_models
from helpers.replicas.models import VISION_LAYERS
from helpers.replicas.pictures import ODD, drawing, picture
from PIL import Image
from safetensors import safe_open

from vtprune import FastV, load
from vtstudy.benchmarks import BENCHMARKS

pytestmark = pytest.mark.slow

LLAVA = {
    "llava-hf/llava-1.5-7b-hf": (32, 3, 32000),
    "llava-hf/llava-1.5-13b-hf": (40, 6, 32000),
    "llava-hf/llava-v1.6-vicuna-7b-hf": (32, 3, 32000),
    "llava-hf/llama3-llava-next-8b-hf": (32, 4, 128256),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    write_models(root, *LLAVA)
    return root


def prompt(processor) -> str:
    content = [{"type": "image"}, {"type": "text", "text": "What color is the cup?"}]
    return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


@pytest.mark.exhaustive
@pytest.mark.parametrize("identifier", LLAVA)
def test_a_checkpoint_has_the_published_layers_files_and_names(root, identifier):
    layers, files, image = LLAVA[identifier]
    folder = root / "models" / identifier
    config = json.loads((folder / "config.json").read_text())
    shards = sorted(folder.glob("*.safetensors"))
    names = {name for shard in shards for name in safe_open(shard, "pt").keys()}  # noqa: SIM118 (it is no dict)
    assert config["text_config"]["num_hidden_layers"] == layers
    assert (config["image_token_index"], len(shards)) == (image, files)
    assert {f"language_model.model.layers.{layers - 1}.mlp.up_proj.weight", "language_model.lm_head.weight"} <= names
    assert f"vision_tower.vision_model.encoder.layers.{VISION_LAYERS - 1}.mlp.fc1.weight" in names
    assert ("image_newline" in names) == ("v1.6" in identifier or "next" in identifier)


@pytest.mark.parametrize(
    "identifier",
    [
        pytest.param(name, marks=pytest.mark.exhaustive if "next" in name or "v1.6" in name else pytest.mark.slow)
        for name in LLAVA
    ],
)
def test_a_checkpoint_is_loaded_whole_and_answers_with_and_without_pruning(root, identifier):
    _, _, image = LLAVA[identifier]
    model, processor = load(root / "models" / identifier, dtype="float32")
    inputs = processor(text=[prompt(processor)], images=[[drawing(672, 672, 0)]], return_tensors="pt")
    # LLaVA-NeXT shows it whole, and as 2 x 2 tiles whose rows end with a newline token.
    tokens = 576 if "1.5" in identifier else 576 + 48 * 49
    ends = model.generation_config.eos_token_id
    assert int((inputs.input_ids == image).sum()) == tokens
    assert inputs.input_ids[0, 0] == model.config.text_config.bos_token_id
    asked = {"max_new_tokens": 24, "do_sample": False}
    answer = model.generate(**inputs, **asked)[0, inputs.input_ids.shape[1] :]
    with FastV(keep=0.1).attach(model) as pruned:
        model.generate(**inputs, **asked)
    assert all(token in (ends if isinstance(ends, list) else [ends]) or 0 < token < 40000 for token in answer)
    assert sum(len(part.positions) for part in pruned.kept[0]) == int(0.1 * tokens)


def test_the_odd_pictures_are_what_they_are_called():
    modes = {}
    for kind in ODD:
        with Image.open(io.BytesIO(picture(kind, 1).content)) as image:
            modes[kind] = (image.mode, image.size, getattr(image, "n_frames", 1), image.getexif().get(0x0112))
    assert {kind: mode[0] for kind, mode in modes.items()} == {
        "grey": "L",
        "grey_alpha": "LA",
        "rgba": "RGBA",
        "palette": "P",
        "cmyk": "CMYK",
        "sixteen_bits": "I;16",
        "turned": "RGB",
        "dot": "RGB",
        "wide": "RGB",
        "tall": "RGB",
        "animated": "P",
        "page": "1",
    }
    assert modes["turned"][3] == 6
    assert modes["animated"][2] == 3
    assert [modes[kind][1] for kind in ("dot", "wide", "tall")] == [(1, 1), (8000, 20), (20, 8000)]


def test_the_weights_are_the_same_whenever_they_are_made(root, tmp_path):
    identifier = "llava-hf/llava-1.5-7b-hf"
    write_models(tmp_path, identifier)
    name = "model-00001-of-00003.safetensors"
    first, second = (folder / "models" / identifier / name for folder in (root, tmp_path))
    with safe_open(first, "pt") as one, safe_open(second, "pt") as two:
        assert all(torch.equal(one.get_tensor(weight), two.get_tensor(weight)) for weight in one.keys())  # noqa: SIM118


@pytest.mark.exhaustive
def test_the_data_sets_have_their_splits_and_rows(tmp_path, monkeypatch):
    write_data_sets(tmp_path)
    monkeypatch.chdir(tmp_path / "datasets")
    for benchmark in BENCHMARKS.values():
        for config, splits in DATA_SETS[benchmark.dataset].items():
            data = load_dataset(benchmark.path, config, cache_dir=str(tmp_path / "cache"))
            assert {split: len(rows) for split, rows in data.items()} == dict(splits)
    assert rows_in("mme") == 28

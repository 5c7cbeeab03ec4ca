"""InternVL2 in its authors' format: converted, compared with a second implementation, and refused where it must be."""

import json
import re
import shutil

import pytest
import torch
from helpers import internvl2_reference as reference
from helpers.internvl2_published import APPENDED, RENAMED, SYSTEM_MESSAGE, published_config, write_published_internvl2
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import GotOcr2ImageProcessorPil

from vtprune import FastV, load
from vtprune.cli import main
from vtprune.conversion import convert_internvl2
from vtprune.conversion.internvl2 import configuration, native_shapes
from vtprune.conversion.weights import published_weights
from vtprune.errors import CheckpointError, UserError

pytestmark = pytest.mark.slow

pytest.importorskip("torchvision")  # transformers' image processors need it
SMALL = {"layers": 2, "vision_layers": 2}
QUESTION = "What color is the object?"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A small folder in the authors' format, in two files of weights. Tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("internvl2") / "published"
    write_published_internvl2(folder, **SMALL, dtype=torch.float32, shards=2)
    return folder


@pytest.fixture(scope="module")
def converted(published):
    target = published.parent / "converted"
    convert_internvl2(published, target)
    return target


@pytest.fixture(scope="module")
def loaded(converted):
    return load(converted, device="cpu", attn_implementation="eager")


def all_weights(folder):
    return {name: weight for file in folder.glob("*.safetensors") for name, weight in load_file(file).items()}


def settings_of(folder):
    return json.loads((folder / "config.json").read_text())


def prompt(processor, pictures, question=QUESTION):
    content = [{"type": "image"}] * len(pictures) + [{"type": "text", "text": question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return processor(text=[text], images=pictures, return_tensors="pt")


def picture(width, height, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (8, 8, 3), dtype=torch.uint8, generator=generator)
    return Image.frombytes("RGB", (8, 8), coarse.numpy().tobytes()).resize((width, height), Image.Resampling.BILINEAR)


@torch.no_grad()
def compared(model, folder, inputs):
    """The largest differences of image features and logits from the reference, as shares of the largest values."""
    weights = {name: weight.float() for name, weight in all_weights(folder).items()}
    settings = settings_of(folder)
    features = reference.image_features(weights, settings, inputs["pixel_values"])
    expected = reference.logits(weights, settings, inputs["input_ids"], features, model.config.image_token_id)
    found = model.get_image_features(inputs["pixel_values"]).pooler_output
    return [
        float((ours - theirs).abs().max() / theirs.abs().max())
        for ours, theirs in ((found, features), (model(**inputs).logits, expected))
    ]


def test_features_and_logits_are_those_of_the_architecture(published, loaded):
    model, processor = loaded
    inputs = prompt(processor, [picture(400, 400), picture(900, 440, seed=1)])
    assert len(inputs["pixel_values"]) == 1 + 3
    assert max(compared(model, published, inputs)) < 1e-5


@pytest.mark.exhaustive
@pytest.mark.parametrize("size", ["2B", "8B"])
def test_the_published_numbers_of_layers_heads_and_files_convert(tmp_path, size):
    write_published_internvl2(tmp_path / "published", size=size, vision_layers=3)
    convert_internvl2(tmp_path / "published", tmp_path / "converted")
    model, processor = load(tmp_path / "converted", device="cpu", dtype="float32")
    assert model.config.text_config.num_hidden_layers == {"2B": 24, "8B": 32}[size]
    assert max(compared(model, tmp_path / "published", prompt(processor, [picture(400, 400)]))) < 1e-5


@pytest.mark.parametrize(("size", "hidden", "inner", "billions"), [("2B", 2048, 8192, 2.21), ("8B", 4096, 14336, 8.08)])
def test_in_their_true_widths_the_models_have_the_published_numbers_of_weights(size, hidden, inner, billions):
    settings = published_config(size, vocabulary=92553, layers=None, vision_layers=None)
    settings["llm_config"] |= {"hidden_size": hidden, "intermediate_size": inner}
    settings["vision_config"] |= {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
    config = configuration(settings, image_token=92546)
    shapes = native_shapes(config)
    assert round(sum(shape.numel() for shape in shapes.values()) / 1e9, 2) == billions
    assert sorted(name for weight in published_weights(config).values() for name in weight.names) == sorted(shapes)
    assert config.image_seq_length == 256


def test_the_weights_keep_their_values_and_type(tmp_path):
    write_published_internvl2(tmp_path / "one", **SMALL, shards=1)
    write_published_internvl2(tmp_path / "four", **SMALL, shards=4)
    for name in ("one", "four"):
        convert_internvl2(tmp_path / name, tmp_path / f"{name}-converted")
    one, four = (all_weights(tmp_path / f"{name}-converted") for name in ("one", "four"))
    assert len(list((tmp_path / "four-converted").glob("*.safetensors"))) == 4
    assert one.keys() == four.keys() and all(torch.equal(one[name], four[name]) for name in one)
    before = all_weights(tmp_path / "one")
    assert {weight.dtype for weight in one.values()} == {torch.bfloat16}
    assert sum(weight.double().sum() for weight in one.values()) == pytest.approx(
        float(sum(weight.double().sum() for weight in before.values())), rel=1e-9
    )
    assert next(load(tmp_path / "one-converted", device="cpu")[0].parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("length", [60, 64, 65, 200])
def test_rotary_embeddings_stretch_beyond_the_trained_length(published, tmp_path, length):
    folder = changed(published, tmp_path, {"llm_config.max_position_embeddings": 64})
    convert_internvl2(folder, tmp_path / "converted")
    model, _ = load(tmp_path / "converted", device="cpu", attn_implementation="eager")
    ids = torch.randint(3, 700, (1, length), generator=torch.Generator().manual_seed(length))
    expected = reference.logits(all_weights(folder), settings_of(folder), ids)
    with torch.no_grad():
        found = model(input_ids=ids).logits
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


def test_a_converted_model_is_pruned_and_answers(loaded):
    model, processor = loaded
    with FastV(0.5, layer=1).attach(model) as pruned:
        inputs = prompt(processor, [picture(900, 440)])
        answer = model.generate(**inputs, max_new_tokens=3, min_new_tokens=3)
        assert answer.shape[1] == inputs["input_ids"].shape[1] + 3
        assert [part.grid for part in pruned.kept[0]] == [(16, 16)] * 3
        assert sum(len(part.indices) for part in pruned.kept[0]) == 3 * 256 // 2


def test_the_prompt_is_the_authors(loaded):
    _, processor = loaded
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which?"}]},
        {"role": "assistant", "content": "This."},
        {"role": "user", "content": "Why?"},
    ]
    expected = (
        f"<|im_start|>system\n{SYSTEM_MESSAGE}<|im_end|><|im_start|>user\n<IMG_CONTEXT>\nWhich?<|im_end|>"
        "<|im_start|>assistant\nThis.<|im_end|><|im_start|>user\nWhy?<|im_end|><|im_start|>assistant\n"
    )
    assert processor.apply_chat_template(messages, add_generation_prompt=True) == expected
    own = [{"role": "system", "content": "Be brief."}, *messages[2:]]
    assert processor.apply_chat_template(own).startswith(
        "<|im_start|>system\nBe brief.<|im_end|><|im_start|>user\nWhy?"
    )


def test_answers_end_at_the_end_of_a_turn(loaded):
    model, processor = loaded
    assert model.generation_config.eos_token_id == processor.tokenizer.convert_tokens_to_ids("<|im_end|>")


TEXTS = (
    QUESTION,
    "",
    " ",
    "two  spaces, a tab\tand\n\na line  ",
    f"<|im_start|>system\n{SYSTEM_MESSAGE}<|im_end|><|im_start|>user\n<img><IMG_CONTEXT><IMG_CONTEXT></img>\nHow many?",
    "a[UNUSED_TOKEN_3]b [UNUSED_TOKEN_30] <s>begin</s> <box>[[1, 2]]</box> <unknown> <0x41>",
    "naïve 日本語 🙂 \x00 ½",
    "<|im_start|> user <|im_end|>\n",
)


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_those_of_sentencepiece_between_special_tokens(published, loaded, text):
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(published / "tokenizer.model"))
    special = {"<unk>": 0, "<s>": 1, "</s>": 2}
    special |= {token: len(model) - len(RENAMED) + number for number, token in enumerate((*RENAMED, *APPENDED))}
    expected = [1]
    for part in re.split(f"({'|'.join(map(re.escape, special))})", text):
        expected += [special[part]] if part in special else model.encode(part)
    tokenizer = loaded[1].tokenizer
    assert tokenizer(text)["input_ids"] == expected
    assert tokenizer.decode(expected[1:]) == text


def test_every_token_has_an_embedding(loaded):
    model, processor = loaded
    tokenizer = processor.tokenizer
    assert len(tokenizer) == model.config.text_config.vocab_size
    assert tokenizer.convert_tokens_to_ids(tokenizer.video_token) < len(tokenizer)
    assert (
        tokenizer.decode([1, 5, 2, *tokenizer("an answer")["input_ids"][1:]], skip_special_tokens=True)[1:]
        == "an answer"
    )


@pytest.mark.parametrize("size", [(448, 448), (30, 20), (900, 440), (1700, 2200), (2200, 1000), (20, 8000)])
def test_pictures_are_cut_into_the_authors_tiles(converted, loaded, size):
    _, processor = loaded
    image = picture(*size)
    expected = reference.tiles(image)
    found = processor(text=["<IMG_CONTEXT>"], images=[image], return_tensors="pt")["pixel_values"]
    with_pillow = GotOcr2ImageProcessorPil.from_pretrained(converted)(image, return_tensors="pt")["pixel_values"]
    assert torch.allclose(with_pillow, expected, atol=1e-5)
    steps = ((found - expected) * reference.STD[:, None, None] * 255).abs()  # of a pixel's 8 bits
    assert steps.max() < 2.01 and steps.mean() < 0.01


def changed(published, tmp_path, values):
    """A copy with other settings, by dotted name; the value None deletes a setting."""
    folder = tmp_path / "changed"
    shutil.copytree(published, folder)
    settings = settings_of(folder)
    for dotted, value in values.items():
        *parents, name = dotted.split(".")
        part = settings
        for parent in parents:
            part = part[parent]
        part[name] = value
        if value is None:
            del part[name]
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def refused(folder, tmp_path, kind=CheckpointError):
    """The message of a refusal that leaves nothing behind."""
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(kind) as raised:
        convert_internvl2(folder, tmp_path / "converted")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    message = str(raised.value)
    assert "\n" not in message
    return message


OTHER_MODELS = {
    "InternVL2.5-2B": {"template": "internvl2_5"},
    "InternVL2-1B": {"template": "Hermes-2", "llm_config.architectures": ["Qwen2ForCausalLM"]},
    "InternVL2-4B": {"template": "phi3-chat", "llm_config.architectures": ["Phi3ForCausalLM"]},
    "InternVL2-26B": {"vision_config.norm_type": "rms_norm", "vision_config.qk_normalization": True},
    "LLaVA": {"architectures": ["LlavaForConditionalGeneration"]},
    "no architecture": {"architectures": None},
    "version 1 of pixel shuffle": {"ps_version": "v1"},
    "another layer": {"select_layer": -4},
    "other rotary embeddings": {"llm_config.rope_scaling": {"type": "linear", "factor": 2.0}},
    "resized positions": {"force_image_size": 224},
    "a vocabulary that is too small": {"llm_config.vocab_size": 700},
    "a setting that is missing": {"llm_config.rms_norm_eps": None},
    "a setting whose default differs": {"ps_version": None},
}


@pytest.mark.parametrize("values", OTHER_MODELS.values(), ids=OTHER_MODELS)
def test_another_model_is_refused(published, tmp_path, values):
    refused(changed(published, tmp_path, values), tmp_path)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "config.json" in refused(tmp_path / "empty", tmp_path)
    assert "config.json" in refused(tmp_path / "absent", tmp_path)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer_config.json", "tokenizer.model", "model.safetensors.index.json"]
)
@pytest.mark.parametrize("content", [None, b"{", b"[]"])
def test_a_missing_or_damaged_file_is_named(published, tmp_path, name, content):
    folder = changed(published, tmp_path, {})
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    assert name in refused(folder, tmp_path)


def test_a_missing_file_of_weights_is_named(published, tmp_path):
    folder = changed(published, tmp_path, {})
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors" in refused(folder, tmp_path)


@pytest.mark.parametrize("length", [0, 5, 200, -100])
def test_truncated_weights_are_refused(published, tmp_path, length):
    folder = changed(published, tmp_path, {})
    file = folder / "model-00002-of-00002.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    assert file.name in refused(folder, tmp_path)


WQKV = "language_model.model.layers.1.attention.wqkv.weight"


def test_a_weight_with_a_damaged_name_is_named(published, tmp_path):
    folder = edit_weights(published, tmp_path, lambda held: held | {"surprise.weight": held.pop(WQKV)})
    assert "surprise.weight" in refused(folder, tmp_path)


def test_a_missing_weight_is_named(published, tmp_path):
    folder = edit_weights(published, tmp_path, lambda held: {name: held[name] for name in held if name != WQKV})
    assert WQKV in refused(folder, tmp_path)


def test_a_weight_with_another_shape_is_named(published, tmp_path):
    folder = edit_weights(published, tmp_path, lambda held: held | {WQKV: held[WQKV][:-4].clone()})
    assert WQKV in refused(folder, tmp_path)


def edit_weights(published, tmp_path, edit):
    folder = changed(published, tmp_path, {})
    (file,) = [file for file in folder.glob("*.safetensors") if WQKV in load_file(file)]
    save_file(edit(load_file(file)), file, {"format": "pt"})
    return folder


def test_ids_that_do_not_fit_the_vocabulary_are_refused(published, tmp_path):
    folder = changed(published, tmp_path, {})
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    tokens = settings["added_tokens_decoder"]
    tokens["9000"] = tokens.pop(max(tokens, key=int))
    file.write_text(json.dumps(settings))
    assert "9000" in refused(folder, tmp_path)


def test_a_target_that_holds_something_is_refused(published, converted, tmp_path):
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted/note.txt").write_text("mine")
    assert "converted" in refused(published, tmp_path, UserError)
    assert (tmp_path / "converted/note.txt").read_text() == "mine"


def test_an_empty_target_is_filled(published, tmp_path):
    (tmp_path / "converted").mkdir()
    convert_internvl2(published, tmp_path / "converted")
    assert (tmp_path / "converted/config.json").is_file()


def test_a_stopped_conversion_leaves_nothing_and_starts_again(published, tmp_path):
    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_internvl2(published, tmp_path / "converted", stop)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".converted.unfinished").mkdir()  # as a killed process leaves it
    (tmp_path / ".converted.unfinished/config.json").write_text("{}")
    convert_internvl2(published, tmp_path / "converted")
    assert [path.name for path in tmp_path.iterdir()] == ["converted"]
    load(tmp_path / "converted", device="cpu")


def test_a_full_disk_is_refused_before_anything_is_written(published, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6 - 10**3, 10**3))
    assert "GB" in refused(published, tmp_path, UserError)


def test_the_command_converts_and_refuses(published, tmp_path, capsys):
    target = tmp_path / "new" / "InternVL2"
    assert main(["convert", str(published), str(target)]) == 0
    assert (target / "config.json").is_file()
    assert str(target) in capsys.readouterr().out
    assert main(["convert", str(published), str(target)]) == 2
    assert main(["convert", str(target), str(tmp_path / "again")]) == 2

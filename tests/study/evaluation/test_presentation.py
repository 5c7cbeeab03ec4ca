"""How questions are presented: the authors' prompts and padded pictures, or the checkpoint's own."""

import json
import os
import subprocess
import sys
import textwrap
from typing import get_args

import numpy as np
import pytest
from helpers.local_hub import LocalHub
from helpers.replicas import write_models
from helpers.tiny_families import save
from PIL import Image, ImageDraw
from transformers import AutoProcessor, CLIPImageProcessor

from vtprune.attach.inference import chat_prompt
from vtstudy import config
from vtstudy.checkpoint_source import Source, hub_id, read_source, write_source
from vtstudy.evaluation import pictures, prompts
from vtstudy.evaluation.checkpoint import Checkpoint
from vtstudy.evaluation.errors import EvaluationError
from vtstudy.evaluation.generation import blank
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.measurement_cache import MeasurementCache
from vtstudy.evaluation.presentation import AUTO, Presentation, resolved
from vtstudy.evaluation.questions import QuestionLoader, question_digest

pytestmark = pytest.mark.slow

LLAVA, NEXT_8B = "llava-hf/llava-1.5-7b-hf", "llava-hf/llama3-llava-next-8b-hf"


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    root = tmp_path_factory.mktemp("replicas")
    write_models(root, LLAVA, NEXT_8B)
    return root


@pytest.fixture(scope="module")
def processors(replicas):
    return {name: AutoProcessor.from_pretrained(replicas / "models" / name) for name in (LLAVA, NEXT_8B)}


def made(folder, cache, **options) -> Checkpoint:
    return Checkpoint(folder, MeasurementCache(cache), device="cpu", **options)


# ---- prompts


def test_the_settings_name_every_prompt_and_handling():
    assert set(get_args(config.Prompt)) == {AUTO, prompts.CHECKPOINT, *prompts.TEMPLATES}
    assert set(get_args(config.Pictures)) == {AUTO, *pictures.HANDLINGS}


def test_the_prompt_of_llava_s_authors(processors):
    text = prompts.render("vicuna_v1", processors[LLAVA], "What is it?\nAnswer shortly.", 1)
    assert text == (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. USER: <image>\nWhat is it?\nAnswer shortly. ASSISTANT:"
    )
    ids = processors[LLAVA](text=text, images=Image.new("RGB", (9, 9)))["input_ids"][0]
    assert ids[0] == processors[LLAVA].tokenizer.bos_token_id and ids.count(ids[0]) == 1
    assert ids.count(processors[LLAVA].image_token_id) == 576
    assert prompts.render("vicuna_v1", processors[LLAVA], "What?", 2).count("<image> <image>\n") == 1


def test_35_tokens_stand_before_the_image():
    """The pieces of Vicuna's tokenizer for the authors' prompt, as published logs of it show (`USER: ` ends with one).

    The ids begin with 1, 319, 13563, 1546, 263, 12758, 1404, and end with 29889, 3148, 1001, 29901, 29871.
    """
    text = (
        "_A _chat _between _a _curious _user _and _an _artificial _intelligence _assistant . _The _assistant _gives "
        "_helpful , _detailed , _and _pol ite _answers _to _the _user ' s _questions . _US ER : _"
    )
    pieces = text.split()
    assert "".join(pieces).replace("_", " ").removeprefix(" ") == prompts.TEMPLATES["vicuna_v1"].before
    assert 1 + len(pieces) == 35  # with the token that begins a sequence


def test_the_prompt_of_llava_next_8b(processors):
    processor = processors[NEXT_8B]
    text = prompts.render("llava_llama_3", processor, "What is it? ", 1)
    assert text.endswith(
        "<|start_header_id|>user<|end_header_id|>\n\n<image>\nWhat is it?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert text.startswith(
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou are a helpful language and"
    )
    vocabulary = processor.tokenizer.get_vocab()
    assert {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"} <= set(vocabulary)


def test_a_prompt_must_suit_the_checkpoint(processors, tmp_path):
    prompts.check_prompt("vicuna_v1", processors[LLAVA])
    prompts.check_prompt("llava_llama_3", processors[NEXT_8B])
    save("internvl", "qwen2", tmp_path)
    internvl = AutoProcessor.from_pretrained(tmp_path)
    for name, processor in (("vicuna_v1", processors[NEXT_8B]), ("llava_llama_3", processors[LLAVA]), ("v0", internvl)):
        with pytest.raises(EvaluationError, match=name):
            prompts.check_prompt(name, processor)


def test_the_end_of_the_template_ends_answers(replicas, tmp_path):
    """Besides the ends that the checkpoint names."""
    folder = replicas / "models" / NEXT_8B
    plain = made(folder, tmp_path).model.generation_config.eos_token_id
    loaded = made(folder, tmp_path, prompt="llava_llama_3")
    ends = loaded.model.generation_config.eos_token_id
    assert loaded.processor.tokenizer.convert_tokens_to_ids("<|eot_id|>") in ends
    assert set(np.atleast_1d(plain)) <= set(ends)


# ---- pictures


@pytest.mark.parametrize("size", [(5, 2), (2, 5), (7, 4), (1, 8), (8, 1), (6, 6), (1, 1)])
def test_a_picture_is_padded_as_the_authors_do(size):
    """Their `expand2square`, pixel by pixel: an odd pixel is added at the bottom or on the right."""
    width, height = size
    image = Image.effect_noise(size, 90).convert("RGB")
    side, colour = max(size), (122, 116, 104)
    expected = np.full((side, side, 3), colour, dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    expected[top : top + height, left : left + width] = np.asarray(image)
    assert np.array_equal(np.asarray(pictures.padded(image, colour)), expected)


def test_nothing_of_a_padded_page_is_cropped(processors):
    """A line at each edge of a page: the processor crops the upper one and the lower one, unless the page is padded."""
    processor = processors[LLAVA]
    assert pictures.mean_colour(processor) == (122, 116, 104)
    page = Image.new("L", (170, 220), 255)
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 170, 20), fill=0)
    draw.rectangle((0, 200, 170, 220), fill=0)

    def darkest(handling: str) -> float:
        shown = pictures.shown(handling, processor, page)
        return processor.image_processor(shown, return_tensors="pt")["pixel_values"].min().item()

    white_border = darkest("processor")
    assert white_border > 1 and darkest("pad") < -1
    assert pictures.shown("pad", processor, page).size == (220, 220)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA", "CMYK", "I;16"])
def test_pictures_of_every_mode_are_padded_in_colour(processors, mode):
    image = Image.new(mode, (30, 7))
    shown = pictures.shown("pad", processors[LLAVA], image)
    assert (shown.mode, shown.size) == ("RGB", (30, 30)) and shown.getpixel((0, 0)) == (122, 116, 104)
    assert pictures.shown("processor", processors[LLAVA], image) is image


def test_tiles_are_not_padded(processors, tmp_path):
    save("internvl", "qwen2", tmp_path)
    for processor in (processors[NEXT_8B], AutoProcessor.from_pretrained(tmp_path)):
        pictures.check_pictures("processor", processor)
        for handling in ("pad", "crop"):
            with pytest.raises(EvaluationError, match="tiles"):
                pictures.check_pictures(handling, processor)
    pictures.check_pictures("crop", processors[LLAVA])
    processors[LLAVA].image_processor, kept = (
        CLIPImageProcessor(do_center_crop=False),
        processors[LLAVA].image_processor,
    )
    with pytest.raises(EvaluationError, match="crop"):
        pictures.check_pictures("crop", processors[LLAVA])
    processors[LLAVA].image_processor = kept


# ---- which of them a checkpoint gets


def test_auto_is_the_authors_choice_for_their_checkpoints_alone(tmp_path):
    assert resolved(AUTO, AUTO, LLAVA) == Presentation("vicuna_v1", "pad")
    assert resolved(AUTO, AUTO, NEXT_8B) == Presentation("llava_llama_3", "processor")
    assert resolved(AUTO, AUTO, None) == resolved(AUTO, AUTO, "someone/llava-1.5-7b-hf") == Presentation()
    assert resolved("checkpoint", AUTO, LLAVA) == Presentation("checkpoint", "pad")
    assert resolved(AUTO, "processor", LLAVA) == Presentation("vicuna_v1", "processor")


def test_a_fetched_folder_is_known_by_what_it_is(tmp_path):
    folder = tmp_path / "any name"
    folder.mkdir()
    assert read_source(folder) is None and hub_id(folder) is None
    write_source(folder, Source(LLAVA, "c" * 40))
    assert read_source(folder) == Source(LLAVA, "c" * 40) and hub_id(folder) == LLAVA
    assert made(folder, tmp_path).presentation == Presentation("vicuna_v1", "pad")
    (folder / "revision.yaml").write_text("- nothing")
    with pytest.raises(Exception, match=r"revision\.yaml"):
        hub_id(folder)


def test_answers_say_how_they_were_asked_where_it_is_not_the_checkpoint_s_own_way(checkpoint, tmp_path):
    plain = made(checkpoint, tmp_path)
    assert plain.presentation == Presentation() and not {"prompt", "pictures"} & set(plain.key())
    other = made(checkpoint, tmp_path, prompt="vicuna_v1", pictures="pad")
    assert other.key() == plain.key() | {"prompt": "vicuna_v1", "pictures": "pad"}


def loader(evaluator, benchmark="pope") -> QuestionLoader:
    return evaluator.loader(benchmark, 2)


def test_the_checkpoint_s_own_questions_are_as_they_always_were(checkpoint, data, tmp_path):
    """The digests of stored answers: the chat template's prompt, and the picture's pixels."""
    evaluator = Evaluator(checkpoint, data, cache=tmp_path, device="cpu")
    instance = evaluator.tasks.instances("pope", 1)[0]
    wording, document = instance.args[0], evaluator.tasks.task("pope").dataset["test"][0]
    text, image = chat_prompt(evaluator.checkpoint.processor, wording, 1), document["image"]
    digests = evaluator.questions("pope", 1).digests
    assert digests["shown"] == [question_digest(text, [image])]
    assert digests["blank"] == [question_digest(text, [blank(image)])]


def test_questions_are_presented_as_the_settings_say(checkpoint, data, tmp_path):
    plain = Evaluator(checkpoint, data, cache=tmp_path, device="cpu")
    other = Evaluator(checkpoint, data, cache=tmp_path, device="cpu", prompt="vicuna_v1", pictures="pad")
    wording = plain.questions("pope", 2).wordings[0]
    assert loader(other).load(0, "shown").text.endswith(f"questions. USER: <image>\n{wording} ASSISTANT:")
    assert plain.questions("pope", 2).digests["shown"] != other.questions("pope", 2).digests["shown"]
    images = Image.new("RGB", (40, 10), "red"), Image.new("RGB", (9, 9), "red")
    presentation = other.checkpoint.presentation
    assert [presentation.image(other.checkpoint.processor, image).size for image in images] == [(40, 40), (9, 9)]


def test_a_question_that_holds_the_image_token_is_refused(checkpoint, data, tmp_path):
    evaluator = Evaluator(checkpoint, data, cache=tmp_path, device="cpu")
    instances = evaluator.tasks.instances("pope", 2)
    instances[1].arguments = ("Is <image> a word?", *instances[1].args[1:])
    documents = evaluator.tasks.task("pope").dataset["test"]
    questions = QuestionLoader(instances, documents, evaluator.checkpoint.processor, Presentation())
    questions.load(0, "shown")
    with pytest.raises(EvaluationError, match=r"question 1 of task pope holds <image>"):
        questions.load(1, "shown")


# ---- the Hub

ASK = """
    import json, sys
    from vtstudy.evaluation.checkpoint import Checkpoint
    from vtstudy.evaluation.measurement_cache import MeasurementCache
    checkpoint = Checkpoint(sys.argv[1], MeasurementCache(sys.argv[2]), device="cpu")
    first = checkpoint.digest
    checkpoint.model
    facts = {"digest": first, "key": checkpoint.key(), "source": vars(checkpoint.source)}
    again = Checkpoint(sys.argv[1], MeasurementCache(sys.argv[2]), device="cpu")
    assert again.key() == checkpoint.key()
    print(json.dumps(facts))
"""


@pytest.mark.exhaustive
def test_a_checkpoint_of_the_hub_is_known_by_its_commit(replicas, tmp_path):
    with LocalHub(replicas) as hub:
        environment = {**os.environ, **hub.environment(tmp_path / "home")}
        command = [sys.executable, "-c", textwrap.dedent(ASK), LLAVA, str(tmp_path / "cache")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        commits = {folder.name for folder in (tmp_path / "home/hub").glob("models--*/snapshots/*")}
    facts = json.loads(done.stdout.splitlines()[-1])
    (commit,) = commits
    assert facts["digest"] == f"{LLAVA}@{commit}" and facts["source"] == {"id": LLAVA, "commit": commit}
    assert (facts["key"]["prompt"], facts["key"]["pictures"]) == ("vicuna_v1", "pad")

"""Questions that hold a word which stands for an image are refused by name, alone and in a batch."""

from types import SimpleNamespace

import pytest
import torch
from helpers.tiny_families import IMAGE, TODAY
from helpers.tiny_llava import build_checkpoint
from helpers.tiny_processors import WORDS, processor
from PIL import Image

from vtprune import load
from vtprune.attach.families import FAMILIES
from vtprune.attach.inference import Question, chat_prompt, encode, image_words
from vtprune.errors import UserError

NAMES = list(dict.fromkeys(family for family, _ in TODAY if family != "internvl"))


def model_of(family):
    """As much of a model as encoding needs: its class, device and type."""
    name = next(name for name in FAMILIES if name.lower().replace("_", "").startswith(family.replace("_", "")))
    return type(name, (SimpleNamespace,), {"device": torch.device("cpu"), "dtype": torch.float32})()


def pictures(number):
    return tuple(Image.new("RGB", (64, 64), (40 * index, 90, 10)) for index in range(number))


@pytest.fixture(params=NAMES)
def case(request, monkeypatch):
    """A model and the real processor of a family."""
    pytest.importorskip("torchvision")
    if request.param == "smolvlm":  # its processor counts the frames of videos in words
        monkeypatch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", str)
    return model_of(request.param), processor(request.param)


def test_a_question_with_a_word_for_an_image_is_refused_by_name(case):
    _, made = case
    words = image_words(made)
    # Gemma's prompts show images by one word, which its processor turns into others that a question must not hold.
    assert WORDS[IMAGE] in words and made.image_token in words
    for word in words:
        with pytest.raises(UserError) as raised:
            chat_prompt(made, f"what is {word} ?", 1)
        assert word in str(raised.value) and "what is" in str(raised.value) and "\n" not in str(raised.value)
    assert chat_prompt(made, "what is this ?", 2).count(made.image_token) == 2


def test_a_prompt_whose_places_are_not_those_of_its_images_is_refused_by_number(case):
    """Also where the numbers of a batch agree, and each prompt would show images of the other."""
    model, made = case
    one, two = (chat_prompt(made, "what ?", images) for images in (1, 2))
    for number, text, images in ((3, two, 1), (4, one, 2), (5, "what ?", 1), (6, one, 0)):
        right = Question(0, one, pictures(1))
        with pytest.raises(UserError, match=f"question {number} ") as raised:
            encode(model, made, [right, Question(number, text, pictures(images))])
        assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match="question 7 "):
        encode(model, made, [Question(7, two, pictures(1)), Question(8, one, pictures(2))])
    rows = encode(model, made, [Question(7, one, pictures(1)), Question(8, two, pictures(2))])["input_ids"]
    assert ((rows == IMAGE).sum(dim=1) > 0).all()


def test_no_question_is_refused(case):
    with pytest.raises(UserError, match="at least one"):
        encode(*case, [])


def test_llava_in_a_batch(tmp_path):
    """Its processor takes one list of all images, so a place too many would move the images of later prompts."""
    model, made = load(build_checkpoint(tmp_path), device="cpu")
    one, two = (chat_prompt(made, "What color is the cup ?", images) for images in (1, 2))
    with pytest.raises(UserError, match="question 7 .*<image>"):
        encode(model, made, [Question(7, two, pictures(1)), Question(8, one, pictures(2))])
    with pytest.raises(UserError, match="<image>"):
        chat_prompt(made, "What is <image> ?", 1)

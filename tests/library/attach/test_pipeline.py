"""transformers' pipeline in batches: right answers with padding on the left, and an error that says so otherwise."""

import pytest
from helpers.attaching import BY_NAME, METHODS, first_fast, indices
from helpers.tiny_families import TODAY
from helpers.tiny_llava import build_checkpoint
from helpers.tiny_processors import save
from PIL import Image
from transformers import pipeline

from vtprune import load
from vtprune.errors import UserError
from vtprune.methods import FastV, get_method

pytestmark = pytest.mark.slow

FAMILIES = list(dict.fromkeys(family for family, _ in TODAY if family != "internvl"))


def chats(questions):
    for number, question in enumerate(questions):
        image = Image.new("RGB", (64, 64), (200 - 60 * number, 40 * number, 30))
        yield [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": question}]}]


def answers(pipe, questions, batch_size):
    options = {"generate_kwargs": {"do_sample": False}, "max_new_tokens": 4, "return_full_text": False}
    outputs = pipe(text=list(chats(questions)), batch_size=batch_size, **options)
    return [(output[0] if isinstance(output, list) else output)["generated_text"] for output in outputs]


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    model, processor = load(build_checkpoint(tmp_path_factory.mktemp("llava")), device="cpu")
    return pipeline("image-text-to-text", model=model, processor=processor, device="cpu")


QUESTIONS = "What color is the cup", "Is there a boat near the old house", "How high"


@pytest.mark.parametrize("method", first_fast(METHODS), **BY_NAME)
def test_batches_give_the_answers_of_single_prompts(llava, method):
    unpruned = answers(llava, QUESTIONS, 1)
    with method.attach(llava.model) as pruned:
        alone, kept = answers(llava, QUESTIONS, 1), indices(pruned)
        assert answers(llava, QUESTIONS, 2) == alone  # the last prompt is a batch of its own
        assert indices(pruned) == kept
    assert answers(llava, QUESTIONS, 1) == unpruned


def test_padding_on_the_right_is_refused_with_what_to_set(llava):
    tokenizer = llava.processor.tokenizer
    tokenizer.padding_side = "right"
    try:
        with FastV(0.25).attach(llava.model):
            with pytest.raises(UserError, match=r"tokenizer\.padding_side = \"left\"") as raised:
                answers(llava, QUESTIONS, 2)
            assert "\n" not in str(raised.value)
            assert len(answers(llava, QUESTIONS, 1)) == 3  # nothing is padded
    finally:
        tokenizer.padding_side = "left"


@pytest.mark.parametrize("family", first_fast(FAMILIES))
def test_with_the_real_processors(family, tmp_path, monkeypatch):
    pytest.importorskip("torchvision")
    if family == "smolvlm":  # its processor counts the frames of videos in words
        monkeypatch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", str)
    save(family, tmp_path)
    model, processor = load(tmp_path, device="cpu")
    model.generation_config.eos_token_id = None
    pipe = pipeline("image-text-to-text", model=model, processor=processor, device="cpu")
    questions = "what is this ?", "what word3 word4 word9 is this word7 ?", "this"
    for method in (get_method("divprune", keep=0.3), get_method("random", keep=0.3, layer=3)):
        with method.attach(model):
            assert answers(pipe, questions, 2) == answers(pipe, questions, 1)

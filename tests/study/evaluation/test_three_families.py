"""The plugin asks models of every family, by their own processors and chat templates."""

import pytest
from PIL import Image

from vtprune.attach.inference import Question, chat_prompt, encode, generate
from vtprune.methods import AdaptPrune, FastV, NoPruning
from vtstudy.evaluation.checkpoint import Checkpoint
from vtstudy.evaluation.harness import Evaluator
from vtstudy.evaluation.measurement_cache import MeasurementCache
from vtstudy.evaluation.requests import Variant

pytestmark = pytest.mark.slow

ARGUMENTS = {"max_new_tokens": 5, "num_beams": 1, "until": []}


@pytest.fixture(scope="module", params=["llava", "llava_next", "internvl"])
def folder(request, checkpoint, tmp_path_factory):
    if request.param == "llava":
        return checkpoint
    from helpers.tiny_families import save

    path = tmp_path_factory.mktemp(request.param)
    save(request.param, {"llava_next": "llama", "internvl": "qwen2"}[request.param], path)
    return path


def test_a_batch_answers_as_single_questions_do(folder, tmp_path):
    """Wide, tall and several images."""
    loaded = Checkpoint(folder, MeasurementCache(tmp_path), device="cpu", dtype="float32")
    noise = Image.effect_noise((200, 200), 90).convert("RGB")
    sizes = [[(50, 40)], [(190, 20)], [(30, 30), (20, 90)], [(64, 64)]]
    questions = []
    for doc, shown in enumerate(sizes):
        images = tuple(noise.crop((doc, doc, doc + width, doc + height)) for width, height in shown)
        text = chat_prompt(loaded.processor, "what is this ?"[: 4 + 3 * doc], len(images))
        questions.append(Question(doc, text, images))
    for method in (NoPruning(), FastV(0.25, layer=1), AdaptPrune(0.25, layer=1)):
        model, processor = loaded.model, loaded.processor
        with method.attach(model):
            together = generate(model, processor, encode(model, processor, questions), ARGUMENTS)
            alone = [
                generate(model, processor, encode(model, processor, [question]), ARGUMENTS)[0] for question in questions
            ]
        assert together == alone
        assert len(set(together)) > 1


@pytest.mark.exhaustive
def test_a_task_is_scored(folder, data, tmp_path):
    evaluator = Evaluator(folder, data, cache=tmp_path, batch_size=8, max_new_tokens=2, device="cpu")
    scores = evaluator.scores(Variant(AdaptPrune(0.25, layer=1)), "pope")["pope"]
    assert scores.questions == 24 and 0 <= scores.value <= 100
    (stored,) = tmp_path.glob("adaptprune-*.jsonl")
    assert stored.read_text().count('"answers"') == 3

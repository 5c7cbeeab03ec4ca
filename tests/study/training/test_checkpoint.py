"""The committed checkpoints: small, loadable, and able to see."""

from random import Random

import numpy as np
import pytest
import torch
from helpers import ROOT

from vtprune import AdaptPrune, load
from vtstudy.world.pictures import sample
from vtstudy.world.prompts import prompt
from vtstudy.world.questions import ask
from vtstudy.world.scene import render

CHECKPOINTS = ROOT / "data/checkpoints"
CHECKPOINT = CHECKPOINTS / "miniature-llava"
DERIVED = (
    "miniature-llava-24",
    "miniature-llava-24-b",
    "miniature-llava-large",
    "miniature-next",
    "miniature-internvl",
    "miniature-internvl-small",
)


@pytest.fixture(scope="module")
def miniature():
    return load(CHECKPOINT, dtype=torch.float32)


def _draw(benchmark: str, kind: str, count: int):
    rng, out = Random(f"checkpoint-{benchmark}"), []
    while len(out) < count:
        picture = sample(rng, kind, held_out=True)
        questions = ask(picture, benchmark, rng)
        if questions:
            out.append((picture, rng.choice(questions)))
    return out


def _inputs(processor, drawn, blank: bool = False):
    texts = []
    for _, q in drawn:
        content = [{"type": "image"}, {"type": "text", "text": prompt(q.benchmark, q.text, q.options)}]
        texts.append(processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True))
    images = [np.full_like(render(p), 128) if blank else render(p) for p, _ in drawn]
    return processor(images=images, text=texts, return_tensors="pt", padding=True)


def _accuracy(miniature, drawn, blank: bool = False) -> float:
    model, processor = miniature
    inputs = _inputs(processor, drawn, blank)
    with torch.inference_mode():
        out = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    answers = processor.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return sum(s.strip().lower() == q.answer.lower() for s, (_, q) in zip(answers, drawn, strict=True)) / len(drawn)


@pytest.mark.parametrize(
    ("benchmark", "kind"),
    [
        (benchmark, kind)
        for benchmark, kinds in {
            "okvqa": ("scene",),
            "vqav2": ("scene",),
            "gqa": ("scene",),
            "pope": ("scene",),
            "mme": ("scene", "portrait", "poster", "landmark", "artwork"),
            "mmbench": ("scene", "portrait", "action", "snapshot"),
            "vizwiz": ("snapshot",),
            "textvqa": ("sign",),
            "docvqa": ("page",),
            "chartqa": ("chart",),
        }.items()
        for kind in kinds
    ],
)
@pytest.mark.exhaustive
def test_miniature_llava_answers_from_the_image(miniature, benchmark, kind):
    drawn = _draw(benchmark, kind, 96)
    assert _accuracy(miniature, drawn) > _accuracy(miniature, drawn, blank=True) + 0.2


@pytest.mark.exhaustive
def test_pruning_keeps_a_tenth_and_still_answers(miniature):
    model, _ = miniature
    drawn = _draw("okvqa", "scene", 96)
    with AdaptPrune(keep=0.1).attach(model) as pruned:
        accuracy = _accuracy(miniature, drawn)
        assert {len(image.indices) for row in pruned.kept for image in row} == {14}
    assert accuracy > _accuracy(miniature, drawn, blank=True)


@pytest.mark.parametrize("name", DERIVED)
@pytest.mark.exhaustive
def test_derived_miniatures_answer_from_the_image(name):
    loaded = load(CHECKPOINTS / name, dtype=torch.float32)
    right, blind = [], []
    for benchmark, kind in (
        ("vqav2", "scene"),
        ("okvqa", "scene"),
        ("textvqa", "sign"),
        ("chartqa", "chart"),
        ("docvqa", "page"),
    ):
        drawn = _draw(benchmark, kind, 32)
        right.append(_accuracy(loaded, drawn))
        blind.append(_accuracy(loaded, drawn, blank=True))
    assert all(r > b + 0.2 for r, b in zip(right, blind, strict=True)), (right, blind)
    model, processor = loaded
    inputs = _inputs(processor, drawn[:4])
    tokens = int((inputs["input_ids"][0] == model.config.image_token_id).sum())
    with torch.inference_mode(), AdaptPrune(keep=0.1).attach(model) as pruned:
        model.generate(**inputs, max_new_tokens=2, do_sample=False)
        # One budget over all tiles and sequences.
        assert {sum(len(part.indices) for part in row) for row in pruned.kept} == {int(tokens * 0.1)}


@pytest.mark.parametrize("name", ["miniature-llava", *DERIVED])
def test_checkpoint_is_small_enough_for_git(name):
    files = [f for f in (CHECKPOINTS / name).rglob("*") if f.is_file()]
    assert any(f.suffix == ".safetensors" for f in files)
    assert sum(f.stat().st_size for f in files) < 12e6

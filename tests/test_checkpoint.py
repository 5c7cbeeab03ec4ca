"""The committed checkpoint: small, loadable, and able to see."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from vtprune import AdaptPrune, load
from vtprune.miniature.pictures import sample
from vtprune.miniature.prompts import prompt
from vtprune.miniature.questions import ask
from vtprune.miniature.world import render

CHECKPOINT = Path(__file__).parents[1] / "data/checkpoints/miniature-llava"


@pytest.fixture(scope="module")
def miniature():
    return load(CHECKPOINT, dtype=torch.float32)


def _asked(benchmark: str, kind: str, count: int):
    rng, out = Random(f"checkpoint-{benchmark}"), []
    while len(out) < count:
        picture = sample(rng, kind, held_out=True)
        questions = ask(picture, benchmark, rng)
        if questions:
            out.append((picture, rng.choice(questions)))
    return out


def _inputs(processor, asked, blank: bool = False):
    texts = []
    for _, q in asked:
        content = [{"type": "image"}, {"type": "text", "text": prompt(q.benchmark, q.text, q.options)}]
        texts.append(processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True))
    images = [np.full_like(render(p), 128) if blank else render(p) for p, _ in asked]
    return processor(images=images, text=texts, return_tensors="pt", padding=True)


def _accuracy(miniature, asked, blank: bool = False) -> float:
    model, processor = miniature
    inputs = _inputs(processor, asked, blank)
    with torch.inference_mode():
        out = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    said = processor.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return sum(s.strip().lower() == q.answer.lower() for s, (_, q) in zip(said, asked, strict=True)) / len(asked)


@pytest.mark.parametrize(
    "benchmark, kind",
    [
        *((benchmark, "scene") for benchmark in ("vqav2", "gqa", "okvqa", "pope", "mme", "mmbench")),
        *(("mme", kind) for kind in ("portrait", "poster", "landmark", "artwork")),
        *(("mmbench", kind) for kind in ("portrait", "action", "snapshot")),
        *(("vizwiz", "snapshot"), ("textvqa", "sign"), ("docvqa", "page"), ("chartqa", "chart")),
    ],
)
def test_it_answers_from_the_image_and_not_from_the_question(miniature, benchmark, kind):
    asked = _asked(benchmark, kind, 96)
    assert _accuracy(miniature, asked) > _accuracy(miniature, asked, blank=True) + 0.2


def test_pruning_keeps_a_tenth_and_still_answers(miniature):
    model, _ = miniature
    asked = _asked("okvqa", "scene", 96)
    with AdaptPrune(keep=0.1).attach(model) as pruned:
        accuracy = _accuracy(miniature, asked)
        assert {len(image.indices) for row in pruned.kept for image in row} == {14}
    assert accuracy > _accuracy(miniature, asked, blank=True)


def test_it_is_small_enough_for_git():
    files = [f for f in CHECKPOINT.rglob("*") if f.is_file()]
    assert any(f.suffix == ".safetensors" for f in files)
    assert sum(f.stat().st_size for f in files) < 12e6

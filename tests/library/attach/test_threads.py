"""Threads and asyncio tasks that call one pruned model at once, and blocks that are left while they do."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from helpers.attaching import LENGTHS, first_fast, generate, hooks, indices
from helpers.tiny_families import IMAGES, build, prompt
from transformers.generation.streamers import BaseStreamer

from vtprune.attach import Prefix, attach
from vtprune.errors import UserError
from vtprune.methods import AdaptPrune, FastV, FitPrune, PyramidDrop, RandomPruning, VisionZip

METHODS = [AdaptPrune(0.25), VisionZip(0.5), PyramidDrop(0.3), FitPrune(0.3), RandomPruning(0.3)]
WAIT = 30  # seconds after which a test fails instead of waiting for ever


class Meeting(BaseStreamer):
    """A streamer that stops at each token until the others are there, so that calls overlap at every step."""

    def __init__(self, barrier):
        self.barrier = barrier

    def put(self, value):
        self.barrier.wait(WAIT)

    def end(self):
        pass


def answered_at_once(model, pruned, batches, **options):
    """The answers and kept tokens of several calls, each in a thread of its own, which run step by step together."""
    barrier = threading.Barrier(len(batches))

    def answer(inputs):
        return generate(model, inputs, streamer=Meeting(barrier), **options).tolist(), indices(pruned)

    with ThreadPoolExecutor(len(batches)) as pool:
        return list(pool.map(answer, batches))


@pytest.mark.slow
@pytest.mark.parametrize("method", first_fast(METHODS), ids=lambda method: method.name)
@pytest.mark.parametrize("cached", [True, False], ids=["", "no cache"])
def test_threads_within_one_block_answer_as_one_after_the_other(tiny, model, method, cached):
    batches = [tiny.prompts(((3 + seed, 5),), seed=seed) for seed in range(3)]
    with method.attach(model) as pruned:
        expected = [(generate(model, inputs, use_cache=cached).tolist(), indices(pruned)) for inputs in batches]
    with method.attach(model) as pruned:
        for _ in range(2):
            assert answered_at_once(model, pruned, batches, use_cache=cached) == expected


@pytest.mark.exhaustive
@pytest.mark.parametrize("family", ["llava_next", "internvl", "qwen2_vl", "qwen3_vl", "gemma3", "idefics3"])
def test_threads_with_other_families(family):
    """Those that keep something of a prompt in the model (Qwen's rope_deltas), too."""
    model = build(family, "llama" if family in ("llava_next", "internvl") else "", layers=4)
    batches = [prompt(model, IMAGES[family][number], seed=number) for number in range(3)]
    for method in (FastV(0.3), VisionZip(0.5)):
        with method.attach(model) as pruned:
            expected = [(generate(model, inputs).tolist(), indices(pruned)) for inputs in batches]
            assert answered_at_once(model, pruned, batches) == expected


def test_forwards_that_overlap_inside_the_decoder(tiny, model):
    """Without `generate`: each thread stands in the same layer before any goes on."""
    batches = [tiny.prompts(((3 + seed, 5),), seed=seed) for seed in range(2)]
    with torch.no_grad(), AdaptPrune(0.25).attach(model) as pruned:
        expected = [(model(**inputs).logits, indices(pruned)) for inputs in batches]
    barrier = threading.Barrier(2)

    def wait(*_):
        barrier.wait(WAIT)

    handle = model.model.language_model.layers[1].register_forward_hook(wait)

    def answer(inputs):
        with torch.no_grad():
            return model(**inputs).logits, indices(pruned)

    try:
        with AdaptPrune(0.25).attach(model) as pruned, ThreadPoolExecutor(2) as pool:
            found = list(pool.map(answer, batches))
    finally:
        handle.remove()
    for (logits, kept), (expected_logits, expected_kept) in zip(found, expected, strict=True):
        assert torch.equal(logits, expected_logits) and kept == expected_kept


def test_asyncio_tasks_that_take_turns(tiny, model):
    """By hand without a cache, so that each step repeats the choice of its own prompt."""
    batches = [tiny.prompts(((3, 5),), seed=seed) for seed in range(3)]

    async def answer(pruned, inputs):
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        for _ in range(3):
            logits = model(**{**inputs, "input_ids": ids, "attention_mask": mask}, use_cache=False).logits[:, -1]
            ids = torch.cat((ids, logits[:, 4:].argmax(dim=-1, keepdim=True) + 4), dim=1)
            mask = torch.ones_like(ids)
            await asyncio.sleep(0)
        return ids.tolist(), indices(pruned)

    async def together(pruned):
        return await asyncio.gather(*(answer(pruned, inputs) for inputs in batches))

    with torch.no_grad(), FastV(0.25).attach(model) as pruned:
        expected = [asyncio.run(answer(pruned, inputs)) for inputs in batches]
        assert asyncio.run(together(pruned)) == expected


def test_kept_tokens_are_those_of_the_thread_that_asks(tiny, model):
    first, second = tiny.prompts(seed=0), tiny.prompts(seed=1)
    with FastV(0.25).attach(model) as pruned, ThreadPoolExecutor(1) as pool:
        pool.submit(generate, model, second).result()
        in_thread = indices(pruned)  # this thread has called nothing, and no calls overlapped
        generate(model, first)
        assert indices(pruned) != in_thread == pool.submit(indices, pruned).result()
    with FastV(0.25).attach(model) as pruned:
        answered_at_once(model, pruned, [first, second])
        with pytest.raises(UserError, match="several threads"):
            _ = pruned.kept


def test_a_prefix_belongs_to_one_thread_at_a_time(tiny, model):
    inputs = tiny.prompts(LENGTHS)
    prefix, layers = Prefix(inputs), model.model.language_model.layers
    with attach(FastV(0.25), model, prefix):
        expected = generate(model, prefix.inputs)
    entered, go_on = threading.Event(), threading.Event()

    class Slow(BaseStreamer):
        def put(self, value):
            entered.set()
            assert go_on.wait(WAIT)

        def end(self):
            pass

    with attach(AdaptPrune(0.25), model, prefix), ThreadPoolExecutor(1) as pool:
        running = pool.submit(generate, model, prefix.inputs, streamer=Slow())
        assert entered.wait(WAIT)
        with pytest.raises(UserError, match="one thread at a time"):
            generate(model, prefix.inputs)
        go_on.set()
        assert running.result().shape == expected.shape
    assert model.model.language_model.layers is layers


@pytest.mark.parametrize("method", first_fast(METHODS), ids=lambda method: method.name)
def test_a_block_that_is_left_while_a_thread_generates(tiny, model, method):
    """As by a loop over a streamer: the call is pruned to its end, later calls are not, and then all hooks are gone."""
    inputs, other = tiny.prompts(LENGTHS), tiny.prompts(seed=3)
    before, unpruned = hooks(model), generate(model, other)
    with method.attach(model):
        expected = generate(model, inputs)
    begun, left = threading.Event(), threading.Event()

    class Streamer(BaseStreamer):
        def put(self, value):
            begun.set()
            assert left.wait(WAIT)

        def end(self):
            pass

    with ThreadPoolExecutor(1) as pool:
        with method.attach(model):
            running = pool.submit(generate, model, inputs, streamer=Streamer())
            assert begun.wait(WAIT)
        assert torch.equal(generate(model, other), unpruned)
        with pytest.raises(UserError, match="already"):
            FastV(0.5).attach(model).__enter__()
        left.set()
        assert torch.equal(running.result(), expected)
    assert hooks(model) == before and "generate" not in vars(model) and "forward" not in vars(model.model)
    with method.attach(model):
        assert torch.equal(generate(model, inputs), expected)


def test_a_call_that_was_interrupted_does_not_hold_the_block(tiny, model):
    before = hooks(model)

    def interrupt(*_):
        raise KeyboardInterrupt

    handle = model.model.language_model.layers[1].register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt), FastV(0.5).attach(model):
        model(**tiny.prompts())
    handle.remove()
    assert hooks(model) == before

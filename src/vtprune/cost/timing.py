"""Measured costs: scoring, selection, prefill, decoding, end to end and peak memory, by method.

Values do not matter to them, so a model of random weights costs what its checkpoint does.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForImageTextToText, DynamicCache

from vtprune.attach import FAMILIES
from vtprune.cost.flops import Workload
from vtprune.cost.model_shapes import shape_of
from vtprune.features import Features, Need
from vtprune.methods import AdaptPrune, get_method, methods
from vtprune.methods.base import Method
from vtprune.ops import adaptive_nms_reference, centre_prior, paper_positions
from vtprune.stages import Ranking, Stage

PHASES = ("vision", "prefill", "scoring", "selection", "decode", "end_to_end")
METHODS = ("none", "fastv", "adaptprune", "vtw")  # of the paper's tables; those that are registered are measured
LOOP, FUSED = "adaptprune_loop", "adaptprune_fused"


@dataclass(frozen=True)
class LoopAdaptPrune(AdaptPrune):
    """AdaptPrune with Algorithm 1 as the plain loop that the paper prints, row by row on the CPU.

    Not registered: it is here to be timed. It chooses as AdaptPrune does, but for the last bit of
    the similarities on a GPU.
    """

    name = LOOP

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        scores = features.attention() * centre_prior(features.positions, features.grids, self.sigma_prior)
        keys = features.keys(self.reading == "as_written")
        # The loop knows no images: put them too far apart for one to suppress in another.
        apart = features.image[..., None] * 1e4
        positions = paper_positions(features.positions, features.grids) + apart
        chosen = torch.full((len(counts), int(counts.max())), -1)
        for row, (count, valid) in enumerate(zip(counts.tolist(), features.valid, strict=True)):
            there = valid.nonzero().flatten()
            picked = adaptive_nms_reference(
                scores[row, there],
                keys[row, there],
                positions[row, there],
                count,
                sigma_d=self.sigma_d,
                sigma_s=self.sigma_s,
                radius=self.radius,
            )
            chosen[row, :count] = there.cpu()[picked]
        return chosen.to(scores.device)


class _Stopwatch:
    """Seconds between calls, the device's work included."""

    def __init__(self, device: torch.device) -> None:
        self._wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        self.start()

    def start(self) -> None:
        self._wait()
        self._since = time.perf_counter()

    def lap(self) -> float:
        self._wait()
        now = time.perf_counter()
        took, self._since = now - self._since, now
        return took


@dataclass(frozen=True)
class _TimedRanking:
    """Another ranking, whose scores and choice are timed apart."""

    ranking: Ranking
    watch: _Stopwatch
    seconds: dict[str, float]

    @property
    def needs(self) -> frozenset[Need]:
        return self.ranking.needs

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        self.watch.start()
        if "attention" in self.needs:
            scores = features.attention()
            features = replace(features, attention=lambda: scores)
        if "received" in self.needs:
            received = features.received()
            features = replace(features, received=lambda: received)
        if "tower" in self.needs:
            tower = features.tower()
            features = replace(features, tower=lambda: tower)
        self.seconds["scoring"] += self.watch.lap()
        chosen = self.ranking.select(features, counts)
        self.seconds["selection"] += self.watch.lap()
        return chosen

    def merge(self, features: Features, kept: torch.Tensor) -> torch.Tensor | None:
        self.watch.start()
        into = self.ranking.merge(features, kept)
        self.seconds["selection"] += self.watch.lap()
        return into


class _Timed(Method):
    """A method of timed rankings; ``seconds`` adds up over its prompts."""

    def __init__(self, method: Method, watch: _Stopwatch) -> None:
        self.seconds = {"scoring": 0.0, "selection": 0.0}
        self._stages = [replace(s, ranking=_TimedRanking(s.ranking, watch, self.seconds)) for s in method.stages()]
        self.name = method.name

    def stages(self) -> list[Stage]:
        return self._stages


def variants(keep: float, device: torch.device) -> dict[str, Method]:
    """The paper's methods that are registered, at one keep ratio, and other ways to run AdaptPrune's loop."""
    known = methods()
    found: dict[str, Method] = {
        name: get_method(name, **({"keep": keep} if known[name].takes_keep() else {}))
        for name in METHODS
        if name in known
    }
    if device.type == "cuda" and find_spec("triton"):
        found[FUSED] = AdaptPrune(keep, backend="triton")
    return {**found, LOOP: LoopAdaptPrune(keep)}


def build(config: Any, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A model of random weights, made on the device itself, with SDPA attention."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype, attn_implementation="sdpa")
    return model.to(device).eval()


def workload_of(config: Any, text_tokens: int) -> Workload:
    """A prompt with one square image of usual size: one tile, LLaVA-NeXT's 2 x 2 and the whole, InternVL's 12 + 1."""
    shape, kind = shape_of(config), config.model_type
    tiles = {"llava": 1, "llava_next": 5, "internvl": 13}[kind]
    newlines = 2 * config.vision_config.image_size // config.vision_config.patch_size if kind == "llava_next" else 0
    return Workload(tiles * shape.tile_tokens, text_tokens + newlines, tiles)


def prompts(
    config: Any, text_tokens: int, batch: int, device: torch.device, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Inputs of ``batch`` prompts of :func:`workload_of`, with random text and pixels."""
    workload, vision = workload_of(config, text_tokens), config.vision_config
    placeholders = workload.image_tokens + workload.text_tokens - text_tokens
    height, width = vision.image_size if isinstance(vision.image_size, (tuple, list)) else (vision.image_size,) * 2
    generator = torch.Generator().manual_seed(0)
    # The first ids are special ones in most vocabularies; and no word may be the image's.
    words, marker = torch.randint(5, 60, (batch, text_tokens), generator=generator), config.image_token_id
    words = words.masked_fill(words == marker, 6 if marker == 5 else 5)
    image = torch.full((batch, placeholders), marker)
    before = text_tokens // 2
    inputs = {"input_ids": torch.cat((words[:, :before], image, words[:, before:]), dim=1).to(device)}
    pixels = torch.randn(batch * workload.tiles, vision.num_channels, height, width, generator=generator).to(
        device, dtype
    )
    if config.model_type == "llava_next":
        pixels = pixels.unflatten(0, (batch, workload.tiles))
        inputs["image_sizes"] = torch.tensor([[2 * height, 2 * width]] * batch, device=device)
    return {**inputs, "pixel_values": pixels}


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        batch: prompts at a time.
        rounds: measured, after ``warmup`` others.
        new_tokens: of the answer.
        text_tokens: of the prompt, without its image.
        loop_rounds: rounds in which the reference loop takes part (it takes seconds).
    """

    batch: int = 1
    rounds: int = 5
    warmup: int = 1
    new_tokens: int = 8
    text_tokens: int = 64
    loop_rounds: int = 2


@dataclass(frozen=True)
class Measured:
    """Seconds of every round by variant and phase; phases that a variant has not are left out.

    ``prefill`` begins with the image's features in hand and contains scoring and selection, which are
    timed once more in a pass of their own, where waiting for the device does not disturb it.
    ``end_to_end`` is from pixels to the answer's last token. ``vision`` is the same for all variants.

    Attributes:
        seconds: variant -> phase -> one number per round.
        peak_bytes: variant -> the most that the device held during an answer, weights included; empty on a CPU.
        refused: variant -> why it could not be attached to this model.
        weight_bytes: of the model.
    """

    seconds: dict[str, dict[str, list[float]]]
    peak_bytes: dict[str, int]
    refused: dict[str, str]
    weight_bytes: int


@torch.inference_mode()
def measure(
    model: nn.Module, candidates: Mapping[str, Method], plan: Plan, progress: Callable[[str], None] = lambda _: None
) -> Measured:
    """Every round runs each candidate once, in alternating order, so that drift hits all alike.

    Args:
        candidates: variants by name.
        progress: told what is being run.

    Raises:
        ValueError: if the model's configuration is not supported, or a candidate does not fit its layers.
    """
    device = model.device
    inputs = prompts(model.config, plan.text_tokens, plan.batch, device, model.dtype)
    images = {key: value for key, value in inputs.items() if key != "input_ids"}
    watch = _Stopwatch(device)
    supported = any(cls.__name__ in FAMILIES for cls in type(model).__mro__)
    refused = {
        name: f"pruning is not implemented for {type(model).__name__}"
        for name, method in candidates.items()
        if method.stages() and not supported
    }
    running = [name for name in candidates if name not in refused]
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in running}
    peak: dict[str, int] = {}
    for index in range(plan.warmup + plan.rounds):
        for name in running if index % 2 else reversed(running):
            # The loop needs no warming up: its time is the interpreter's.
            if name == LOOP and not plan.warmup <= index < plan.warmup + plan.loop_rounds:
                continue
            progress(f"round {index + 1}/{plan.warmup + plan.rounds}: {name}")
            took, held = _one_pass(model, candidates[name], inputs, images, plan, watch)
            if index >= plan.warmup:
                for phase, value in took.items():
                    seconds[name].setdefault(phase, []).append(value)
                if held is not None:
                    peak[name] = max(held, peak.get(name, 0))
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return Measured(seconds, peak, refused, weights)


def _one_pass(model, method, inputs, images, plan, watch) -> tuple[dict[str, float], int | None]:
    """Seconds of each phase, and the peak of the device's memory."""
    ids, pruned = inputs["input_ids"], bool(method.stages())
    sizes = {key: value for key, value in images.items() if key != "pixel_values"}
    attached = method.attach if pruned else lambda _: nullcontext()
    took = {}

    def prefill(cache, **image):
        model(input_ids=ids, past_key_values=cache, logits_to_keep=1, **image)

    def decode(cache):
        for step in range(plan.new_tokens - 1):
            position = torch.full((len(ids), 1), ids.shape[1] + step, device=ids.device)
            model(input_ids=ids[:, -1:], position_ids=position, past_key_values=cache)

    watch.start()
    features = model.get_image_features(**images, return_dict=True)
    took["vision"] = watch.lap()
    cache = DynamicCache(config=model.config.text_config)
    watch.start()
    with attached(model):  # entering it is part of the prefill
        prefill(cache, mm_encoder_outputs={"image": features}, **sizes)
        took["prefill"] = watch.lap()
        decode(cache)
        took["decode"] = watch.lap()
    if pruned:
        timed = _Timed(method, watch)
        with timed.attach(model):
            prefill(DynamicCache(config=model.config.text_config), mm_encoder_outputs={"image": features}, **sizes)
        took |= timed.seconds
    del features, cache

    on_gpu = model.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    cache = DynamicCache(config=model.config.text_config)
    watch.start()
    with attached(model):
        prefill(cache, **images)
        decode(cache)
        took["end_to_end"] = watch.lap()
    return took, torch.cuda.max_memory_allocated() if on_gpu else None

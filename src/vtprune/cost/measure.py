"""Measured costs of a method: scoring, selection, prefill, decoding, end to end and peak memory.

They do not depend on the weights, so a model of random weights costs as much as a trained checkpoint.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import ClassVar

import torch
from transformers import AutoModelForImageTextToText, DynamicCache, PretrainedConfig, PreTrainedModel

from vtprune.attach import FAMILIES, attach
from vtprune.cost.flops import Workload
from vtprune.cost.model_shapes import shape_of
from vtprune.cost.timing import Stopwatch, in_turn
from vtprune.features import Features, FeatureWidths, Need
from vtprune.methods import AdaptPrune, get_method, methods
from vtprune.methods.base import Method
from vtprune.ops import adaptive_nms_reference, centre_prior, paper_positions
from vtprune.stages import Ranking, Stage

PHASES = ("vision", "prefill", "scoring", "selection", "decode", "end_to_end")
METHODS = ("none", "fastv", "adaptprune", "vtw")  # the methods of the paper's cost table
LOOP, FUSED = "adaptprune_loop", "adaptprune_fused"


@dataclass(frozen=True)
class LoopAdaptPrune(AdaptPrune):
    """AdaptPrune with Algorithm 1 as the plain loop that the paper prints, row by row on the CPU.

    It is not registered, because it is only timed. It chooses the same tokens as AdaptPrune, except where the last
    bit of a similarity on a GPU decides.
    """

    name: ClassVar[str] = LOOP

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        scores = features.attention() * centre_prior(features.positions, features.grids, self.sigma_prior)
        keys = features.keys(self.reading == "as_written")
        # The loop does not know images: place them so far apart that none suppresses tokens of another.
        apart = features.image[..., None] * 1e4
        positions = paper_positions(features.positions, features.grids) + apart
        chosen = torch.full((len(counts), int(counts.max())), -1)
        for row, (count, valid) in enumerate(zip(counts.tolist(), features.valid, strict=True)):
            tokens = valid.nonzero().flatten()
            selected = adaptive_nms_reference(
                scores[row, tokens],
                keys[row, tokens],
                positions[row, tokens],
                count,
                sigma_d=self.sigma_d,
                sigma_s=self.sigma_s,
                radius=self.radius,
            )
            chosen[row, :count] = tokens.cpu()[selected]
        return chosen.to(scores.device)


@dataclass(frozen=True)
class _TimedRanking:
    """Another ranking, whose scoring and selection are timed separately."""

    ranking: Ranking
    stopwatch: Stopwatch
    seconds: dict[str, float]

    @property
    def needs(self) -> frozenset[Need]:
        return self.ranking.needs

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        self.stopwatch.start()
        if "attention" in self.needs:
            scores = features.attention()
            features = replace(features, attention=lambda: scores)
        if "received" in self.needs:
            received = features.received()
            features = replace(features, received=lambda: received)
        if "paid_by_text" in self.needs:
            paid = features.paid_by_text()
            features = replace(features, paid_by_text=lambda: paid)
        if "tower" in self.needs:
            tower = features.tower()
            features = replace(features, tower=lambda: tower)
        self.seconds["scoring"] += self.stopwatch.lap()
        chosen = self.ranking.select(features, counts)
        self.seconds["selection"] += self.stopwatch.lap()
        return chosen

    def merge(self, features: Features, kept: torch.Tensor) -> torch.Tensor | None:
        self.stopwatch.start()
        into = self.ranking.merge(features, kept)
        self.seconds["selection"] += self.stopwatch.lap()
        return into

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        return self.ranking.selection_flops(tokens, kept, widths)


class _TimedMethod:
    """A method with timed rankings. `seconds` adds up over the prompts."""

    def __init__(self, method: Method, stopwatch: Stopwatch) -> None:
        self.name = method.name
        self.seconds = {"scoring": 0.0, "selection": 0.0}
        self._stages = [
            replace(stage, ranking=_TimedRanking(stage.ranking, stopwatch, self.seconds)) for stage in method.stages()
        ]

    def stages(self) -> list[Stage]:
        return self._stages


def variants(keep: float, device: torch.device) -> dict[str, Method]:
    """Return the methods of the paper's cost table at one fraction, and the other implementations of AdaptPrune's loop.

    The Triton kernel is among them on a CUDA device with Triton.
    """
    known = methods()
    named: dict[str, Method] = {}
    for name in METHODS:
        if name in known:
            named[name] = get_method(name, keep=keep) if known[name].takes_keep() else get_method(name)
    if device.type == "cuda" and find_spec("triton"):
        named[FUSED] = AdaptPrune(keep, backend="triton")
    named[LOOP] = LoopAdaptPrune(keep)
    return named


def build(config: PretrainedConfig, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """Create a model of random weights directly on the device, with SDPA attention."""
    torch.manual_seed(0)
    with torch.device(device):
        model: PreTrainedModel = AutoModelForImageTextToText.from_config(  # type: ignore[no-untyped-call]
            config, dtype=dtype, attn_implementation="sdpa"
        )
    model.to(device)  # type: ignore[arg-type]  # transformers wraps `to`, and mypy loses its signature
    model.eval()  # type: ignore[no-untyped-call]
    return model


def workload_of(config: PretrainedConfig, text_tokens: int) -> Workload:
    """Return a prompt with one square image of usual size.

    That is one tile for LLaVA-1.5, 2 x 2 tiles and the complete image for LLaVA-NeXT, 12 tiles and a thumbnail for
    InternVL.
    """
    shape, kind = shape_of(config), config.model_type
    tiles = {"llava": 1, "llava_next": 5, "internvl": 13}[kind]
    newlines = 0
    if kind == "llava_next":
        newlines = 2 * config.vision_config.image_size // config.vision_config.patch_size
    return Workload(tiles * shape.tile_tokens, text_tokens + newlines, tiles)


def prompts(
    config: PretrainedConfig, text_tokens: int, batch: int, device: torch.device, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Return the inputs of `batch` prompts of `workload_of`, with random text and pixels."""
    workload, vision = workload_of(config, text_tokens), config.vision_config
    placeholders = workload.image_tokens + workload.text_tokens - text_tokens
    height, width = vision.image_size if isinstance(vision.image_size, (tuple, list)) else (vision.image_size,) * 2
    generator = torch.Generator().manual_seed(0)
    # The first ids are special tokens in most vocabularies, and no text token may be the image token.
    words, image_token = torch.randint(5, 60, (batch, text_tokens), generator=generator), config.image_token_id
    words = words.masked_fill(words == image_token, 6 if image_token == 5 else 5)
    image = torch.full((batch, placeholders), image_token)
    before = text_tokens // 2
    inputs = {"input_ids": torch.cat((words[:, :before], image, words[:, before:]), dim=1).to(device)}
    pixels = torch.randn(batch * workload.tiles, vision.num_channels, height, width, generator=generator)
    pixels = pixels.to(device, dtype)
    if config.model_type == "llava_next":
        pixels = pixels.view(batch, workload.tiles, *pixels.shape[1:])
        inputs["image_sizes"] = torch.tensor([[2 * height, 2 * width]] * batch, device=device)
    return {**inputs, "pixel_values": pixels}


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        batch: prompts at a time.
        rounds: rounds that count, after `warmup` others.
        warmup: rounds that do not count.
        new_tokens: tokens of the answer.
        text_tokens: tokens of the prompt, without its image.
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
    """Measured times and memory. A phase that a variant does not have is left out.

    `prefill` begins with the image's features at hand and contains scoring and selection. These two are
    timed again in a separate pass, where waiting for the device does not disturb the prefill.
    `end_to_end` is from pixels to the answer's last token. `vision` is the same for all variants.

    Attributes:
        seconds: variant -> phase -> seconds, one number per round.
        peak_bytes: variant -> the most memory that the device held during an answer, including weights; empty on a CPU.
        refused: variant -> why it could not be attached to this model.
        weight_bytes: of the model.
    """

    seconds: dict[str, dict[str, list[float]]]
    peak_bytes: dict[str, int]
    refused: dict[str, str]
    weight_bytes: int


@torch.inference_mode()
def measure(
    model: PreTrainedModel,
    candidates: Mapping[str, Method],
    plan: Plan,
    progress: Callable[[str], None] | None = None,
) -> Measured:
    """Measure methods on a model. Every round runs each of them once, in alternating order.

    Args:
        model: of a supported family.
        candidates: the methods by name.
        plan: how to measure.
        progress: called with a description before each run.

    Raises:
        UserError: if the model's configuration is not supported, or a candidate does not fit its layers.
    """
    inputs = prompts(model.config, plan.text_tokens, plan.batch, model.device, model.dtype)
    stopwatch = Stopwatch(model.device)
    supported = any(cls.__name__ in FAMILIES for cls in type(model).__mro__)
    refused = {
        name: f"pruning is not implemented for {type(model).__name__}"
        for name, method in candidates.items()
        if method.stages() and not supported
    }
    running = [name for name in candidates if name not in refused]
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in running}
    peak_bytes: dict[str, int] = {}
    for index in range(plan.warmup + plan.rounds):
        for name in in_turn(running, index):
            # The loop needs no warm-up: nearly all of its time is spent in the interpreter.
            if name == LOOP and not plan.warmup <= index < plan.warmup + plan.loop_rounds:
                continue
            if progress is not None:
                progress(f"round {index + 1}/{plan.warmup + plan.rounds}: {name}")
            phases, held_bytes = _one_pass(model, candidates[name], inputs, plan.new_tokens, stopwatch)
            if index >= plan.warmup:
                for phase, value in phases.items():
                    seconds[name].setdefault(phase, []).append(value)
                if held_bytes is not None:
                    peak_bytes[name] = max(held_bytes, peak_bytes.get(name, 0))
    weight_bytes = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    return Measured(seconds, peak_bytes, refused, weight_bytes)


@torch.inference_mode()
def measure_choosing(model: PreTrainedModel, candidates: Mapping[str, Method], plan: Plan) -> dict[str, list[float]]:
    """Measure the scoring and selection of methods, from prompts with their pixels: also what they take from the tower.

    Args:
        model: of a supported family.
        candidates: the methods by name.
        plan: how to measure; no answer is made.

    Returns:
        By name, the seconds of each round.

    Raises:
        UserError: if the model's configuration is not supported, or a candidate does not fit its layers.
    """
    inputs = prompts(model.config, plan.text_tokens, plan.batch, model.device, model.dtype)
    stopwatch = Stopwatch(model.device)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for index in range(plan.warmup + plan.rounds):
        for name in in_turn(list(candidates), index):
            timed = _TimedMethod(candidates[name], stopwatch)
            with attach(timed, model):
                model(**inputs, logits_to_keep=1, use_cache=False)
            if index >= plan.warmup:
                seconds[name].append(sum(timed.seconds.values()))
    return seconds


def _one_pass(
    model: PreTrainedModel,
    method: Method,
    inputs: Mapping[str, torch.Tensor],
    new_tokens: int,
    stopwatch: Stopwatch,
) -> tuple[dict[str, float], int | None]:
    """Return the seconds of each phase, and the peak of the device's memory (None on a CPU)."""
    ids, prunes = inputs["input_ids"], bool(method.stages())
    images = {key: value for key, value in inputs.items() if key != "input_ids"}
    sizes = {key: value for key, value in images.items() if key != "pixel_values"}
    seconds: dict[str, float] = {}

    def attached() -> AbstractContextManager[object]:
        return method.attach(model) if prunes else nullcontext()

    def empty_cache() -> DynamicCache:
        return DynamicCache(config=model.config.text_config)

    def prefill(cache: DynamicCache, **image: object) -> None:
        model(input_ids=ids, past_key_values=cache, logits_to_keep=1, **image)

    def decode(cache: DynamicCache) -> None:
        for step in range(new_tokens - 1):
            position = torch.full((len(ids), 1), ids.shape[1] + step, device=ids.device)
            model(input_ids=ids[:, -1:], position_ids=position, past_key_values=cache)

    stopwatch.start()
    encoded = {"image": model.get_image_features(**images, return_dict=True)}  # type: ignore[operator]
    seconds["vision"] = stopwatch.lap()
    cache = empty_cache()
    stopwatch.start()
    with attached():  # attaching is part of the prefill
        prefill(cache, mm_encoder_outputs=dict(encoded), **sizes)
        seconds["prefill"] = stopwatch.lap()
        decode(cache)
        seconds["decode"] = stopwatch.lap()
    if prunes:
        timed = _TimedMethod(method, stopwatch)
        with attach(timed, model):
            prefill(empty_cache(), mm_encoder_outputs=dict(encoded), **sizes)
        seconds |= timed.seconds
    del encoded, cache

    on_gpu = model.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    cache = empty_cache()
    stopwatch.start()
    with attached():
        prefill(cache, **images)
        decode(cache)
        seconds["end_to_end"] = stopwatch.lap()
    return seconds, torch.cuda.max_memory_allocated() if on_gpu else None

"""Spectra of images inside a model, and the spectral budgets that they give: recorded by the model, or cached."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from tqdm import tqdm

from vtprune.features import Features
from vtprune.methods import FastV, SpectralBudget
from vtprune.methods.spectral_budget import SOURCES, Source, image_features
from vtprune.ops import spectrum
from vtstudy.evaluation.cache_key import ANSWERING, meaning
from vtstudy.evaluation.checkpoint import Checkpoint
from vtstudy.evaluation.measurement_cache import Arrays, MeasurementCache
from vtstudy.evaluation.prompts import CHECKPOINT

LAYER = 2  # before which the hidden states are taken: where FastV and AdaptPrune prune
FeatureChoice = tuple[Source, bool]
VARIANTS: tuple[FeatureChoice, ...] = tuple((source, centre) for source in SOURCES for centre in (False, True))
"""The features that a spectrum is taken of: their source, and whether they are centred."""


@dataclass(frozen=True)
class Spectra:
    """The spectra of images.

    Attributes:
        shares: by (source, centred), `[images, t]` the shares of all energies, largest first.
        counts: of each budget, `[images, 2]` the number of tokens that it keeps, and the rank that settled it.
        tokens: how many image tokens the last batch's first image has.
    """

    shares: Mapping[FeatureChoice, torch.Tensor]
    counts: Sequence[torch.Tensor]
    tokens: int


class Recorder:
    """A budget that keeps every token, and records the spectra of the images on the way.

    So the spectra are of the same features that a `SpectralBudget` gets when it prunes.

    Attributes:
        shares: by (source, centred), the shares of all energies, an image a row.
        counts: of each budget, its number of tokens and the rank that settled it, an image a row.
    """

    def __init__(self, budgets: Sequence[SpectralBudget], variants: Iterable[FeatureChoice]) -> None:
        self.budgets = budgets
        self.shares: dict[FeatureChoice, list[torch.Tensor]] = {variant: [] for variant in variants}
        self.counts: list[list[torch.Tensor]] = [[] for _ in budgets]

    def count(self, features: Features) -> torch.Tensor:
        for source, centre in self.shares:
            x, valid = image_features(features, source)  # type: ignore[arg-type]  # a source by its name
            self.shares[source, centre].append(spectrum(x, valid, route="svd", centre=centre).shares.cpu())
        for counts, budget in zip(self.counts, self.budgets, strict=True):
            counts.append(torch.stack(budget.count_with_rank(features), dim=1).cpu())
        return features.valid.sum(dim=1)

    def signature(self) -> str:
        return "recorder"


@torch.inference_mode()
def record(
    checkpoint: Checkpoint,
    images: Sequence[Image.Image],
    batch_size: int,
    bar: tqdm,
    budgets: Sequence[SpectralBudget] = (),
    variants: Iterable[FeatureChoice] = VARIANTS,
) -> Spectra:
    """Record the spectra of images, and the budgets that they give.

    The images are presented as those of questions are, in a prompt without words.
    """
    recorder = Recorder(budgets, variants)
    model, processor, presentation = checkpoint.model, checkpoint.processor, checkpoint.presentation
    prompt = presentation.text(processor, "", 1)
    # The checkpoint's own prompts have always been recorded without the token that begins a sequence.
    begins = presentation.prompt != CHECKPOINT and not prompt.startswith(processor.tokenizer.bos_token or "\0")
    tokens = 0
    with FastV(recorder, layer=LAYER).attach(model) as pruned:
        for start in range(0, len(images), batch_size):
            batch = [presentation.image(processor, image) for image in images[start : start + batch_size]]
            inputs = processor(
                images=batch, text=[prompt] * len(batch), padding=True, return_tensors="pt", add_special_tokens=begins
            ).to(model.device, model.dtype)
            model(**inputs, logits_to_keep=1)
            tokens = sum(len(image.indices) for image in pruned.kept[0])
            bar.update(len(batch))
    shares = {variant: torch.cat(parts) for variant, parts in recorder.shares.items()}
    return Spectra(shares, [torch.cat(parts) for parts in recorder.counts], tokens)


def cached_spectra(
    checkpoint: Checkpoint,
    measurements: MeasurementCache,
    images: Callable[[], Sequence[Image.Image]],
    images_key: Mapping[str, Any],
    batch_size: int,
    bar: tqdm,
    budgets: Sequence[SpectralBudget] = (),
) -> Spectra:
    """As `record`, from the cache where the spectra are there.

    Args:
        images: makes the images; it is called only where something has to be recorded.
        images_key: what the images depend on, as plain JSON data.
    """
    software = {"torch": torch.__version__, "code": meaning([__name__, *ANSWERING, *checkpoint.family])}
    key = {
        **checkpoint.key(),
        "images": dict(images_key),
        "budgets": [budget.signature() for budget in budgets],
        "software": software,
    }

    def compute() -> Arrays:
        spectra = record(checkpoint, images(), batch_size, bar, budgets)
        arrays = {_name(variant): shares.numpy() for variant, shares in spectra.shares.items()}
        arrays |= {f"budget {number}": counts.numpy() for number, counts in enumerate(spectra.counts)}
        return arrays | {"tokens": torch.tensor(spectra.tokens).numpy()}

    arrays = measurements.arrays("spectra", key, compute)
    return Spectra(
        {variant: torch.from_numpy(arrays[_name(variant)]) for variant in VARIANTS},
        [torch.from_numpy(arrays[f"budget {number}"]) for number in range(len(budgets))],
        int(arrays["tokens"]),
    )


def _name(variant: FeatureChoice) -> str:
    source, centre = variant
    return f"{source} centred" if centre else source

"""AdaptPrune: attention corrected for position, then adaptive non-maximum suppression."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from vtprune.features import Features, FeatureWidths, Need
from vtprune.methods.base import SingleStageMethod, register
from vtprune.ops.geometry import centre_prior, paper_positions
from vtprune.ops.nms import BACKENDS, Backend, adaptive_nms
from vtprune.ops.ranking import highest
from vtprune.validation import boolean, convert, not_negative, one_of, positive

READINGS = ("as_published", "as_written")


@register
@dataclass(frozen=True)
class AdaptPrune(SingleStageMethod):
    """Attention, corrected for position, thinned out by adaptive NMS (AdaptPrune, arXiv 2503.08019).

    The last prompt token's attention is multiplied by a Gaussian about the image's centre (section
    4.1). Then tokens are chosen greedily, and each chosen token lowers the scores of near and similar ones
    (equations 1-3). Switching the three cues off gives the rows of Table 4: (a) none, which is
    FastV; (b) `correction` alone; (c) with `distance`; (d) with `similarity` as well.

    The two readings differ in the keys alone. `as_published` projects the hidden states as they
    enter the layer, as the authors' code does: the printed numbers come from it. `as_written` projects
    them after the layer's input norm, which gives the layer's real keys. Other differences between that
    code and the paper are defects, which neither reading has: fixed prompt offsets, q/k/v projected twice in
    every layer, the layer before run twice with its cache entry doubled, and a token chosen twice once
    all scores are 0.

    `sigma_d` and `radius` are in cells of the paper's 24x24 grid and `sigma_prior` in its
    coordinates; positions on other grids are rescaled to it (see `vtprune.ops.geometry`). Several images in
    a prompt, and the parts of an image (LLaVA-NeXT's two sequences, InternVL's tiles), share one
    budget. Each has its own prior, and suppression does not cross from one to another (supplement A).

    Attributes:
        keep, layer: see `SingleStageMethod`.
        reading: which hidden states the keys are projected from.
        correction: multiply the scores by the centre prior.
        distance: suppress by distance (equation 1).
        similarity: suppress by key similarity (equation 2), within `radius` too.
        sigma_prior: width of the prior; 12 is from the centre to the edge.
        sigma_d: width of the distance decay.
        sigma_s: width of the similarity decay, in units of 1 - cosine.
        radius: distance, inclusive, beyond which nothing is suppressed.
        backend: how the greedy loop runs; it does not change which tokens are chosen. `torch` runs everywhere.
            `triton` runs the loop as one kernel and needs a CUDA device and the package triton. It has been
            tested in Triton's interpreter only, never on a GPU.
    """

    name: ClassVar[str] = "adaptprune"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})

    reading: Literal["as_published", "as_written"] = "as_published"
    correction: bool = True
    distance: bool = True
    similarity: bool = True
    sigma_prior: float = 12.0
    sigma_d: float = 1.5
    sigma_s: float = 0.05
    radius: float = 5.0
    backend: Backend = "torch"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(READINGS, "reading", self.reading)
        one_of(BACKENDS, "backend", self.backend)
        for name in ("correction", "distance", "similarity"):
            convert(self, name, boolean)
        for name in ("sigma_prior", "sigma_d", "sigma_s"):
            convert(self, name, positive)
        convert(self, "radius", not_negative)

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        scores = features.attention()
        if self.correction:
            scores = scores * centre_prior(features.positions, features.grids, self.sigma_prior)
        if not (self.distance or self.similarity):
            return highest(scores, counts, features.valid)
        return adaptive_nms(
            scores,
            features.keys(self.reading == "as_written") if self.similarity else None,
            paper_positions(features.positions, features.grids),
            counts,
            sigma_d=self.sigma_d if self.distance else None,
            sigma_s=self.sigma_s if self.similarity else None,
            radius=self.radius,
            valid=features.valid,
            groups=features.image,
            backend=self.backend,
        )

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the key projection of all image tokens, and the similarities of all pairs."""
        if not self.similarity:
            return 0
        return 2 * tokens * widths.hidden * widths.key + 2 * tokens * tokens * widths.key

    def signature(self) -> dict[str, Any]:
        signature = super().signature()
        if self.backend == "torch":
            del signature["backend"]  # answers that were stored before this parameter existed stay valid
        return signature

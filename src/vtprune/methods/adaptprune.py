from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from vtprune.errors import UserError
from vtprune.features import Features, Need
from vtprune.methods.base import Method, register
from vtprune.ops.geometry import centre_prior, paper_positions
from vtprune.ops.nms import adaptive_nms
from vtprune.ops.ranking import highest
from vtprune.stages import Budget


@register
@dataclass(frozen=True)
class AdaptPrune(Method):
    """Attention, corrected for position, thinned out by adaptive NMS (AdaptPrune, arXiv 2503.08019).

    The last prompt token's attention is multiplied by a Gaussian about the image's centre (section
    4.1); then tokens are chosen greedily, each lowering the scores of near and similar ones
    (equations 1-3). Switching the three cues off gives the rows of Table 4: (a) none, which is
    FastV; (b) ``correction`` alone; (c) with ``distance``; (d) with ``similarity`` as well.

    The two readings differ in the keys alone. ``as_published`` projects the hidden states as they
    enter the layer, which is what the authors' code does and what the printed numbers come from;
    ``as_written`` projects them after the layer's input norm, which makes them the layer's keys.
    Everything else in that code that differs from the paper is a defect and in neither reading:
    fixed prompt offsets, q/k/v projected twice in every layer, the layer before run twice with its
    cache entry doubled, a token chosen twice once all scores are 0.

    ``sigma_d`` and ``radius`` are in cells of the paper's 24x24 grid and ``sigma_prior`` in its
    coordinates; other grids are rescaled to it (:mod:`vtprune.ops.geometry`). Several images in
    a prompt, and the parts of an image (LLaVA-NeXT's two sequences, InternVL's tiles), share one
    budget; each has its own prior and suppression does not cross from one to another (supplement A).

    Attributes:
        keep: fraction in (0, 1], count, or budget.
        layer: 0-based decoder layer before which tokens are dropped, scores from the one before it.
        reading: which hidden states the keys are projected from.
        correction: multiply the scores by the centre prior.
        distance: suppress by distance (equation 1).
        similarity: suppress by key similarity (equation 2), within ``radius`` too.
        sigma_prior: width of the prior; 12 is from the centre to the edge.
        sigma_d: width of the distance decay.
        sigma_s: width of the similarity decay, in units of 1 - cosine.
        radius: distance, inclusive, beyond which nothing is suppressed.
    """

    name: ClassVar[str] = "adaptprune"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})
    fused: ClassVar[bool] = False  # how the loop is run, not what it chooses: no parameter of the method

    keep: float | int | Budget
    layer: int | float = 2
    reading: Literal["as_published", "as_written"] = "as_published"
    correction: bool = True
    distance: bool = True
    similarity: bool = True
    sigma_prior: float = 12.0
    sigma_d: float = 1.5
    sigma_s: float = 0.05
    radius: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reading not in ("as_published", "as_written"):
            raise UserError(f"reading must be 'as_published' or 'as_written', not {self.reading!r}")
        for name in ("sigma_prior", "sigma_d", "sigma_s"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} must be positive, not {getattr(self, name)}")
        if not self.radius >= 0:
            raise UserError(f"radius must not be negative, not {self.radius}")

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
            fused=self.fused,
        )

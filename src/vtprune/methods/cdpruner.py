"""CDPruner: different tokens that are relevant to the question."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtprune.errors import UserError
from vtprune.features import Features, FeatureWidths, check_finite
from vtprune.methods.base import register
from vtprune.methods.before_decoder import BeforeDecoder
from vtprune.methods.clip_relevance import clip_relevance
from vtprune.ops.choosing import choose_greedily
from vtprune.ops.cosine import cosines, rounded, unit_vectors
from vtprune.ops.precision import precise_type

_EXHAUSTED = 1e-5


@register
@dataclass(frozen=True)
class CDPruner(BeforeDecoder):
    """Choose different tokens that are relevant to the question, by a determinant (CDPruner, arXiv 2506.10967).

    With the cosines S of the tokens' embeddings and a relevance r of each token, the paper looks for the tokens of the
    largest determinant of the kernel r_i S_ij r_j (a determinantal point process), greedily: one by one, that which
    enlarges the determinant most. That is r_j^2 times the part of token j that those chosen before do not explain.

    **The relevance is the paper's only with `clip`.** There it is minus the cosine of the token's patch and the
    question, as CLIP's two towers project them (minus, because the patches that match a text least are those that show
    it; the paper's formula has no minus, the authors' code has). A checkpoint of LLaVA holds neither CLIP's text tower
    nor its projections, so they come from the CLIP checkpoint that its vision tower is from. Other families' towers
    have no such partner. Without `clip`, relevance is the mean cosine of the token's and the question's embeddings in
    the language model: every family has these, and no published number was made with them.

    Relevance is scaled to (0, 1] over the prompt's image tokens: (r - min + 1e-6) / (max - min). The question is the
    text after the first image, with the words of the chat template there (such as "ASSISTANT:"), or all text if there
    is none.

    The differences from the authors' code:

    - Where all tokens are equally relevant, relevance is 1, and where the tokens chosen explain all others (to 1e-5),
      these follow in their order. There, the first divides by 0, and the second takes roots of negative numbers.
    - Relevance is scaled for each prompt, there over the whole batch. All images of a prompt share one budget.
    - Texts that are too long for CLIP are cut into parts with a beginning and an end each, there only once.
    - Kept tokens keep their positions; the published numbers were made with consecutive ones.

    Attributes:
        keep: see `BeforeDecoder`.
        clip: a folder or an id on the Hugging Face Hub, of the CLIP whose vision tower the model has (both towers),
            such as openai/clip-vit-large-patch14-336. None: see above.
        tokenizer: a folder or an id of the model itself, whose tokenizer turns the prompt into text; needed with
            `clip`.
    """

    name: ClassVar[str] = "cdpruner"

    clip: str | None = None
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("clip", "tokenizer"):
            if not isinstance(getattr(self, name), str | None):
                raise UserError(f"{name} must be a folder, an id or None, not {getattr(self, name)!r}")
        if (self.clip is None) != (self.tokenizer is None):
            raise UserError("clip and tokenizer go together: the tokenizer's text is what CLIP reads")

    def select(self, features: Features, counts: torch.Tensor) -> torch.Tensor:
        similarity = cosines(self._embeddings(features)).to(precise_type(features.valid.device))
        quality = self.scaled_relevance(features).square()
        left = similarity.diagonal(dim1=1, dim2=2).clone()  # the part of each token that is not explained yet
        rows = similarity.new_zeros(len(counts), int(counts.max()), similarity.shape[2])  # of a Cholesky decomposition
        step = 0

        def scores() -> torch.Tensor:
            unexplained = rounded(left.clone())
            return quality * unexplained.masked_fill(unexplained <= _EXHAUSTED, 0.0)

        def explain(last: torch.Tensor) -> torch.Tensor:
            nonlocal step, left
            row = similarity.gather(1, last[..., None].expand(-1, -1, similarity.shape[2]))
            if step:
                chosen = rows[:, :step].gather(2, last[:, None].expand(-1, step, -1))
                row = row - chosen.mT @ rows[:, :step]
            own = left.gather(1, last)
            row = row[:, 0] * torch.where(own > _EXHAUSTED, own, float("inf")).rsqrt()
            rows[:, step] = row
            left = left - row.square()
            step += 1
            return scores()

        return choose_greedily(scores(), counts, features.valid, explain)

    def selection_flops(self, tokens: int, kept: int, widths: FeatureWidths) -> int:
        """Count the cosines of all pairs and with the question, and the products of chosen rows; not CLIP's."""
        question = 0 if self.clip else 2 * tokens * widths.hidden
        return 2 * tokens * tokens * widths.hidden + question + tokens * max(0, (kept - 2) * (kept - 1))

    def scaled_relevance(self, features: Features) -> torch.Tensor:
        """`[b, n]` in (0, 1]."""
        relevance = self._relevance(features)
        low = relevance.masked_fill(~features.valid, float("inf")).amin(dim=1, keepdim=True)
        range_ = relevance.masked_fill(~features.valid, float("-inf")).amax(dim=1, keepdim=True) - low
        scaled = (relevance - low + 1e-6) / torch.where(range_ > 0, range_, 1.0)
        return torch.where(range_ > 0, scaled, 1.0).masked_fill(~features.valid, 0.0)

    def _relevance(self, features: Features) -> torch.Tensor:
        text = features.text()
        words = torch.where(text.after_image.any(dim=1, keepdim=True), text.after_image, text.present)
        if self.clip is not None and self.tokenizer is not None:
            outputs, present = features.tower_outputs()
            check_finite(f"{self.name} cannot choose: outputs in the vision tower", outputs, present & features.valid)
            relevance = clip_relevance(self.clip, self.tokenizer, outputs, text.ids, words)
            # Tokens without a patch (LLaVA-NeXT's newlines) are the least relevant.
            least = relevance.masked_fill(~present, float("inf")).amin(dim=1, keepdim=True)
            return rounded(torch.where(present, relevance, least))
        with torch.autocast(features.valid.device.type, enabled=False):
            question = unit_vectors(text.embeddings).masked_fill(~words[..., None], 0.0)
            mean = question.sum(dim=1) / words.sum(dim=1, keepdim=True).clamp(min=1)
            return rounded((unit_vectors(self._embeddings(features)) @ mean[..., None])[..., 0])

"""The cosines of an image's patches and a text, as CLIP's two towers project them."""

from functools import lru_cache
from typing import Any, NamedTuple, cast

import torch

from vtprune.errors import UserError
from vtprune.ops.cosine import unit_vectors


class _Clip(NamedTuple):
    """What is needed of CLIP, and the tokenizer of the model whose prompts it reads."""

    model: Any
    words: Any
    prompts: Any


@torch.no_grad()
def clip_relevance(
    clip: str, tokenizer: str, outputs: torch.Tensor, ids: torch.Tensor, words: torch.Tensor
) -> torch.Tensor:
    """Return minus the cosine of each patch and the text of its row, `[b, n]`.

    CLIP's final norm and projection are applied to the tower's outputs as the projector gets them, which may be of an
    earlier layer. A text that is too long is cut into parts, whose cosines are averaged.

    Args:
        clip: a folder or an id of a CLIP with both towers.
        tokenizer: a folder or an id of the model's tokenizer.
        outputs: `[b, n, d]` of the vision tower.
        ids: `[b, t]` text tokens of the model.
        words: `[b, t]` bool, which of them are the text.

    Raises:
        UserError: if CLIP or the tokenizer cannot be loaded, or CLIP's vision tower has another width.
    """
    loaded = _load(clip, tokenizer, outputs.device)
    width = loaded.model.visual_projection.in_features
    if outputs.shape[-1] != width:
        raise UserError(
            f"{clip} projects patches of width {width}, but this model's vision tower gives {outputs.shape[-1]}: name "
            "the CLIP from which its tower is"
        )
    with torch.autocast(outputs.device.type, enabled=False):
        normed = loaded.model.vision_model.post_layernorm(outputs.float())
        patches = unit_vectors(loaded.model.visual_projection(normed))
        texts = loaded.prompts.batch_decode([row[mask].tolist() for row, mask in zip(ids, words, strict=True)], True)
        return torch.stack(
            [-(row @ _directions(loaded, text).mT).mean(dim=1) for row, text in zip(patches, texts, strict=True)]
        )


def _directions(loaded: _Clip, text: str) -> torch.Tensor:
    """`[parts, d]` unit vectors of a text's parts."""
    tokens = loaded.words(text.strip(), add_special_tokens=False).input_ids
    most = loaded.model.config.text_config.max_position_embeddings - 2
    vectors = []
    for start in range(0, max(1, len(tokens)), most):
        part = [loaded.words.bos_token_id, *tokens[start : start + most], loaded.words.eos_token_id]
        pooled = loaded.model.text_model(input_ids=torch.tensor([part], device=loaded.model.device)).pooler_output
        vectors.append(loaded.model.text_projection(pooled)[0])
    return unit_vectors(torch.stack(vectors))


@lru_cache(maxsize=2)
def _load(clip: str, tokenizer: str, device: torch.device) -> _Clip:
    from transformers import AutoTokenizer, CLIPModel  # importing these takes seconds

    try:
        model = CLIPModel.from_pretrained(clip, dtype=torch.float32)
        words, prompts = (AutoTokenizer.from_pretrained(name) for name in (clip, tokenizer))
    except (OSError, ValueError) as error:
        raise UserError(
            f"a CLIP with both towers cannot be loaded from {clip}, or the model's tokenizer from {tokenizer}: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    return _Clip(cast(Any, model).eval().to(device), words, prompts)

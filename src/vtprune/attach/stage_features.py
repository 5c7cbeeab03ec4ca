"""The features of the image tokens at a stage, made from what hooks have captured by then."""

from functools import cache as remembered
from typing import cast

import torch
from torch import nn

from vtprune.attach.attention import attention_received, paid_by_last
from vtprune.attach.captured import Captured
from vtprune.attach.prompt import Prompt
from vtprune.attach.recording import Recorded
from vtprune.attach.vision_tower import TowerAttention, by_prompt
from vtprune.errors import UserError
from vtprune.features import Features, Need, Patches
from vtprune.ops.indexing import take
from vtprune.stages import Ranking


def features_at(
    layer: int,
    ranking: Ranking,
    prompt: Prompt,
    hidden: torch.Tensor,
    layers: nn.ModuleList,
    tower: TowerAttention | None,
    captured: Captured,
    *,
    shared: bool,
) -> Features:
    """The features that the ranking and the budget of a stage may use. Costly ones are computed when they are called.

    Args:
        layer: of the stage.
        ranking: of the stage.
        prompt: as it enters that layer.
        hidden: `[b, current length, d]` the hidden states that enter it.
        layers: of the decoder.
        tower: the vision tower's attention; None if the model has none that could be used.
        captured: what hooks have captured before the layer.
        shared: whether other methods use these features too. Their rankings may use more features than this one, so
            nothing is checked: each method is checked when it runs alone.
    """
    # The prompt is shortened later and more is captured: keep what there is at this moment.
    attended, alive, slots, text, layout = prompt.attended, prompt.alive, prompt.slots, prompt.text, prompt.layout
    blocks, captured = prompt.blocks, captured.copy()

    def check_needed(feature: Need) -> None:
        if not shared and feature not in ranking.needs:
            name = type(ranking).__name__
            raise UserError(f"{name} calls features.{feature}(), so its `needs` must contain {feature!r}")

    def states() -> Recorded:
        recorded = captured.attention
        if recorded is None:
            raise UserError(
                f"the attention of decoder layer {layer - 1} was not seen: it does not look its kernel up in "
                "transformers' attention interface, or it was compiled before the with block"
            )
        if recorded.special is not None:
            raise UserError(
                f"decoder layer {layer - 1} {recorded.special}, so scores cannot be made from its queries and keys"
            )
        return recorded.to(hidden.device)

    def attention() -> torch.Tensor:
        check_needed("attention")
        row = paid_by_last(states(), attended)
        return row.gather(1, slots).masked_fill(~alive, 0.0)

    def received() -> tuple[torch.Tensor, torch.Tensor]:
        check_needed("received")
        payers = torch.stack((text, attended & ~text), dim=1)
        paid = attention_received(states(), attended, payers, blocks)
        from_text, from_image = (part.gather(1, slots).masked_fill(~alive, 0.0) for part in paid.unbind(1))
        return from_text, from_image

    def keys(normalised: bool) -> torch.Tensor:
        return _keys(layers[layer], take(hidden, slots), normalised)

    def embeddings() -> torch.Tensor:
        return take(cast(torch.Tensor, captured.embeddings), layout.index)

    def entering() -> torch.Tensor:
        return take(hidden, slots)

    def vision() -> tuple[torch.Tensor, torch.Tensor]:
        return by_prompt(captured.vision, layout.pictures)

    def patches() -> Patches:
        check_needed("tower")
        if tower is None:
            raise UserError("this model's vision tower has no attention that a method could use")
        return Patches(*(part.to(hidden.device) for part in tower.patches(layout, captured.tower)))

    return Features(
        valid=alive,
        positions=layout.positions.to(hidden.device),
        grids=layout.grids.to(hidden.device),
        image=layout.image.to(hidden.device),
        attention=remembered(attention),
        received=remembered(received),
        keys=remembered(keys),
        embeddings=embeddings,
        fingerprint=remembered(prompt.fingerprint),
        hidden=entering,
        vision=remembered(vision),
        tower=remembered(patches),
    )


def _keys(decoder_layer: nn.Module, states: torch.Tensor, normalised: bool) -> torch.Tensor:
    """The key projection of hidden states, as `Features.keys` says.

    Raises:
        UserError: if the layer has no projection that gives keys alone.
    """
    attention = getattr(decoder_layer, "self_attn", None)
    project = getattr(attention, "k_proj", None)
    if project is None:
        raise UserError(
            f"keys need decoder layers with a projection self_attn.k_proj, and {type(decoder_layer).__name__} has none"
        )
    if not normalised:
        return cast(torch.Tensor, project(states))
    projected = project(cast(nn.Module, decoder_layer.input_layernorm)(states))
    norm = getattr(attention, "k_norm", None)
    if norm is None:
        return cast(torch.Tensor, projected)
    by_head = torch.unflatten(projected, -1, (-1, norm.weight.shape[-1]))  # some decoders normalise all heads together
    return cast(torch.Tensor, norm(by_head)).flatten(2)

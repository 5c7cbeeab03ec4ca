"""The features of the image tokens at a stage, made from what hooks have captured by then."""

from collections.abc import Mapping
from functools import cache as remembered
from typing import cast

import torch
from torch import nn

from vtprune.attach.attention import attention_received, attention_row
from vtprune.attach.prompt import Prompt
from vtprune.attach.transformers_internals import Rotary
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
    rotary: Rotary,
    layers: nn.ModuleList,
    tower: TowerAttention | None,
    captured: Mapping[str, torch.Tensor],
    *,
    shared: bool,
) -> Features:
    """The features that the ranking and the budget of a stage may use. Costly ones are computed when they are called.

    Args:
        layer: of the stage.
        ranking: of the stage.
        prompt: as it enters that layer.
        hidden: `[b, current length, d]` the hidden states that enter it.
        rotary: the position embeddings that belong to them.
        layers: of the decoder.
        tower: the vision tower's attention; None if the model has none that could be used.
        captured: the embeddings, the vision tower's output and attention, and the queries and keys of the layer before.
        shared: whether other methods use these features too. Their rankings may use more features than this one, so
            nothing is checked: each method is checked when it runs alone.
    """
    decoder_layer = layers[layer]
    # With layer 0 this is the last layer; `Stage.least_layer` refuses rankings there that use attention.
    attention_before = cast(nn.Module, layers[layer - 1].self_attn)
    # The prompt is shortened later and the captured tensors change: keep those of this moment.
    attended, alive, slots, text, layout = prompt.attended, prompt.alive, prompt.slots, prompt.text, prompt.layout
    captured = dict(captured)

    def check_needed(feature: Need) -> None:
        if not shared and feature not in ranking.needs:
            name = type(ranking).__name__
            raise UserError(f"{name} calls features.{feature}(), so its `needs` must contain {feature!r}")

    def queries_and_keys() -> tuple[torch.Tensor, torch.Tensor]:
        return captured["q_proj"].to(hidden.device), captured["k_proj"].to(hidden.device)

    def attention() -> torch.Tensor:
        check_needed("attention")
        query, key = queries_and_keys()
        row = attention_row(attention_before, query[:, -1], key, rotary, attended)
        return row.gather(1, slots).masked_fill(~alive, 0.0)

    def received() -> tuple[torch.Tensor, torch.Tensor]:
        check_needed("received")
        query, key = queries_and_keys()
        payers = torch.stack((text, attended & ~text), dim=1)
        paid = attention_received(attention_before, query, key, rotary, attended, payers)
        from_text, from_image = (part.gather(1, slots).masked_fill(~alive, 0.0) for part in paid.unbind(1))
        return from_text, from_image

    def keys(normalised: bool) -> torch.Tensor:
        states = take(hidden, slots)
        if normalised:
            states = cast(nn.Module, decoder_layer.input_layernorm)(states)
        project = cast(nn.Module, cast(nn.Module, decoder_layer.self_attn).k_proj)
        return cast(torch.Tensor, project(states))

    def embeddings() -> torch.Tensor:
        return take(captured["embeddings"], layout.index)

    def entering() -> torch.Tensor:
        return take(hidden, slots)

    def vision() -> tuple[torch.Tensor, torch.Tensor]:
        return by_prompt(captured.get("vision"), layout.pictures)

    def patches() -> Patches:
        check_needed("tower")
        if tower is None:
            raise UserError("this model's vision tower has no attention that a method could use")
        return Patches(*(part.to(hidden.device) for part in tower.patches(layout, captured)))

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

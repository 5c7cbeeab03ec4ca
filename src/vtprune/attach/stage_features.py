"""The image tokens' features at a stage, made of what hooks have captured by then."""

from collections.abc import Mapping
from functools import cache as remembered

import torch
from torch import nn

from vtprune.attach.attention import attention_received, attention_row
from vtprune.attach.layout import take
from vtprune.attach.prompt import Prompt
from vtprune.attach.vision_tower import Tower, by_prompt
from vtprune.errors import UserError
from vtprune.features import Features, Need, Patches
from vtprune.stages import Stage


def features_at(
    stage: Stage,
    prompt: Prompt,
    hidden: torch.Tensor,
    rotary: tuple[torch.Tensor, torch.Tensor],
    layers: nn.ModuleList,
    tower: Tower | None,
    captured: Mapping[str, torch.Tensor],
    *,
    shared: bool,
) -> Features:
    """What the stage's ranking and budget may look at. What costs anything waits until it is asked for.

    Args:
        stage: at a whole-numbered layer.
        prompt: as it enters that layer.
        hidden: ``[b, current length, d]`` the hidden states that enter it.
        rotary: the position embeddings that belong to them.
        layers: of the decoder.
        tower: None where no one listens to it.
        captured: the embeddings, the tower's output and attention, and the queries and keys of the
            layer before.
        shared: whether later methods are given these features too.
    """
    layer, before, captured = layers[stage.layer], layers[stage.layer - 1].self_attn, dict(captured)
    # The prompt goes on, the features stay.
    attended, alive, slots, text, layout = prompt.attended, prompt.alive, prompt.slots, prompt.text, prompt.layout
    ranking = stage.ranking

    def announced(what: Need) -> None:
        # What is shared is asked for by other methods as well: they are checked on their own.
        if not shared and what not in ranking.needs:
            name = type(ranking).__name__
            raise UserError(f"{name} calls features.{what}(), so its `needs` must contain {what!r}")

    def attention() -> torch.Tensor:
        announced("attention")
        query, key = (captured[name].to(hidden.device) for name in ("q_proj", "k_proj"))
        return attention_row(before, query[:, -1], key, rotary, attended).gather(1, slots).masked_fill(~alive, 0.0)

    def received() -> tuple[torch.Tensor, torch.Tensor]:
        announced("received")
        query, key = (captured[name].to(hidden.device) for name in ("q_proj", "k_proj"))
        payers = torch.stack((text, attended & ~text), dim=1)
        paid = attention_received(before, query, key, rotary, attended, payers)
        from_text, from_image = (part.gather(1, slots).masked_fill(~alive, 0.0) for part in paid.unbind(1))
        return from_text, from_image

    def keys(normalised: bool) -> torch.Tensor:
        states = take(hidden, slots)
        return layer.self_attn.k_proj(layer.input_layernorm(states) if normalised else states)

    def patches() -> Patches:
        announced("tower")
        return Patches(*(part.to(hidden.device) for part in tower.patches(layout, captured)))

    return Features(
        valid=alive,
        positions=layout.positions.to(hidden.device),
        grids=layout.grids.to(hidden.device),
        image=layout.image.to(hidden.device),
        attention=remembered(attention),
        received=remembered(received),
        keys=remembered(keys),
        embeddings=lambda: take(captured["embeddings"], layout.index),
        fingerprint=remembered(prompt.fingerprint),
        hidden=lambda: take(hidden, slots),
        vision=remembered(lambda: by_prompt(captured.get("vision"), layout.pictures)),
        tower=remembered(patches),
    )

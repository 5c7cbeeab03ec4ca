"""The features of the image tokens at a stage, made from what hooks have captured by then."""

from functools import cache as remembered
from functools import partial
from typing import cast

import torch
from torch import nn

from vtprune.attach.attention import attention_received, paid_by_each, paid_by_last
from vtprune.attach.captured import Captured
from vtprune.attach.prompt import Prompt
from vtprune.attach.recording import Recorded
from vtprune.attach.vision_tower import TowerAttention, by_prompt, by_token
from vtprune.errors import UserError
from vtprune.features import Features, Need, Patches, Text, check_finite
from vtprune.ops.indexing import indices_from_mask, take
from vtprune.stages import Ranking


def features_at(
    layer: int,
    ranking: Ranking,
    prompt: Prompt,
    hidden: torch.Tensor,
    decoder: nn.Module,
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
        decoder: the language model.
        layers: all layers of the decoder, even if its own list lacks some during this forward.
        tower: the vision tower's attention; None if the model has none that could be used.
        captured: what hooks have captured before the layer.
        shared: whether other methods use these features too. Their rankings may use more features than this one, so
            nothing is checked: each method is checked when it runs alone.
    """
    # The prompt is shortened later and more is captured: keep what there is at this moment.
    attended, alive, slots, text, layout = prompt.attended, prompt.alive, prompt.slots, prompt.text, prompt.layout
    blocks, captured = prompt.blocks, captured.copy()
    ids, prompt_text, first_alive = prompt.input_ids, prompt.prompt_text, layout.valid

    # Scores are computed without autocast, but a projection is a part of the model.
    device = hidden.device.type
    of_the_model = partial(
        torch.autocast,
        device,
        dtype=torch.get_autocast_dtype(device),
        enabled=torch.is_autocast_enabled(device),
    )

    def check_needed(feature: Need) -> None:
        if not shared and feature not in ranking.needs:
            name = type(ranking).__name__
            raise UserError(f"{name} calls features.{feature}(), so its `needs` must contain {feature!r}")

    def states() -> Recorded:
        recorded = captured.attention
        if recorded is None:
            raise UserError(
                f"the attention of decoder layer {layer - 1} was not seen: it does not look its kernel up in "
                "transformers' attention interface, or it was compiled or copied within the with block"
            )
        if recorded.special is not None:
            raise UserError(
                f"decoder layer {layer - 1} {recorded.special}, so scores cannot be made from its queries and keys"
            )
        return recorded.to(hidden.device)

    def attention() -> torch.Tensor:
        check_needed("attention")
        row = paid_by_last(states(), attended)
        scores = check_finite(f"the attention weights of layer {layer - 1}", row.gather(1, slots), alive)
        return scores.masked_fill(~alive, 0.0)

    def received() -> tuple[torch.Tensor, torch.Tensor]:
        check_needed("received")
        payers = torch.stack((text, attended & ~text), dim=1)
        paid = attention_received(states(), attended, payers, blocks)
        weights = f"the attention weights of layer {layer - 1}"
        from_text, from_image = (
            check_finite(weights, part.gather(1, slots), alive).masked_fill(~alive, 0.0) for part in paid.unbind(1)
        )
        return from_text, from_image

    def paid_by_text() -> torch.Tensor:
        check_needed("paid_by_text")
        payers = indices_from_mask(text)
        paid = paid_by_each(states(), attended, payers)
        is_text = text.gather(1, payers)
        pairs = is_text[..., None] & alive[:, None]
        paid = paid.gather(2, slots[:, None].expand(-1, payers.shape[1], -1)).masked_fill(~pairs, 0.0)
        return check_finite(f"the attention weights of layer {layer - 1}", paid, is_text)

    def last_keys() -> tuple[torch.Tensor, torch.Tensor]:
        check_needed("last_keys")
        return image_and_text(f"the keys of layer {layer - 1}", states().key.transpose(1, 2).flatten(2))

    def image_and_text(what: str, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        places = indices_from_mask(text)
        words = check_finite(what, take(values, places), text.gather(1, places))
        return check_finite(what, take(values, slots), alive), words

    def final() -> tuple[torch.Tensor, torch.Tensor]:
        norm = cast(nn.Module, decoder.norm)
        parts = image_and_text(f"the hidden states before layer {layer}", hidden)
        image, words = (_applied(norm, part) for part in parts)
        return image, words

    def text_tokens() -> Text:
        places = indices_from_mask(prompt_text)
        first_image = layout.index.masked_fill(~first_alive, prompt_text.shape[1]).amin(dim=1, keepdim=True)
        present = prompt_text.gather(1, places)
        parts = (
            ids.gather(1, places),
            check_finite("the embeddings of the text", take(cast(torch.Tensor, captured.embeddings), places), present),
            present,
            present & (places > first_image.to(places.device)),
        )
        return Text(*(part.to(hidden.device) for part in parts))

    def keys(normalised: bool) -> torch.Tensor:
        with of_the_model():
            projected = _keys(layers[layer], take(hidden, slots), normalised)
        return check_finite(f"the keys of layer {layer}", projected, alive)

    def embeddings() -> torch.Tensor:
        return check_finite("the image features", take(cast(torch.Tensor, captured.embeddings), layout.index), alive)

    def entering() -> torch.Tensor:
        return check_finite(f"the hidden states before layer {layer}", take(hidden, slots), alive)

    def vision() -> tuple[torch.Tensor, torch.Tensor]:
        outputs, present = by_prompt(captured.vision, layout.pictures)
        return check_finite("the vision tower's outputs", outputs, present), present

    def patches() -> Patches:
        check_needed("tower")
        if tower is None:
            raise UserError("this model's vision tower has no attention that a method could use")
        given = Patches(*(part.to(hidden.device) for part in tower.patches(layout, captured.tower)))
        check_finite("the attention weights in the vision tower", given.attention, given.present & alive)
        check_finite("the keys in the vision tower", given.keys, given.present & alive)
        return given

    def tower_outputs() -> tuple[torch.Tensor, torch.Tensor]:
        outputs, present = by_token(layout, captured.vision, None if tower is None else tower.side)
        outputs, present = outputs.to(hidden.device), present.to(hidden.device)
        return check_finite("the vision tower's outputs", outputs, present & alive), present

    return Features(
        valid=alive,
        positions=layout.positions.to(hidden.device),
        grids=layout.grids.to(hidden.device),
        image=layout.image.to(hidden.device),
        attention=remembered(attention),
        received=remembered(received),
        paid_by_text=remembered(paid_by_text),
        last_keys=last_keys,
        keys=remembered(keys),
        embeddings=embeddings,
        fingerprint=remembered(prompt.fingerprint),
        hidden=entering,
        final=final,
        text=remembered(text_tokens),
        at_first=lambda: first_alive.to(hidden.device),
        vision=remembered(vision),
        tower=remembered(patches),
        tower_outputs=tower_outputs,
    )


def _applied(module: nn.Module, states: torch.Tensor) -> torch.Tensor:
    """A module of another layer run on these states, on the device where its weights are.

    Offloaded weights are nowhere until the module runs; then the hooks of accelerate move them and the states.
    """
    weight = next(module.parameters())
    output = module(states if weight.is_meta else states.to(weight.device))
    return cast(torch.Tensor, output).to(states.device)


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

"""Methods, prompt lengths and an independent oracle, shared by the tests of attaching."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from vtprune.attach.recording import Recorded
from vtprune.methods import AdaptPrune, FastV, Fraction, Method, NoPruning, RandomPruning, get_method
from vtprune.stages import Stage

# On a 4x4 grid the paper's radius is less than a cell; this one suppresses.
WIDE = {"sigma_d": 9.0, "sigma_s": 0.5, "radius": 18.0}
# The methods that the tests of attaching run; each registered method has a line here.
METHODS = [
    FastV(0.25),
    FastV(0.5, layer=1),
    FastV(3, layer=3),
    RandomPruning(0.4),
    AdaptPrune(0.25, **WIDE),
    AdaptPrune(0.5, reading="as_written", **WIDE),
    AdaptPrune(0.3, similarity=False, **WIDE),
    NoPruning(),
    get_method("vtw"),
    get_method("vtw", layer=3),
    get_method("fitprune", keep=0.3),
    get_method("fitprune", keep=0.5, layer=1),
    get_method("skip", keep=0.3),
    get_method("random3x3", keep=0.4),  # more than the four cells of a 4x4 grid
    get_method("maxpool3x3", keep=0.4),
    get_method("avgpool3x3", keep=0.3),
    get_method("last", keep=0.3),
    get_method("pyramiddrop", keep=0.25),
    get_method("pyramiddrop", keep=3, layers=[1, 3]),
    get_method("visionzip", keep=0.5),
    get_method("visionzip", keep=0.3, contextual=0.5),
    get_method("pooled", keep=0.3),
    get_method("pooled", keep=4),
    get_method("divprune", keep=0.3),
    get_method("cdpruner", keep=0.3),
    get_method("dart", keep=0.3),
    get_method("dart", keep=0.7, layer=1, image_pivots=1, text_pivots=2),
    get_method("sparsevlm", keep=0.3),
    get_method("sparsevlm", keep=5, layers=[1, 3], recycled=0.8),
    get_method("fastervlm", keep=0.3),
    get_method("vispruner", keep=0.4),
    get_method("scope", keep=0.3),
    get_method("holov", keep=0.3),
    get_method("prumergeplus", keep=0.3),
    get_method("prumergeplus", keep=0.4, neighbours=2),
]
LENGTHS = ((3, 5), (1, 9), (6, 2))
BY_NAME = {"ids": lambda method: f"{method.name}-{getattr(method, 'keep', '')}"}


def first_fast(values: Sequence[Any], *, unpack: bool = False) -> list[Any]:
    """The values of a parametrised test, all but the first marked as exhaustive.

    Args:
        unpack: whether each value holds the values of several parameters.
    """
    first, *others = values
    marked = [pytest.param(*(value if unpack else [value]), marks=pytest.mark.exhaustive) for value in others]
    return [first, *marked]


def one_of_each(keep) -> list[Method]:
    """Every method that takes a budget, once, with this budget."""
    return [replace(method, keep=keep) for method in {type(m): m for m in METHODS if hasattr(m, "keep")}.values()]


class PerRow:
    """A budget that gives rows different counts, by the last byte of their images."""

    def count(self, features):
        return torch.tensor([1 + fingerprint[-1] % 9 for fingerprint in features.fingerprint()])

    def signature(self):
        return "per row"

    def __repr__(self):  # part of the ids of tests, which must be the same in every process
        return "PerRow()"


class Pyramid(Method):
    """Several stages: half of the tokens before layer 1, half of those before layer 3."""

    name = "pyramid"
    needs = frozenset({"attention"})

    def stages(self):
        return [Stage(1, FastV(0.5), Fraction(0.5)), Stage(3, AdaptPrune(0.5, **WIDE), Fraction(0.5))]


def hooks(model) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._forward_hooks_always_called)
        for module in model.modules()
    )


def indices(pruned) -> list[list[list[int]]]:
    return [[image.indices.tolist() for image in row] for row in pruned.kept]


def generate(model, inputs, tokens=6, **options):
    options = {"do_sample": False, "max_new_tokens": tokens, **options}
    return model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :]


def recorded_from_projections(attention, query, key, rotary) -> Recorded:
    """What a Llama layer's kernel gets, from its projections of all tokens, `[b, length, heads * head_dim]` each."""
    by_head = (torch.unflatten(states, -1, (-1, attention.head_dim)).transpose(1, 2) for states in (query, key))
    return Recorded(*apply_rotary_pos_emb(*by_head, *rotary), attention.scaling)


def merged(pruned, row=0, layer=0) -> dict[int, list[int]]:
    """By contextual token of one prompt, the tokens whose mean it is from `layer` on."""
    into = pruned.merged_at(layer) if layer in pruned.stage_layers else None
    targets = [] if into is None else into[row].tolist()
    return {
        target: [token for token, joined in enumerate(targets) if joined == target] for target in set(targets) - {-1}
    }


@torch.no_grad()
def recompute(model, inputs, kept: dict[int, list[int]], tokens=6, means=None, later_means=None, reindexed=False):
    """Greedy generation of one unpadded prompt without a cache, hooks or any code of vtprune.

    Every step runs the decoder layers by hand on the full sequence, without the dropped tokens.

    Args:
        kept: by layer, the image tokens that are left from that layer on.
        means: by image token that enters the decoder as a mean, the tokens whose mean it is.
        later_means: by layer after the first, the same for its hidden states.
        reindexed: whether the tokens that are left have the positions 0, 1, 2 ...
    """
    core = model.model
    decoder = getattr(core, "language_model", None) or core.text_model
    ids, generated, logits = inputs["input_ids"], [], []
    image_at = (ids[0] == model.config.image_token_id).nonzero().flatten()
    arguments = inspect.signature(core.get_image_features).parameters
    encoded = core.get_image_features(**{name: inputs[name] for name in arguments if name in inputs})
    features = torch.cat(list(encoded.pooler_output))
    added = [torch.cat(list(part)) for part in getattr(encoded, "deepstack_features", None) or ()]
    for part in (*added, features):
        whole = part.clone()
        for target, members in (means or {}).items():
            part[target] = whole[members].mean(dim=0)
    for _ in range(tokens):
        hidden = core.get_input_embeddings()(ids)
        hidden[0, image_at] = features.to(hidden)
        where, positions = torch.arange(ids.shape[1]), positions_of(core, ids, inputs)
        for index, layer in enumerate(decoder.layers):
            if index in kept:
                slot_of = {at: slot for slot, at in enumerate(where.tolist())}
                whole = hidden.clone()
                for target, members in (later_means or {}).get(index, {}).items():
                    slots = [slot_of[int(image_at[member])] for member in members]
                    hidden[0, slot_of[int(image_at[target])]] = whole[0, slots].mean(dim=0)
                dropped = set(image_at.tolist()) - {int(image_at[i]) for i in kept[index]}
                stay = torch.tensor([slot for slot, at in enumerate(where.tolist()) if at not in dropped])
                hidden, where = hidden[:, stay], where[stay]
            mask = torch.zeros(len(where), len(where)).masked_fill(
                ~sees(decoder.config, index, where, ids, inputs), -1e9
            )
            kind = [decoder.config.layer_types[index]] if decoder.config.model_type == "gemma3_text" else []
            at = torch.arange(len(where))[None] if reindexed else positions[..., where]
            rotary = decoder.rotary_emb(hidden, at, *kind)
            hidden = layer(hidden, attention_mask=mask[None, None], position_embeddings=rotary)
            if index < len(added):
                for token, at in enumerate(image_at.tolist()):
                    hidden[0, where == at] += added[index][token]
        step = model.lm_head(decoder.norm(hidden))[0, -1]
        logits.append(step.clone())
        step[model.generation_config.suppress_tokens] = -torch.inf
        generated.append(int(step.argmax()))
        ids = torch.cat((ids, torch.tensor([[generated[-1]]])), dim=1)
    return generated, torch.stack(logits)


def positions_of(core, ids, inputs) -> torch.Tensor:
    """The position ids of a sequence: `[1, length]`, or `[3, 1, length]` of Qwen's models."""
    if not hasattr(core, "get_rope_index"):
        return torch.arange(ids.shape[1])[None]
    kinds = torch.nn.functional.pad(
        inputs["mm_token_type_ids"], (0, ids.shape[1] - inputs["mm_token_type_ids"].shape[1])
    )
    return core.get_rope_index(ids, mm_token_type_ids=kinds, image_grid_thw=inputs["image_grid_thw"])[0]


def sees(config, layer: int, where: torch.Tensor, ids: torch.Tensor, inputs) -> torch.Tensor:
    """`[length, length]` bool, which of the tokens that are left each of them sees."""
    slots = torch.arange(len(where))
    visible = slots <= slots[:, None]
    if "token_type_ids" in inputs:  # images see themselves in full
        kinds = torch.nn.functional.pad(
            inputs["token_type_ids"][0], (0, ids.shape[1] - inputs["token_type_ids"].shape[1])
        )
        image = torch.where(kinds == 1, (kinds.diff(prepend=kinds[:1] * 0) == 1).cumsum(dim=0), 0)[where]
        visible |= (image == image[:, None]) & (image > 0)
    kinds = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    if window is not None and (kinds is None or kinds[layer] == "sliding_attention"):
        visible &= slots > slots[:, None] - window
    return visible

"""Attaching a pruning method to a transformers model, with hooks."""

import inspect
import weakref
from typing import Any

import torch
from torch import nn

from vtprune.attach.attention import layer_mask
from vtprune.attach.families import family_of
from vtprune.attach.image_encodings import Encodings, origin
from vtprune.attach.layout import take
from vtprune.attach.method_hooks import refuse_partial_prompts
from vtprune.attach.prefix import Prefix, State
from vtprune.attach.prompt import Choice, Kept, Prompt
from vtprune.attach.stage_features import features_at
from vtprune.attach.vision_tower import Tower
from vtprune.errors import UserError
from vtprune.features import Features
from vtprune.stages import Pruner, Stage, placed


class Attachment:
    """Context manager within which a model prunes the image tokens of its prompts.

    ::

        with AdaptPrune(keep=0.1).attach(model) as pruned:
            model.generate(**inputs)
            pruned.kept[0][0].positions  # first row, first image (or sub-image)

    Within the block every prompt forward (an empty cache, or none) is shortened before the layers
    that the method's stages name: those layers and all later ones see and cache the short sequence,
    earlier ones the whole. Kept tokens keep their order and position ids, and become means where a
    method merges others into them; text is never dropped; decoding continues at the position after
    the whole prompt. Rows are re-padded on the left to the longest, so ``model(**inputs).logits`` has
    fewer positions than the prompt (the last one is the last token's, as always). Where nothing is
    dropped the model runs untouched, bit for bit.

    A forward with ``use_cache=False`` whose ids continue those of the prompt before it, with the
    same image, repeats that prompt's selection: so ``generate(use_cache=False)`` prunes as the
    cached one does, by the prompt and not by what has been generated.

    Within the block a cache can be continued, by hand or by ``generate``, with a second turn too: give
    the tokens that it does not hold yet, and the attention mask, where there is one, of the whole
    sequence. Position ids that are left out follow the whole prompt, as in the model itself. A prompt
    shortened before layer 0 leaves a cache whose ``get_seq_length()`` is that of the shortened prompt.
    Ids that were cut off by that length are refused, be it by hand or by ``generate``, which does so
    when it is given the whole ids; only text given by hand without mask and positions looks like new.
    What continues a cache is not pruned, and a prompt must not be given in parts by hand: the first would
    be pruned as if it were all.

    Images may be encoded ahead within the block, as many as one likes: what methods look at in the
    vision tower goes with the features (known by their ``last_hidden_state``) as long as these live.

    Hooks are added on entering and removed on leaving, also after an exception. The model is not
    otherwise touched, with two exceptions: its ``get_image_features`` and ``generate`` are listened to as
    long, and a prompt forward that goes on from a prefix has the decoder's ``layers`` without those before it.
    Calls go through the model (or its ``model``), not through its decoder alone.

    Raises:
        ValueError: on creation, if the model's family is not supported, lacks a layer, is so shallow
            that two stages fall on one, or has a vision tower without what the method ranks by; on
            entering, if the model is being pruned already; in a forward, for a prompt without an
            image or without ``input_ids``, padding on the right, a static or foreign cache, tokens that
            continue a cache as if it were shorter, or a cache cropped into its prompt; in ``generate``, for
            drafts (a draft model, prompt lookup) and prompts in chunks, which are not the prompt alone and whole.
    """

    def __init__(self, method: Pruner, model: nn.Module, prefix: Prefix | None = None) -> None:
        self.method = method
        self.prefix = prefix
        self.model = model
        self._family = family_of(model)
        self._core = self._family.core(model)
        self._decoder = self._family.language_model(model)
        self._layers = self._decoder.layers
        self._stages = placed(method, len(self._layers))
        self._tower = Tower.of(self._family.vision_tower(model), model.config)
        self._uses_tower = any("tower" in stage.ranking.needs for stage in self._stages.values())
        if self._uses_tower and self._tower is None:
            raise UserError(
                f"{method.name} needs the vision tower's attention, but {type(self._family.vision_tower(model)).__name__} "
                f"has no layer (with q_proj and k_proj) whose output vision_feature_layer {model.config.vision_feature_layer} is"
            )
        self._handles: list[Any] = []
        self._start: State | None = None
        self._reset()

    @property
    def first_layer(self) -> int:
        """The first layer before which tokens are dropped; the number of layers if there is none."""
        return min(self._stages, default=len(self._layers))

    @property
    def stage_layers(self) -> tuple[int, ...]:
        """The layers before which the method's stages drop tokens."""
        return tuple(self._stages)

    def _reset(self) -> None:
        self._prompts: weakref.WeakKeyDictionary[Any, Prompt] = weakref.WeakKeyDictionary()
        self._last: Prompt | None = None
        self._encodings = Encodings()
        self._end_forward()

    def _end_forward(self) -> None:
        if self._start is not None:
            self._decoder.layers = self._layers
            self._start = None
        self._shared: State | None = None
        self._prompt: Prompt | None = None
        self._decoding = False
        self._encodings.current = None
        self._attention_mask: torch.Tensor | None = None
        self._captured: dict[str, torch.Tensor] = {}
        self._masks: dict[int, torch.Tensor | None] = {}

    @property
    def kept(self) -> list[list[Kept]]:
        """Of the last prompt batch, by row, the tokens of each image that survived all stages.

        An image in parts (LLaVA-NeXT's two sequences, InternVL's tiles) has an entry for each.
        """
        return self._last_prompt().kept()

    def kept_at(self, layer: int) -> list[list[Kept]]:
        """As ``kept``, after the stage before ``layer`` (for methods of several stages)."""
        if layer not in self._stages:
            raise UserError(f"no tokens are dropped before layer {layer}, only before {sorted(self._stages)}")
        return self._last_prompt().kept(layer)

    def merged_at(self, layer: int) -> torch.Tensor | None:
        """For each image token of the last prompt batch, the token whose mean it joined before ``layer``.

        ``[b, n]`` indices of tokens, -1 for a token that joined none. None if nothing was merged.
        """
        if layer not in self._stages:
            raise UserError(f"no tokens are merged before layer {layer}, only before {sorted(self._stages)}")
        return self._last_prompt().choices[layer].into

    def _last_prompt(self) -> Prompt:
        if self._last is None:
            raise UserError("no prompt has been pruned yet: call the model within the with block first")
        return self._last

    # ---- entering and leaving

    def __enter__(self) -> "Attachment":
        for hook in self._core._forward_pre_hooks.values():
            if isinstance(getattr(hook, "__self__", None), Attachment):
                raise UserError(f"this model is being pruned already, by {hook.__self__.method!r}")
        self._reset()
        try:
            self._pre(self._core, self._before_core)
            self._handles.append(self._core.register_forward_hook(self._after_core, always_call=True))
            if hasattr(self.model, "generate"):
                self._handles.append(refuse_partial_prompts(self.model))
            tower = self._tower if self._uses_tower or self.prefix is not None else None  # a later method may use it
            self._handles += self._encodings.listen(self._core, self._family.vision_tower(self.model), tower)
            for index, layer in enumerate(self._layers):
                if index == 0 or index >= self.first_layer or self.prefix is not None:
                    self._pre(layer, self._layer_hook(index))
            scored = {
                layer: "received" in stage.ranking.needs
                for layer, stage in self._stages.items()
                if stage.least_layer > 0
            }
            if self.prefix is not None and self._stages and self.first_layer > 0:
                scored[self.first_layer] = True  # a later method may rank by any score there
            for index, whole in scored.items():
                attention = self._layers[index - 1].self_attn
                self._handles.append(attention.q_proj.register_forward_hook(self._capture("q_proj", whole)))
                self._handles.append(attention.k_proj.register_forward_hook(self._capture("k_proj")))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        while self._handles:
            self._handles.pop().remove()
        self._prompts.clear()
        self._end_forward()
        self._encodings = Encodings()

    def _pre(self, module: nn.Module, hook: Any) -> None:
        self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    # ---- hooks

    def _before_core(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> Any:
        self._end_forward()
        given = inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments
        given = {**given, **given.pop("kwargs", {})}
        mask, cache = given.get("attention_mask"), given.get("past_key_values")
        if getattr(cache, "is_compileable", False) or (mask is not None and not _is_2d(mask)):
            raise UserError("pruning needs a dynamic cache and a two-dimensional attention mask")
        self._attention_mask = mask
        if cache is not None and cache.get_seq_length() > 0:
            self._decoding = True
            self._prompt = self._prompts.get(cache)
            if self._prompt is None and self._stages:
                raise UserError("this cache was filled by a prompt outside the with block, so it cannot be continued")
            if self._prompt is not None:
                self._prompt.check_grown(cache)
            return self._continued(given)
        self._prompt = self._new_prompt(given)
        return None

    def _continued(self, given: dict[str, Any]) -> Any:
        """The core's arguments with the tokens' positions, where transformers cannot know them."""
        ids, prompt = given.get("input_ids"), self._prompt
        new = given.get("inputs_embeds") if ids is None else ids
        if new is None or prompt is None or prompt.segment(0) is None:
            return None
        cached, positions = given["past_key_values"].get_seq_length(), given.get("position_ids")
        unseen = False
        if (
            given.get("pixel_values") is None
            and not given.get("mm_encoder_outputs")
            and new is ids
            and ids.shape[1] > 1
        ):
            unseen = bool((ids == self.model.config.image_token_id).any())  # a single one may have been generated
        positions = prompt.next_positions(new.shape[1], cached, self._attention_mask, positions, unseen=unseen)
        return (), {**given, "position_ids": positions}

    def _new_prompt(self, given: dict[str, Any]) -> Prompt:
        ids = given.get("input_ids")
        if ids is None:
            raise UserError("pruning needs input_ids: inputs_embeds do not show where the image tokens are")
        mask = self._attention_mask
        attended = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.to(ids.device).bool()
        if attended.shape != ids.shape or not attended[:, -1].all():
            raise UserError("pruning needs prompts padded on the left, with an attention mask of their shape")
        images = origin((given.get("mm_encoder_outputs") or {}).get("image"))
        self._encodings.current = self._encodings.of(images)  # if there are none, the forward itself may encode some
        last = self._last
        if (
            given.get("use_cache") is False
            and last is not None
            and last.continues(ids, given.get("pixel_values"), images)
        ):
            prompt = Prompt.start(ids, last.layout, attended, self.model.config.image_token_id)
            prompt.replay = last.choices
            # Remember the prompt, not what has been generated since: the next step continues it too.
            prompt.input_ids, prompt.prompt_attended = last.input_ids, last.prompt_attended
        else:
            if self.prefix is not None and given.get("pixel_values") is None and images is None:
                self._start = self.prefix.start(ids, attended, self.first_layer)
            if self._start is None:
                sizes = self._image_sizes(given, images) if self._family.needs_sizes else None
                layout = self._family.layout(self.model.config, ids, attended, sizes)
            else:
                layout = self._start.layout
                self._decoder.layers = self._layers[self._start.layer :]  # put back by `_end_forward`
            prompt = Prompt.start(ids, layout, attended, self.model.config.image_token_id)
        prompt.pixel_values = given.get("pixel_values")
        prompt.images = None if images is None else weakref.ref(images)
        return prompt

    def _image_sizes(self, given: dict[str, Any], images: Any) -> torch.Tensor | None:
        if images is None or given.get("image_sizes") is not None:
            return given.get("image_sizes")
        if self._encodings.current is None:
            raise UserError(
                "image features that were not computed within the with block need the image_sizes given with them"
            )
        return self._encodings.current.sizes

    def _after_core(self, module: nn.Module, args: tuple, output: Any) -> None:
        prompt = self._prompt
        if output is not None and prompt is not None and not self._decoding:  # None after an exception
            prompt.rotary = prompt.position_ids = None
            self._last = prompt
        self._end_forward()

    def _capture(self, name: str, whole: bool = True) -> Any:
        def hook(module: nn.Module, args: tuple, output: torch.Tensor) -> None:
            if self._prompt is not None and not self._decoding and self._prompt.replay is None:
                # Mostly only the last token's query is wanted: let the others go.
                self._captured[name] = output if whole else output[:, -1:].clone()

        return hook

    def _layer_hook(self, index: int) -> Any:
        def hook(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> Any:
            prompt = self._prompt
            if prompt is None:
                return None
            given = hidden = args[0] if args else kwargs["hidden_states"]
            cache = kwargs.get("past_key_values")
            if self._decoding:
                changed = self._continue_layer(prompt, index, hidden, cache)
            else:
                if index == (self._start.layer if self._start else 0):
                    hidden = self._first_hidden(prompt, hidden, cache)
                if index == self.first_layer and self.prefix is not None and cache is not None:
                    self._hand_on(prompt, hidden, cache)
                if index in self._stages:
                    hidden = self._run_stage(prompt, self._stages[index], hidden, kwargs)
                changed = self._shortened_arguments(prompt, index, hidden)
            if hidden is given and not changed:
                return None
            if args:
                return (hidden, *args[1:]), {**kwargs, **changed}
            return args, {**kwargs, "hidden_states": hidden, **changed}

        return hook

    # ---- what the hooks do

    def _first_hidden(self, prompt: Prompt, hidden: torch.Tensor, cache: Any) -> torch.Tensor:
        """What enters the first layer that is run, and what else there would be by then."""
        if cache is not None:
            self._prompts[cache] = prompt
        if self._start is None:
            self._captured["embeddings"] = hidden
            if self._encodings.current is not None:
                prompt.pixels = self._encodings.current.pixels
                self._captured |= self._encodings.current.seen
            return hidden
        self._shared, prompt.pixels = self._start, self._start.pixels
        self._captured |= self._start.captured
        if cache is not None:
            self._start.fill(cache)
        return self._start.hidden

    def _hand_on(self, prompt: Prompt, hidden: torch.Tensor, cache: Any) -> None:
        """Let later methods go on from the layer before which this one first prunes."""
        known = self._shared is not None and self._shared.layer == self.first_layer
        if not known and prompt.replay is None:
            self._shared = State.before(self.first_layer, prompt, hidden, self._captured, cache)
            self.prefix.state = self._shared

    def _run_stage(self, prompt: Prompt, stage: Stage, hidden: torch.Tensor, kwargs: dict[str, Any]) -> torch.Tensor:
        prompt.to(hidden.device)
        rotary = prompt.rotary or kwargs["position_embeddings"]
        rotary = tuple(part.to(hidden.device).expand(len(hidden), -1, -1) for part in rotary)
        position_ids = prompt.position_ids if prompt.position_ids is not None else kwargs.get("position_ids")
        if prompt.replay is not None:
            choice = prompt.replay[stage.layer].to(hidden.device)
        else:
            choice = self._select(prompt, stage, self._features_at(prompt, stage, hidden, rotary))
        hidden = choice.merge(hidden, prompt.slots)
        order = prompt.drop(stage.layer, choice)
        if order is None:
            return hidden
        prompt.rotary = tuple(take(part, order) for part in rotary)
        if position_ids is not None:
            position_ids = position_ids.to(hidden.device).expand(len(hidden), -1)
            prompt.position_ids = position_ids.gather(1, order)
        return take(hidden, order)

    @staticmethod
    @torch.no_grad()
    def _select(prompt: Prompt, stage: Stage, features: Features) -> Choice:
        available = prompt.alive.sum(dim=1)
        counts, prompt.goal = stage.counts(features, prompt.goal)
        counts = torch.minimum(counts.to(available), available)
        if torch.equal(counts, available):
            return Choice(prompt.alive)
        chosen = stage.ranking.select(features, counts)
        # -1 fills rows up: it lands in a column of its own.
        marked = features.valid.new_zeros(len(counts), prompt.alive.shape[1] + 1)
        alive = marked.scatter(1, chosen % marked.shape[1], True)[:, :-1] & prompt.alive
        return Choice(alive, stage.ranking.merge(features, alive))

    def _shortened_arguments(self, prompt: Prompt, index: int, hidden: torch.Tensor) -> dict[str, Any]:
        segment = prompt.segment(index)
        if segment is None:
            return {}
        first, attended = segment
        if first not in self._masks:
            self._masks[first] = layer_mask(self._decoder.config, attended, hidden.shape[1], hidden.dtype)
        return {
            "attention_mask": self._masks[first],
            "position_ids": prompt.position_ids,
            "position_embeddings": prompt.rotary,
        }

    def _continue_layer(self, prompt: Prompt, index: int, hidden: torch.Tensor, cache: Any) -> dict[str, Any]:
        segment = prompt.segment(index)
        if segment is None:
            return {}
        first, attended = segment
        if first not in self._masks:
            queries = hidden.shape[1]
            since = cache.get_seq_length(index) + queries - attended.shape[1]
            attended = attended.to(hidden.device)
            if self._attention_mask is None:
                added = attended.new_ones(len(attended), since)
            else:
                added = self._attention_mask[:, -since:].to(attended)
            keys = torch.cat((attended, added), dim=1)
            self._masks[first] = layer_mask(self._decoder.config, keys, queries, hidden.dtype)
        return {"attention_mask": self._masks[first]}

    def _features_at(self, prompt: Prompt, stage: Stage, hidden: torch.Tensor, rotary: tuple) -> Features:
        """The stage's features; those of all methods that share what enters its layer, where they do."""
        if self._shared is not None and self._shared.layer == stage.layer and self._shared.features is not None:
            return self._shared.features
        shared = self.prefix is not None and stage.layer == self.first_layer
        made = features_at(stage, prompt, hidden, rotary, self._layers, self._tower, self._captured, shared=shared)
        if self._shared is not None and self._shared.layer == stage.layer:
            self._shared.features = made
        return made


def attach(method: Pruner, model: nn.Module, prefix: Prefix | None = None) -> Attachment:
    """Prune ``model``'s prompts with ``method`` within a ``with`` block; see :class:`Attachment`.

    Args:
        prefix: what the method shares with others that are attached for the same prompt batch.
    """
    return Attachment(method, model, prefix)


def _is_2d(mask: Any) -> bool:
    return isinstance(mask, torch.Tensor) and mask.ndim == 2

"""Attaching a pruning method to a transformers model with hooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from vtprune.attach.block import Block
from vtprune.attach.continuation import ContinuedForward
from vtprune.attach.core_call import CoreCall, brings_labels
from vtprune.attach.forward import PromptForward
from vtprune.attach.generation import hooks_on_generation
from vtprune.attach.image_encodings import Encodings, Handle
from vtprune.attach.kept import Kept
from vtprune.attach.prefix import Prefix
from vtprune.attach.prompt import Prompt
from vtprune.attach.pruned_cache import mark, mark_of
from vtprune.attach.recording import Recorded, Recording
from vtprune.attach.reindexing import Positions
from vtprune.attach.setup import Setup
from vtprune.attach.skipping import without_first
from vtprune.attach.transformers_internals import forward_pre_hooks, lacks_weights
from vtprune.attach.uncompiled import Uncompiled, unwrapped
from vtprune.attach.uncopied import Uncopied
from vtprune.attach.workers import ByWorker
from vtprune.errors import UserError
from vtprune.stages import Pruner

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import Cache, PreTrainedModel


@dataclass
class _State:
    """What one thread or asyncio task does with the model.

    Attributes:
        forward: the forward that runs.
        last: the last batch of prompts.
        has_labels: whether the model that runs got labels.
    """

    forward: PromptForward | ContinuedForward | None = None
    last: Prompt | None = None
    has_labels: bool = False


class Attachment:
    """Context manager within which a model prunes the image tokens of its prompts.

        with AdaptPrune(keep=0.1).attach(model) as pruned:
            model.generate(**inputs)
            pruned.kept[0][0].positions  # first prompt, first image (or sub-image)

    Every forward of a prompt (its cache is empty, or there is none) is shortened before the layers of the method's
    stages. Such a layer and all later ones see and cache the short sequence; earlier layers see the full one. Kept
    tokens keep their order and, unless positions are reindexed, their position ids. They become means where a method
    merges others into them. Text tokens are never dropped. Decoding continues at the position after the full prompt
    (after the shortened one, in the layers that have reindexed positions). Rows are padded again on the left to the
    longest, so `model(**inputs).logits` has fewer positions than the prompt; the last one is still that of the last
    token. Where nothing is dropped, the output of the model is the same, bit for bit.

    Threads and asyncio tasks may call the model at once; each has a state of its own. A call that began within the
    block belongs to it until it ends, even if another thread leaves the block before.

    A forward with `use_cache=False` repeats the selection of the prompt before it (of the same thread or task) if its
    ids begin with the ids of that prompt and its images are the same. So `generate(use_cache=False)` prunes as
    `generate` with a cache does: by the prompt, not by the tokens generated since.

    A cache can be continued within the block, by hand or by `generate`. Pass only the tokens that it does not hold yet
    and, if there is an attention mask, the mask of the full sequence. Position ids that are left out follow the full
    prompt; those that are passed are counted after it, too, also where the layers have reindexed ones. A prompt
    shortened before layer 0 leaves a cache whose `get_seq_length()` is the length of the shortened prompt. Ids that
    were cut off by that length are refused, also in `generate`, which cuts them off itself when it is given all ids.
    One case cannot be detected: text passed by hand without mask and positions. Copies of a cache can be continued as
    it can. After the block, a cache that lacks tokens refuses to grow.

    Only prompts are pruned, not tokens appended to a cache. Pass a prompt in one forward: in chunked prefill the first
    chunk would be pruned as if it were the full prompt.

    Images can be encoded before their prompts within the block. What methods use of the vision tower is remembered with
    the features (recognised by their `last_hidden_state`) as long as these live.

    Hooks are added on entering and removed on leaving, also after an exception. Apart from hooks, four things change
    within the block: `generate` and its kind are wrapped, and so are `forward` and `get_image_features` of the module
    that gets the ids; compiled parts of the model run uncompiled, with a warning; the attention of the layers that
    scores are made from has a configuration of its own, which names a kernel that records; and during a forward that
    starts from a prefix, the earlier `layers` of the decoder do nothing. Call the model (or its `model`), not its
    decoder alone.

    Raises:
        UserError: on creation, if the model's family is not supported, lacks a layer, is so shallow that two stages
            fall on one, asks for scores from a layer that does not see all tokens, or has a vision tower without the
            attention that the method uses; on entering, if the model is being pruned already; in a forward, for a
            prompt without an image or without `input_ids`, videos, padding on the right, a static cache or one filled
            outside the block, tokens that continue a cache as if it were shorter, a cache cropped into its prompt,
            labels of a pruned prompt, or scores that hold NaN or infinity; in `generate`, for drafts (a draft model,
            prompt lookup), second prompts, prompts in chunks and continuous batching.
    """

    def __init__(
        self, method: Pruner, model: nn.Module, prefix: Prefix | None = None, positions: Positions = "kept"
    ) -> None:
        self.method = method
        self.prefix = prefix
        model = unwrapped(model)
        self._setup = Setup.of(method, model, prefix, positions)
        self.model = cast("PreTrainedModel", model)
        self._handles: list[Handle] = []
        self._encodings = Encodings()
        self._block = Block()
        self._states = ByWorker(_State)
        self._latest: Prompt | None = None  # of all threads

    @property
    def first_layer(self) -> int:
        """The first layer before which tokens are dropped; the number of layers if there is none."""
        return self._setup.first_layer

    @property
    def stage_layers(self) -> tuple[int, ...]:
        """The layers before which the method's stages drop tokens."""
        return tuple(self._setup.stages)

    @property
    def kept(self) -> list[list[Kept]]:
        """The tokens of the last batch of prompts that survived all stages, by prompt and image.

        It is the last batch of the thread or asyncio task that asks. One that has run none gets the last of all.

        An image in parts (LLaVA-NeXT's two sequences, InternVL's tiles) has an entry for each part.
        """
        return self._last_prompt().kept()

    def kept_at(self, layer: int) -> list[list[Kept]]:
        """As `kept`, after the stage before `layer`, for methods of several stages.

        Raises:
            UserError: if no stage is before that layer.
        """
        self._check_stage(layer)
        return self._last_prompt().kept(layer)

    def merged_at(self, layer: int) -> torch.Tensor | None:
        """For each image token of the last batch of prompts, the token whose mean it joined before `layer`.

        Returns:
            `[b, n]` indices of tokens, -1 for a token that joined none. None if nothing was merged.

        Raises:
            UserError: if no stage is before that layer.
        """
        self._check_stage(layer)
        return self._last_prompt().choices[layer].into

    def _check_stage(self, layer: int) -> None:
        if layer not in self._setup.stages:
            raise UserError(
                f"{self.method.name} has no stage before layer {layer}, only before {list(self._setup.stages)}"
            )

    def _last_prompt(self) -> Prompt:
        mine = self._states.mine().last
        if mine is not None:
            return mine
        if self._latest is None:
            raise UserError("no prompt has been pruned yet: call the model within the with block first")
        if self._block.overlapped:
            raise UserError(
                "several threads have pruned prompts at the same time, so the last prompt of all is nobody's: ask for "
                "the kept tokens in the thread (or asyncio task) that called the model"
            )
        return self._latest

    # ---- entering and leaving

    def __enter__(self) -> Attachment:
        for hook in (*forward_pre_hooks(self._setup.core), *forward_pre_hooks(self._setup.decoder)):
            owner = getattr(getattr(hook, "hook", None), "__self__", None)
            if isinstance(owner, Attachment):
                raise UserError(f"this model is being pruned already, by {owner.method!r}")
        if lacks_weights(self.model):
            raise UserError("the model has no weights, because it is on the device meta: load it before it is pruned")
        self._latest, self._states = None, ByWorker(_State)
        self._encodings, self._block = Encodings(), Block(self._remove_hooks)
        try:
            self._add_hooks()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._end_forward()
        self._block.leave()

    def _remove_hooks(self) -> None:
        while self._handles:
            self._handles.pop().remove()
        self._encodings = Encodings()

    def _add_hooks(self) -> None:
        setup, handles = self._setup, self._handles
        handles.append(Uncompiled(self.model, setup.core))
        handles.append(setup.core.register_forward_pre_hook(Uncopied(self._before_core), with_kwargs=True))
        handles.append(setup.core.register_forward_hook(Uncopied(self._after_core), always_call=True))
        handles.append(self.model.register_forward_pre_hook(Uncopied(self._before_model), with_kwargs=True))
        handles += hooks_on_generation(self.model, self._block)
        # Later methods of a prefix may need more than this one does: all layers, and the tower's attention.
        tower = setup.tower_attention if setup.uses_tower or self.prefix is not None else None
        handles += self._encodings.listen(setup.core, setup.vision_tower, setup.projector, tower)
        for index, layer in enumerate(setup.layers):
            if index == 0 or index >= setup.first_layer or self.prefix is not None:
                before_layer = partial(self._before_layer, index)
                handles.append(layer.register_forward_pre_hook(Uncopied(before_layer), with_kwargs=True))
        handles.append(setup.decoder.register_forward_pre_hook(Uncopied(self._before_decoder), with_kwargs=True))
        for index in range(setup.family.added_after(setup.config)):
            handles.append(setup.layers[index].register_forward_hook(Uncopied(partial(self._after_layer, index))))
        for index, needs_all_queries in setup.scored_layers.items():
            handles.append(Recording(setup.layers[index - 1], partial(self._capture, needs_all_queries)))

    def _end_forward(self) -> None:
        self._states.mine().forward = None
        self._encodings.latest = None
        if self.prefix is not None:
            self._setup.decoder.layers = self._setup.layers

    @property
    def _prompt_forward(self) -> PromptForward | None:
        """The forward of a prompt that this thread runs, if it does."""
        forward = self._states.mine().forward
        return forward if isinstance(forward, PromptForward) else None

    # ---- hooks

    def _before_model(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._states.mine().has_labels = brings_labels(module, args, kwargs)

    def _before_core(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Begin a forward: that of a new prompt, or of tokens that continue one."""
        if not self._block.is_open:
            return None
        self._block.begin()
        if self.prefix is not None and self._block.has_others:
            raise UserError("methods that share a prefix must be called from one thread at a time")
        self._end_forward()
        call = CoreCall.of(module, args, kwargs)
        if call.continues_cache:
            return self._continue(call)
        state = self._states.mine()
        forward = PromptForward.begin(self._setup, call, state.last, self._encodings)
        if forward.start is not None:
            self._setup.decoder.layers = without_first(self._setup.layers, forward.begins_at)
        state.forward = forward
        return None

    def _continue(self, call: CoreCall) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        cache = cast("Cache", call.cache)
        marked = mark_of(cache)
        if marked is None or marked.block is not self._block:
            if self._setup.stages:
                raise UserError("a cache that was filled outside the with block cannot be continued within it")
            return None
        prompt = marked.prompt.repeated(call.rows)
        prompt.check_grown(cache)
        forward = ContinuedForward(self._setup, prompt, call)
        position_ids = forward.position_ids()
        self._states.mine().forward = forward
        return None if position_ids is None else call.with_position_ids(position_ids)

    def _after_core(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        """End the forward."""
        if not self._block.is_open:
            return
        state, forward = self._states.mine(), self._prompt_forward
        has_labels, state.has_labels = state.has_labels, False
        self._end_forward()
        self._block.end()
        if forward is not None and output is not None:  # None after an exception
            state.last = self._latest = forward.prompt
            if has_labels and forward.prompt.segments:
                raise UserError(
                    "labels are not supported for a prompt that is pruned, because the logits of pruned tokens are "
                    "missing: compute the loss from the logits that there are (those of the last tokens)"
                )

    def _capture(self, all_queries: bool, recorded: Recorded) -> None:
        forward = self._prompt_forward
        if forward is not None:
            forward.capture(recorded if all_queries else recorded.with_last_query())

    def _before_decoder(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        forward = self._prompt_forward
        return None if forward is None else (args, {**kwargs, **forward.enter_decoder(kwargs)})

    def _after_layer(self, index: int, module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        forward = self._prompt_forward
        return output if forward is None else forward.after_layer(index, output)

    def _before_layer(
        self, index: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        forward = self._states.mine().forward
        if forward is None:
            return None
        entering = args[0] if args else kwargs["hidden_states"]
        cache = kwargs.get("past_key_values")
        if isinstance(forward, PromptForward) and cache is not None:
            mark(cache, forward.prompt, self._block, self.method.name)
        hidden, changed = forward.before_layer(index, entering, kwargs)
        if hidden is entering and not changed:
            return None
        if args:
            return (hidden, *args[1:]), {**kwargs, **changed}
        return args, {**kwargs, "hidden_states": hidden, **changed}


def attach(method: Pruner, model: nn.Module, prefix: Prefix | None = None, positions: Positions = "kept") -> Attachment:
    """Prune the prompts of a model with a method within a `with` block; see `Attachment`.

    Args:
        prefix: what the method shares with others that are attached for the same batch of prompts.
        positions: "kept": kept tokens keep their position ids. "reindexed": in the layers that see a shortened
            sequence, its tokens get consecutive ones, and decoding goes on after them there.

    Raises:
        UserError: if the model is not supported or does not fit the method or the positions.
    """
    return Attachment(method, model, prefix, positions)


def attach_all(
    methods: Sequence[Pruner], model: nn.Module, prefix: Prefix, positions: Positions = "kept"
) -> list[tuple[int, Attachment]]:
    """Attach several methods that share a prefix.

    Returns:
        The index of each method and its attachment, in the order in which they have to run: by increasing
        `first_layer`, methods with the same one in the order of `methods`.

    Raises:
        UserError: if the model is not supported or does not fit a method.
    """
    attachments = [(index, attach(method, model, prefix, positions)) for index, method in enumerate(methods)]
    return sorted(attachments, key=lambda pair: pair[1].first_layer)

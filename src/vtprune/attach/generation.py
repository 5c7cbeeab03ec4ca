"""What `generate` and its kind do within a `with` block: refusals, and how long a call belongs to the block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vtprune.attach.block import Block
from vtprune.attach.method_hooks import MethodHook
from vtprune.errors import UserError

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedModel

# Options of `generate` that cannot be right, and why.
_REFUSED = {
    # The forward of a prompt would hold more than the prompt (drafts), or less (chunks).
    **dict.fromkeys(
        ("assistant_model", "prompt_lookup_num_tokens", "assistant_early_exit", "use_mtp", "prefill_chunk_size"),
        "pruning needs each prompt alone and in one forward",
    ),
    **dict.fromkeys(
        ("guidance_scale", "negative_prompt_ids", "negative_prompt_attention_mask"),
        "it runs a second prompt, which has no image that could be pruned",
    ),
    "penalty_alpha": "contrastive search rearranges the cache between two forwards",
    "dola_layers": "DoLa compares layers, which see different tokens once some are pruned",
    "token_healing": "it runs a part of the prompt, without its images",
}
_PAGED = (
    "continuous batching (generate_batch, cache_implementation='paged') is not supported while a method is attached, "
    "because it takes prompts without images: call generate with a batch that is padded on the left"
)
_GROWING = ("dynamic", "offloaded", "quantized")
_BATCHING = ("generate_batch", "init_continuous_batching", "continuous_batching_context_manager")


def hooks_on_generation(model: PreTrainedModel, block: Block) -> list[MethodHook]:
    """Let `generate` raise `UserError` where it would not pass each prompt alone and in one forward.

    Args:
        model: the model, which may lack these methods.
        block: to which the calls belong; others do what they do without vtprune.
    """

    def refuse_options(arguments: dict[str, Any]) -> None:
        if not block.is_open:
            return
        for name, reason in _REFUSED.items():
            value = _option(model, arguments, name)
            if value is None or value is False or (name == "guidance_scale" and value == 1):
                continue
            raise UserError(
                f"generate with {name} is not supported while a method is attached, because {reason}: leave {name} out"
            )
        implementation = _option(model, arguments, "cache_implementation")
        if implementation == "paged":
            raise UserError(_PAGED)
        if implementation is not None and implementation not in _GROWING:
            raise UserError(
                f"generate with cache_implementation={implementation!r} is not supported while a method is attached, "
                "because the cache of every layer would have the length of the whole prompt: leave it out"
            )

    def refuse(arguments: dict[str, Any]) -> None:
        if block.is_open:
            raise UserError(_PAGED)

    hooks = [MethodHook(model, name, before=refuse) for name in _BATCHING if hasattr(model, name)]
    if hasattr(model, "generate"):
        hooks.append(MethodHook(model, "generate", before=refuse_options, around=block.call))
    return hooks


def _option(model: PreTrainedModel, arguments: dict[str, Any], name: str) -> Any:
    """The value that `generate` takes: of the call, of the call's configuration, or of the model's."""
    given = {**arguments.get("kwargs", {}), **arguments}
    configs = (arguments.get("generation_config"), model.generation_config)
    values = (given.get(name), *(getattr(config, name, None) for config in configs))
    return next((value for value in values if value is not None), None)

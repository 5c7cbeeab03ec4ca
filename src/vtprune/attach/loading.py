"""Loading a checkpoint that can be pruned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from vtprune.attach.families import FAMILIES, family_of
from vtprune.errors import CheckpointError, conversion_hint, lock_hint

if TYPE_CHECKING:  # importing these takes seconds
    from transformers import PreTrainedModel, ProcessorMixin


def load(
    path_or_id: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    attn_implementation: str | None = None,
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Load a model, ready for inference, and its processor, which pads on the left.

    Args:
        path_or_id: a local folder, or an id on the Hugging Face Hub. A text that begins with `.`, `/` or `~`, or that
            is not of the form `name` or `owner/name`, can only be a folder.
        device: where to put the model; by default a GPU if there is one, else the CPU.
        dtype: of the weights, by name or as a torch type; by default that of the checkpoint.
        attn_implementation: such as `"sdpa"` or `"eager"`; by default the choice of transformers.

    Raises:
        CheckpointError: if there is no such checkpoint, a file of it is missing, truncated or does not fit its
            configuration, or its architecture is not supported.
    """
    from transformers import AutoProcessor  # takes seconds

    name = _name_of(path_or_id)
    _check_architecture(name)
    model = _load_model(name, dtype, attn_implementation)
    with _as_checkpoint_error(name, "it cannot be pruned"):
        family_of(model)
    with _as_checkpoint_error(name, "its processor cannot be loaded"):
        processor = AutoProcessor.from_pretrained(name)  # type: ignore[no-untyped-call]
    processor.tokenizer.padding_side = "left"
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    ready = cast(nn.Module, model).to(device).eval()
    return cast("PreTrainedModel", ready), processor


def _name_of(path_or_id: str | Path) -> str:
    """The folder or id as transformers takes it."""
    name = str(path_or_id)
    folder = Path(name).expanduser()
    if folder.is_dir():
        name = str(folder)
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"checkpoint {name}: the folder has no config.json")
    elif name[:1] in (".", "/", "~") or name.count("/") > 1:
        raise CheckpointError(f"checkpoint {name}: there is no such folder")
    return name


def _check_architecture(name: str) -> None:
    from transformers import AutoConfig, PreTrainedConfig  # takes seconds

    with _as_checkpoint_error(name, "its configuration cannot be read"):
        # Read as plain data: transformers cannot build the configuration of an architecture that it lacks.
        config, _ = PreTrainedConfig.get_config_dict(name)
    architecture = (config.get("architectures") or [config.get("model_type")])[0]
    if architecture not in FAMILIES:
        supported = ", ".join(FAMILIES)
        raise CheckpointError(
            f"checkpoint {name}: architecture {architecture} is not supported; supported: {supported}"
            f"{conversion_hint(architecture) or _other_format(architecture)}"
        )
    with _as_checkpoint_error(name, "its configuration cannot be read"):
        AutoConfig.from_pretrained(name)


def _load_model(name: str, dtype: str | torch.dtype | None, attn_implementation: str | None) -> PreTrainedModel:
    from transformers import AutoModelForImageTextToText  # takes seconds

    options: dict[str, Any] = {} if attn_implementation is None else {"attn_implementation": attn_implementation}
    with _as_checkpoint_error(name, "its weights cannot be loaded"):
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            name,
            dtype="auto" if dtype is None else dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported below, in one sentence
            **options,
        )
        model, report = loaded
    missing, mismatched = sorted(report["missing_keys"]), sorted(report["mismatched_keys"])
    if missing:
        raise CheckpointError(f"checkpoint {name}: its files lack {len(missing)} weights, such as {missing[0]}")
    if mismatched:
        raise CheckpointError(
            f"checkpoint {name}: {len(mismatched)} weights do not have the shape that its configuration says, such as "
            f"{mismatched[0][0]}"
        )
    return cast("PreTrainedModel", model)


def _other_format(architecture: str | None) -> str:
    """A hint for checkpoints of the supported families that are not in the format of transformers."""
    # This case is answered by `conversion_hint`. It stays because stored answers are keyed by the code of this module.
    if architecture == "InternVLChatModel":
        return " (convert this one first, with convert_internvl_weights_to_hf.py of transformers)"
    if str(architecture).startswith("Llava") and str(architecture).endswith("ForCausalLM"):
        return " (this one is in the LLaVA authors' format; take the same model from llava-hf)"
    return ""


@contextmanager
def _as_checkpoint_error(name: str, problem: str) -> Iterator[None]:
    """Turn whatever transformers, safetensors or torch raise into a `CheckpointError` of one sentence."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        lines = (line.strip() for line in str(error).splitlines())
        reason = next((line for line in lines if line), type(error).__name__)
        raise CheckpointError(f"checkpoint {name}: {problem} ({reason}{lock_hint(error)})") from error

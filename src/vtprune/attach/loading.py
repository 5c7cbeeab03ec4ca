"""Loading a checkpoint that can be pruned."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, PreTrainedConfig

from vtprune.attach.families import FAMILIES, family_of
from vtprune.errors import CheckpointError


def load(
    path_or_id: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    attn_implementation: str | None = None,
) -> tuple[nn.Module, Any]:
    """A model, ready for inference, and its processor (which pads on the left).

    Args:
        path_or_id: a local folder, or an id on the Hugging Face Hub. What begins with ``.``, ``/``
            or ``~``, or is not of the form ``name`` or ``owner/name``, can only be a folder.
        device: where to put the model; by default a GPU if there is one, else the CPU.
        dtype: of the weights, by name or as a torch type; by default the checkpoint's own.
        attn_implementation: such as ``"sdpa"`` or ``"eager"``; by default transformers' choice.

    Raises:
        CheckpointError: if there is no such checkpoint, a file of it is missing, truncated or does
            not fit its configuration, or its architecture is not supported.
    """
    name = str(path_or_id)
    folder = Path(name).expanduser()
    if folder.is_dir():
        name = str(folder)
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"checkpoint {name}: the folder has no config.json")
    elif name[:1] in (".", "/", "~") or name.count("/") > 1:
        raise CheckpointError(f"checkpoint {name}: there is no such folder")

    with _explained(name, "its configuration cannot be read"):
        # As it stands: transformers cannot build the configuration of an architecture that it lacks.
        config, _ = PreTrainedConfig.get_config_dict(name)
    architecture = (config.get("architectures") or [config.get("model_type")])[0]
    if architecture not in FAMILIES:
        supported = ", ".join(FAMILIES)
        raise CheckpointError(
            f"checkpoint {name}: architecture {architecture} is not supported; supported: {supported}"
            f"{_elsewhere(architecture)}"
        )
    with _explained(name, "its configuration cannot be read"):
        AutoConfig.from_pretrained(name)

    options = {} if attn_implementation is None else {"attn_implementation": attn_implementation}
    with _explained(name, "its weights cannot be loaded"):
        model, report = AutoModelForImageTextToText.from_pretrained(
            name,
            dtype="auto" if dtype is None else dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported below, in one sentence
            **options,
        )
    absent, misfits = sorted(report["missing_keys"]), sorted(report["mismatched_keys"])
    if absent:
        raise CheckpointError(f"checkpoint {name}: its files lack {len(absent)} weights, such as {absent[0]}")
    if misfits:
        raise CheckpointError(
            f"checkpoint {name}: {len(misfits)} weights are not of the shape that its configuration "
            f"says, such as {misfits[0][0]}"
        )
    with _explained(name, "it cannot be pruned"):
        family_of(model)
    with _explained(name, "its processor cannot be loaded"):
        processor = AutoProcessor.from_pretrained(name)
    processor.tokenizer.padding_side = "left"

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device).eval(), processor


def _elsewhere(architecture: str | None) -> str:
    """A hint for those checkpoints of the families that are not in transformers' own format."""
    if architecture == "InternVLChatModel":
        return " (this one must be converted first, by transformers' convert_internvl_weights_to_hf.py)"
    if str(architecture).startswith("Llava") and str(architecture).endswith("ForCausalLM"):
        return " (this one is in the LLaVA authors' format; take the same model from llava-hf)"
    return ""


class _explained:
    """Turns whatever transformers, safetensors or torch raise into one sentence."""

    def __init__(self, name: str, what: str) -> None:
        self.name, self.what = name, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise CheckpointError(f"checkpoint {self.name}: {self.what} ({reason})") from error

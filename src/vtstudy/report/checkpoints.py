"""The paper's models and their checkpoints."""

from pathlib import PurePosixPath

PAPER_CHECKPOINTS = {
    "LLaVA-1.5-7B": "llava-hf/llava-1.5-7b-hf",
    "LLaVA-1.5-13B": "llava-hf/llava-1.5-13b-hf",
    "LLaVA-NeXT-7B": "llava-hf/llava-v1.6-vicuna-7b-hf",
    "InternVL2-2B": "OpenGVLab/InternVL2-2B",
    "InternVL2-8B": "OpenGVLab/InternVL2-8B",
}
"""The paper's models, and their checkpoints on the Hub. params.yaml says which checkpoint is run for each."""


def same_checkpoint(paper_model: str, ours: str) -> bool:
    """Whether our model is the paper's own, so that absolute scores may be compared."""
    checkpoint = PAPER_CHECKPOINTS.get(paper_model)
    return checkpoint is not None and checkpoint_name(ours) == checkpoint_name(checkpoint)


def checkpoint_name(checkpoint: str) -> str:
    """A checkpoint's name without its folder or its owner on the Hub."""
    return PurePosixPath(checkpoint).name

"""The vision tower's output, image by image, sorted to the prompts that it belongs to."""

import torch


def by_prompt(outputs: torch.Tensor | None, counts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """What the projector was given, by prompt.

    Args:
        outputs: ``[images, tokens, d]``, the images (or tiles) of all prompts in a row; None if the
            projector was not seen at work. Beam search repeats prompts, not images.
        counts: how many of them each prompt shows.

    Returns:
        ``[b, m, d]``, padded to the prompt that has most, and ``[b, m]`` bool, which are there.

    Raises:
        ValueError: if there are none, or they cannot be told apart by prompt.
    """
    if outputs is None:
        raise ValueError(
            "the vision tower's features were not seen: encode the images within the with block, or take "
            "features='projected'"
        )
    # A factor between them means that each prompt stands there once a beam.
    images = len(outputs) if outputs.ndim == 3 else 0
    beams = max(1, sum(counts) // max(1, images))
    if images == 0 or sum(counts[::beams]) != images:
        raise ValueError(
            f"the vision tower gave features of shape {list(outputs.shape)} for {sum(counts)} images, so it is "
            "not known which are of which prompt; take features='projected'"
        )
    parts = list(outputs.split(counts[::beams]))
    most = max(len(part) for part in parts)
    padded = outputs.new_zeros(len(counts), most, *outputs.shape[1:])
    valid = torch.zeros(len(counts), most, outputs.shape[1], dtype=torch.bool, device=outputs.device)
    for row in range(len(counts)):
        part = parts[row // beams]
        padded[row, : len(part)] = part
        valid[row, : len(part)] = True
    return padded.flatten(1, 2), valid.flatten(1)

"""Which image tokens a method leaves of a picture, and into which of them it merged others."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from vtprune.attach import Kept, Prefix, attach_all
from vtprune.attach.inference import Question, encode
from vtprune.methods import Method


class TokenMap(NamedTuple):
    """The grid of one picture's tokens.

    Attributes:
        grid: (height, width).
        kept: the tokens that survive, a bit each in rows from the top left on, as hexadecimal digits.
        merged: those of them that are means of several tokens, in the same way; empty if there are none.
    """

    grid: tuple[int, int]
    kept: str
    merged: str


@torch.inference_mode()
def token_maps(
    model: Any, processor: Any, methods: Mapping[str, Method], questions: Sequence[Question]
) -> dict[str, list[list[TokenMap]]]:
    """By name of a method, for each question the map of each part of its images, after the method's last stage.

    The images, and the layers before any method prunes, are computed once for all methods.
    """
    prefix = Prefix(encode(model, processor, questions))
    names, maps = list(methods), {}
    for index, attachment in attach_all(list(methods.values()), model, prefix):
        with attachment:
            model(**prefix.inputs, logits_to_keep=1)
        maps[names[index]] = [[_map(part) for part in parts] for parts in attachment.kept]
    return {name: maps[name] for name in names}


def _map(part: Kept) -> TokenMap:
    merged = part.indices[part.merged]
    return TokenMap(part.grid, digits(part.indices, part.grid), digits(merged, part.grid) if len(merged) else "")


def digits(indices: torch.Tensor, grid: tuple[int, int]) -> str:
    """The cells of a grid as hexadecimal digits: the first cell is the highest bit of the first digit."""
    mask = np.zeros(grid[0] * grid[1], dtype=bool)
    mask[indices.cpu().numpy()] = True
    return np.packbits(mask).tobytes().hex()

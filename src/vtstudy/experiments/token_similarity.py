"""How alike kept image tokens and their nearest neighbours on the grid are (Figure 3), on arrays."""

from collections.abc import Sequence

import numpy as np


def measures(kept: np.ndarray, features: Sequence[np.ndarray], grid: tuple[int, int]) -> np.ndarray:
    """`[questions, features + 1]` the similarity to the nearest kept token by each of the features, and the adjacency.

    Args:
        kept: `[questions, n]` bool, which cells of the grid stay.
        features: `[questions, n, d]` each, of length 1.
        grid: (height, width), whose product is `n`.
    """
    return np.array(
        [
            [*(neighbour_similarity(mask, feature[i], grid) for feature in features), adjacency(mask, grid)]
            for i, mask in enumerate(kept)
        ]
    )


def neighbour_similarity(kept: np.ndarray, features: np.ndarray, grid: tuple[int, int]) -> float:
    """Mean over kept tokens of the cosine similarity to the nearest other one.

    Args:
        kept: `[n]` bool, at least two of them True.
        features: `[n, d]` of length 1.
        grid: (height, width), whose product is `n`.
    """
    squared = _squared_distances(np.flatnonzero(kept), grid)
    similarity = features[kept] @ features[kept].T
    nearest = squared == squared.min(axis=1, keepdims=True)
    return float(((similarity * nearest).sum(axis=1) / nearest.sum(axis=1)).mean())


def adjacency(kept: np.ndarray, grid: tuple[int, int]) -> float:
    """Percent of the kept tokens that have another one among their eight neighbours."""
    return float(100 * (_squared_distances(np.flatnonzero(kept), grid).min(axis=1) <= 2).mean())


def _squared_distances(cells: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """`[k, k]` in squared cells, infinite from a token to itself."""
    place = np.stack((cells // grid[1], cells % grid[1]), axis=1).astype(float)
    squared = ((place[:, None] - place[None]) ** 2).sum(axis=2)
    np.fill_diagonal(squared, np.inf)
    return squared


def unit(vectors: np.ndarray) -> np.ndarray:
    """`[..., d]` scaled to length 1; a zero vector stays 0."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-30)

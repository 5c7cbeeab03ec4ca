"""Clusters of tokens around those that have many others near them."""

import torch

from vtprune.ops.indexing import take
from vtprune.ops.precision import precise_type
from vtprune.ops.ranking import highest


@torch.no_grad()
def density_peaks(points: torch.Tensor, counts: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Find the cluster of each point by density peaks (Rodriguez and Laio 2014, as SparseVLM's code computes them).

    With m clusters, the density of a point is exp(-mean), of the squared distances to its m nearest points (itself
    included). Centres are the m points with the largest product of density and distance to the nearest denser point;
    the densest point counts with the largest distance of all. Every other point joins the nearest centre. Distances are
    divided by the root of the width. Ties go to the lowest index.

    Args:
        points: `[b, r, d]`.
        counts: `[b]` the number m of clusters of each row, at most as many as are valid.
        valid: `[b, r]` bool.

    Returns:
        `[b, r]` for each point, the index of its centre; -1 where not valid, and in rows without a cluster.
    """
    rows, size, width = points.shape
    if not rows or not size or not int(counts.max()):
        return valid.new_full((rows, size), -1, dtype=torch.long)
    points = points.to(precise_type(points.device))
    # Pair by pair, not by a matrix product: equal points have the distance 0.
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") / width**0.5
    outside = ~(valid[:, None] & valid[..., None])
    index = torch.arange(size, device=points.device)
    near = distance.masked_fill(outside, float("inf")).sort(dim=2).values[..., : int(counts.max())]
    near = near.masked_fill(index[: near.shape[2]] >= counts[:, None, None], 0.0).square().sum(dim=2)
    density = (-near / counts.clamp(min=1)[:, None]).masked_fill(~valid, float("-inf"))  # its logarithm
    denser = density[:, None] > density[..., None]
    denser |= (density[:, None] == density[..., None]) & (index < index[:, None])
    farthest = distance.masked_fill(outside, 0.0).amax(dim=(1, 2))[:, None]
    apart = distance.masked_fill(outside | ~denser, float("inf")).amin(dim=2).minimum(farthest)
    peak = density + apart.clamp(min=torch.finfo(points.dtype).tiny).log()
    centres = highest(peak, counts, valid)
    place = centres.clamp(min=0)
    to_centres = take(distance, place).masked_fill((centres < 0)[..., None], float("inf"))
    nearest = place.gather(1, to_centres.argmin(dim=1))
    # A centre joins itself, also where another one is equal to it.
    nearest = nearest.scatter(1, place, torch.where(centres < 0, nearest.gather(1, place), centres))
    return nearest.masked_fill(~valid | (counts == 0)[:, None], -1)

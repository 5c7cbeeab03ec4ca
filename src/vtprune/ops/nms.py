"""Adaptive non-maximum suppression (AdaptPrune, section 4.3 and Algorithm 1)."""

from importlib.util import find_spec
from typing import Literal

import torch

from vtprune.errors import UserError
from vtprune.ops.precision import precise_type
from vtprune.validation import integer, number

Backend = Literal["torch", "triton"]
BACKENDS = ("torch", "triton")


@torch.no_grad()
def adaptive_nms(
    scores: torch.Tensor,
    keys: torch.Tensor | None,
    positions: torch.Tensor,
    keep: int | torch.Tensor,
    *,
    sigma_d: float | None,
    sigma_s: float | None,
    radius: float,
    valid: torch.Tensor | None = None,
    groups: torch.Tensor | None = None,
    backend: Backend = "torch",
) -> torch.Tensor:
    """Choose `keep` tokens one by one, each lowering the scores of its neighbours.

    The token `i` with the highest score among those not yet chosen is taken. Then (equations 1-3)
    the score of every token `j` within `radius` of it is multiplied by

        1 - exp(-|p_i - p_j|^2 / (2 sigma_d^2)) * exp(-(1 - cos(k_i, k_j))^2 / (2 sigma_s^2))

    Ties go to the lowest index, also once all scores are 0. No token is chosen twice. The function works on one
    image or on a batch, on any device, without a host synchronisation per chosen token. The
    arithmetic is float32 whatever the inputs' type. It needs the memory of one float32 `[b, n, n]` matrix.

    Args:
        scores: `[n]` or `[b, n]`, not negative.
        keys: `[n, d]` or `[b, n, d]`; may be None where `sigma_s` is.
        positions: `[n, 2]` or `[b, n, 2]`, in the unit of `sigma_d` and `radius`.
        keep: how many tokens to choose; 0 is allowed, and so is more than there are. For a batch also an
            integer tensor `[b]`, one count per row.
        sigma_d: width of the distance decay. None leaves it out (that factor is 1).
        sigma_s: width of the similarity decay. None leaves it out, as in the ablation's row (c).
        radius: Euclidean distance, inclusive, beyond which nothing is suppressed.
        valid: bool like `scores`; tokens marked False are never chosen.
        groups: integers like `scores` (the image or tile of each token). Suppression stays
            within a group.
        backend: `torch`, or `triton` to run the loop as one kernel on a CUDA device. Both choose the
            same tokens. The kernel has been tested in Triton's interpreter only, never on a GPU.

    Returns:
        Indices in the order chosen: `[min(keep, n)]`, or `[b, largest count]`, in which rows
        that chose fewer end in -1.

    Raises:
        UserError: on shapes that do not fit together, a negative `keep` or `radius`, a sigma that
            is not positive, or a value that is not a number; on `triton` without CUDA or Triton.
    """
    if backend == "triton":
        _check_triton(scores)
    if not isinstance(keep, torch.Tensor):
        keep = integer("keep", keep, "a whole number or a tensor of them")
    radius = number("radius", radius)
    sigma_d = None if sigma_d is None else number("sigma_d", sigma_d, "a number or None")
    sigma_s = None if sigma_s is None else number("sigma_s", sigma_s, "a number or None")
    _check(scores, keys, positions, keep, sigma_d, sigma_s, radius, valid, groups)
    if scores.ndim == 1:
        chosen = adaptive_nms(
            scores[None],
            None if keys is None else keys[None],
            positions[None],
            keep,
            sigma_d=sigma_d,
            sigma_s=sigma_s,
            radius=radius,
            valid=None if valid is None else valid[None],
            groups=None if groups is None else groups[None],
            backend=backend,
        )[0]
        return chosen if valid is None else chosen[chosen >= 0]

    rows, tokens = scores.shape
    steps = min(int(keep.max()) if isinstance(keep, torch.Tensor) and rows else int(keep), tokens)
    chosen = torch.full((rows, steps), -1, dtype=torch.long, device=scores.device)
    if steps == 0 or rows == 0:
        return chosen

    # On a CPU row by row, so that a row's matrices stay in the cache: a batch is not slower than calls one by one.
    at_once = 1 if scores.device.type == "cpu" else rows
    parts = [
        remaining_scores(
            None if keys is None else keys[of_rows],
            positions[of_rows],
            None if groups is None else groups[of_rows],
            sigma_d,
            sigma_s,
            radius,
        )
        for of_rows in (slice(row, row + at_once) for row in range(0, rows, at_once))
    ]
    remaining = parts[0] if len(parts) == 1 else torch.cat(parts)
    scores = scores.float()
    taken = torch.zeros_like(scores, dtype=torch.bool) if valid is None else ~valid
    counts = torch.minimum((~taken).sum(dim=1), torch.as_tensor(keep, device=scores.device))
    if backend == "triton":
        from vtprune.ops.nms_triton import greedy  # needs Triton, which is not installed everywhere

        return greedy(scores, remaining, taken, counts, steps)
    for step in range(steps):
        best = scores.masked_fill(taken, float("-inf")).argmax(dim=1, keepdim=True)
        chosen[:, step] = torch.where(counts > step, best[:, 0], -1)
        taken = taken.scatter(1, best, True)
        scores = scores * remaining.gather(1, best[..., None].expand(-1, -1, tokens))[:, 0]
    return chosen


def adaptive_nms_reference(
    scores: torch.Tensor,
    keys: torch.Tensor | None,
    positions: torch.Tensor,
    keep: int,
    *,
    sigma_d: float | None,
    sigma_s: float | None,
    radius: float,
) -> torch.Tensor:
    """Algorithm 1 as a plain loop, for one image: the oracle that tests compare `adaptive_nms` with.

    Arguments and result are those of `adaptive_nms` for one image. The function runs on the CPU and is
    slow on purpose: every line matches one of the paper's. It departs from the paper in one point: chosen
    tokens leave `T` (the published code can choose one again once all scores are 0).
    """
    s = scores.detach().cpu().float().clone()
    p = positions.detach().cpu().float()
    unit = None if sigma_s is None or keys is None else _unit(keys.detach().cpu())
    one = torch.ones(())
    retained: list[int] = []
    while len(retained) < min(keep, len(s)):
        best = max((k for k in range(len(s)) if k not in retained), key=lambda k: (s[k].item(), -k))
        retained.append(best)
        squared = (p - p[best]).square()
        squared = squared[:, 0] + squared[:, 1]
        for j in torch.nonzero(squared <= radius * radius).flatten().tolist():
            d_spatial = one if sigma_d is None else torch.exp(-squared[j] / (2 * sigma_d**2))
            d_similarity = one
            if sigma_s is not None and unit is not None:
                sim = torch.dot(unit[best], unit[j]).float()
                d_similarity = torch.exp(-(1 - sim).square() / (2 * sigma_s**2))
            s[j] = s[j] * (1 - d_spatial * d_similarity)
    return torch.tensor(retained, dtype=torch.long)


def remaining_scores(
    keys: torch.Tensor | None,
    positions: torch.Tensor,
    groups: torch.Tensor | None,
    sigma_d: float | None,
    sigma_s: float | None,
    radius: float,
) -> torch.Tensor:
    """Return `[b, n, n]` float32: the factor of token j's score once token i is chosen (equations 1-3).

    Arguments are those of `adaptive_nms` for a batch.
    """
    p = positions.float()
    squared = (p[:, :, None, 0] - p[:, None, :, 0]).square_()
    squared += (p[:, :, None, 1] - p[:, None, :, 1]).square_()
    far = squared > radius * radius
    if groups is not None:
        far |= groups[:, :, None] != groups[:, None, :]
    # In place from here on: the time goes into moving these matrices, not into the arithmetic.
    decay = torch.ones_like(squared) if sigma_d is None else squared.neg_().div_(2 * sigma_d**2).exp_()
    if sigma_s is not None and keys is not None:
        unit = _unit(keys)
        similarity = (unit @ unit.transpose(1, 2)).float()
        decay *= similarity.neg_().add_(1).square_().neg_().div_(2 * sigma_s**2).exp_()
    return decay.neg_().add_(1).masked_fill_(far, 1.0)


def _unit(keys: torch.Tensor) -> torch.Tensor:
    """Scale keys to length 1. A zero key stays 0, so its similarity to every other key is 0.

    The result is float64 on the CPU. There the last bit of a float32 product depends on the shape of the
    batch, and it would decide which of two equal tokens wins. On other devices float64 is too slow.
    """
    keys = keys.to(precise_type(keys.device))
    length: torch.Tensor = torch.linalg.vector_norm(keys, dim=-1, keepdim=True)
    return keys / length.clamp(min=1e-30)


def _check_triton(scores: torch.Tensor) -> None:
    if not scores.is_cuda:
        raise UserError(f"backend 'triton' needs tensors on a CUDA device, not on {scores.device}")
    if not find_spec("triton"):
        raise UserError("backend 'triton' needs the package triton, which is not installed")


def _check(
    scores: torch.Tensor,
    keys: torch.Tensor | None,
    positions: torch.Tensor,
    keep: int | torch.Tensor,
    sigma_d: float | None,
    sigma_s: float | None,
    radius: float,
    valid: torch.Tensor | None,
    groups: torch.Tensor | None,
) -> None:
    shape = tuple(scores.shape)
    if len(shape) not in (1, 2):
        raise UserError(f"scores must be [n] or [b, n], not of shape {list(shape)}")
    if tuple(positions.shape) != (*shape, 2):
        raise UserError(f"positions must be of shape {[*shape, 2]}, not {list(positions.shape)}")
    if sigma_s is not None and (keys is None or tuple(keys.shape[:-1]) != shape):
        actual = "None" if keys is None else list(keys.shape)
        raise UserError(f"keys must be of shape {[*shape, 'd']} unless sigma_s is None, not {actual}")
    for name, tensor in (("valid", valid), ("groups", groups)):
        if tensor is not None and tuple(tensor.shape) != shape:
            raise UserError(f"{name} must be of shape {list(shape)} like scores, not {list(tensor.shape)}")
    if isinstance(keep, torch.Tensor):
        if keep.ndim > 1 or (keep.ndim == 1 and (len(shape) == 1 or len(keep) != shape[0])):
            raise UserError(f"keep must be one count or one per row, not of shape {list(keep.shape)}")
    elif keep < 0:
        raise UserError(f"keep must not be negative, not {keep}")
    if not radius >= 0:
        raise UserError(f"radius must not be negative, not {radius}")
    for name, sigma in (("sigma_d", sigma_d), ("sigma_s", sigma_s)):
        if sigma is not None and not sigma > 0:
            raise UserError(f"{name} must be positive or None, not {sigma}")

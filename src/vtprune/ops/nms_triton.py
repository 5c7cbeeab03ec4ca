"""The greedy loop of adaptive NMS in one GPU launch, instead of a few launches per chosen token. Needs Triton."""

import torch
import triton
import triton.language as tl


@triton.jit
def _greedy_row(scores, remaining, taken, counts, chosen, tokens, steps, BLOCK: tl.constexpr):
    """One program per row: its scores stay in registers, one line of ``remaining`` is read per step."""
    row = tl.program_id(0).to(tl.int64)
    token = tl.arange(0, BLOCK)
    inside = token < tokens
    score = tl.load(scores + row * tokens + token, mask=inside, other=0.0)
    free = inside & (tl.load(taken + row * tokens + token, mask=inside, other=1) == 0)
    for step in range(tl.load(counts + row)):
        best = tl.argmax(tl.where(free, score, float("-inf")), axis=0)  # ties to the lowest index
        tl.store(chosen + row * steps + step, best.to(tl.int64))
        free = free & (token != best)
        score = score * tl.load(remaining + (row * tokens + best) * tokens + token, mask=inside, other=1.0)


def greedy(
    scores: torch.Tensor, remaining: torch.Tensor, taken: torch.Tensor, counts: torch.Tensor, steps: int
) -> torch.Tensor:
    """Choose the highest score, multiply the scores by the chosen token's line, and again.

    The same float32 comparisons and products in the same order as the loop in
    :func:`vtprune.ops.nms.adaptive_nms`, so the same choice bit for bit.

    Args:
        scores: ``[b, n]`` float32.
        remaining: ``[b, n, n]`` float32, what is left of token j's score once i is chosen.
        taken: ``[b, n]`` bool, what is not to be chosen.
        counts: ``[b]`` how many to choose, at most ``steps`` and at most as many as are not taken.

    Returns:
        ``[b, steps]`` indices, rows that choose fewer ending in -1.
    """
    rows, tokens = scores.shape
    chosen = torch.full((rows, steps), -1, dtype=torch.long, device=scores.device)
    block = triton.next_power_of_2(tokens)
    _greedy_row[(rows,)](
        scores.contiguous(),
        remaining.contiguous(),
        taken.to(torch.int8).contiguous(),
        counts.to(torch.int32).contiguous(),
        chosen,
        tokens,
        steps,
        BLOCK=block,
        num_warps=min(16, max(1, block // 256)),
    )
    return chosen

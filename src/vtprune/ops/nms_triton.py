"""The greedy loop of adaptive NMS as one Triton kernel, instead of a few GPU launches per chosen token.

The kernel has been tested in Triton's interpreter only: it never ran on a GPU. It is off by default; select it
by `AdaptPrune(backend="triton")` or `adaptive_nms(..., backend="triton")`.
"""

import torch
import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def _greedy_row(  # type: ignore[no-untyped-def]
    scores, remaining, taken, counts, chosen, tokens, steps, BLOCK: tl.constexpr
):
    """Run the loop of one row. Its scores stay in registers; each step reads one line of `remaining`."""
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
    """Choose the highest score, multiply all scores by the chosen token's line of `remaining`, and repeat.

    The float32 comparisons and products are those of the loop in `vtprune.ops.nms.adaptive_nms`, in the same
    order, so the choice is the same bit for bit.

    Args:
        scores: `[b, n]` float32.
        remaining: `[b, n, n]` float32, the factor of token j's score once token i is chosen.
        taken: `[b, n]` bool, tokens that must not be chosen.
        counts: `[b]` how many to choose, at most `steps` and at most as many as are not taken.
        steps: the largest count.

    Returns:
        `[b, steps]` indices; rows that choose fewer end in -1.
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

"""The one-launch selection chooses as the loop does: on a GPU, and in Triton's interpreter where there is none."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from vtprune.ops import adaptive_nms, grid_positions

HAS_TRITON = find_spec("triton") is not None
PAPER = {"sigma_d": 1.5, "sigma_s": 0.05, "radius": 5.0}

CHECK = """
import torch
from vtprune.ops import grid_positions
from vtprune.ops.nms_triton import greedy
from vtprune.ops.nms import remaining_scores, adaptive_nms

generator = torch.Generator().manual_seed(0)
rows, height, width = 3, 4, 5
n = height * width
scores = torch.rand(rows, n, generator=generator)
scores[:, ::3] = 0.5  # ties
keys = 5 + torch.randn(rows, n, 6, generator=generator)
positions = grid_positions(height, width).expand(rows, -1, -1)
valid = torch.rand(rows, n, generator=generator) > 0.2
keep = torch.tensor([n, 0, 7])  # all of them, so that scores run out; none; some
shapes = dict(sigma_d=1.5, sigma_s=0.5, radius=5.0)
loop = adaptive_nms(scores, keys, positions, keep, valid=valid, **shapes)
remaining = remaining_scores(keys, positions, None, 1.5, 0.5, 5.0)
counts = torch.minimum(valid.sum(dim=1), keep)
assert torch.equal(greedy(scores, remaining, ~valid, counts, loop.shape[1]), loop), (rows, n)
assert (loop >= 0).any()
print("same")
"""


@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
@pytest.mark.exhaustive
def test_kernel_chooses_as_the_loop_in_tritons_interpreter():
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", CHECK], check=False, env=environment, capture_output=True, text=True)
    assert done.stdout == "same\n", done.stderr


@pytest.mark.skipif(not (HAS_TRITON and torch.cuda.is_available()), reason="needs a CUDA device and Triton")
@pytest.mark.parametrize(("rows", "side", "keep"), [(1, 24, 57), (4, 24, 576), (2, 57, 325)])
def test_kernel_chooses_as_the_loop_on_a_gpu(rows, side, keep):
    generator = torch.Generator().manual_seed(side)
    scores = torch.rand(rows, side * side, generator=generator).cuda()
    keys = (5 + torch.randn(rows, side * side, 64, generator=generator)).cuda()
    positions = grid_positions(side, side).expand(rows, -1, -1).cuda()
    loop = adaptive_nms(scores, keys, positions, keep, **PAPER)
    assert torch.equal(adaptive_nms(scores, keys, positions, keep, backend="triton", **PAPER), loop)


def test_triton_is_refused_on_a_cpu():
    with pytest.raises(ValueError, match="triton"):
        adaptive_nms(torch.rand(4), torch.rand(4, 2), grid_positions(2, 2), 2, backend="triton", **PAPER)

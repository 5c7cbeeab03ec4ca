"""Speed of adaptive NMS: the loop of the paper's Algorithm 1 against the vectorised function.

    python benchmarks/selection.py [--device cuda] [--rounds 7] [--width 1024]

Both get the same scores and keys and must choose the same tokens. The column "ratio" compares their times.
The last row of each grid compares 8 calls with a batch of 8 images.
"""

import argparse

import torch
from printing import markdown_table, milliseconds, progress_bar, ratio

from vtprune.cost.timing import interleaved
from vtprune.ops import adaptive_nms, adaptive_nms_reference, grid_positions, paper_positions

PAPER = {"sigma_d": 1.5, "sigma_s": 0.05, "radius": 5.0}


def problem(
    side: int, width: int, images: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return random scores, keys and positions of some images with a grid of `side x side` tokens."""
    generator = torch.Generator().manual_seed(side)
    scores = torch.rand(images, side * side, generator=generator)
    # A large common part, as in real keys: otherwise no two are similar and nothing is suppressed.
    common = 5 * torch.randn(images, 1, width, generator=generator)
    keys = common + torch.randn(images, side * side, width, generator=generator)
    positions = paper_positions(grid_positions(side, side), torch.tensor((side, side))).expand(images, -1, -1)
    return scores.to(device), keys.to(device), positions.to(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=int, default=1024, help="of a key, all heads together")
    parser.add_argument("--sides", type=int, nargs="+", default=[12, 16, 24])
    parser.add_argument("--keeps", type=float, nargs="+", default=[0.1, 0.3])
    options = parser.parse_args()
    device = torch.device(options.device)

    rows = []
    for side in options.sides:
        scores, keys, positions = problem(side, options.width, 8, device)
        for fraction in options.keeps:
            keep = int(side * side * fraction)
            one = scores[0], keys[0], positions[0]
            same = adaptive_nms(*one, keep, **PAPER).tolist() == adaptive_nms_reference(*one, keep, **PAPER).tolist()
            seconds = interleaved(
                {
                    "loop": lambda one=one, keep=keep: adaptive_nms_reference(*one, keep, **PAPER),
                    "ours": lambda one=one, keep=keep: adaptive_nms(*one, keep, **PAPER),
                },
                options.rounds,
                device,
                progress=progress_bar(f"{side}x{side}, keep {keep}", 2 * (1 + options.rounds)),
            )
            rows.append(
                [
                    f"{side}x{side}",
                    str(keep),
                    "1",
                    "loop / ours",
                    milliseconds(seconds["loop"]),
                    milliseconds(seconds["ours"]),
                    ratio(seconds["loop"], seconds["ours"]),
                    "yes" if same else "NO",
                ]
            )
        eight = [adaptive_nms(s, k, p, keep, **PAPER) for s, k, p in zip(scores, keys, positions, strict=True)]
        same = torch.equal(torch.stack(eight), adaptive_nms(scores, keys, positions, keep, **PAPER))
        seconds = interleaved(
            {
                "calls": lambda a=(scores, keys, positions), keep=keep: [
                    adaptive_nms(s, k, p, keep, **PAPER) for s, k, p in zip(*a, strict=True)
                ],
                "batch": lambda a=(scores, keys, positions), keep=keep: adaptive_nms(*a, keep, **PAPER),
            },
            options.rounds,
            device,
            progress=progress_bar(f"{side}x{side}, batch", 2 * (1 + options.rounds)),
        )
        rows.append(
            [
                f"{side}x{side}",
                str(keep),
                "8",
                "8 calls / batch",
                milliseconds(seconds["calls"]),
                milliseconds(seconds["batch"]),
                ratio(seconds["calls"], seconds["batch"]),
                "yes" if same else "NO",
            ]
        )
    print(
        f"device {device.type}, keys of width {options.width}, {options.rounds} rounds, "
        f"{torch.get_num_threads()} threads\n"
    )
    markdown_table(
        ["grid", "keep", "images", "compared", "first, ms", "second, ms", "ratio [quartiles]", "same tokens"], rows
    )


if __name__ == "__main__":
    main()

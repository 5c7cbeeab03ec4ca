"""What choosing tokens costs: every method's scoring, selection and merging, against the prefill that it shortens.

    python benchmarks/selection.py [--device cuda] [--rounds 3] [--pictures 1 5] [--methods fastv divprune]

The first table has every method at LLaVA-1.5's 576 and at 2,880 image tokens, with 64 of text. A prefill is that of 32
layers of the given width: one layer is timed at the whole and at each shortened length, and counts as often as the
method's stages say. The vision tower does not count. The features are random and have the sizes of a 7B decoder; scores
are computed as attaching computes them. All calls of a round are interleaved.

The second table compares methods that choose one by one with plain loops, which must choose the same tokens. The third
compares a batch of eight prompts with eight calls.
"""

import argparse
from collections.abc import Callable

import torch
from loops import LOOPS
from printing import markdown_table, milliseconds, progress_bar, ratio
from prompt_features import LAYERS, SIDE, Decoder, choose, features

from vtprune.cost.flops import layer_tokens
from vtprune.cost.timing import interleaved, quartiles
from vtprune.methods import Method, get_method, methods

GREEDY = ("adaptprune", "cdpruner", "divprune", "scope", "vispruner")
"""Methods that choose or drop tokens one by one."""
MOST, MOST_GREEDY = 0.05, 0.15
"""The largest shares of the prefill that choosing should cost: for most methods, and for those of `GREEDY`."""


def shares(named: dict[str, Method], decoder: Decoder, pictures: int, rounds: int) -> tuple[list[list[str]], list[str]]:
    """Return a row for each method, and the methods that cost too much."""
    tokens, given = pictures * SIDE**2, features(decoder, pictures)
    seen = {name: layer_tokens(method, LAYERS, tokens) for name, method in named.items()}
    lengths = sorted({tokens, *(length for layers in seen.values() for length in layers)})
    calls: dict[str, Callable[[], object]] = {str(length): lambda n=length: decoder.run(n) for length in lengths}
    calls |= {name: lambda method=method: choose(method, given) for name, method in named.items()}
    progress = progress_bar(f"{tokens} tokens", len(calls) * (1 + rounds))
    seconds = interleaved(calls, rounds, decoder.device, progress=progress)
    rows, slow = [], []
    for name in named:
        whole = [LAYERS * layer for layer in seconds[str(tokens)]]
        prefill = [sum(seconds[str(length)][number] for length in seen[name]) for number in range(len(seconds[name]))]
        share = quartiles([a / b for a, b in zip(seconds[name], prefill, strict=True)])
        if share.median > (MOST_GREEDY if name in GREEDY else MOST):
            slow.append(f"{name} at {tokens} tokens")
        rows.append(
            [
                str(tokens),
                name,
                milliseconds(seconds[name]),
                milliseconds(prefill),
                f"{share.median:.2%} [{share.low:.2%}, {share.high:.2%}]",
                ratio(whole, [a + b for a, b in zip(prefill, seconds[name], strict=True)]),
            ]
        )
    return rows, slow


def against_loops(decoder: Decoder, keep: float, rounds: int) -> list[list[str]]:
    """Return a row for each method that has a plain loop."""
    given, rows = features(decoder, 1), []
    for name, loop in LOOPS.items():
        method, count = get_method(name, keep=keep), int(keep * SIDE**2)
        same = choose(method, given)[0].tolist() == loop(given, count)
        seconds = interleaved(
            {"loop": lambda: loop(given, count), "ours": lambda: choose(method, given)},  # noqa: B023
            rounds,
            decoder.device,
            progress=progress_bar(f"{name}, loop", 2 * (1 + rounds)),
        )
        rows.append(
            [
                name,
                milliseconds(seconds["loop"]),
                milliseconds(seconds["ours"]),
                ratio(seconds["loop"], seconds["ours"]),
                "yes" if same else "NO",
            ]
        )
    return rows


def batches(named: dict[str, Method], decoder: Decoder, rounds: int, size: int = 8) -> list[list[str]]:
    """Return a row for each method: a batch against as many calls."""
    together, alone, rows = features(decoder, 1, size), features(decoder, 1), []
    for name, method in named.items():
        seconds = interleaved(
            {
                "calls": lambda: [choose(method, alone) for _ in range(size)],  # noqa: B023
                "batch": lambda: choose(method, together),  # noqa: B023
            },
            rounds,
            decoder.device,
            progress=progress_bar(f"{name}, batch", 2 * (1 + rounds)),
        )
        rows.append(
            [
                name,
                milliseconds(seconds["calls"]),
                milliseconds(seconds["batch"]),
                ratio(seconds["calls"], seconds["batch"]),
            ]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=4096, help="of a hidden state, a multiple of 128")
    parser.add_argument("--keep", type=float, default=0.1)
    parser.add_argument("--pictures", type=int, nargs="+", default=[1, 5], help="of 576 tokens")
    parser.add_argument("--methods", nargs="+", help="by default all that have a budget")
    parser.add_argument("--only-shares", action="store_true", help="leave out loops and batches")
    options = parser.parse_args()
    decoder = Decoder(options.width, torch.device(options.device))
    names = options.methods or [name for name, cls in methods().items() if cls.takes_keep()]
    named = {name: get_method(name, keep=options.keep) for name in names}
    print(
        f"device {options.device}, width {options.width}, keep {options.keep:g}, {options.rounds} rounds, "
        f"{torch.get_num_threads()} threads\n"
    )
    slow: list[str] = []
    rows: list[list[str]] = []
    for pictures in options.pictures:
        more, too_slow = shares(named, decoder, pictures, options.rounds)
        rows, slow = rows + more, slow + too_slow
    head = ["tokens", "method", "choosing, ms", "shortened prefill, ms", "share [quartiles]", "unpruned / pruned"]
    markdown_table(head, rows)
    print(f"\nabove {MOST:.0%} ({MOST_GREEDY:.0%} one by one): {', '.join(slow) or 'none'}\n")
    if options.only_shares:
        return
    loops = against_loops(decoder, options.keep, options.rounds)
    markdown_table(["method, 576 tokens", "loop, ms", "ours, ms", "loop / ours [quartiles]", "same tokens"], loops)
    print()
    eight = batches(named, decoder, options.rounds)
    markdown_table(["method, 576 tokens", "8 calls, ms", "batch, ms", "calls / batch [quartiles]"], eight)


if __name__ == "__main__":
    main()

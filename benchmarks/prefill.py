"""Prefill of a random-weight LLaVA, unpruned and with each method attached.

    python benchmarks/prefill.py [--device cuda --dtype bfloat16 --layers 32 --width 4096 --batch 4]

The baseline is the same model with SDPA and without hooks. Ratios above 1 are speed-ups. The image
features are computed beforehand, because the vision tower costs the same for all. "hooks alone" attaches
a method that drops nothing. Decoding is timed separately, on the caches of the prefills.
"""

import argparse
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from printing import markdown_table, milliseconds, progress_bar, ratio
from transformers import CLIPVisionConfig, DynamicCache, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from vtprune.cost.timing import Stopwatch, in_turn, interleaved
from vtprune.methods import AdaptPrune, FastV, Method, NoPruning, RandomPruning

IMAGE = 3


def build(options: argparse.Namespace, device: torch.device) -> LlavaForConditionalGeneration:
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=14 * options.side,
        patch_size=14,
    )
    text = LlamaConfig(
        vocab_size=1000,
        hidden_size=options.width,
        intermediate_size=int(2.6875 * options.width),
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.heads,
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=IMAGE)
    with torch.device(device):
        model = LlavaForConditionalGeneration._from_config(
            config, dtype=getattr(torch, options.dtype), attn_implementation="sdpa"
        )
    return model.to(device).eval()


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", type=int, default=24, help="of the image's grid, in tokens")
    parser.add_argument("--text", type=int, default=64, help="text tokens of the prompt")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--new", type=int, default=16, help="tokens to decode")
    parser.add_argument("--keeps", type=float, nargs="+", default=[0.1])
    options = parser.parse_args()
    device = torch.device(options.device)
    model = build(options, device)

    text = torch.randint(4, 1000, (options.batch, options.text), device=device)
    image = torch.full((options.batch, options.side**2), IMAGE, device=device)
    ids = torch.cat((text[:, :8], image, text[:, 8:]), dim=1)
    pixels = torch.randn(options.batch, 3, 14 * options.side, 14 * options.side, device=device, dtype=model.dtype)
    encoded = {"image": model.get_image_features(pixels, return_dict=True)}

    methods: dict[str, Method] = {"unpruned": NoPruning(), "hooks alone": FastV(1.0)}
    for keep in options.keeps:
        methods[f"random {keep:.0%}"] = RandomPruning(keep)
        methods[f"fastv {keep:.0%}"] = FastV(keep)
        methods[f"adaptprune {keep:.0%}"] = AdaptPrune(keep)

    def prefill() -> DynamicCache:
        cache = DynamicCache(config=model.config.text_config)
        model(input_ids=ids, mm_encoder_outputs=dict(encoded), past_key_values=cache, logits_to_keep=1)
        return cache

    def decode(cache: DynamicCache) -> None:
        for step in range(options.new):
            position = torch.full((options.batch, 1), ids.shape[1] + step, device=device)
            model(input_ids=text[:, :1], position_ids=position, past_key_values=cache)

    def attached(name: str) -> AbstractContextManager[object]:
        return nullcontext() if name == "unpruned" else methods[name].attach(model)

    def attached_prefill(name: str) -> DynamicCache:
        with attached(name):  # attaching is part of a prefill
            return prefill()

    calls = {name: lambda name=name: attached_prefill(name) for name in methods}
    progress = progress_bar(f"prefill of {ids.shape[1]} tokens", len(calls) * (1 + options.rounds))
    seconds = interleaved(calls, options.rounds, device, progress=progress)
    decoding = decode_times(list(methods), attached, prefill, decode, options.rounds, device)
    rows = [
        [
            name,
            milliseconds(seconds[name]),
            ratio(seconds["unpruned"], seconds[name]),
            milliseconds(decoding[name]),
            ratio(decoding["unpruned"], decoding[name]),
        ]
        for name in methods
    ]
    print(
        f"device {device.type}, {options.dtype}, batch {options.batch}, {options.side**2} image and "
        f"{options.text} text tokens, {options.layers} layers of width {options.width}, {options.rounds} rounds, "
        f"{torch.get_num_threads()} threads\n"
    )
    header = ["method", "prefill, ms", "speed-up [quartiles]", f"{options.new} tokens, ms", "speed-up [quartiles]"]
    markdown_table(header, rows)


def decode_times(
    names: list[str],
    attached: Callable[[str], AbstractContextManager[object]],
    prefill: Callable[[], DynamicCache],
    decode: Callable[[DynamicCache], None],
    rounds: int,
    device: torch.device,
) -> Mapping[str, list[float]]:
    """Return the seconds of decoding alone; every decoding begins with the cache of a new prefill."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    stopwatch = Stopwatch(device)
    for index in range(1 + rounds):
        for name in in_turn(names, index):
            with attached(name):
                cache = prefill()
                stopwatch.start()
                decode(cache)
                took = stopwatch.lap()
            if index >= 1:
                seconds[name].append(took)
    return seconds


if __name__ == "__main__":
    main()

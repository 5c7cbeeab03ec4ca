"""Small data sets in the Hub schemas: a few rows each, written in a second."""

from pathlib import Path

from PIL import Image

from vtstudy.benchmarks import MMBENCH_CATEGORIES, MME_COGNITION, MME_PERCEPTION
from vtstudy.world.datasets import make_benchmark
from vtstudy.world.hub_rows import CHARTQA_SPLITS, POPE_CATEGORIES, TABLES, write_benchmark
from vtstudy.world.items import Item

COLORS = ("red", "green", "blue", "yellow")
SHAPES = ("cup", "boat", "lamp", "tree")
SCENES = ("on the sunny beach", "in a dark room", "near the old house", "under the bright moon")


def image(n: int) -> Image.Image:
    """A picture of one colour, which depends on the number."""
    return Image.new("RGB", (24, 24), (20 + 40 * (n % 5), 10 * n % 256, 99))


def items_of(name: str) -> list[Item]:
    """A few questions, on separate images where the data set needs that; the world's own for other benchmarks."""

    def item(n, question, answers, **more):
        return Item(name, f"{name}-{n}", question, tuple(answers), **more)

    words = list(zip(COLORS, SHAPES, SCENES, strict=True))
    if name in ("nocaps", "flickr30k"):
        return [
            item(n, "", [f"A {c} {s} stands {w}.", f"There is one {c} {s} {w}."]) for n, (c, s, w) in enumerate(words)
        ]
    if name == "mme":
        return [
            item(n, f"Is this {category}?", [answer], category=category)
            for n, category in enumerate((*MME_PERCEPTION, *MME_COGNITION))
            for answer in ("Yes", "No")
        ]
    if name == "pope":
        return [
            item(n, f"Is there a {s}?", [answer], category=category)
            for n, s in enumerate(SHAPES)
            for category in POPE_CATEGORIES
            for answer in ("yes", "no")
        ]
    if name == "mmbench":
        leaves = [leaf for group in MMBENCH_CATEGORIES.values() for leaf in group]
        return [
            item(
                n,
                "What is it?",
                ["ABCD"[n % (2 + n % 3)]],
                category=leaf,
                options=tuple(SHAPES[: 2 + n % 3]),
            )
            for n, leaf in enumerate(leaves)
        ]
    if name == "chartqa":
        return [
            item(n, "How high is the red bar?", [str(10 * n + 10)], category=category)
            for n, category in enumerate(CHARTQA_SPLITS * 2)
        ]
    if name in ("vqav2", "gqa", "okvqa", "vizwiz", "textvqa", "docvqa"):
        answers = TABLES[name].answers or 2
        return [
            item(n, f"What color is the {shape.title()}?", [color] * answers, words=(color.upper(), "42"))
            for n, (color, shape, _) in enumerate(words)
        ]
    items, _ = make_benchmark(name, 4, seed=0)
    return items


def write(root: Path, name: str) -> list[Item]:
    """Write a benchmark's data set below `root`, and return its items."""
    items = items_of(name)
    pictures = {id_: image(n) for n, id_ in enumerate(dict.fromkeys(i.image_id for i in items))}
    write_benchmark(root, name, items, pictures)
    return items

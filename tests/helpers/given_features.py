"""Features that methods are given, and what they select from them, shared by the tests of this folder."""

from dataclasses import fields, replace

import torch

from vtprune.features import Features, Patches, Text
from vtprune.ops import grid_positions
from vtprune.ops.indexing import mask_from_indices


def features(height=4, width=4, rows=2, seed=0, images=None) -> Features:
    """Random features; ``images`` is a list of (height, width), one image each, in place of a single one."""
    grids = images or [(height, width)]
    generator = torch.Generator().manual_seed(seed)
    sizes = [down * across for down, across in grids]
    n = sum(sizes)
    attention = torch.rand(rows, n, generator=generator)
    keys = {normalised: torch.randn(rows, n, 8, generator=generator) for normalised in (False, True)}
    received = tuple(torch.rand(2, rows, n, generator=generator))
    tower = torch.rand(rows, n, generator=generator), torch.randn(rows, n, 4, generator=generator)
    text, states = words(rows, generator), torch.randn(rows, n + WORDS, 8, generator=generator)
    last_keys, paid = torch.randn_like(states), torch.rand(rows, WORDS, n, generator=generator)
    sizes = torch.tensor(sizes)
    return Features(
        valid=torch.ones(rows, n, dtype=torch.bool),
        positions=torch.cat([grid_positions(*grid) for grid in grids]).expand(rows, -1, -1),
        grids=torch.tensor(grids).repeat_interleave(sizes, dim=0).expand(rows, n, 2),
        image=torch.arange(len(grids)).repeat_interleave(sizes).expand(rows, -1),
        attention=lambda: attention,
        received=lambda: received,
        keys=keys.__getitem__,
        embeddings=lambda: keys[False],
        fingerprint=lambda: [bytes([row]) for row in range(rows)],
        tower=lambda: Patches(*tower, torch.ones(rows, n, dtype=torch.bool)),
        text=lambda: text,
        at_first=lambda: torch.ones(rows, n, dtype=torch.bool),
        hidden=lambda: states[:, :n],
        final=lambda: (states[:, :n], states[:, n:]),
        last_keys=lambda: (last_keys[:, :n], last_keys[:, n:]),
        paid_by_text=lambda: paid,
    )


WORDS = 7


def words(rows, generator) -> Text:
    """Random text: two tokens before the image, and after it five, four, three ... in the rows."""
    present = torch.arange(WORDS) < WORDS - torch.arange(rows)[:, None] % 5
    return Text(
        torch.randint(5, 60, (rows, WORDS), generator=generator),
        torch.randn(rows, WORDS, 8, generator=generator),
        present,
        present & (torch.arange(WORDS) >= 2),
    )


def on(device: str, given: Features) -> Features:
    """The same features on another device."""
    moved = {f.name: getattr(given, f.name).to(device) for f in fields(Features) if f.type is torch.Tensor}
    return replace(
        given,
        **moved,
        attention=lambda: given.attention().to(device),
        received=lambda: tuple(part.to(device) for part in given.received()),
        keys=lambda normalised: given.keys(normalised).to(device),
        embeddings=lambda: given.embeddings().to(device),
        tower=lambda: Patches(*(part.to(device) for part in given.tower())),
        text=lambda: Text(*(part.to(device) for part in given.text())),
        at_first=lambda: given.at_first().to(device),
        hidden=lambda: given.hidden().to(device),
        final=lambda: tuple(part.to(device) for part in given.final()),
        last_keys=lambda: tuple(part.to(device) for part in given.last_keys()),
        paid_by_text=lambda: given.paid_by_text().to(device),
    )


def of_row(given: Features, row: int) -> Features:
    """One row of the features."""

    def cut(value):
        if isinstance(value, (Text, Patches)):
            return type(value)(*map(cut, value))
        return tuple(map(cut, value)) if isinstance(value, tuple) else value[row : row + 1]

    def later(function):
        return lambda *arguments: cut(function(*arguments))

    return Features(
        **{
            field.name: later(value) if callable(value) else cut(value)
            for field in fields(Features)
            for value in [getattr(given, field.name)]
        }
    )


def select(method, given: Features) -> list[list[int]]:
    """What is left after all of a method's stages, as its last one ranks it."""
    goal = None
    for stage in method.stages():
        counts, goal = stage.counts(given, goal)
        chosen = stage.ranking.select(given, counts)
        given = replace(given, valid=mask_from_indices(chosen, given.valid.shape[1]))
    return [[i for i in row if i >= 0] for row in chosen.tolist()]


def with_newlines(given: Features, image: int) -> Features:
    """The same features, in which the last column of an image's grid is newline tokens: equal, and from no patch."""
    newline = (given.image == image) & (given.positions[..., 1] == given.grids[..., 1] - 1)
    attention, keys, present = given.tower()
    embeddings = given.embeddings().masked_fill(newline[..., None], 0.25)
    patches = Patches(
        attention.masked_fill(newline, 0), keys.masked_fill(newline[..., None], 0), present & ~newline & given.valid
    )
    return replace(given, embeddings=lambda: embeddings, tower=lambda: patches)


def constant(given: Features) -> Features:
    """The same features of flat images: all tokens alike, with equal attention."""
    attention, keys, present = given.tower()
    embeddings = torch.ones_like(given.embeddings()) * 0.3
    flat = Patches(torch.full_like(attention, 0.125), torch.ones_like(keys) * 0.7, present)
    return replace(given, embeddings=lambda: embeddings, tower=lambda: flat)


def of_type(given: Features, dtype: torch.dtype, scale: float = 1.0) -> Features:
    """The same features with embeddings and keys of another type, after multiplying them."""
    attention, keys, present = given.tower()
    embeddings = (given.embeddings() * scale).to(dtype)
    patches = Patches(attention, (keys * scale).to(dtype), present)
    return replace(given, embeddings=lambda: embeddings, tower=lambda: patches)

"""The kinds of evidence, and the words that each may use. Kinds are never added up.

An answer of a small model that this repository trained says nothing about a printed number: it can agree with a claim's
direction, or not. "Reproduced" and "differs" are kept for the paper's own checkpoints.
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What a verdict rests on."""

    PAPER = "paper"
    EXACT = "exact"
    STAND_IN = "stand-in"
    CHECKPOINT = "checkpoint"


class Outcome(StrEnum):
    """What comparisons say of a claim, before it is put into the words of a kind of evidence."""

    SUPPORTS = "supports"
    CONTRADICTS = "contradicts"
    OPEN = "undecided"
    UNTESTABLE = "cannot be tested"
    MISSING = "missing"


CONSISTENT, INCONSISTENT, NOT_PRINTED = "consistent", "inconsistent", "not printed"
AGREES, AGREES_OTHERWISE, DISAGREES = "agrees", "agrees only under another convention", "does not agree"
SAME, OPPOSITE, CANNOT_TELL, UNTESTABLE = (
    "same direction",
    "opposite direction",
    "cannot tell",
    "cannot be tested here",
)
REPRODUCED, DIFFERS, NOT_RUN = "reproduced", "differs", "not run"

_ALWAYS = {Outcome.OPEN: CANNOT_TELL, Outcome.UNTESTABLE: UNTESTABLE, Outcome.MISSING: NOT_RUN}
_WORDS: dict[Kind, dict[Outcome, str]] = {
    Kind.PAPER: {Outcome.SUPPORTS: CONSISTENT, Outcome.CONTRADICTS: INCONSISTENT, Outcome.MISSING: NOT_PRINTED},
    Kind.EXACT: {Outcome.SUPPORTS: AGREES, Outcome.CONTRADICTS: DISAGREES},
    Kind.STAND_IN: {Outcome.SUPPORTS: SAME, Outcome.CONTRADICTS: OPPOSITE},
    Kind.CHECKPOINT: {Outcome.SUPPORTS: REPRODUCED, Outcome.CONTRADICTS: DIFFERS},
}
TITLES = {
    Kind.PAPER: "The paper’s numbers against each other",
    Kind.EXACT: "Exact arithmetic",
    Kind.STAND_IN: "Stand-ins",
    Kind.CHECKPOINT: "The papers’ checkpoints",
}
"""Headings for readers."""


def word(kind: Kind, outcome: Outcome) -> str:
    """The word that a kind of evidence has for an outcome."""
    return _WORDS[kind].get(outcome) or _ALWAYS[outcome]


def words(kind: Kind) -> list[str]:
    """All words of a kind, the claim's side first."""
    return list(dict.fromkeys(word(kind, outcome) for outcome in Outcome))

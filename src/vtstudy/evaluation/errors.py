"""Errors of an evaluation that the user can correct."""

from vtprune.errors import UserError


class EvaluationError(UserError):
    """An evaluation that cannot be run, or whose result cannot be trusted."""


class CacheError(EvaluationError):
    """A cache that cannot be written, or a damaged file in it."""

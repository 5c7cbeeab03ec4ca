"""Errors of an evaluation that a user can mend."""

from vtprune.errors import UserError


class EvaluationError(UserError):
    """An evaluation that cannot be run or whose result cannot be trusted."""


class StoreError(EvaluationError):
    """A prediction store that cannot be written, or that holds what it should not."""

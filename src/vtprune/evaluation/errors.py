"""What a user can do something about: the message is one sentence."""


class EvaluationError(Exception):
    """An evaluation that cannot be run or whose result cannot be trusted."""


class StoreError(EvaluationError):
    """A prediction store that cannot be written, or that holds what it should not."""

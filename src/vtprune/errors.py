"""Errors that a user can correct."""


class UserError(ValueError):
    """Base of all errors that a user can correct.

    The message is one sentence that says what was wrong and what would be right. The commands print the message and
    exit with code 2. Any other exception is a defect of vtprune and keeps its traceback.
    """


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or of a family that is not supported."""

"""Errors that a user can correct."""

import errno


class UserError(ValueError):
    """Base of all errors that a user can correct.

    The message is one sentence that says what was wrong and what would be right. The commands print the message and
    exit with code 2. Any other exception is a defect of vtprune and keeps its traceback.
    """


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or of a family that is not supported."""


class NotFiniteError(UserError):
    """What a method chooses by holds NaN or infinity, so that any choice would be arbitrary."""


def conversion_hint(architecture: object) -> str:
    """What to do with a checkpoint whose format is its authors', for the end of a message; "" where nothing helps."""
    if architecture == "InternVLChatModel":
        return " (InternVL2-2B and -8B can be converted: vtprune convert SOURCE TARGET)"
    return ""


def lock_hint(error: BaseException | None) -> str:
    """What to do where a disk has no locks, for the end of a message; "" for other errors.

    vtprune locks no file, but the libraries of the Hub lock those of their caches.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOLCK, errno.ENOSYS):
        return ": the disk of a cache has no locks, as many network disks; set HF_HOME to a folder on a local disk"
    return ""

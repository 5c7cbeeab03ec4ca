"""The error of the report."""

from vtprune.errors import UserError


class ReportError(UserError):
    """The report cannot be made from these files; the message is one sentence for the reader."""

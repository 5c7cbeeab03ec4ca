"""The explorer: a page on which a reader looks at pictures, surviving image tokens and answers."""

from vtstudy.report.explorer.page import write_explorer

__all__ = ["write_explorer"]

"""The report: every published number beside ours, claims judged, all text made from the numbers.

``build_report`` is the interface; ``python -m vtprune.reporting`` calls it. Nothing here
imports another layer: the report reads files alone.
"""

from .build import build_report
from .inputs import ReportError

__all__ = ["ReportError", "build_report"]

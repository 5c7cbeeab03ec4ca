"""The report: every published number beside ours, claims judged, all text made from the numbers.

``build_report`` is the interface; ``python -m vtstudy.report`` calls it. Nothing here
imports another layer: the report reads files alone.
"""

from vtstudy.report.build import build_report
from vtstudy.report.results import ReportError

__all__ = ["ReportError", "build_report"]

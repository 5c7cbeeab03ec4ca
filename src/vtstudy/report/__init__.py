"""The report: every published number beside ours, verdicts on the papers' claims, charts; all text made from numbers.

`build_report` writes it, and `vtstudy.report.notebooks.render_notebooks` writes the notebooks as pages. Nothing here
imports the evaluation or the experiments: the report reads their files.
"""

from vtstudy.report.build import build_report
from vtstudy.report.errors import ReportError

__all__ = ["ReportError", "build_report"]

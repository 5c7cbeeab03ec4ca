"""``python -m vtstudy.report``: write the report."""

from __future__ import annotations

import argparse
import sys

from vtstudy.report.build import build_report
from vtstudy.report.results import ReportError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m vtstudy.report", description="Write the report.")
    parser.add_argument("--results", default="reports/results.csv", help="our measurements")
    parser.add_argument("--provenance", default="reports/provenance.json", help="what was run, on what")
    parser.add_argument("--params", default="params.yaml", help="holds report.tolerances and models")
    parser.add_argument("--published", default="data/published", help="folder of adaptprune.csv and claims.yaml")
    parser.add_argument("--figures", default="reports/results", help="folder of the figures' experiments' files")
    parser.add_argument(
        "--tables", nargs="*", default=[], metavar="CSV", help="other results that claims read, such as timings.csv"
    )
    parser.add_argument("--out", default="reports", help="where the report is written")
    arguments = parser.parse_args(argv)
    try:
        page = build_report(**vars(arguments))
    except (ReportError, OSError) as error:
        print(f"vtprune report: {error}", file=sys.stderr)
        return 2
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Make the report: read the inputs, judge them, draw the charts, write the pages and tables."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import jinja2
import pandas as pd

from vtstudy.report.captions import CAPTIONS, embedded
from vtstudy.report.explorer import write_explorer
from vtstudy.report.inputs import Folders, load
from vtstudy.report.readme import fill_readme
from vtstudy.report.verdicts.claims import claims_frame, comparisons_frame
from vtstudy.report.verdicts.printed_values import printed_values_frame
from vtstudy.report.view import View, build_view

TEMPLATES = Path(__file__).parent / "templates"


def build_report(
    reports: str | Path = "reports/miniature",
    published: str | Path = "data/published",
    params: str | Path = "params.yaml",
    out: str | Path | None = None,
    readme: str | Path | None = None,
) -> Path:
    """Write the report: index.html, README.md, the verdicts as CSV files, and figures/ with captions.csv.

    The first paper's verdicts are in verdicts.csv, claims.csv and claim_items.csv; the second paper's files end in
    `_eadaprune`.

    Args:
        reports: folder of results.csv, provenance.json and `results/`, the experiments' other files. What an
            experiment did not write was not run.
        published: folder of the papers' printed values and claims.
        params: the file that declares the tolerances and the models.
        out: where the report is written; by default the folder `reports`.
        readme: a README whose table of results is filled, too.

    Returns:
        The path of index.html.

    Raises:
        UserError: if an input is missing or wrong.
    """
    inputs = load(Folders(Path(reports), Path(published), Path(params)))
    out = Path(reports if out is None else out)
    out.mkdir(parents=True, exist_ok=True)
    view = build_view(inputs, out / "figures")
    write_explorer(inputs.folders.data / "explorer", out / "explorer")
    for name, frame in _tables(view).items():
        frame.to_csv(out / name, index=False, lineterminator="\n")
    (out / "README.md").write_text(_render("report.md.j2", view), encoding="utf-8")
    page = out / "index.html"
    page.write_text(
        _render("report.html.j2", view, embed=lambda name: embedded(out / "figures" / f"{name}.png")), encoding="utf-8"
    )
    if readme is not None:
        fill_readme(Path(readme), inputs)
    return page


def _tables(view: View) -> dict[str, pd.DataFrame]:
    """The CSV files by name."""
    return {
        "verdicts.csv": printed_values_frame(view.printed_values),
        "claims.csv": claims_frame(view.claims),
        "claim_items.csv": comparisons_frame(view.claims),
        "verdicts_eadaprune.csv": view.second.published_frame(),
        "claims_eadaprune.csv": claims_frame(view.second.claims),
        "claim_items_eadaprune.csv": comparisons_frame(view.second.claims),
        f"figures/{CAPTIONS}": pd.DataFrame([vars(chart) for chart in view.charts]),
    }


def _render(name: str, view: View, **more: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=name.endswith(".html.j2"),
        keep_trailing_newline=True,
    )
    environment.filters["md"] = lambda value: str(value).replace("|", "\\|").replace("\n", " ")
    shown = {entry.name: getattr(view, entry.name) for entry in fields(view)}
    return environment.get_template(name).render(shown, failing_on_paper=view.failing_on_paper, **more)

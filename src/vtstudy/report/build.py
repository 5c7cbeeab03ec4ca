"""Read, judge, draw, write."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import jinja2
import pandas as pd

from vtstudy.report.claims import claims_frame, items_frame, judge_claims
from vtstudy.report.eadaprune import second_paper
from vtstudy.report.figures import Figure
from vtstudy.report.notebook_tables import CAPTIONS
from vtstudy.report.printed_values import cells_frame, judge_cells
from vtstudy.report.results import load
from vtstudy.report.view import KEY_MODEL, build_view

TEMPLATES = Path(__file__).parent / "templates"


def build_report(
    results: str | Path = "reports/results.csv",
    provenance: str | Path = "reports/provenance.json",
    params: str | Path = "params.yaml",
    published: str | Path = "data/published",
    figures: str | Path = "reports/results",
    tables: Sequence[str | Path] = (),
    out: str | Path = "reports",
) -> Path:
    """Write index.html, README.md, verdicts.csv, claims.csv, claim_items.csv and figures/ with their captions to ``out``; the second
    paper's are verdicts_eadaprune.csv, claims_eadaprune.csv and claim_items_eadaprune.csv.

    Returns the page's path. ``tables`` are CSVs of other results than scores, which claims read by name.

    ``figures`` is the folder of what the figures' experiments wrote: ``figure1/`` and so on.
    Raises ``ReportError`` with one sentence when an input is missing or wrong.
    """
    out = Path(out)
    inputs = load(Path(results), Path(provenance), Path(params), Path(published), [Path(table) for table in tables])
    cells, claims = judge_cells(inputs), judge_claims(inputs)
    out.mkdir(parents=True, exist_ok=True)
    second = second_paper(inputs, Path(published), Path(figures), out / "figures", inputs.results.model_for(KEY_MODEL))
    view = build_view(inputs, cells, claims, Path(figures), out) | {"second": second}
    _write(out / "verdicts.csv", cells_frame(cells))
    _write(out / "claims.csv", claims_frame(claims))
    _write(out / "claim_items.csv", items_frame(claims))
    _write(out / "verdicts_eadaprune.csv", second.frame())
    _write(out / "claims_eadaprune.csv", claims_frame(second.claims))
    _write(out / "claim_items_eadaprune.csv", items_frame(second.claims))
    _write(out / "figures" / CAPTIONS, pd.DataFrame([vars(chart) for chart in _charts(view)]))
    (out / "README.md").write_text(_render("report.md.j2", view), encoding="utf-8")
    page = out / "index.html"
    page.write_text(_render("report.html.j2", view | {"embed": _embedder(out / "figures")}), encoding="utf-8")
    return page


def _charts(view: dict) -> list[Figure]:
    """All figures of the report, in its order."""
    groups = [[view["overview"]["chart"]] if view["overview"] else [], *(study["charts"] for study in view["studies"])]
    groups += [section.charts for section in (*view["pictured"], *view["second"].parts)]
    return [chart for group in groups for chart in group]


def _write(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(path, index=False, lineterminator="\n")


def _render(name: str, view: dict) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=name.endswith(".html.j2"),
        keep_trailing_newline=True,
    )
    environment.filters["md"] = lambda value: str(value).replace("|", "\\|").replace("\n", " ")
    return environment.get_template(name).render(view)


def _embedder(folder: Path):
    """PNG as a data URI: the page is one file that opens anywhere."""

    def embed(name: str) -> str:
        return "data:image/png;base64," + base64.b64encode((folder / f"{name}.png").read_bytes()).decode()

    return embed

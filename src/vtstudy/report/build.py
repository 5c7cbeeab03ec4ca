"""Make the report: read the inputs, judge them, draw the charts, write the pages and tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path

import pandas as pd

from vtstudy.report.captions import CAPTIONED, CAPTIONS
from vtstudy.report.charts.drawing import write_charts
from vtstudy.report.claim_rows import items_table
from vtstudy.report.explorer import write_explorer
from vtstudy.report.inputs import Folders, load
from vtstudy.report.links import EXPLORER, NOTEBOOK_OF, links, pages_of, to_html_address
from vtstudy.report.method_table import markdown_table
from vtstudy.report.notebook_answers import FILE as ANSWERS
from vtstudy.report.notebook_answers import write_answers
from vtstudy.report.page_tables import block_table, published_table
from vtstudy.report.readme import fill_readme, readme_blocks
from vtstudy.report.rendering import fill, page
from vtstudy.report.verdicts.claims import claims_frame, comparisons_frame
from vtstudy.report.verdicts.printed_values import printed_values_frame
from vtstudy.report.view import View, build_view

PAGES = "pages"
"""Folder of all pages but the first."""


def build_report(
    reports: str | Path = "reports/miniature",
    published: str | Path = "data/published",
    params: str | Path = "params.yaml",
    out: str | Path | None = None,
    readme: str | Path | None = None,
) -> Path:
    """Write the report: index.html, its linked pages in pages/, the verdicts as CSV files, and figures/.

    Each page is written as Markdown, too: the first as README.md. The first paper's verdicts are in verdicts.csv,
    claims.csv and claim_items.csv; the second paper's files end in `_eadaprune`.
    notebook_answers.json holds what the notebooks answer. Charts are drawn by several processes, which import the main
    module again: a script makes the report below `if __name__ == "__main__":`.

    Args:
        reports: folder of results.csv, provenance.json and `results/`, the experiments' other files. What an
            experiment did not write was not run.
        published: folder of the papers' printed values and claims.
        params: the file that declares the tolerances and the models.
        out: where the report is written; by default the folder `reports`.
        readme: a README whose marked parts are filled, too.

    Returns:
        The path of index.html.

    Raises:
        UserError: if an input is missing or wrong.
    """
    inputs = load(Folders(Path(reports), Path(published), Path(params)))
    out = Path(reports if out is None else out)
    _empty(out / "figures")
    _empty(out / PAGES)
    view = build_view(inputs)
    write_charts(view.charts, out / "figures")
    write_explorer(inputs.folders.data / "explorer", out / "explorer")
    for name, frame in _tables(view).items():
        frame.to_csv(out / name, index=False, lineterminator="\n")
    for name, text in pages(view).items():
        (out / name).write_text(text, encoding="utf-8")
    write_answers(view.notebooks, out / ANSWERS)
    if readme is not None:
        fill_readme(Path(readme), readme_blocks(view, Path(reports).as_posix()))
    return out / "index.html"


def _empty(folder: Path) -> None:
    """Make a folder without files: what an earlier report had, and this one has not, must not stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()


def pages(view: View) -> dict[str, str]:
    """All pages by file name: the Markdown, and the HTML made from it."""
    written: dict[str, str] = {}
    nav = pages_of(view)
    main = _markdown(view, "main.md.j2", nav=nav)
    written |= _both("README", "index", main, view, nav)
    parts: list[tuple[str, str, dict[str, object]]] = [
        ("claims", "claims.md.j2", {}),
        ("figures", "figures.md.j2", {}),
        ("printed-values", "printed.md.j2", {}),
        ("layers", "layers.md.j2", {}),
        ("costs", "costs.md.j2", {}),
        ("eadaprune", "eadaprune.md.j2", {}),
        ("provenance", "provenance.md.j2", {}),
    ]
    parts += [(model.name, "model.md.j2", {"m": model}) for model in view.model_pages]
    for name, template, more in parts:
        written |= _both(f"{PAGES}/{name}", f"{PAGES}/{name}", _markdown(view, template, **more), view, nav)
    return written


def _both(markdown: str, html: str, text: str, view: View, nav: list[tuple[str, str]]) -> dict[str, str]:
    up = "../" if "/" in html else ""
    link: Callable[[str], str] = partial(to_html_address, up=up)
    shown = [(title, link(up + address)) for title, address in nav]
    description = f"{view.answers[0].question} {view.answers[0].verdict.capitalize()}."
    return {f"{markdown}.md": text, f"{html}.html": page(text, description, shown, link)}


def _markdown(view: View, template: str, **more: object) -> str:
    shown = {entry.name: getattr(view, entry.name) for entry in fields(view)}
    return fill(
        template,
        **shown,
        contradictions=view.contradictions,
        links=links(),
        notebook_of=NOTEBOOK_OF,
        explorer=EXPLORER if view.has_explorer else "",
        method_rows=markdown_table(view.methods).markdown() if view.methods.rows else "",
        items=lambda claim: items_table(claim).markdown(),
        block_table=lambda block: block_table(block).markdown(),
        published_table=published_table(view.second.published).markdown(),
        **more,
    )


def _tables(view: View) -> dict[str, pd.DataFrame]:
    """The CSV files by name."""
    return {
        "verdicts.csv": printed_values_frame(view.printed_values),
        "claims.csv": claims_frame(view.claims),
        "claim_items.csv": comparisons_frame(view.claims),
        "verdicts_eadaprune.csv": view.second.published_frame(),
        "claims_eadaprune.csv": claims_frame(view.second.claims),
        "claim_items_eadaprune.csv": comparisons_frame(view.second.claims),
        f"figures/{CAPTIONS}": pd.DataFrame(
            [{name: getattr(chart, name) for name in CAPTIONED} for chart in view.charts]
        ),
    }

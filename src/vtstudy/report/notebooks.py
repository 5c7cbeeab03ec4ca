"""Execute the notebooks and write each as a page that links to the report beside it."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from vtlaunch import available_cpus
from vtstudy.report.captions import ENDINGS, captioned, drawn, embedded
from vtstudy.report.errors import ReportError
from vtstudy.report.links import to_html_address

if TYPE_CHECKING:
    from nbformat import NotebookNode

TEMPLATES = Path(__file__).parent / "templates"
REPORTS = "../reports/miniature"
"""The report that the notebooks read as they stand, from where they lie."""
CELL_TIMEOUT = 300
"""Seconds that one cell may take."""
_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def render_notebooks(
    notebooks: str | Path = "notebooks", reports: str | Path = "reports/miniature", without: Collection[str] = ()
) -> list[Path]:
    """Execute every notebook of a folder, in the folder, and write `<reports>/notebooks/<name>.html` without code.

    A page shows the report's figures from their folder; other pictures are in the page itself. The notebooks stay
    unchanged. They name the miniature's report; the report of another profile is read in
    its place. The same notebooks and reports give the same bytes: no times, no random identifiers, nothing from the
    network.

    Args:
        notebooks: the folder; a notebook's name begins with a digit.
        reports: folder of the report that is read.
        without: cells with one of these tags are left out.

    Returns:
        The pages.

    Raises:
        ReportError: if there are no notebooks, if one cannot be read or fails, or if it shows a figure that does not
            exist.
    """
    from tqdm import tqdm

    folder, out = Path(notebooks), Path(reports) / "notebooks"
    place = Path(os.path.relpath(reports, folder)).as_posix()
    paths = sorted(folder.glob("[0-9]*.ipynb"))
    if not paths:
        raise ReportError(f"There are no notebooks in {folder}.")
    read = {path: _read(path, place, without) for path in paths}
    titles = {path.stem: _title(notebook) for path, notebook in read.items()}
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), keep_trailing_newline=True)
    template = environment.get_template("notebook.html.j2")
    out.mkdir(parents=True, exist_ok=True)
    pages = []
    # Each notebook runs in a process of its own; the threads here only wait for these.
    with ThreadPoolExecutor(max_workers=available_cpus()) as pool:
        made = pool.map(_body, paths, read.values(), repeat(place))
        for path, body in zip(paths, tqdm(made, "notebooks", len(paths), unit="notebook"), strict=True):
            page = out / f"{path.stem}.html"
            page.write_text(template.render(name=path.stem, titles=titles, body=body), encoding="utf-8")
            pages.append(page)
    return pages


def _read(path: Path, reports: str, without: Collection[str]) -> NotebookNode:
    """A notebook without the cells that have one of the tags, reading this folder of a report."""
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        raise ReportError(f"{path} is not a readable notebook ({str(error).splitlines()[0]}).") from error
    notebook.cells = [cell for cell in notebook.cells if not set(without) & set(cell.metadata.get("tags", ()))]
    for cell in notebook.cells:
        cell.source = cell.source.replace(f"{REPORTS}/", f"{reports}/")
        if cell.cell_type == "markdown":
            for image in _IMAGE.finditer(cell.source):
                if not drawn(path.parent / image["target"]).is_file():
                    raise ReportError(f"{path} shows {image['target']}, which does not exist; run the report first.")
    return notebook


def _title(notebook: NotebookNode) -> str:
    """The first heading, escaped for HTML."""
    lines = [line for cell in notebook.cells for line in cell.source.splitlines()]
    return html.escape(next((line.removeprefix("# ") for line in lines if line.startswith("# ")), ""))


def _body(path: Path, notebook: NotebookNode, reports: str) -> str:
    """The executed notebook as HTML, with its links as the page needs them."""
    # These take seconds to import, and only this command needs them.
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbconvert import HTMLExporter

    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=CELL_TIMEOUT, kernel_name="python3", record_timing=False, resources=resources
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise ReportError(f"{path} fails: {error.ename}: {error.evalue}.") from error
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _IMAGE.sub(lambda image: _as_html(image, path.parent), cell.source)
    exporter = HTMLExporter(
        template_name="basic",
        exclude_input=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    body, _ = exporter.from_notebook_node(notebook, resources)
    return _linked(body, path.parent, reports)


def _linked(body: str, folder: Path, reports: str) -> str:
    """The page with links to the report's pages, to other notebooks' pages, and to the report's figures.

    Args:
        body: as the notebook has it; figures are embedded.
        folder: of the notebooks.
        reports: folder of the report, as seen from there.
    """
    for figure in sorted((folder / reports / "figures").glob("*.*")):
        if figure.suffix in ENDINGS:
            body = body.replace(embedded(figure), f"../figures/{figure.name}")
    to_report = re.compile(rf'href="{re.escape(reports)}/([^"]*)"')
    body = to_report.sub(lambda link: f'href="../{to_html_address(link[1])}"', body)
    return re.sub(r'href="([\w-]+)\.ipynb"', r'href="\1.html"', body)


def _as_html(image: re.Match[str], folder: Path) -> str:
    """A Markdown image as HTML, the file embedded; a figure of the report has its caption.

    nbconvert itself embeds only files below the notebook's folder.
    """
    path = folder / image["target"]
    return captioned(path) or f'<img src="{embedded(path)}" alt="{html.escape(image["alt"])}">'

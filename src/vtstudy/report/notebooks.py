"""Execute the notebooks and write each as one self-contained page."""

from __future__ import annotations

import html
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from vtlaunch import available_cpus
from vtstudy.report.captions import captioned, embedded
from vtstudy.report.errors import ReportError

if TYPE_CHECKING:
    from nbformat import NotebookNode

TEMPLATES = Path(__file__).parent / "templates"
CELL_TIMEOUT = 300
"""Seconds that one cell may take."""
_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def render_notebooks(notebooks: str | Path = "notebooks", out: str | Path = "reports/notebooks") -> list[Path]:
    """Execute every notebook of a folder, in the folder, and write `<out>/<name>.html`; the pages show no code.

    The notebooks themselves stay unchanged. The same notebooks and reports give the same bytes: no times, no random
    identifiers, nothing from the network.

    Args:
        notebooks: the folder; a notebook's name begins with a digit.
        out: folder of the pages.

    Returns:
        The pages.

    Raises:
        ReportError: if there are no notebooks, if one cannot be read or fails, or if it shows a figure that does not
            exist.
    """
    from tqdm import tqdm

    folder, out = Path(notebooks), Path(out)
    paths = sorted(folder.glob("[0-9]*.ipynb"))
    if not paths:
        raise ReportError(f"There are no notebooks in {folder}.")
    titles = {path.stem: _title(_read(path)) for path in paths}
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), keep_trailing_newline=True)
    template = environment.get_template("notebook.html.j2")
    out.mkdir(parents=True, exist_ok=True)
    pages = []
    # Each notebook runs in a process of its own; the threads here only wait for these.
    with ThreadPoolExecutor(max_workers=available_cpus()) as pool:
        for path, body in zip(
            paths, tqdm(pool.map(_body, paths), "notebooks", len(paths), unit="notebook"), strict=True
        ):
            page = out / f"{path.stem}.html"
            page.write_text(template.render(name=path.stem, titles=titles, body=body), encoding="utf-8")
            pages.append(page)
    return pages


def _read(path: Path) -> NotebookNode:
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        raise ReportError(f"{path} is not a readable notebook ({str(error).splitlines()[0]}).") from error
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for image in _IMAGE.finditer(cell.source):
                if not (path.parent / image["target"]).is_file():
                    raise ReportError(f"{path} shows {image['target']}, which does not exist; run the report first.")
    return notebook


def _title(notebook: NotebookNode) -> str:
    """The first heading, escaped for HTML."""
    lines = [line for cell in notebook.cells for line in cell.source.splitlines()]
    return html.escape(next((line.removeprefix("# ") for line in lines if line.startswith("# ")), ""))


def _body(path: Path) -> str:
    """The executed notebook as HTML, its images embedded, figures of the report with their captions."""
    # These take seconds to import, and only this command needs them.
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbconvert import HTMLExporter

    notebook, resources = _read(path), {"metadata": {"path": str(path.parent)}}
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
    return body


def _as_html(image: re.Match[str], folder: Path) -> str:
    """A Markdown image as HTML, the file embedded; a figure of the report has its caption.

    nbconvert itself embeds only files below the notebook's folder.
    """
    path = folder / image["target"]
    return captioned(path) or f'<img src="{embedded(path)}" alt="{html.escape(image["alt"])}">'

"""``python -m vtstudy.report.notebooks``: execute the notebooks and write each as one self-contained page."""

from __future__ import annotations

import argparse
import base64
import html
import re
import sys
from pathlib import Path

from vtstudy.report.build import TEMPLATES
from vtstudy.report.notebook_tables import captioned
from vtstudy.report.results import ReportError

TIMEOUT = 300  # seconds for one cell
_IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")


def render(notebooks: Path, out: Path) -> list[Path]:
    """Execute every notebook of a folder, in the folder, and write ``<out>/<name>.html``; returns the pages.

    The notebooks themselves stay as they are. The same notebooks and reports give the same bytes:
    no times, no random identifiers, nothing from the network. The pages show no code.

    Raises:
        ReportError: if there are none, one cannot be read or fails, or shows a figure that is not there.
    """
    from tqdm import tqdm

    paths = sorted(notebooks.glob("[0-9]*.ipynb"))
    if not paths:
        raise ReportError(f"there are no notebooks in {notebooks}.")
    titles = {path: _title(_read(path)) for path in paths}
    out.mkdir(parents=True, exist_ok=True)
    pages = []
    for path in tqdm(paths, desc="notebooks", unit="notebook"):
        page = out / f"{path.stem}.html"
        page.write_text(_page(_body(path), titles[path], _links(titles, path)), encoding="utf-8")
        pages.append(page)
    return pages


def _read(path: Path):
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        raise ReportError(f"{path} is not a readable notebook ({str(error).splitlines()[0]}).") from error
    for cell in notebook.cells:
        for target in _IMAGE.findall(cell.source) if cell.cell_type == "markdown" else ():
            if not (path.parent / target).is_file():
                raise ReportError(f"{path} shows {target}, which is not there: run the report first.")
    return notebook


def _title(notebook) -> str:
    first = next((line for cell in notebook.cells for line in cell.source.splitlines() if line.startswith("# ")), "# ")
    return first[2:]


def _body(path: Path) -> str:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbconvert import HTMLExporter

    notebook, resources = _read(path), {"metadata": {"path": str(path.parent)}}
    try:
        NotebookClient(
            notebook, timeout=TIMEOUT, kernel_name="python3", record_timing=False, resources=resources
        ).execute()
    except CellExecutionError as error:
        raise ReportError(f"{path} fails: {error.ename}: {error.evalue}.") from error
    exporter = HTMLExporter(
        template_name="basic", exclude_input=True, exclude_output_prompt=True, exclude_anchor_links=True
    )
    body, _ = exporter.from_notebook_node(notebook, resources)
    # Scripts and styles are for nbconvert's own templates, which load more of them from elsewhere.
    body = re.sub(r"<script\b.*?</script>|<style\b[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<p>(<img[^>]*>)</p>", lambda found: _figure(found[1], path.parent) or found[0], body)
    return re.sub(r'(?<=src=")[^":]+\.png(?=")', lambda found: _embedded(path.parent / found[0]), body)


def _figure(image: str, folder: Path) -> str:
    """A Markdown cell's image with the report's caption; "" where it has none."""
    source = re.search(r'src="([^":]+\.png)"', image)
    return captioned(source[1], folder / source[1]) if source else ""


def _embedded(image: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(image.read_bytes()).decode()


def _links(titles: dict[Path, str], here: Path) -> str:
    return "".join(
        f"<b>{html.escape(title)}</b>" if path == here else f'<a href="{path.stem}.html">{html.escape(title)}</a>'
        for path, title in titles.items()
    )


def _page(body: str, title: str, links: str) -> str:
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>\n{style}\nnav {{ margin-bottom: 1.6rem; }}\nimg {{ max-width: 100%; height: auto; }}\np:has(> img), figure {{ max-width: 60rem; }}\n.jp-OutputArea {{ overflow-x: auto; }}\n"
        f'td {{ white-space: normal; }}\n</style></head>\n<body>\n<nav aria-label="Notebooks">{links}</nav>\n{body}\n'
        "</body></html>\n"
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vtstudy.report.notebooks", description="Execute and render the notebooks."
    )
    parser.add_argument("--notebooks", default="notebooks", help="folder of the notebooks")
    parser.add_argument("--out", default="reports/notebooks", help="where the pages are written")
    arguments = parser.parse_args(argv)
    try:
        pages = render(Path(arguments.notebooks), Path(arguments.out))
    except (ReportError, OSError) as error:
        print(f"vtprune notebooks: {error}", file=sys.stderr)
        return 2
    print(*pages, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

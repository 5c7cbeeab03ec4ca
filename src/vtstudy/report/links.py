"""Where the report's links lead: the papers, the code, the notebooks, and the report's other pages."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vtstudy.report.view import View

NOTEBOOKS = {
    "01-positional-bias": "Does attention have a fixed pattern?",
    "02-survivors": "Which tokens survive?",
    "03-redundancy": "Are the kept tokens redundant?",
    "04-ratio-curves": "How much can be pruned?",
    "05-main-tables": "Is AdaptPrune ahead on every model?",
    "06-spectra": "How many tokens does an image need?",
    "07-matched-budgets": "Do spectral budgets beat fixed ones?",
    "08-assumptions": "Which assumptions matter?",
}
"""By file name, the question of each notebook."""
NOTEBOOK_OF = {
    "Tables 1 and 2": "05-main-tables",
    "Figures 1, 6 and 7": "02-survivors",
    "Figures 2, 8 and 9": "01-positional-bias",
    "Figure 3": "03-redundancy",
    "Figure 5": "04-ratio-curves",
}
"""By the paper's tables and figures, as the report's headings begin, the notebook that is about them."""
EXPLORER = "explorer/index.html"
_HERE = "../../README.md"
"""Where the code is, as seen from the report, if the package names no address of its repository."""
_CODE = ("Repository", "Source", "Code", "Homepage")


def links() -> dict[str, str]:
    """The addresses that pyproject.toml names, and the code's under "code"."""
    try:
        entries = metadata("vtprune").get_all("Project-URL") or []
    except PackageNotFoundError:
        entries = []
    named = {
        "AdaptPrune (paper)": "https://arxiv.org/abs/2503.08019",
        "E-AdaPrune (paper)": "https://arxiv.org/abs/2603.05950",
    } | dict(entry.split(", ", 1) for entry in entries)
    return named | {"code": next((named[name] for name in _CODE if name in named), _HERE)}


def pages_of(view: View) -> list[tuple[str, str]]:
    """Title and address of every page, as seen from the first."""
    return [
        ("What holds", "README.md"),
        ("Claims", "pages/claims.md"),
        ("Printed values", "pages/printed-values.md"),
        ("Figures", "pages/figures.md"),
        *((model.title[0].upper() + model.title[1:], f"pages/{model.name}.md") for model in view.model_pages),
        ("E-AdaPrune", "pages/eadaprune.md"),
        ("The layer K", "pages/layers.md"),
        ("Costs", "pages/costs.md"),
        ("Provenance", "pages/provenance.md"),
    ]


def to_html_address(address: str, up: str = "") -> str:
    """The address of a page's HTML for that of its Markdown; other addresses stay.

    Args:
        address: as the Markdown has it.
        up: the way from the page to the report's folder.
    """
    path, hash_, part = address.partition("#")
    if notebook := re.fullmatch(r"(?:\.\./)+notebooks/(.+)\.ipynb", path):
        return f"{up}notebooks/{notebook[1]}.html"
    if path.startswith(f"{up}../../") or not path.endswith(".md"):
        return address
    path = re.sub(r"README\.md$", "index.html", path)
    return re.sub(r"\.md$", ".html", path) + hash_ + part

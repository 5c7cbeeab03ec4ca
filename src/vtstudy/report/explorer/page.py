"""Write the explorer's page. It needs no server: a browser opens it from the file system."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jinja2

from vtstudy.report.checkpoints import RunModel
from vtstudy.report.explorer.data import budget, explorer_data, model_of, shown_model

ASSETS = Path(__file__).parent / "assets"
COPIED = ("explorer.css", "explorer.js")


def write_explorer(data: Path, out: Path) -> Path | None:
    """Write the folder of the explorer: index.html, data.js, the script and the style, and the pictures.

    Args:
        data: folder that the experiment `explorer` wrote.
        out: the folder to write, beside the report's index.html; what is in it is deleted first.

    Returns:
        The path of index.html; None, and no folder, if the experiment was not run.

    Raises:
        TableError: if a file of the experiment is malformed.
    """
    shutil.rmtree(out, ignore_errors=True)
    if not (data / "pictures.csv").is_file():
        return None
    content, model = explorer_data(data), model_of(data / "explorer.json")
    (out / "pictures").mkdir(parents=True)
    for benchmark in content["benchmarks"]:
        for picture in benchmark["pictures"]:
            shutil.copyfile(data / picture["file"], out / "pictures" / picture["file"])
    for name in COPIED:
        shutil.copyfile(ASSETS / name, out / name)
    compact = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    (out / "data.js").write_text(f"const EXPLORER = {compact};\n", encoding="utf-8")
    page = out / "index.html"
    page.write_text(_page(content, model, data.name), encoding="utf-8")
    return page


def _page(content: dict, model: RunModel, data: str) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("explorer.html.j2").render(
        content,
        model=shown_model(model),
        paper=model.paper,
        is_papers=model.is_papers,
        budgets=[(budget(keep), f"{100 * keep:g}") for keep in content["keeps"]],
        count=max(len(benchmark["pictures"]) for benchmark in content["benchmarks"]),
        data=data,
    )

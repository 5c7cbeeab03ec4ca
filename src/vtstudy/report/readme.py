"""What the repository's README takes from the report and from the code, each part between two marks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vtprune.attach import FAMILIES
from vtprune.methods import methods
from vtstudy.report import formatting
from vtstudy.report.errors import ReportError
from vtstudy.report.rendering import fill
from vtstudy.report.text_table import Table
from vtstudy.report.view import View


def readme_blocks(view: View, reports: str) -> dict[str, str]:
    """The parts by name: the first screen of the report, and the methods and families of the library.

    Args:
        view: of the report.
        reports: the report's folder, as the README names it.
    """
    answers = fill(
        "readme.md.j2",
        answers=view.answers,
        not_run=view.not_run,
        picture=view.picture,
        choices=view.choices,
        reports=reports,
    )
    return {"answers": answers.strip("\n"), "methods": methods_table(), "families": families_sentence()}


def families_sentence() -> str:
    """The library's families of models, each with its class in transformers."""
    return f"Families: {formatting.listed([f'{family.title()} (`{name}`)' for name, family in FAMILIES.items()])}."


def methods_table() -> str:
    """A Markdown table of the library's methods: class, registered name, and the first line of the docstring."""
    lines = [(f"`{cls.__name__}`", [f"`{name}`", cls.summary().rstrip(".")]) for name, cls in methods().items()]
    return Table("", ["name", "what it does"], lines, first="method", left=("name", "what it does")).markdown().strip()


def marked_block(readme: Path, name: str) -> str:
    """The text between the marks of this name.

    Raises:
        ReportError: if the file or one of the marks is missing.
    """
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    begin, end = _marks(name)
    if begin not in text or end not in text:
        raise ReportError(f"{readme} has no lines '{begin}' and '{end}' to put its part '{name}' between.")
    return text.partition(begin)[2].partition(end)[0].strip("\n")


def fill_readme(readme: Path, blocks: Mapping[str, str]) -> None:
    """Put each part between its marks, in place of what is there.

    Raises:
        ReportError: if the file or one of the marks is missing.
    """
    for name in blocks:
        marked_block(readme, name)
    for name, block in blocks.items():
        begin, end = _marks(name)
        before, _, rest = readme.read_text(encoding="utf-8").partition(begin)
        readme.write_text(f"{before}{begin}\n{block}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- /{name} -->"

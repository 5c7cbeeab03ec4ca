"""Which source files of this package something runs: those that it imports, directly or not.

`vtprune.pruning` is a registry: importing a name from it imports every method, but runs only the
file that defines the name. So its `__init__` is looked through, not followed: a changed method is
nobody's business who does not use it.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_PACKAGE = "vtprune"
_REGISTRY = "vtprune.pruning"


def sources(files: Iterable[Path], root: Path) -> set[Path]:
    """The given files and every file of the package that they import, at their top or inside a function.

    Args:
        files: Python sources, of the package or not.
        root: the package's folder, ``.../vtprune``.
    """
    defined = _exports(root)
    todo, found = list(files), set()
    while todo:
        file = todo.pop()
        if file not in found and file != root / "pruning" / "__init__.py":
            found.add(file)
            for module, name in _imports(file, root):
                if module == _REGISTRY and name in defined:
                    todo += module_files(defined[name], root)
                else:
                    todo += module_files(module, root) + module_files(f"{module}.{name}", root)
    return found


def module_files(module: str, root: Path) -> list[Path]:
    """The source files that importing a dotted name runs, its packages' `__init__` first; empty outside the package."""
    first, *parts = module.split(".")
    if first != _PACKAGE:
        return []
    places = [root.joinpath(*parts[:n]) for n in range(len(parts) + 1)]
    return [file for place in places for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()]


@cache
def _imports(file: Path, root: Path) -> list[tuple[str, str]]:
    """Pairs of a module and a name (``""`` for all of it) that a file imports."""
    package = (_PACKAGE, *file.parent.relative_to(root).parts) if file.is_relative_to(root) else ()
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [(module, alias.name) for alias in node.names]
    return found


def _exports(root: Path) -> dict[str, str]:
    """What can be imported from the registry, and the module that defines it."""
    return {name: module for module, name in _imports(root / "pruning" / "__init__.py", root)}

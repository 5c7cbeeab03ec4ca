"""Which source files of this package something runs: those that it imports, directly or not.

`vtprune.methods` and `vtprune` itself are registries: importing a name from one imports every method,
but runs only the file that defines the name. So they are looked through, not followed: a changed
method is nobody's business who does not use it.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_PACKAGE = "vtprune"
_REGISTRIES = ("vtprune", "vtprune.api", "vtprune.methods")


def sources(files: Iterable[Path], root: Path) -> set[Path]:
    """The given files and every file that they import of the package, or that lies beside them, at their top or inside a function.

    A registry that is imported whole counts as all that it registers.

    Args:
        files: Python sources, of the package or not.
        root: the package's folder, ``.../vtprune``.
    """
    defined = _exports(root)
    registry = root / "pruning" / "__init__.py"
    todo, found = list(files), set()
    while todo:
        file = todo.pop()
        if file in found or file == registry:
            continue
        found.add(file)
        for module, name in _imports(file, root):
            if module in _REGISTRIES and name in defined:
                todo += module_files(defined[name], root)
            elif (module in _REGISTRIES and name in ("", "*", "pruning")) or (module, name) == ("vtprune", "api"):
                todo += [method for other in defined.values() for method in module_files(other, root)]
            else:
                todo += module_files(module, root) + module_files(f"{module}.{name}", root)
                if not file.is_relative_to(root):
                    todo += [
                        near
                        for part in (module, name)
                        if part.isidentifier() and (near := file.parent / f"{part}.py").is_file()
                    ]
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

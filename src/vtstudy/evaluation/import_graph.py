"""Which modules a module uses: those that it imports of its own packages, directly or not.

Packages whose `__init__.py` re-exports names (`vtprune`, `vtprune.methods`, ...) are resolved, not followed: importing
`FastV` from one uses the module that defines `FastV`, and none of the other methods. So a change of one method does
not affect the others.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from vtstudy.evaluation.errors import EvaluationError

PACKAGES = ("vtprune", "vtstudy")
"""The packages whose modules are followed, from wherever they are imported."""

SOURCES = Path(__file__).parents[2]
"""The folder in which these packages lie."""


REGISTRIES = ("vtprune.attach.families",)
"""Packages that look up a part by name. A key names the part, so the package and its other parts are not followed."""


class Import(NamedTuple):
    """`from module import name`; `name` is empty for `import module`."""

    module: str
    name: str


class Home(NamedTuple):
    """Where a module that is not of `PACKAGES` may import further modules from.

    Attributes:
        sources: the folder in which `PACKAGES` lie.
        folder: the folder that the names of other modules are relative to.
        package: the only other top-level package that is followed; empty for every module in the folder.
    """

    sources: Path
    folder: Path
    package: str


def used_modules(modules: Iterable[str], sources: Path = SOURCES) -> dict[str, Path]:
    """The given modules and every module that they use, with their files.

    Modules of `PACKAGES` are followed. A module of another package is followed too where a given module imports it
    from its own package, or, for a single file, from the folder that it lies in.

    Args:
        modules: names of loaded modules.
        sources: the folder in which `PACKAGES` lie.

    Raises:
        EvaluationError: if a given module is not defined in a file.
    """
    files: dict[str, Path] = {}
    waiting = [(module, _home(module, sources)) for module in modules]
    while waiting:
        module, home = waiting.pop()
        path = _file_of(module, home)
        if module in files or module in REGISTRIES:
            continue
        if path is None:
            raise EvaluationError(f"the code of stored results cannot be found: there is no module {module}")
        files[module] = path
        for statement in _imports(module, path):
            waiting += [(used, home) for used in _definers(statement, home)]
    return files


def _definers(statement: Import, home: Home) -> Iterator[str]:
    """The modules that define an imported name; a package that is imported as such stands for all that it exports."""
    path = _file_of(statement.module, home)
    if path is None:
        return
    everything = statement.name in ("", "*")
    submodule = f"{statement.module}.{statement.name}"
    if not everything and _file_of(submodule, home) is not None:
        yield from _definers(Import(submodule, ""), home)
    elif path.name != "__init__.py":
        yield statement.module
    else:
        exports = [export for export in _imports(statement.module, path) if export.name]
        chosen = exports if everything else [export for export in exports if export.name == statement.name]
        if not chosen:
            yield statement.module  # the package's own file defines the name
        for export in chosen:
            yield from _definers(export, home)


@cache
def _file_of(module: str, home: Home) -> Path | None:
    """The source file of a module of `PACKAGES` or of the home; None for any other."""
    first = module.partition(".")[0]
    if first in PACKAGES:
        folder = home.sources
    elif first in sys.stdlib_module_names or home.package not in ("", first):
        return None
    else:
        folder = home.folder
    place = folder.joinpath(*module.split("."))
    candidates = (place / "__init__.py", place.with_name(place.name + ".py"))
    return next((file for file in candidates if file.is_file()), None)


def _home(module: str, sources: Path) -> Home:
    """Where a loaded module may import from."""
    first, _, rest = module.partition(".")
    if first in PACKAGES:
        return Home(sources, sources, first)
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        raise EvaluationError(
            f"module {module} has no file, so its code cannot be compared with the code of stored results; "
            "define the method in a file"
        )
    path = Path(file)
    folder = path.parents[module.count(".") + (path.name == "__init__.py")]
    # Beside a single installed module lie the modules of other projects.
    alone = not rest and path.name != "__init__.py" and folder.name not in ("site-packages", "dist-packages")
    return Home(sources, folder, "" if alone else first)


@cache
def source(path: Path) -> str:
    """The text of a source file, as it was when the process first read it."""
    return path.read_text(encoding="utf-8")


def _imports(module: str, path: Path) -> tuple[Import, ...]:
    """What a file imports, at its top or inside a function."""
    return _imports_of(module if path.name == "__init__.py" else module.rpartition(".")[0], source(path))


@cache
def _imports_of(package: str, text: str) -> tuple[Import, ...]:
    statements: list[Import] = []
    waiting: list[ast.AST] = [ast.parse(text)]
    while waiting:
        node = waiting.pop()
        if not is_type_checking(node):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            statements += [Import(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            statements += [Import(origin, alias.name) for alias in node.names]
    return tuple(statements)


def is_type_checking(node: ast.AST) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`, whose body no program runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"

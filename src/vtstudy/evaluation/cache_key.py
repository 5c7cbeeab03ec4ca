"""What stored results depend on, as short digests: the meaning of code, checkpoints, methods and files."""

import ast
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vtprune.methods import Method
from vtstudy.evaluation.import_graph import SOURCES, is_type_checking, source, used_modules

# A checkpoint's weights, configuration, tokenizer and processor; its folder holds little else.
_CHECKPOINT_SUFFIXES = (".safetensors", ".bin", ".json", ".model", ".txt", ".jinja")
# The code that makes answers and measurements with every method: loading, attaching and generating.
ANSWERING = ("vtprune.attach.attachment", "vtprune.attach.inference", "vtprune.attach.loading")
# Modules whose code cannot change a result: types of errors, the table of benchmarks, of which a key names what it
# needs, and the keys and caches themselves.
_IRRELEVANT = (
    "vtprune.errors",
    "vtstudy.benchmarks",
    "vtstudy.evaluation.answer_cache",
    "vtstudy.evaluation.cache_key",
    "vtstudy.evaluation.checkpoint",
    "vtstudy.evaluation.errors",
    "vtstudy.evaluation.import_graph",
    "vtstudy.evaluation.measurement_cache",
)


def checkpoint_digest(path_or_id: str | Path) -> str | None:
    """The digest of a local checkpoint's files, or `id@commit` of the cached copy of a checkpoint of the Hub.

    Returns:
        None if there is neither a folder nor a cached copy.
    """
    folder = Path(path_or_id).expanduser()
    if folder.is_dir():
        return files_digest({file.name: file for file in folder.iterdir() if file.suffix in _CHECKPOINT_SUFFIXES})
    from transformers.utils.hub import cached_file, extract_commit_hash  # takes seconds; only for the Hub's checkpoints

    try:
        commit = extract_commit_hash(cached_file(str(path_or_id), "config.json"), None)
    except (OSError, ValueError):
        return None
    return None if commit is None else f"{path_or_id}@{commit}"


def files_digest(files: Mapping[str, Path]) -> str:
    """The digest of the names and contents of files."""
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        with file.open("rb") as opened:
            digest.update(f"{name}\0{hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def data_digest(data: Any) -> str:
    """The digest of plain JSON data."""
    return hashlib.sha256(json.dumps(data, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def method_key(method: Method, family: Iterable[str]) -> dict[str, Any]:
    """What the answers of a method depend on, apart from the checkpoint and the question.

    Args:
        family: the modules that define the family of the model (see `checkpoint.Checkpoint.family`).

    Raises:
        EvaluationError: if the method or its budget is not defined in a file.
    """
    return {
        "method": method.signature(),
        "software": {
            "code": meaning({*defining_modules(method), *ANSWERING, *family})[:16],
            "torch": torch.__version__,
            "transformers": package_version("transformers"),
        },
    }


@cache
def package_version(name: str) -> str:
    """The version of an installed package; asking Python for it takes milliseconds.

    Raises:
        PackageNotFoundError: if it is not installed.
    """
    return version(name)


def defining_modules(part: object) -> set[str]:
    """The modules that define an object's class, its base classes, and those of what the object's fields hold.

    A method's budget is such a field.
    """
    modules = {cls.__module__ for cls in type(part).__mro__}
    values: Sequence[Any] = ()
    if is_dataclass(part):
        values = [getattr(part, field.name) for field in fields(part)]
    elif isinstance(part, tuple | list):
        values = part
    for value in values:
        modules |= defining_modules(value)
    return {module for module in modules if module.partition(".")[0] not in sys.stdlib_module_names}


def meaning(modules: Iterable[str], sources: Path = SOURCES) -> str:
    """The digest of what the code of modules, and of all modules that they use, does.

    Comments, docstrings, layout, annotations, the order of imports and the texts of errors do not count. Neither does
    the table of benchmarks: a key names what it needs of that. The files are read once in a process.

    Args:
        modules: names of loaded modules.
        sources: the folder in which `vtprune` and `vtstudy` lie.

    Raises:
        EvaluationError: if a module is not defined in a file.
    """
    return _meaning(frozenset(modules), sources)


@cache
def _meaning(modules: frozenset[str], sources: Path) -> str:
    used = used_modules(modules, sources)
    relevant = {module: source(path) for module, path in used.items() if module not in _IRRELEVANT}
    return data_digest({module: _text_meaning(text) for module, text in relevant.items()})


@cache
def _text_meaning(text: str) -> str:
    tree = _Meaning().visit(ast.parse(text))
    imports = _Imports()
    tree = imports.visit(tree)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    # The order of imports does not count, nor do names that only occurred in annotations.
    lines = sorted(f"{origin} {name} as {bound}" for origin, name, bound in imports.found if bound in names)
    lines += [line for line in ast.unparse(tree).splitlines() if line.strip() != "pass"]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class _Meaning(ast.NodeTransformer):
    """Replaces by `pass` what cannot change a result, in a module's syntax tree, and leaves out annotations."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """Docstrings, those of attributes too."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return ast.Pass() if is_text else self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        arguments = node.args
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            argument.annotation = None
        for variadic in (arguments.vararg, arguments.kwarg):
            if variadic is not None:
                variadic.annotation = None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """A field of a dataclass counts, its type does not; a class variable is no field."""
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign):
                kind = "ClassVar" if "ClassVar" in ast.unparse(statement.annotation) else "field"
                statement.annotation = ast.Constant(kind)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if isinstance(node.annotation, ast.Constant) and node.annotation.value in ("ClassVar", "field"):
            return self.generic_visit(node)
        if node.value is None:
            return ast.Pass()
        return self.generic_visit(ast.Assign([node.target], node.value, lineno=node.lineno))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`typing.cast` returns its second argument."""
        is_cast = isinstance(node.func, ast.Name) and node.func.id == "cast" and len(node.args) == 2
        return self.visit(node.args[1]) if is_cast else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        return ast.Pass() if is_type_checking(node) else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """The type of an error counts, its text does not."""
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        node.cause = None
        return node


class _Imports(ast.NodeTransformer):
    """Takes the imports out of a syntax tree.

    Attributes:
        found: triples of a module, the name that is imported from it, and the name that is bound.
    """

    def __init__(self) -> None:
        self.found: list[tuple[str, str, str]] = []

    def visit_Import(self, node: ast.Import) -> ast.AST:
        self.found += [(alias.name, "", alias.asname or alias.name.partition(".")[0]) for alias in node.names]
        return ast.Pass()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        source = "." * node.level + (node.module or "")
        self.found += [(source, alias.name, alias.asname or alias.name) for alias in node.names]
        return ast.Pass()

"""What the commands `vtprune` and `vtstudy` share: one way to run, to report a user's mistake, and to print a table."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from vtprune.errors import UserError

INTERRUPTED = 130  # what shells report for a command that Ctrl-C ended


def run(app: typer.Typer, argv: Sequence[str] | None = None, *, name: str, interrupted: str = "interrupted") -> int:
    """Run a typer app and return its exit code.

    A `UserError` becomes one line on stderr and exit code 2, as wrong usage does. Ctrl-C ends with exit code 130.
    Any other exception is a defect and keeps its traceback.

    Args:
        app: the commands. Create it with `pretty_exceptions_enable=False`, so that tracebacks stay plain.
        argv: the arguments; None for those of the process.
        name: of the command, put before each message.
        interrupted: the message after Ctrl-C.
    """
    try:
        app(args=None if argv is None else list(argv), prog_name=name)
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except SystemExit as end:  # how typer ends, with or without success
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code == INTERRUPTED:
            print(f"{name}: {interrupted}", file=sys.stderr)
        return code
    return 0


def print_table(table: Table) -> None:
    """Print a table to stdout. Where stdout is no terminal, no column is cut or wrapped to fit 80 columns."""
    width = None if sys.stdout.isatty() else 1000
    Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False).print(table)


def check_device(device: str | None) -> None:
    """Check that models can be put on a device.

    Args:
        device: such as `cpu` or `cuda:1`; None leaves the choice to the library.

    Raises:
        UserError: if there is no such device on this machine.
    """
    if device is None:
        return
    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"there is no device {device!r}: name one such as cpu, cuda or cuda:1") from error
    if parsed.type == "cpu":
        return
    device_count = getattr(getattr(torch, parsed.type, None), "device_count", None)  # such as torch.cuda.device_count
    count = 0 if device_count is None else device_count()
    if (parsed.index or 0) >= count:
        raise UserError(
            f"device {device} is not available: torch finds {count} {parsed.type} devices on this machine "
            "(cpu is always available)"
        )


def parse_parameters(texts: Sequence[str]) -> dict[str, Any]:
    """Read the values of `--param NAME=VALUE`: a method's parameters except `keep`, which has an option of its own.

    A value that is JSON (also `True` and `False`) is read as such; any other stays text.

    Raises:
        UserError: for a text without a name or an equals sign, or for `keep`.
    """
    parameters = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UserError(f"--param takes NAME=VALUE, not {text!r}")
        if name == "keep":
            raise UserError("--param does not take keep: give it by --keep")
        parameters[name] = _read_value(value)
    return parameters


def _read_value(text: str) -> Any:
    try:
        return json.loads({"True": "true", "False": "false"}.get(text, text))
    except ValueError:
        return text

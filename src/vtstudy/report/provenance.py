"""What was run, when and on what, as lines for readers."""

from __future__ import annotations

import re
from collections.abc import Collection

from vtstudy.report import formatting
from vtstudy.report.inputs import Mapping


def provenance_lines(facts: Mapping) -> list[tuple[str, str]]:
    """The nested facts of provenance.json as names and values; a fact that differs between runs names the runs.

    A path of this machine is cut to its last part.
    """
    return _lines(facts, "", facts.get("seconds_by_experiment", ()))


def run_line(facts: Mapping) -> str:
    """The code that was run, and how long that took, as far as it is known."""
    parts = []
    if facts.get("commit"):
        parts.append(f"commit {facts['commit']}")
    if isinstance(facts.get("seconds"), (int, float)):
        parts.append(f"{formatting.seconds(facts['seconds'])} for the experiments after the answers were made")
    return f"Run with {', '.join(parts)}." if parts else ""


def _lines(facts: Mapping, prefix: str, runs: Collection[str]) -> list[tuple[str, str]]:
    lines = []
    for key, value in facts.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and set(value) <= set(runs):
            runs_by_text: dict[str, list[str]] = {}
            for run, of_run in value.items():
                runs_by_text.setdefault(_text(key, of_run), []).append(run)
            lines.append((name, "; ".join(f"{text} ({', '.join(names)})" for text, names in runs_by_text.items())))
        elif isinstance(value, dict):
            lines += _lines(value, f"{name}.", runs)
        else:
            lines.append((name, _text(key, value)))
    return lines


def _text(key: str, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or formatting.NONE
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items())
    if key.startswith("seconds") and isinstance(value, (int, float)):
        return formatting.seconds(value)
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return formatting.NONE
    # An absolute path keeps its last part only.
    return re.sub(r"(?<![\w./:])(?:/|[A-Za-z]:\\)[^\s,;]*[/\\]([^\s,;/\\]+)", r"\1", str(value))

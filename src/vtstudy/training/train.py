"""Train a miniature, unless its checkpoint is already what its settings would make."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from vtprune.errors import UserError
from vtstudy.stamp import Stamp

if TYPE_CHECKING:
    from vtstudy.training.recipe import Recipe, Record

FIRST = "miniature-llava"
"""The miniature that is trained from random weights; all others are derived from it."""
RECORD = "training.yaml"
"""The file of a checkpoint that records what it was trained from."""


def train(
    name: str,
    params: Mapping[str, Any],
    device: torch.device | str | None = None,
    *,
    fresh: bool = False,
    checkpoints: Path = Path("data/checkpoints"),
    states: Path = Path("data/training"),
) -> bool:
    """Train a miniature and write its checkpoint, `checkpoints/name`: bfloat16 weights, processor, learning curve.

    If the checkpoint's record shows that the settings would make the same checkpoint again, nothing is trained.
    A training that was stopped resumes from its last state.

    Args:
        name: `miniature-llava`, or a key of the section `derived`.
        params: the sections `training` and `derived` of params.yaml.
        device: a GPU if there is one by default.
        fresh: train in any case, and from the first step.
        checkpoints: the folder of all checkpoints.
        states: the folder of the states of stopped trainings.

    Returns:
        Whether the miniature was trained.

    Raises:
        UserError: for an unknown name, or if the miniature that it starts from is not there.
    """
    folder = checkpoints / name
    checked = _stamp_of(name, params, checkpoints, states)
    if not fresh and checked.matches(folder):
        print(f"{folder} is up to date: neither settings nor code changed since it was last checked.")
        return False
    recipe = recipe_of(name, params, checkpoints)
    if not fresh:
        changes = _changes(recipe, folder)
        if not changes:
            checked.write(folder)
            print(f"{folder} is up to date: its settings, first examples and initial weights are those of {RECORD}.")
            return False
        print(f"{folder} is trained, because of {', '.join(changes)}.")
    else:
        for state_file in recipe.state_files(name, states):
            state_file.unlink(missing_ok=True)
    histories = recipe.run(name, states, torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    recipe.model.cpu().bfloat16().save_pretrained(folder)
    recipe.processor.save_pretrained(folder)
    lines = [json.dumps({"stage": stage} | entry) for stage, history in histories.items() for entry in history]
    (folder / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_record(recipe, folder)
    checked.write(folder)
    return True


def snapshot(
    name: str,
    params: Mapping[str, Any],
    folder: Path,
    *,
    checkpoints: Path = Path("data/checkpoints"),
    states: Path = Path("data/training"),
) -> dict[str, int]:
    """Write the checkpoint that a training has reached so far to a folder; a training that is under way goes on.

    Args:
        name, params, checkpoints, states: see `train`.

    Returns:
        By stage, the step of the state that was saved last.

    Raises:
        UserError: if no state of this training is there.
    """
    recipe = recipe_of(name, params, checkpoints)
    reached = {}
    for stage, state_file in zip(recipe.stages, recipe.state_files(name, states), strict=True):
        if state_file.is_file():
            state = torch.load(state_file, map_location="cpu", weights_only=True)
            stage.module.load_state_dict(state["module"])
            reached[stage.name] = state["step"]
    if not reached:
        raise UserError(
            f"{states} holds no state of the training that {name} would have: start 'vtstudy train {name}'."
        )
    recipe.model.bfloat16().save_pretrained(folder)
    recipe.processor.save_pretrained(folder)
    return reached


def recipe_of(name: str, params: Mapping[str, Any], checkpoints: Path) -> "Recipe":
    """The training of a miniature.

    Raises:
        UserError: for an unknown name, or if the miniature that it starts from is not there.
    """
    # These load transformers, which takes seconds.
    from vtstudy.training.train_derived import derived_recipe
    from vtstudy.training.train_fine import fine_recipe
    from vtstudy.training.train_llava import llava_recipe

    if name == FIRST:
        return llava_recipe(params["training"])
    settings = _derived(params).get(name)
    if settings is None:
        raise UserError(f"There is no miniature '{name}'; choose from {', '.join((FIRST, *_derived(params)))}.")
    recipe = fine_recipe if settings["kind"] == "fine" else derived_recipe
    return recipe(name, settings, checkpoints)


def _derived(params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of all miniatures that start from another one, by name."""
    return dict(params.get("derived") or {})


def _stamp_of(name: str, params: Mapping[str, Any], checkpoints: Path, states: Path) -> Stamp:
    """Says that a checkpoint was compared with what its settings and this code would make.

    The comparison itself draws the first examples, which takes seconds.
    """
    settings = params["training"] if name == FIRST else _derived(params).get(name, {})
    start = [] if name == FIRST else sorted((checkpoints / settings.get("start", FIRST)).glob("*.safetensors"))
    versions = {package: version(package) for package in ("numpy", "torch", "transformers")}
    facts = {"name": name, "settings": settings, "versions": versions}
    return Stamp(states / f"{name}.json", facts, ("training", "world"), start)


def write_record(recipe: "Recipe", folder: Path) -> None:
    """Record in a checkpoint's folder what it was trained from."""
    record = recipe.fingerprint | {"checkpoint": _weights_digest(folder)}
    text = "# What this checkpoint was trained from: `vtstudy train` trains it again if this changes.\n"
    (folder / RECORD).write_text(text + yaml.safe_dump(record, sort_keys=False), encoding="utf-8")


def _changes(recipe: "Recipe", folder: Path) -> list[str]:
    """What differs between a checkpoint's record and the training that would be run now; empty if nothing does."""
    record: Record = {}
    if (folder / RECORD).is_file():
        record = yaml.safe_load((folder / RECORD).read_text(encoding="utf-8")) or {}
    if not record or not (folder / "model.safetensors").is_file():
        return ["no record of an earlier training"]
    changes = []
    if record.pop("checkpoint", None) != _weights_digest(folder):
        changes.append("other weights than the recorded ones")
    wanted = recipe.fingerprint
    if record.get("start") != wanted.get("start"):
        changes.append("a change of the miniature that it starts from")
    for stage in dict.fromkeys((*record, *wanted)):
        if stage == "start":
            continue
        old, new = record.get(stage, {}), wanted.get(stage, {})
        changes += [
            f"a change of the stage {stage} ({part})" for part in {**old, **new} if old.get(part) != new.get(part)
        ]
    return changes


def _weights_digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]

"""Table 3 and the captions' FLOPs, without a run: what each method costs on each of the papers' models.

Writes ``cost.csv``: FLOPs by part, cache and weights of one prompt and its first answer token (POPE's
answers are one token long), for every model, method and keep ratio that the paper has; and
``conventions.csv``: the FLOPs reductions of the captions under every way of counting. Both follow
from configurations alone, so they are the same bytes on every machine. Measured times are in
``timings.csv`` (the miniature, :mod:`vtstudy.experiments.timings`) and ``reports/recorded`` (a GPU).
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vtprune.cost import Cost, Shape, Workload, cost, parameters, shape_of
from vtprune.methods import get_method
from vtprune.methods.base import Method
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.flops_conventions import AROUND, PRINTED, conventions, fitting_text, reduction
from vtstudy.experiments.paper_models import SIZES

KEEPS = (0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05)  # Tables 1-8: 0.1 and 0.25; Figure 5: from 0.5 to 0.05
PRINTED_KEEP = 0.1  # of the captions


def cost_rows() -> Iterator[dict[str, Any]]:
    """One row per model, method and keep ratio."""
    for model, size in SIZES.items():
        config = size.config()
        shape, weights = shape_of(config), 2 * parameters(config)
        whole = cost(shape, get_method("none"), size.workload)
        for row, keep, method in _methods(model):
            found = cost(shape, method, size.workload)
            yield {
                "model": model,
                "method": row,
                "keep": keep,
                "image_tokens": size.workload.image_tokens,
                "kept_tokens": found.image_tokens[-1],
                "other_tokens": size.workload.text_tokens,
                "tiles": size.workload.tiles,
                "tower_flops": found.tower,
                "projector_flops": found.projector,
                "prefill_flops": found.prefill,
                "head_flops": found.head,
                "scoring_flops": found.scoring,
                "selection_flops": found.selection,
                "flops": found.flops,
                "language_saved_percent": _saved(found.language, whole.language),
                "flops_saved_percent": _saved(found.flops, whole.flops),
                "next_token_flops": _next_token(shape, method, size.workload, found),
                "cache_bytes": found.cache_bytes,
                "cache_saved_percent": _saved(found.cache_bytes, whole.cache_bytes),
                "weight_bytes": weights,
            }


def convention_rows() -> Iterator[dict[str, Any]]:
    """One row per convention and model of the captions."""
    shapes = {model: shape_of(SIZES[model].config()) for model in PRINTED}
    for convention in conventions():
        for model, printed in PRINTED.items():
            shape, workload = shapes[model], SIZES[model].workload
            found = reduction(convention, shape, workload, PRINTED_KEEP)
            yield {
                **asdict(convention),
                "model": model,
                "reduction_percent": f"{100 * found:.2f}",
                "printed_percent": f"{100 * printed:.0f}",
                "agrees": "yes" if abs(found - printed) <= AROUND else "no",
                "other_tokens": None if convention.scope == "image" else workload.text_tokens,
                "fitting_other_tokens": fitting_text(convention, shape, workload, PRINTED_KEEP, printed),
            }


def _methods(model: str) -> Iterator[tuple[str, float | None, Method]]:
    """(row's name, keep ratio, method); VTW has no ratio: it drops all."""
    yield "baseline", 1.0, get_method("none")
    # Table 1 prints K=5 for the 40 layers of 13B, too; elsewhere the depth's share that 5 of 32 is.
    yield "vtw", None, get_method("vtw", **({"layer": 5} if model == "LLaVA-1.5-13B" else {}))
    for keep in KEEPS:
        for name in ("fastv", "adaptprune"):
            yield name, keep, get_method(name, keep=keep)


def _next_token(shape: Shape, method: Method, workload: Workload, first: Cost) -> int:
    """FLOPs of the answer's second token."""
    return cost(shape, method, replace(workload, new_tokens=2)).flops - first.flops


def _saved(pruned: int, whole: int) -> str:
    return f"{100 * (1 - pruned / whole):.2f}"


def write_costs(folder: Path) -> list[Path]:
    """Write `cost.csv` and `conventions.csv` to a folder; returns their paths."""
    return [
        write_csv(folder / "cost.csv", cost_rows()),
        write_csv(folder / "conventions.csv", convention_rows()),
    ]

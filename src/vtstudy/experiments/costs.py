"""Table 3 and the captions' FLOPs by arithmetic: the cost of each method on each of the papers' models.

- `cost.csv`: FLOPs by part, cache and weights for one prompt and its first answer token (POPE's answers have one
  token), for every model, method and keep ratio of the paper.
- `method_costs.csv`: what every method of the library saves on the paper's first model.
- `conventions.csv`: the FLOPs reductions of the captions under every way to count.

All follow from configurations alone, so they are the same on every machine. Measured times are in `timings.csv` (the
miniature) and in `reports/recorded` (a GPU).
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from vtprune.cost import Cost, Shape, Workload, cost, parameters, shape_of
from vtprune.methods import get_method, methods
from vtprune.methods.base import Method
from vtstudy.experiments.files import write_csv
from vtstudy.experiments.flops_conventions import AROUND, PRINTED, conventions, fitting_text, reduction
from vtstudy.experiments.paper_models import SIZES

KEEPS = (0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05)  # Tables 1-8: 0.1 and 0.25; Figure 5: from 0.5 to 0.05
PRINTED_KEEP = 0.1  # keep ratio of the captions


def cost_rows() -> Iterator[dict[str, object]]:
    """A row for each model, method and keep ratio."""
    for model, size in SIZES.items():
        config = size.config()
        shape, weights = shape_of(config), 2 * parameters(config)
        unpruned = cost(shape, get_method("none"), size.workload)
        for row, keep, method in _methods(model):
            costs = cost(shape, method, size.workload)
            yield {
                "model": model,
                "method": row,
                "keep": keep,
                "image_tokens": size.workload.image_tokens,
                "kept_tokens": costs.image_tokens[-1],
                "other_tokens": size.workload.text_tokens,
                "tiles": size.workload.tiles,
                "tower_flops": costs.tower,
                "projector_flops": costs.projector,
                "prefill_flops": costs.prefill,
                "head_flops": costs.head,
                "scoring_flops": costs.scoring,
                "selection_flops": costs.selection,
                "flops": costs.flops,
                "language_saved_percent": _saved(costs.language, unpruned.language),
                "flops_saved_percent": _saved(costs.flops, unpruned.flops),
                "next_token_flops": _next_token(shape, method, size.workload, costs),
                "cache_bytes": costs.cache_bytes,
                "cache_saved_percent": _saved(costs.cache_bytes, unpruned.cache_bytes),
                "weight_bytes": weights,
            }


def method_cost_rows() -> Iterator[dict[str, object]]:
    """A row for each method of the library that takes a budget, and for each keep ratio, on the paper's first model."""
    model, size = next(iter(SIZES.items()))
    shape = shape_of(size.config())
    unpruned = cost(shape, get_method("none"), size.workload)
    for name, cls in methods().items():
        for keep in KEEPS if cls.takes_keep() else ():
            costs = cost(shape, get_method(name, keep=keep), size.workload)
            yield {
                "model": model,
                "method": name,
                "keep": keep,
                "choosing_flops": costs.scoring + costs.selection,
                "flops_saved_percent": _saved(costs.flops, unpruned.flops),
                "cache_saved_percent": _saved(costs.cache_bytes, unpruned.cache_bytes),
            }


def convention_rows() -> Iterator[dict[str, object]]:
    """A row for each convention and model of the captions."""
    shapes = {model: shape_of(SIZES[model].config()) for model in PRINTED}
    for convention in conventions():
        for model, printed in PRINTED.items():
            shape, workload = shapes[model], SIZES[model].workload
            reduced = reduction(convention, shape, workload, PRINTED_KEEP)
            yield {
                **asdict(convention),
                "model": model,
                "reduction_percent": f"{100 * reduced:.2f}",
                "printed_percent": f"{100 * printed:.0f}",
                "agrees": "yes" if abs(reduced - printed) <= AROUND else "no",
                "other_tokens": None if convention.scope == "image" else workload.text_tokens,
                "fitting_other_tokens": fitting_text(convention, shape, workload, PRINTED_KEEP, printed),
            }


def _methods(model: str) -> Iterator[tuple[str, float | None, Method]]:
    """(name, keep ratio, method). VTW has no ratio, because it drops all image tokens."""
    yield "baseline", 1.0, get_method("none")
    # Table 1 prints K=5 for the 40 layers of 13B as well. Other models get the fraction 5/32 of their depth.
    yield "vtw", None, get_method("vtw", **({"layer": 5} if model == "LLaVA-1.5-13B" else {}))
    for keep in KEEPS:
        for name in ("fastv", "adaptprune"):
            yield name, keep, get_method(name, keep=keep)


def _next_token(shape: Shape, method: Method, workload: Workload, first: Cost) -> int:
    """FLOPs of the answer's second token."""
    return cost(shape, method, replace(workload, new_tokens=2)).flops - first.flops


def _saved(pruned: int, unpruned: int) -> str:
    return f"{100 * (1 - pruned / unpruned):.2f}"


def write_costs(folder: Path) -> list[Path]:
    """Write the three tables to a folder; returns their paths."""
    return [
        write_csv(folder / "cost.csv", cost_rows()),
        write_csv(folder / "method_costs.csv", method_cost_rows()),
        write_csv(folder / "conventions.csv", convention_rows()),
    ]

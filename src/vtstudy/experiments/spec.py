"""The specification of an experiment: its variants, the pairs that it compares, and its benchmarks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vtprune.errors import UserError
from vtprune.methods import get_method, methods
from vtstudy.evaluation.requests import ImageMode, Variant

BASELINE = "baseline"


@dataclass(frozen=True)
class VariantSpec:
    """A variant whose keep ratio is not set yet.

    Attributes:
        method: name of the pruning method.
        parameters: the method's parameters besides `keep`.
        image: `shown`, or `blank` for a variant that does not see the image.
    """

    method: str = "none"
    parameters: Mapping[str, float | int | bool | str] = field(default_factory=dict)
    image: ImageMode = "shown"

    @property
    def takes_keep(self) -> bool:
        """Whether the variant depends on a keep ratio. The unpruned model and VTW do not.

        Raises:
            UserError: if no method has this name.
        """
        if self.method not in methods():
            raise UserError(f"there is no method {self.method!r}; the methods are {', '.join(methods())}")
        return methods()[self.method].takes_keep()

    def ratio(self, keep: float) -> float | None:
        """The fraction of the image tokens that stays: 1 if nothing is pruned, None for a method without `keep`."""
        if self.method == "none":
            return 1.0
        return keep if self.takes_keep else None

    def variant(self, keep: float, layers: Mapping[str, int] = MappingProxyType({})) -> Variant:
        """The variant at this keep ratio.

        Args:
            layers: by name of a method, the layer before which it prunes, in place of the specification's.

        Raises:
            UserError: if the method refuses its parameters.
        """
        return Variant(get_method(self.method, **self._budget(keep), **self._parameters(layers)), self.image)

    def _budget(self, keep: float) -> dict[str, Any]:
        return {"keep": keep} if self.takes_keep else {}

    def _parameters(self, layers: Mapping[str, int]) -> dict[str, Any]:
        layer = {"layer": layers[self.method]} if self.method in layers else {}
        return {**self.parameters, **layer}


@dataclass(frozen=True)
class Experiment:
    """A table: variants by the names that the report uses, in the order of results.csv.

    Attributes:
        name: the experiment's name, in results.csv and in file names.
        benchmarks: keys of the table of benchmarks.
        variants: by name; one of them is `baseline`.
        pairs: "a - b", where `a` and `b` are names of variants.
        chance: whether to add the score of guessing among the options that a question offers or,
            where it offers none, the score of one constant answer.
        parts: whether to add MMBench's categories and groups and MME's sub-tasks, each as a benchmark
            of its own (`mmbench/ocr`).
        tokens: whether to count the image tokens that are left of each question.
        keeps: the keep ratios of the published table; empty for the ratios of the settings.
        papers: the models whose numbers the published table prints.
    """

    name: str
    benchmarks: tuple[str, ...]
    variants: Mapping[str, VariantSpec]
    pairs: tuple[str, ...]
    chance: bool = False
    parts: bool = False
    tokens: bool = False
    keeps: tuple[float, ...] = ()
    papers: tuple[str, ...] = ("LLaVA-1.5-7B",)

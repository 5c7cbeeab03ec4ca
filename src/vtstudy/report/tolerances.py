"""How far a score may be from a printed one and still count as reproduced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vtstudy.benchmarks import MME_COGNITION, MME_PERCEPTION, check_benchmarks
from vtstudy.report import formatting
from vtstudy.report.errors import ReportError
from vtstudy.report.labels import benchmark_label

DEFAULT, QUESTIONS, AVERAGE_GAIN = "default", "questions", "average_gain"
"""Keys of `report.tolerances` in params.yaml that are not names of benchmarks."""
_SUBTASKS = {"mme": len(MME_PERCEPTION), "mme_cognition": len(MME_COGNITION)}


@dataclass(frozen=True)
class Tolerance:
    """The tolerance of one score.

    Attributes:
        value: in the score's unit.
        why: in words; "" where the benchmark's own tolerance holds.
    """

    value: float
    why: str = ""


@dataclass(frozen=True)
class Tolerances:
    """The section `report.tolerances` of params.yaml.

    Attributes:
        default: for benchmarks and parts of benchmarks that are not named.
        questions: a score may differ by what this many questions are worth, if that is more.
        average_gain: for E-AdaPrune's average gain, in percentage points.
        by_name: for the benchmarks, and parts of benchmarks such as `mmbench/ocr`, that are named.
    """

    default: float
    questions: float = 0.0
    average_gain: float = 0.0
    by_name: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, section: Mapping[str, float], source: str) -> Tolerances:
        """The section, checked.

        Raises:
            ReportError: if `default` is missing.
            UserError: if a key is not a benchmark's name.
        """
        if not isinstance(section, Mapping) or DEFAULT not in section:
            raise ReportError(f"{source} has no 'report.tolerances.default', the tolerance for absolute scores.")
        values = {str(name): float(value) for name, value in section.items()}
        by_name = {name: value for name, value in values.items() if name not in (DEFAULT, QUESTIONS, AVERAGE_GAIN)}
        check_benchmarks(name.partition("/")[0] for name in by_name)
        return cls(values[DEFAULT], values.get(QUESTIONS, 0.0), values.get(AVERAGE_GAIN, 0.0), by_name)

    def of(self, benchmark: str, n: int | None) -> Tolerance:
        """The tolerance of a score.

        Args:
            benchmark: as results.csv has it. A part of a benchmark has the benchmark's tolerance, except that the one
                of MME is for a sum over sub-tasks, and not for one of them.
            n: number of questions; None if it is not known.
        """
        whole = benchmark.partition("/")[0]
        inherited = self.by_name.get(whole, self.default) if whole != "mme" else self.default
        declared = self.by_name.get(benchmark, inherited)
        worth = self.questions * worth_of_a_question(benchmark, n) if n else 0.0
        if worth <= declared:
            return Tolerance(declared)
        return Tolerance(round(worth, 4), f"the worth of {self.questions:g} of its {n:,} questions")

    def sentence(self) -> str:
        """The tolerances in words."""
        named = [f"{value:g} on {benchmark_label(name)}" for name, value in sorted(self.by_name.items())]
        others = " on every other benchmark or part of one, each in its own unit" if named else ""
        text = f"The tolerance is {formatting.listed([*named, f'{self.default:g}{others}'])}"
        if self.questions:
            text += (
                f"; it is what {self.questions:g} questions are worth where that is more, since a score of few "
                "questions cannot come nearer"
            )
        if self.average_gain:
            text += f". For E-AdaPrune’s average gain it is {self.average_gain:g} percentage points"
        return f"{text}."


def worth_of_a_question(benchmark: str, n: int) -> float:
    """How many points a score gains if one more of its questions is answered rightly.

    A question of MME counts twice: 100 / n for its sub-task's accuracy, and 200 / n for the pair that it completes. A
    sum over sub-tasks of equal size has so many times more. A caption is taken as worth 100 points of CIDEr, about
    what a person's caption gets. Every other score is a percentage of its questions.

    Args:
        benchmark: as results.csv has it.
        n: number of questions.
    """
    whole, _, part = benchmark.partition("/")
    if whole not in _SUBTASKS:
        return 100 / n
    return 300 / n * (1 if part else _SUBTASKS[whole])

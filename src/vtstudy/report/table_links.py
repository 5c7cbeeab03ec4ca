"""Which measurement of ours answers which printed value.

A new table of the paper is made known to the report by an entry of `TABLE_LINKS`, and by a label for each new method
in `labels.py`.
"""

from dataclasses import dataclass

from vtstudy.benchmarks import ADAPTPRUNE, BENCHMARKS, MMBENCH_GROUPS, printed_parts

KEY_MODEL = "LLaVA-1.5-7B"
"""The model that all tables but the main ones are of."""
KEEP = 0.1
"""The keep ratio of the paper's tables, except for some columns of Tables 6 to 8."""
MAIN_TABLES = {"table1": 1, "table2": 2}
"""The experiments that run the paper's main comparison on one model, and the tables that print it."""

PRINTED_COLUMNS = {BENCHMARKS[key].column or BENCHMARKS[key].title: key for key in ADAPTPRUNE}
"""Printed column: benchmark key of results.csv."""


def _printed_names(prefix: str, *, groups: bool = False) -> dict[str, str]:
    """Printed name of each part of a benchmark: key of the part. Of MMBench, the groups or the other categories."""
    return {
        name: key
        for key, name in printed_parts().items()
        if key.startswith(prefix) and (key.partition("/")[2] in MMBENCH_GROUPS) == groups
    }


MMBENCH_BY_CATEGORY = dict(sorted(_printed_names("mmbench/").items()))
MMBENCH_BY_GROUP = dict(sorted(_printed_names("mmbench/", groups=True).items()))
MME_BY_SUBTASK = _printed_names("mme/")


@dataclass(frozen=True)
class PrintedMethod:
    """What a printed method measures, and where our measurements of it are.

    Attributes:
        quantity: the method's canonical name: the ablation's row (a) is FastV.
        sources: pairs (experiment, method) of results.csv; the first that was run counts.
        keep: the printed keep ratio.
    """

    quantity: str
    sources: tuple[tuple[str, str], ...]
    keep: float = KEEP


@dataclass(frozen=True)
class TableLink:
    """How the methods and benchmarks of a printed table meet ours.

    Attributes:
        table: its number.
        title: for readers.
        methods: by printed name.
        benchmarks: printed name: benchmark key.
        turned: whether the rows are benchmarks and the columns methods, as in Tables 6 to 8.
        extra: pairs (experiment, method) of ours that the paper does not print.
        noun: what the table's benchmarks are called.
    """

    table: int
    title: str
    methods: dict[str, PrintedMethod]
    benchmarks: dict[str, str]
    turned: bool = False
    extra: tuple[tuple[str, str], ...] = ()
    noun: str = "benchmark"

    def place(self, row: str, column: str) -> tuple[PrintedMethod, str] | None:
        """Method and benchmark of a printed value; None where none of our experiments measures it."""
        method, benchmark = (column, row) if self.turned else (row, column)
        if method in self.methods and benchmark in self.benchmarks:
            return self.methods[method], self.benchmarks[benchmark]
        return None


def _methods(experiment: str, names: dict[str, str]) -> dict[str, PrintedMethod]:
    return {printed: PrintedMethod(method, ((experiment, method),)) for printed, method in names.items()}


def _methods_at_two_ratios(experiment: str) -> dict[str, PrintedMethod]:
    """The columns of Tables 6 to 8."""
    methods = _methods(experiment, {"baseline": "baseline"})
    for name, method in (("FastV", "fastv"), ("AdaptPrune", "adaptprune")):
        for keep in (KEEP, 0.25):
            methods[f"{name} {100 - 100 * keep:g}%"] = PrintedMethod(method, ((experiment, method),), keep)
    return methods


_MAIN = {"baseline": "baseline", "FastV": "fastv", "AdaptPrune": "adaptprune"}
_FLOORS = ("blind", "chance")


def _of_parts(table: int, title: str, experiment: str, parts: dict[str, str], noun: str) -> TableLink:
    """A table whose rows are parts of one benchmark."""
    floors = tuple((experiment, method) for method in _FLOORS)
    return TableLink(table, title, _methods_at_two_ratios(experiment), parts, turned=True, extra=floors, noun=noun)


TABLE_LINKS = {
    link.table: link
    for link in (
        TableLink(
            1,
            "LLaVA at 90 % pruning",
            _methods("table1", _MAIN | {"VTW": "vtw"}),
            PRINTED_COLUMNS,
            extra=(("table1", "adaptprune_as_written"), ("table1", "random")),
        ),
        TableLink(
            2,
            "InternVL2 at 90 % pruning",
            _methods("table2", _MAIN),
            PRINTED_COLUMNS,
            extra=(("table2", "adaptprune_as_written"), ("table2", "random"), ("table2", "vtw")),
        ),
        TableLink(3, "Inference cost on POPE", _methods("table1", _MAIN), {"Score": "pope"}),
        TableLink(
            4,
            "Ablation: correction, distance, similarity",
            {
                "baseline": PrintedMethod("baseline", (("table4", "baseline"), ("table1", "baseline"))),
                "(a)": PrintedMethod("fastv", (("table4", "(a)"), ("table1", "fastv"))),
                "(b)": PrintedMethod("(b)", (("table4", "(b)"),)),
                "(c)": PrintedMethod("(c)", (("table4", "(c)"),)),
                "(d)": PrintedMethod("adaptprune", (("table4", "(d)"), ("table1", "adaptprune"))),
            },
            PRINTED_COLUMNS,
        ),
        TableLink(
            5,
            "Alternative pruning strategies",
            _methods(
                "table5",
                _MAIN
                | {
                    "FitPrune": "fitprune",
                    "Skip": "skip",
                    "Random": "random",
                    "Random 3x3": "random3x3",
                    "Max-pooling 3x3": "maxpool3x3",
                    "Average-pooling": "avgpool3x3",
                    "The last 10%": "last",
                },
            ),
            PRINTED_COLUMNS,
        ),
        _of_parts(6, "MMBench by category", "table6_7", MMBENCH_BY_CATEGORY, "category"),
        _of_parts(7, "MMBench by group of categories", "table6_7", MMBENCH_BY_GROUP, "group"),
        _of_parts(8, "MME by sub-task", "table8", MME_BY_SUBTASK, "sub-task"),
    )
}
"""By number of the table."""


def canonical_method(method: str) -> str:
    """The canonical name of a method: rows (a) and (d) of the ablation are FastV and AdaptPrune."""
    row = TABLE_LINKS[4].methods.get(method)
    return row.quantity if row else method

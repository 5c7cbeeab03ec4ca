"""The command ``vtprune``. What a user can mend is one sentence on stderr and exit code 2."""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

DEFAULT_BENCHMARKS = "pope"
MINIATURE = "data/checkpoints/miniature-llava"


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.command != "report":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return arguments.run(arguments, rest)
    except KeyboardInterrupt:
        print("vtprune: stopped; answers made so far are stored", file=sys.stderr)
        return 130
    except Exception as error:
        if not _is_for_the_user(error):
            raise
        print(f"vtprune: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vtprune", description="Visual token pruning for vision-language models.")
    commands = parser.add_subparsers(dest="command", required=True)

    methods = commands.add_parser("methods", help="list the pruning methods")
    methods.set_defaults(run=_methods)

    ask = commands.add_parser("ask", help="ask about an image, without and with pruning, and see which tokens survive")
    ask.add_argument("image", metavar="IMAGE", help="an image file")
    ask.add_argument("question", metavar="QUESTION", help="such as: What color is the boat?")
    ask.add_argument("--checkpoint", help=f"a folder, or an id on the Hugging Face Hub (default: {MINIATURE} of vtprune's repository)")
    ask.add_argument("--method", default="adaptprune", help="one of those that `vtprune methods` lists (default: adaptprune)")
    ask.add_argument("--keep", type=float, help="fraction of the image tokens that stay, in (0, 1] (default: 0.1)")
    ask.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="another parameter of the method")
    ask.add_argument("--out", default="survivors.png", help="where the picture is written (default: survivors.png)")
    ask.add_argument("--plain", action="store_true", help="leave out the request for a short answer that benchmarks add to a question")
    ask.add_argument("--max-new-tokens", type=int, default=48, help="at most so many tokens in the answer (default: 48)")
    ask.add_argument("--device", help="such as cpu or cuda:1 (default: a GPU if there is one)")
    ask.add_argument("--dtype", help="such as bfloat16 (default: float32 on a CPU, else the checkpoint's own)")
    ask.set_defaults(run=_ask)

    evaluate = commands.add_parser("evaluate", help="score a checkpoint with a method on benchmarks")
    evaluate.add_argument("--checkpoint", required=True, help="a folder, or an id on the Hugging Face Hub")
    evaluate.add_argument("--method", default="none", help="one of those that `vtprune methods` lists (default: none)")
    evaluate.add_argument("--keep", type=float, help="fraction of the image tokens that stay, in (0, 1]")
    evaluate.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="another parameter of the method")
    evaluate.add_argument("--benchmarks", default=DEFAULT_BENCHMARKS, help="by name, with commas between, or all (default: pope)")
    evaluate.add_argument("--data", help="folder of local data sets, such as data/miniature (default: from the Hub)")
    evaluate.add_argument("--image", choices=("shown", "blank"), default="shown", help="blank: a grey image in place of each")
    evaluate.add_argument("--store", default="data/predictions", help="folder of predictions (default: data/predictions)")
    evaluate.add_argument("--batch-size", type=int, default=8, help="questions at a time (default: 8)")
    evaluate.add_argument("--limit", type=int, help="only so many questions of each benchmark, to try things out")
    evaluate.add_argument("--max-new-tokens", type=int, help="at most so many, whatever the task says")
    evaluate.add_argument("--device", help="such as cpu or cuda:1 (default: a GPU if there is one)")
    evaluate.add_argument("--dtype", help="such as bfloat16 (default: the checkpoint's own)")
    evaluate.set_defaults(run=_evaluate)

    plan = commands.add_parser("plan", help="say how many answers a profile will need, before it is run")
    plan.add_argument("--params", default="params.yaml", help="such as params/paper.yaml (default: params.yaml)")
    plan.add_argument("--commands", metavar="OUT", help="print the commands instead, with results and report in the folder OUT")
    plan.add_argument("--pictures", metavar="FOLDER", type=Path, help="with --commands: pictures that no benchmark shows, to calibrate E-AdaPrune's budgets on")
    plan.set_defaults(run=_plan)

    report = commands.add_parser("report", help="write the report; options as of `python -m vtprune.reporting`", add_help=False)
    report.set_defaults(run=_report)
    return parser


def _methods(arguments: argparse.Namespace, rest: list[str]) -> int:
    from vtprune.pruning import methods

    found = methods()
    width = max(map(len, found))
    for name, cls in found.items():
        print(f"{name:{width}}  {cls.__doc__.strip().splitlines()[0]}")
    return 0


def _ask(arguments: argparse.Namespace, rest: list[str]) -> int:
    from vtprune.ask import ask

    found = ask(
        arguments.image, arguments.question, arguments.checkpoint or _miniature(), arguments.method, arguments.keep, arguments.out,
        parameters=_parameters(arguments.param), short=not arguments.plain,
        max_new_tokens=arguments.max_new_tokens, device=arguments.device, dtype=arguments.dtype,
    )  # fmt: skip
    width = max(len(answer.label) for answer in found)
    for answer in found:
        print(f"{answer.label:{width}}  {answer.tokens:5d} image tokens  {answer.seconds:8.3f} s  {answer.text}")
    print(f"picture: {arguments.out}")
    return 0


def _miniature() -> Path:
    """The folder of the miniature's checkpoint, beside the sources of an editable installation.

    Raises:
        ValueError: if vtprune is installed without its repository.
    """
    folder = Path(__file__).resolve().parents[2] / MINIATURE
    if not folder.is_dir():
        raise ValueError(f"the miniature, {MINIATURE} of vtprune's repository, is not beside this installation: name a checkpoint with --checkpoint")
    return folder


def _evaluate(arguments: argparse.Namespace, rest: list[str]) -> int:
    from vtprune.evaluation.environment import data_root, prepare
    from vtprune.evaluation.run import Cell, Evaluator, check_benchmarks, is_local
    from vtprune.miniature.hub_schemas import BENCHMARKS

    names = list(BENCHMARKS) if arguments.benchmarks == "all" else arguments.benchmarks.split(",")
    check_benchmarks(names)
    if arguments.batch_size < 1:
        raise ValueError(f"batch-size must be at least 1, not {arguments.batch_size}")
    if arguments.data is not None:
        data_root(arguments.data)
    prepare(offline=is_local(arguments.checkpoint, arguments.data))
    from vtprune.ask import check_device
    from vtprune.evaluation.model import method_of

    check_device(arguments.device)
    method = method_of(arguments.method, arguments.keep, **_parameters(arguments.param))
    evaluator = Evaluator(
        arguments.checkpoint, arguments.data, store=arguments.store, batch_size=arguments.batch_size,
        limit=arguments.limit, max_new_tokens=arguments.max_new_tokens, device=arguments.device, dtype=arguments.dtype,
    )  # fmt: skip
    scores = evaluator.evaluate(Cell(method, arguments.image), names)
    _print_table(scores)
    return 0


def _plan(arguments: argparse.Namespace, rest: list[str]) -> int:
    from vtprune.experiments.plan import commands, table

    params = Path(arguments.params)
    if arguments.pictures and not arguments.commands:
        raise ValueError("--pictures goes with --commands: the plan is the same for any pictures")
    print("\n".join(commands(params, Path(arguments.commands), arguments.pictures)) if arguments.commands else table(params))
    return 0


def _report(arguments: argparse.Namespace, rest: list[str]) -> int:
    from vtprune.reporting.__main__ import main as report

    return report(rest)


def _parameters(texts: list[str]) -> dict[str, Any]:
    """The method's parameters but ``keep``, which has an option of its own."""
    found = dict(map(_parameter, texts))
    if "keep" in found:
        raise ValueError("--param does not take keep: give it by --keep")
    return found


def _parameter(text: str) -> tuple[str, Any]:
    """``radius=3`` as a name and a plain value; what is not JSON stays text."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"--param takes NAME=VALUE, not {text!r}")
    try:
        return name, json.loads({"True": "true", "False": "false"}.get(value, value))
    except ValueError:
        return name, value


def _print_table(scores: dict[str, Any]) -> None:
    from vtprune.evaluation.statistics import bootstrap, interval

    print(f"{'benchmark':14}{'metric':22}{'score':>9}{'95 % interval':>22}{'questions':>11}")
    for name, found in scores.items():
        draws = bootstrap(found.values[:, None], found.strata, found.images, resamples=2000, seed=0, name=name)
        low, high = interval(draws[:, 0])
        between = "" if math.isnan(low) else f"{low:.2f} to {high:.2f}"
        print(f"{name:14}{found.metric:22}{found.value:9.2f}{between:>22}{found.questions:11d}")


def _is_for_the_user(error: Exception) -> bool:
    """Whether the error's message is a sentence for the user; any other error is a bug and keeps its traceback."""
    from vtprune.evaluation.errors import EvaluationError

    if isinstance(error, EvaluationError) or type(error) is ValueError:
        return True
    names = {cls.__name__ for cls in type(error).__mro__}
    return bool(names & {"CheckpointError", "DatasetError"})


if __name__ == "__main__":
    sys.exit(main())

"""The command ``vtstudy``. What a user can mend is one sentence on stderr and exit code 2."""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from vtprune.command import parse_parameters
from vtprune.errors import UserError

DEFAULT_BENCHMARKS = "pope"


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.command != "report":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return arguments.run(arguments, rest)
    except KeyboardInterrupt:
        print("vtstudy: stopped; answers made so far are stored", file=sys.stderr)
        return 130
    except UserError as error:
        print(f"vtstudy: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vtstudy", description="Visual token pruning for vision-language models.")
    commands = parser.add_subparsers(dest="command", required=True)

    evaluate = commands.add_parser("evaluate", help="score a checkpoint with a method on benchmarks")
    evaluate.add_argument("--checkpoint", required=True, help="a folder, or an id on the Hugging Face Hub")
    evaluate.add_argument("--method", default="none", help="one of those that `vtprune methods` lists (default: none)")
    evaluate.add_argument("--keep", type=float, help="fraction of the image tokens that stay, in (0, 1]")
    evaluate.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="another parameter of the method"
    )
    evaluate.add_argument(
        "--benchmarks", default=DEFAULT_BENCHMARKS, help="by name, with commas between, or all (default: pope)"
    )
    evaluate.add_argument("--data", help="folder of local data sets, such as data/miniature (default: from the Hub)")
    evaluate.add_argument(
        "--image", choices=("shown", "blank"), default="shown", help="blank: a grey image in place of each"
    )
    evaluate.add_argument(
        "--store", default="data/predictions", help="folder of predictions (default: data/predictions)"
    )
    evaluate.add_argument("--batch-size", type=int, default=8, help="questions at a time (default: 8)")
    evaluate.add_argument("--limit", type=int, help="only so many questions of each benchmark, to try things out")
    evaluate.add_argument("--max-new-tokens", type=int, help="at most so many, whatever the task says")
    evaluate.add_argument("--device", help="such as cpu or cuda:1 (default: a GPU if there is one)")
    evaluate.add_argument("--dtype", help="such as bfloat16 (default: the checkpoint's own)")
    evaluate.set_defaults(run=_evaluate)

    plan = commands.add_parser("plan", help="say how many answers a profile will need, before it is run")
    plan.add_argument("--params", default="params.yaml", help="such as params/paper.yaml (default: params.yaml)")
    plan.add_argument(
        "--commands", metavar="OUT", help="print the commands instead, with results and report in the folder OUT"
    )
    plan.add_argument(
        "--pictures",
        metavar="FOLDER",
        type=Path,
        help="with --commands: pictures that no benchmark shows, to calibrate E-AdaPrune's budgets on",
    )
    plan.set_defaults(run=_plan)

    report = commands.add_parser(
        "report", help="write the report; options as of `python -m vtstudy.report`", add_help=False
    )
    report.set_defaults(run=_report)
    return parser


def _evaluate(arguments: argparse.Namespace, rest: list[str]) -> int:
    from vtstudy.benchmarks import WORLD, check_benchmarks
    from vtstudy.evaluation.environment import data_root, prepare
    from vtstudy.evaluation.harness import Evaluator, is_local
    from vtstudy.evaluation.requests import Variant
    from vtstudy.world.hub_rows import validate

    names = list(WORLD) if arguments.benchmarks == "all" else arguments.benchmarks.split(",")
    check_benchmarks(names)
    if arguments.batch_size < 1:
        raise UserError(f"batch-size must be at least 1, not {arguments.batch_size}")
    if arguments.data is not None:
        data_root(arguments.data)
    prepare(offline=is_local(arguments.checkpoint, arguments.data))
    from vtprune.ask import check_device
    from vtprune.methods import parse_method

    check_device(arguments.device)
    method = parse_method(arguments.method, arguments.keep, **parse_parameters(arguments.param))
    evaluator = Evaluator(
        arguments.checkpoint,
        arguments.data,
        store=arguments.store,
        batch_size=arguments.batch_size,
        limit=arguments.limit,
        max_new_tokens=arguments.max_new_tokens,
        device=arguments.device,
        dtype=arguments.dtype,
        check_data=validate,
    )
    scores = evaluator.evaluate(Variant(method, arguments.image), names)
    _print_table(scores)
    return 0


def _plan(arguments: argparse.Namespace, rest: list[str]) -> int:
    from vtstudy.experiments.plan import commands, table

    params = Path(arguments.params)
    if arguments.pictures and not arguments.commands:
        raise UserError("--pictures goes with --commands: the plan is the same for any pictures")
    print(
        "\n".join(commands(params, Path(arguments.commands), arguments.pictures))
        if arguments.commands
        else table(params)
    )
    return 0


def _report(arguments: argparse.Namespace, rest: list[str]) -> int:
    from vtstudy.report.__main__ import main as report

    return report(rest)


def _print_table(scores: dict[str, Any]) -> None:
    from vtstudy.evaluation.bootstrap import bootstrap, interval

    print(f"{'benchmark':14}{'metric':22}{'score':>9}{'95 % interval':>22}{'questions':>11}")
    for name, found in scores.items():
        draws = bootstrap(found.values[:, None], found.strata, found.images, resamples=2000, seed=0, name=name)
        low, high = interval(draws[:, 0])
        between = "" if math.isnan(low) else f"{low:.2f} to {high:.2f}"
        print(f"{name:14}{found.metric:22}{found.value:9.2f}{between:>22}{found.questions:11d}")


if __name__ == "__main__":
    sys.exit(main())

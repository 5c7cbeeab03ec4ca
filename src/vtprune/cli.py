"""The command ``vtprune``. What a user can mend is one sentence on stderr and exit code 2."""

import argparse
import sys
from pathlib import Path

from vtprune.command import parse_parameters
from vtprune.errors import UserError

MINIATURE = "data/checkpoints/miniature-llava"


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        return 130
    except UserError as error:
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
    ask.add_argument(
        "--checkpoint",
        help=f"a folder, or an id on the Hugging Face Hub (default: {MINIATURE} of vtprune's repository)",
    )
    ask.add_argument(
        "--method", default="adaptprune", help="one of those that `vtprune methods` lists (default: adaptprune)"
    )
    ask.add_argument("--keep", type=float, help="fraction of the image tokens that stay, in (0, 1] (default: 0.1)")
    ask.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="another parameter of the method"
    )
    ask.add_argument("--out", default="survivors.png", help="where the picture is written (default: survivors.png)")
    ask.add_argument(
        "--plain",
        action="store_true",
        help="leave out the request for a short answer that benchmarks add to a question",
    )
    ask.add_argument(
        "--max-new-tokens", type=int, default=48, help="at most so many tokens in the answer (default: 48)"
    )
    ask.add_argument("--device", help="such as cpu or cuda:1 (default: a GPU if there is one)")
    ask.add_argument("--dtype", help="such as bfloat16 (default: float32 on a CPU, else the checkpoint's own)")
    ask.set_defaults(run=_ask)

    return parser


def _methods(arguments: argparse.Namespace) -> int:
    from vtprune.methods import methods

    found = methods()
    width = max(map(len, found))
    for name, cls in found.items():
        print(f"{name:{width}}  {cls.__doc__.strip().splitlines()[0]}")
    return 0


def _ask(arguments: argparse.Namespace) -> int:
    from vtprune.ask import ask

    found = ask(
        arguments.image,
        arguments.question,
        arguments.checkpoint or _miniature(),
        arguments.method,
        arguments.keep,
        arguments.out,
        parameters=parse_parameters(arguments.param),
        short=not arguments.plain,
        max_new_tokens=arguments.max_new_tokens,
        device=arguments.device,
        dtype=arguments.dtype,
    )
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
        raise UserError(
            f"the miniature, {MINIATURE} of vtprune's repository, is not beside this installation: name a checkpoint with --checkpoint"
        )
    return folder


if __name__ == "__main__":
    sys.exit(main())

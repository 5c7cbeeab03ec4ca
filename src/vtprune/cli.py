"""The command `vtprune`: list the pruning methods, ask a model about an image, and convert a checkpoint."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vtprune.attach import FAMILIES
from vtprune.command import parse_parameters, print_table, run
from vtprune.errors import UserError
from vtprune.methods import methods

MINIATURE = "data/checkpoints/miniature-llava"
ASK_PACKAGES = ("PIL", "matplotlib", "numpy")

app = typer.Typer(
    help="Visual token pruning for vision-language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run(app, argv, name="vtprune")


@app.command("methods")
def list_methods() -> None:
    """List the pruning methods, and the families of models that they prune."""
    for head, rows in (
        ("method", [(name, cls.summary()) for name, cls in methods().items()]),
        ("family", [(family.title(), family.summary()) for family in FAMILIES.values()]),
    ):
        table = Table(box=None, pad_edge=False)
        table.add_column(head)
        table.add_column("description")
        for row in rows:
            table.add_row(*row)
        print_table(table)


@app.command()
def ask(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="Such as: What color is the boat?")],
    checkpoint: Annotated[
        str | None,
        typer.Option(help=f"A folder, or an id on the Hugging Face Hub. Default: {MINIATURE} of vtprune's repository."),
    ] = None,
    method: Annotated[str, typer.Option(help="A method that `vtprune methods` lists.")] = "adaptprune",
    keep: Annotated[
        float | None, typer.Option(help="Fraction of the image tokens that stay, in (0, 1]. Default: 0.1.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Another parameter of the method.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The file of the picture.")] = Path("survivors.png"),
    plain: Annotated[
        bool, typer.Option("--plain", help="Do not add the request for a short answer that benchmarks add.")
    ] = False,
    max_new_tokens: Annotated[int, typer.Option(help="The longest answer, in tokens.")] = 48,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:1. Default: a GPU if there is one.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Such as bfloat16. Default: float32 on a CPU, else the checkpoint's.")
    ] = None,
) -> None:
    """Ask about an image, without and with pruning, and draw the tokens that survive."""
    try:
        from vtprune import ask as asking  # needs packages that the library does not need
    except ModuleNotFoundError as error:
        if error.name not in ASK_PACKAGES:
            raise
        raise UserError(
            "`vtprune ask` draws with pillow and matplotlib: install them by pip install '.[ask]' in vtprune's folder"
        ) from error

    answers = asking.ask(
        image,
        question,
        checkpoint or _miniature(),
        method,
        keep,
        out,
        parameters=parse_parameters(param or []),
        short=not plain,
        max_new_tokens=max_new_tokens,
        device=device,
        dtype=dtype,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("method")
    table.add_column("image tokens", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("answer")
    for answer in answers:
        table.add_row(answer.label, str(answer.tokens), f"{answer.seconds:.3f}", answer.text)
    print_table(table)
    print(f"picture: {out}")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A folder with OpenGVLab/InternVL2-2B or -8B.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The new folder.")],
) -> None:
    """Convert InternVL2 from its authors' format to the one of transformers, without running its authors' code."""
    from vtprune.conversion import convert_internvl2

    convert_internvl2(source, target, report=lambda line: print(line, file=sys.stderr, flush=True))
    print(f"converted: {target}")


def _miniature() -> Path:
    """Return the folder of the miniature's checkpoint, which an editable installation has beside its sources.

    Raises:
        UserError: if vtprune is installed without its repository.
    """
    folder = Path(__file__).resolve().parents[2] / MINIATURE
    if not folder.is_dir():
        raise UserError(
            f"this installation has no {MINIATURE}, which is part of vtprune's repository: "
            "name a checkpoint with --checkpoint"
        )
    return folder


if __name__ == "__main__":
    sys.exit(main())

"""The command `vtstudy`: evaluate models, run the experiments of the study, and write the report.

Each command imports what it needs, because most of the imports load torch, which takes seconds.
"""

import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.table import Table

    from vtstudy.evaluation.scoring import Scores

app = typer.Typer(
    help="Evaluate pruning methods on benchmarks, and re-run the studies of AdaptPrune and E-AdaPrune.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Params = Annotated[Path, typer.Option(help="File of parameters, such as profiles/lite/params.yaml.")]
OptionalParams = Annotated[Path | None, typer.Option("--params", help="File of parameters. Default: params.yaml.")]
Profile = Annotated[
    str | None, typer.Option(help="In place of --params: miniature, or a folder of profiles/, such as lite.")
]
ModelKey = Annotated[str | None, typer.Option("--model", help="Key of a model in the parameters. Default: the first.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder of the report; the results are in its folder `results`. Default: reports/PROFILE."),
]
Data = Annotated[str | None, typer.Option(help="Folder of the data sets, in place of `evaluation.data`.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Ask at most this many questions of each benchmark.")]
Cache = Annotated[Path, typer.Option(help="Folder of the stored answers.")]
Device = Annotated[str | None, typer.Option(help="Such as cpu or cuda:1. Default: a GPU if there is one.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Measure again, even if these times are stored.")]

PARAMS = Path("params.yaml")
CACHE = Path("data/answers")
RATES = Path("reports/recorded/rates.json")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if "--help" in arguments:  # needs no torch, and cannot fail
        app(args=arguments, prog_name="vtstudy", standalone_mode=False)
        return 0
    from vtprune.command import run

    return run(app, arguments, name="vtstudy", interrupted="stopped; answers made so far are stored")


@app.callback()
def check_processes(context: typer.Context) -> None:
    if context.invoked_subcommand != "answer" and "WORLD_SIZE" in os.environ:  # a launcher sets it
        from vtstudy.evaluation.shards import refuse_several_processes  # loads torch

        refuse_several_processes(f"vtstudy {context.invoked_subcommand}")


@app.command()
def evaluate(
    checkpoint: Annotated[str, typer.Option(help="A folder, or an id on the Hugging Face Hub.")],
    method: Annotated[str, typer.Option(help="A method that `vtprune methods` lists.")] = "none",
    keep: Annotated[float | None, typer.Option(help="Fraction of the image tokens that stays, in (0, 1].")] = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Another parameter of the method.")
    ] = None,
    benchmarks: Annotated[str, typer.Option(help="Names with commas between, or all.")] = "pope",
    data: Annotated[str | None, typer.Option(help="Folder of local data sets. Default: from the Hub.")] = None,
    image: Annotated[Literal["shown", "blank"], typer.Option(help="blank: a grey image in place of each.")] = "shown",
    cache: Cache = CACHE,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions in a batch.")] = 8,
    limit: Limit = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Upper bound on the length of an answer.")] = None,
    device: Device = None,
    dtype: Annotated[str | None, typer.Option(help="Such as bfloat16. Default: the checkpoint's own.")] = None,
    prompt: Annotated[
        Literal["auto", "checkpoint", "vicuna_v1", "llava_llama_3"],
        typer.Option(help="The prompt around a question. auto: the authors' for the papers' checkpoints."),
    ] = "auto",
    pictures: Annotated[
        Literal["auto", "processor", "pad", "crop"],
        typer.Option(help="pad: to a square. auto: as the authors do for the papers' checkpoints."),
    ] = "auto",
) -> None:
    """Score a checkpoint with a method on benchmarks."""
    from vtprune.command import check_device, parse_parameters, print_table
    from vtprune.errors import UserError
    from vtprune.methods import parse_method
    from vtstudy.benchmarks import WORLD, check_benchmarks, limit_of
    from vtstudy.evaluation.availability import unavailable
    from vtstudy.evaluation.environment import data_root, prepare
    from vtstudy.evaluation.harness import Evaluator, is_local
    from vtstudy.evaluation.requests import Request, Variant
    from vtstudy.experiments.runner import check_data, scores_of_variant

    names = list(WORLD) if benchmarks == "all" else benchmarks.split(",")
    check_benchmarks(names)
    for name, reason in unavailable(names).items():
        raise UserError(f"{name} cannot be scored here: {reason}")
    if data is not None:
        data_root(data)
    prepare(offline=is_local(checkpoint, data))
    check_device(device)
    evaluator = Evaluator(
        checkpoint,
        data,
        cache=cache,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        device=device,
        dtype=dtype,
        prompt=prompt,
        pictures=pictures,
        check_data=check_data,
    )
    variant = Variant(parse_method(method, keep, **parse_parameters(param or [])), image)
    limits = {name: limit_of(limit, name) for name in names}
    evaluator.answer(Request(variant, name, count) for name, count in limits.items())
    print_table(_score_table(scores_of_variant(evaluator, variant, limits)))


@app.command()
def plan(
    params: OptionalParams = None,
    profile: Profile = None,
    model: ModelKey = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="GPUs that share the work. Default: those here.")] = None,
    gpu: Annotated[str | None, typer.Option(help="Compute the time for this GPU, such as A100-80GB.")] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Measure here first how fast the models answer.")] = False,
    rates: Annotated[Path, typer.Option(help="Table of measured rates; --probe adds to it.")] = RATES,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the Hub for sizes.")] = False,
    device: Device = None,
) -> None:
    """What a profile needs, before it is run: answers, time, downloads, disk and memory, and what is left out."""
    from vtprune.command import check_device, print_table
    from vtstudy.config import load
    from vtstudy.planning import probe as probing
    from vtstudy.planning.hub import Hub
    from vtstudy.planning.rates import read_rates
    from vtstudy.planning.tables import planned_tables

    config, measured = load(_chosen_params(params, profile)), read_rates(rates)
    if probe:
        check_device(device)
        measured = probing.probe_models(config, rates, None if model is None else [model], device=device)
    tables, sentences = planned_tables(config, measured, Hub(ask=not offline), gpus=gpus, gpu=gpu)
    for table in tables:
        print_table(table)
    print(*sentences, sep="\n")


@app.command()
def check(
    params: OptionalParams = None,
    profile: Profile = None,
    model: ModelKey = None,
    data: Data = None,
    limit: Limit = None,
) -> None:
    """Check settings, access, keys, disk and memory before the first question, and list all problems at once."""
    from vtstudy.config import load
    from vtstudy.planning import checks

    config = load(_chosen_params(params, profile))
    findings = checks.check(config, models=None if model is None else [model], data=data, limit=limit)
    for sentence in (*findings.left_out, *findings.warnings):
        print(sentence)
    checks.refuse(findings.problems)
    print(f"profile {config.profile}: everything is in order")


@app.command()
def answer(
    model: ModelKey = None,
    params: Params = PARAMS,
    out: Out = None,
    data: Data = None,
    limit: Limit = None,
    cache: Cache = CACHE,
    device: Device = None,
    summary: Annotated[Path | None, typer.Option(help="Folder of the summary. Default: data/answered/PROFILE.")] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="NUMBER/COUNT", help="Make one part of the answers, such as 3/8; no summary.")
    ] = None,
    check_shards: Annotated[
        int | None, typer.Option(min=1, help="Make no answers: check that so many shards did, and write the summary.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Processes of this command. Default: one for each CPU if a small model runs on them."),
    ] = None,
    prefetch: Annotated[
        bool | None, typer.Option(help="Load the next questions in a thread. Default: yes unless on the CPU.")
    ] = None,
) -> None:
    """Make the answers of all experiments for one model, and write a summary of them.

    Several processes share the work with --shard, or if torchrun or accelerate starts them (docs/several-gpus.md).
    """
    from vtprune.errors import UserError
    from vtstudy.config import load
    from vtstudy.evaluation.shards import launched_shard, refuse_several_processes, shard_of
    from vtstudy.experiments.answers import answer_all
    from vtstudy.planning.checks import require

    if check_shards is not None:
        refuse_several_processes("vtstudy answer --check-shards")
        if shard is not None:
            raise UserError("--check-shards makes no answers, and so takes no --shard: give one of the two")
    if processes is not None and processes > 1:
        if shard is not None:
            raise UserError("--shard is the work of one process, and so takes no --processes: give one of the two")
        if (launched := launched_shard()) is not None:
            raise UserError(f"a launcher started {launched.count} processes that share the work: leave out --processes")
    part = shard_of(shard)
    config = load(params)
    require(config, models=[config.model_key(model)], data=data, limit=limit, cache=str(cache))
    path, left_out = answer_all(
        config,
        model,
        (out or config.reports) / "results",
        summary or config.answered,
        shard=part,
        launched=launched_shard() is not None,
        check_shards=check_shards,
        processes=processes,
        prefetch=prefetch,
        data=data,
        limit=limit,
        cache=str(cache),
        device=device,
    )
    for name, reason in left_out.items():
        print(f"vtstudy: {name} is left out: {reason}", file=sys.stderr)
    print(path or f"shard {part} is complete; the summary is written when all {part.count} shards are")


@app.command()
def run(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="An experiment, such as table1, figure2 or eadaprune.")
    ],
    model: ModelKey = None,
    params: Params = PARAMS,
    out: Out = None,
    data: Data = None,
    limit: Limit = None,
    cache: Cache = CACHE,
    device: Device = None,
) -> None:
    """Run one experiment, and write its results."""
    from vtstudy.config import load
    from vtstudy.experiments.registry import get_experiment

    entry, config = get_experiment(experiment), load(params)
    results = (out or config.reports) / "results"
    settings = entry.settings_of(
        config, model, out=str(results), data=data, limit=limit, cache=str(cache), device=device
    )
    print(entry.run(settings))


@app.command()
def layers(
    checkpoint: Annotated[str, typer.Option(help="A folder, or an id on the Hugging Face Hub.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    data: Annotated[str, typer.Option(help="Folder of local data sets.")] = "data/miniature",
    prune_before: Annotated[str, typer.Option(metavar="K,K,...", help="The layers before which tokens go.")] = "1,2,3",
    keeps: Annotated[
        str, typer.Option(help="Fractions of the image tokens that stay, with commas between.")
    ] = "0.5,0.1",
    methods: Annotated[str, typer.Option(help="Methods with commas between.")] = "fastv,adaptprune,random,fitprune",
    benchmarks: Annotated[str | None, typer.Option(help="Names with commas between. Default: all but MME.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Ask at most this many questions of each benchmark.")] = 60,
    cache: Cache = CACHE,
    device: Device = None,
) -> None:
    """Check a checkpoint quickly: scores by the layer before which tokens are dropped, without image, and by chance.

    This is the experiment `layers` with settings of the command line. Half of the tokens should cost FastV at most 5 %
    of the mean, and random selection at most 10 %.
    """
    import yaml

    from vtprune.command import print_table
    from vtstudy.config import checked
    from vtstudy.evaluation.environment import prepare
    from vtstudy.evaluation.harness import is_local
    from vtstudy.experiments import layer_sweep, runner
    from vtstudy.experiments.settings import LayerSettings
    from vtstudy.results_table import read_results

    values = {
        "checkpoint": checkpoint,
        "data": data,
        "out": str(out),
        "cache": str(cache),
        "device": device,
        "limit": limit,
        "dtype": "float32",
        "max_new_tokens": 48,
        "prune_before": yaml.safe_load(f"[{prune_before}]"),
        "keeps": yaml.safe_load(f"[{keeps}]"),
        "methods": methods.split(","),
        "benchmarks": benchmarks.split(",") if benchmarks else (),
    }
    prepare(offline=is_local(checkpoint, data))
    settings = checked(LayerSettings, values, "the options")
    path = runner.run(layer_sweep.sweep(settings), settings)
    print_table(_pivot_table(layer_sweep.pivot(read_results(path))))
    print(path)


@app.command()
def spectra(params: Params = PARAMS, out: Out = None, cache: Cache = CACHE, device: Device = None) -> None:
    """Measure the spectra of the benchmarks' pictures, and calibrate the energies of spectral budgets.

    The first model gets all tables. E-AdaPrune's other backbones get energies.
    """
    from vtstudy.config import load
    from vtstudy.experiments.backbones import calibrate_backbones

    run("spectra", params=params, out=out, cache=cache, device=device)
    config = load(params)
    for path in calibrate_backbones(config, (out or config.reports) / "results", cache=str(cache), device=device):
        print(path)


@app.command()
def calibrate(
    pictures: Annotated[Path, typer.Option(help="Folder of pictures that no benchmark shows.")],
    model: ModelKey = None,
    params: Params = PARAMS,
    out: Out = None,
    device: Device = None,
) -> None:
    """Calibrate the energies of spectral budgets on pictures of your own, for the checkpoint of a model."""
    from vtstudy.config import load
    from vtstudy.experiments import calibrate as calibration
    from vtstudy.experiments.registry import get_experiment

    config = load(params)
    results = (out or config.reports) / "results"
    settings = get_experiment("eadaprune").settings_of(config, model, out=str(results), device=device)
    print(calibration.run(settings, calibration.opened(calibration.find_pictures(pictures))))


@app.command()
def pipeline(
    root: Annotated[Path, typer.Option(help="Folder of dvc.yaml and of the folder `profiles`.")] = Path(),
) -> None:
    """Write the pipelines of the profiles (profiles/*/dvc.yaml) from the one in dvc.yaml."""
    from vtstudy.pipeline import write_pipelines

    print(*write_pipelines(root), sep="\n")


fetch_app = typer.Typer(help="Fetch models and data from the Hugging Face Hub.", no_args_is_help=True)
app.add_typer(fetch_app, name="fetch")


@fetch_app.command("model")
def fetch_model(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Key of a model in the parameters.")],
    params: Params = PARAMS,
) -> None:
    """Fetch a model's checkpoint into its folder, and convert it if transformers has no class for its format."""
    from vtprune.errors import UserError
    from vtstudy.config import load
    from vtstudy.fetching.models import fetch_model as fetch

    model = load(params).model(key)
    if model.source is None:
        raise UserError(f"{params}: models.{key} has no 'source', such as {{id: OWNER/NAME, revision: main}}")
    print(fetch(model.source.id, model.source.revision, Path(model.checkpoint)))


@fetch_app.command("data")
def fetch_data(params: Params = PARAMS) -> None:
    """Fetch the questions that the experiments of a profile ask, and pictures to calibrate spectral budgets on."""
    from vtprune.errors import UserError
    from vtstudy.config import load
    from vtstudy.experiments.questions_asked import calibrated_on, questions_asked
    from vtstudy.fetching.calibration import fetch_calibration
    from vtstudy.fetching.data_sets import fetch_data as fetch

    config = load(params)
    if config.downloads is None or config.evaluation.data is None:
        raise UserError(f"{params} must have the section 'downloads' and the folder 'evaluation.data' to fetch data")
    folder = Path(config.evaluation.data)
    fetch(folder, questions_asked(config), config.downloads.revisions)
    if config.spectra is not None:
        fetch_calibration(folder, calibrated_on(config), config.spectra.calibration)
    print(folder)


@app.command()
def world(params: Params = PARAMS, data: Data = None) -> None:
    """Render the pictures and write the data sets of the miniature world."""
    from vtprune.errors import UserError
    from vtstudy.config import load
    from vtstudy.world.datasets import make_all

    config = load(params)
    folder = data or config.evaluation.data
    if config.world is None or folder is None:
        raise UserError(f"{params} must have the section 'world' and the folder 'evaluation.data' for its data sets")
    made = make_all(Path(folder), config.world.questions, config.world.seed)
    print(folder if made else f"{folder} is up to date: the same settings and code made it.")


@app.command()
def train(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A miniature: miniature-llava, or one of `derived`.")],
    params: Params = PARAMS,
    device: Device = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train in any case, from the first step.")] = False,
    snapshot: Annotated[
        Path | None, typer.Option(help="Train nothing: write what the training has reached so far to this folder.")
    ] = None,
) -> None:
    """Train a miniature, unless its checkpoint is what its settings would make."""
    from vtstudy.config import load
    from vtstudy.training import train as training

    sections = load(params).model_dump(mode="json", include={"training", "derived"}, exclude_unset=True)
    if snapshot is not None:
        reached = training.snapshot(name, sections, snapshot)
        print(f"{snapshot}: {', '.join(f'{stage} at step {step}' for stage, step in reached.items())}")
        return
    training.train(name, sections, device, fresh=fresh)


@app.command()
def costs(params: Params = PARAMS, out: Out = None) -> None:
    """Compute the FLOPs and cache sizes of the papers' models (Table 3), and compare ways to count FLOPs."""
    from vtstudy.config import load
    from vtstudy.experiments.costs import write_costs

    print(*write_costs((out or load(params).reports) / "results"), sep="\n")


@app.command()
def timings(
    params: Params = PARAMS,
    model: ModelKey = None,
    out: Out = None,
    cache: Cache = CACHE,
    device: Device = None,
    rounds: Annotated[int | None, typer.Option(min=2, help="Measured rounds, in place of `timing.rounds`.")] = None,
    fresh: Fresh = False,
) -> None:
    """Time the methods on this machine (Table 3), as ratios to the unpruned model."""
    from vtstudy.config import load
    from vtstudy.experiments.timings import measure_timings

    config = load(params)
    checkpoint = Path(config.model(model).checkpoint)
    results = (out or config.reports) / "results"
    path = measure_timings(
        results,
        checkpoint,
        cache,
        device=device,
        dtype=config.evaluation.dtype,
        rounds=rounds or config.timing.rounds,
        fresh=fresh,
    )
    print(path)


@app.command()
def svd_latency(
    params: Params = PARAMS,
    out: Out = None,
    recorded: Annotated[Path, typer.Option(help="Folder of a GPU's recorded times.")] = Path("reports/recorded"),
    cache: Cache = CACHE,
    rounds: Annotated[
        int | None, typer.Option(min=2, help="Measured rounds of a shape, at most, in place of `timing.budget_rounds`.")
    ] = None,
    fresh: Fresh = False,
) -> None:
    """Time the ways to compute a spectral budget on this machine, and add a GPU's recorded times."""
    from vtstudy.config import load
    from vtstudy.experiments.svd_latency import measure_latency

    config = load(params)
    results = (out or config.reports) / "results"
    rounds = rounds or config.timing.budget_rounds
    print(measure_latency(results, recorded, cache, rounds=rounds, fresh=fresh))


@app.command()
def collect(params: Params = PARAMS, out: Out = None) -> None:
    """Join the results of all experiments to results.csv and provenance.json."""
    from vtstudy.config import load
    from vtstudy.experiments import collect as collecting

    config = load(params)
    out = out or config.reports
    names = collecting.collect(out / "results" / "scores", out, config)
    print(f"{out / 'results.csv'}: {', '.join(names)}")


@app.command()
def report(
    params: Params = PARAMS,
    out: Out = None,
    published: Annotated[Path, typer.Option(help="Folder of the papers' values and claims.")] = Path("data/published"),
    readme: Annotated[Path | None, typer.Option(help="A README whose marked parts are filled, too.")] = None,
) -> None:
    """Write the report from the collected results: index.html, README.md, verdicts and figures."""
    from vtstudy.config import load
    from vtstudy.report.build import build_report

    out = out or load(params).reports
    print(build_report(reports=out, published=published, params=params, readme=readme))


@app.command()
def explorer(
    params: Params = PARAMS,
    out: Out = None,
    data: Data = None,
    limit: Limit = None,
    cache: Cache = CACHE,
    device: Device = None,
) -> None:
    """Write what the explorer shows: pictures, and for each method the tokens that it leaves and its answers."""
    from vtstudy.config import load
    from vtstudy.experiments.explorer import explore

    config = load(params)
    results = (out or config.reports) / "results"
    print(explore(config, out=str(results), data=data, limit=limit, cache=str(cache), device=device))


@app.command()
def notebooks(
    folder: Annotated[Path, typer.Option("--notebooks", help="Folder of the notebooks.")] = Path("notebooks"),
    params: Params = PARAMS,
    out: Out = None,
) -> None:
    """Run the notebooks on the report of a profile, and write them as pages into its folder."""
    from vtstudy.config import load
    from vtstudy.report.notebooks import render_notebooks

    config = load(params)
    several = len(config.models) > 1
    tags = {"world": config.world is None, "several-models": not several, "one-model": several}
    without = [tag for tag, absent in tags.items() if absent]
    print(*render_notebooks(folder, out or config.reports, without), sep="\n")


@app.command()
def import_answers(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Predictions of version 0.1: data/predictions.")],
    params: Params = PARAMS,
    cache: Cache = CACHE,
) -> None:
    """Add the answers that version 0.1 stored for the models of the parameters to the stored answers."""
    from vtstudy.config import load
    from vtstudy.evaluation.answer_cache import AnswerCache
    from vtstudy.evaluation.checkpoint import Checkpoint
    from vtstudy.evaluation.import_answers import import_answers as import_folder
    from vtstudy.evaluation.measurement_cache import MeasurementCache

    config, measurements = load(params), MeasurementCache(cache / "measurements")
    dtype = config.evaluation.dtype
    checkpoints = [Checkpoint(model.checkpoint, measurements, dtype=dtype) for model in config.models.values()]
    imported, passed_over = import_folder(folder, AnswerCache(cache), checkpoints)
    print(f"files imported: {imported}; of other models, code or versions, and so not imported: {passed_over}")


def _chosen_params(params: Path | None, profile: str | None) -> Path:
    """The file of parameters that is named itself or by its profile; the miniature's if none is named."""
    from vtprune.errors import UserError

    if profile is None:
        return params or PARAMS
    if params is not None:
        raise UserError("name a profile (--profile) or a file of parameters (--params), not both")
    path = PARAMS if profile == "miniature" else Path("profiles") / profile / "params.yaml"
    if not path.is_file():
        names = sorted(file.parent.name for file in Path("profiles").glob("*/params.yaml"))
        raise UserError(f"there is no profile {profile!r}; the profiles are {', '.join(['miniature', *names])}")
    return path


def _score_table(scores: "Mapping[str, Scores]") -> "Table":
    """Scores with their bootstrap intervals, a benchmark a row."""
    from rich.table import Table

    from vtstudy.evaluation.bootstrap import bootstrap, interval

    table = Table("benchmark", "metric")
    for column in ("score", "95 % interval", "questions"):
        table.add_column(column, justify="right")
    for name, score in scores.items():
        draws = bootstrap(score.values[:, None], score.strata, score.images, resamples=2000, seed=0, name=name)
        low, high = interval(draws[:, 0])
        between = "" if math.isnan(low) else f"{low:.2f} to {high:.2f}"
        table.add_row(name, score.metric, f"{score.value:.2f}", between, str(score.questions))
    return table


def _pivot_table(scores: "DataFrame") -> "Table":
    """Scores by keep ratio and variant, a benchmark a column."""
    from rich.table import Table

    table = Table("keep", "variant")
    for benchmark in scores.columns:
        table.add_column(str(benchmark), justify="right")
    for (keep, variant), row in scores.iterrows():
        figures = ["" if math.isnan(value) else f"{value:.1f}" for value in row]
        table.add_row("" if keep < 0 else f"{keep:g}", str(variant), *figures)
    return table


if __name__ == "__main__":
    sys.exit(main())

"""The settings in params.yaml, checked: every command reads its parameters through `load`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vtprune.errors import UserError
from vtstudy.benchmarks import check_benchmarks


class ConfigError(UserError):
    """A file of parameters cannot be used, or a parameter has a wrong value."""


def _tuple(value: object) -> object:
    """YAML has lists where the settings have tuples."""
    return tuple(value) if isinstance(value, list) else value


def _distinct(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(values)) < len(values):
        raise ValueError("must hold different numbers")
    return values


def _known_benchmarks(names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(check_benchmarks(names))
    except UserError as error:
        raise ValueError(f"must name benchmarks: {error}") from error


def _checked_limit(value: object) -> object:
    numbers = list(value.values()) if isinstance(value, Mapping) else [value]
    if not all(number is None or (type(number) is int and number >= 1) for number in numbers):
        raise ValueError("must be a number of questions, at least 1, or such numbers by benchmark")
    if isinstance(value, Mapping):
        _known_benchmarks(tuple(name for name in value if name != "default"))
    return value


def _checked_range(pair: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    least, most = pair
    if not (least or most) or (least or 0) >= 1 or (most is not None and most <= 1):
        raise ValueError("must be a pair such as [0.5, 2], multiples of the fixed budget, below and above 1")
    return pair


Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Shares = Annotated[tuple[Share, ...], BeforeValidator(_tuple), AfterValidator(_distinct)]
Names = Annotated[tuple[str, ...], BeforeValidator(_tuple)]
BenchmarkNames = Annotated[Names, AfterValidator(_known_benchmarks)]
Multiples = Annotated[tuple[float | None, float | None], BeforeValidator(_tuple), AfterValidator(_checked_range)]
Limit = Annotated[int | dict[str, int | None] | None, BeforeValidator(_checked_limit)]
"""How many of a benchmark's first questions are asked: one number for all benchmarks, or numbers by benchmark, with
`default` for the benchmarks that are not named. None asks all questions."""
Prompt = Literal["auto", "checkpoint", "vicuna_v1", "llava_llama_3"]
"""The prompt around a question: the checkpoint's chat template, or a template of LLaVA's authors. `auto` is that of the
authors where the checkpoint is one of the papers', and the checkpoint's own elsewhere."""
Pictures = Literal["auto", "processor", "pad", "crop"]
"""What is done with a picture: it is left to the checkpoint's processor, padded to a square first, or its centre is cut
out by the processor. `auto` is what the authors do where the checkpoint is one of the papers', else `processor`."""


class Section(BaseModel):
    """A section of params.yaml. An unknown key is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: object) -> object:
        keys = ", ".join(sorted(cls.model_fields))
        if not isinstance(data, dict):
            raise ValueError(f"must be a table with keys among {keys}")
        for key in data:
            if key not in cls.model_fields:
                raise ValueError(f"has no key {key!r}; its keys are {keys}")
        return data


class Source(Section):
    """Where a checkpoint is fetched from.

    Attributes:
        id: of the repository on the Hugging Face Hub.
        revision: a commit, or a branch or tag. The commit that a branch has when it is first fetched is recorded in the
            checkpoint's folder, and is kept.
    """

    id: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: str = "main"


class Model(Section):
    """A checkpoint that is evaluated.

    Attributes:
        paper: the paper's model that the checkpoint is compared with.
        table: the table of AdaptPrune that prints the paper's model; None if no table does.
        checkpoint: a folder, or an id on the Hugging Face Hub.
        source: where `vtstudy fetch model` gets the folder from; None for a folder that is there already.
        limit, prompt, pictures: replace those of `evaluation` if the key is there.
        layers: by name of a method, the decoder layer before which it prunes in this model, in place of the layer in
            the experiments. AdaptPrune's Table 1 prints K=5 for VTW in LLaVA-1.5-7B and 13B, but their depths differ.
    """

    paper: str
    table: Literal["table1", "table2"] | None = None
    checkpoint: str
    source: Source | None = None
    limit: Limit = None
    prompt: Prompt = "auto"
    pictures: Pictures = "auto"
    layers: dict[str, Annotated[int, Field(ge=0)]] = {}


class Evaluation(Section):
    """How every experiment evaluates a model.

    Attributes:
        data: the folder of the data sets; None loads them from the Hub.
        dtype: precision of the weights, such as `float16`; None for the checkpoint's own.
        batch_size: questions in a batch.
        keep: fraction of the image tokens that stays, in (0, 1].
        limit: how many questions of each benchmark are asked.
        max_new_tokens: upper bound on an answer's length in tokens; None for the tasks' own bounds.
        prompt: the prompt around a question.
        pictures: what is done with a picture before the checkpoint's processor gets it.
        resamples: number of bootstrap samples.
        seed: seed of the bootstrap.
    """

    data: str | None = None
    dtype: str | None = None
    batch_size: Count = 32
    keep: Share = 0.1
    limit: Limit = None
    max_new_tokens: Count | None = None
    prompt: Prompt = "auto"
    pictures: Pictures = "auto"
    resamples: Count = 2000
    seed: int = 0


class ExperimentSection(Section):
    """Settings that one experiment has for itself.

    Attributes:
        keeps: keep ratios; empty for the ratios of the published table or, where it has none, `evaluation.keep`.
        limit: replaces the limits of `evaluation` and of the model if the key is there.
    """

    keeps: Shares = ()
    limit: Limit = None


class FigureSection(ExperimentSection):
    """Settings of a figure that shows what happens inside the model.

    Attributes:
        benchmarks: the benchmarks whose questions the model is shown.
    """

    benchmarks: Annotated[BenchmarkNames, Field(min_length=1)]


class SurvivorSection(FigureSection):
    """Settings of Figures 1, 6 and 7.

    Attributes:
        examples: how many questions of each benchmark are drawn, each about another image.
        fixed: a position is fixed if it survives in at least this share of the images.
    """

    examples: Count = 4
    fixed: Share = 0.9


class SpectralSection(ExperimentSection):
    """Settings of an experiment with spectral budgets (E-AdaPrune).

    Attributes:
        hosts: names of the methods whose budget becomes spectral.
        benchmarks: empty for all benchmarks of the miniature world but MME.
        energies: thresholds tau of the spectral budgets that are matched to no fixed budget.
        backbones: keys of further models that the comparison of matched budgets is run on.
    """

    hosts: Names = ("fastv",)
    benchmarks: BenchmarkNames = ()
    energies: Shares = ()
    backbones: Names = ()


class LayerSection(ExperimentSection):
    """Settings of the sweep over the layer before which tokens are dropped.

    Attributes:
        prune_before: the layers K; attention is that of the layer before.
        methods: names of the methods that are asked at each layer.
        benchmarks: empty for all benchmarks of the miniature world but MME.
        models: keys of further models that are swept, such as another seed of the first.
    """

    prune_before: Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_tuple), Field(min_length=1)]
    methods: Names = ("fastv", "adaptprune", "random", "fitprune")
    benchmarks: BenchmarkNames = ()
    models: Names = ()


class ExplorerSection(Section):
    """Settings of the explorer, which shows answers of the experiment `methods`.

    Attributes:
        pictures: how many pictures of each benchmark are shown.
    """

    pictures: Count = 5


class Experiments(Section):
    """The experiments' own settings. Those that are None here run only if their section is there."""

    figure1: SurvivorSection | None = None
    figure2: FigureSection | None = None
    figure3: FigureSection | None = None
    figure5: ExperimentSection = ExperimentSection()
    methods: ExperimentSection | None = None
    layers: LayerSection | None = None
    explorer: ExplorerSection | None = None
    eadaprune: SpectralSection | None = None
    energy: SpectralSection | None = None
    sensitivity: SpectralSection | None = None


class Spectra(Section):
    """How the energies of spectral budgets are calibrated, on pictures that no question shows.

    Attributes:
        targets: the fixed budgets to match, as fractions of the image tokens.
        calibration: pictures to calibrate on, for each benchmark.
        seed: seed of those pictures in the miniature world. Fetched data sets have the pictures after their questions.
        limit: replaces `evaluation.limit` if the key is there: how many images of each benchmark are measured.
        limits: pairs `[k_min, k_max]` that bound a budget, as multiples of the fixed budget; null for no bound.
    """

    targets: Annotated[Shares, Field(min_length=1)]
    calibration: Count
    seed: int
    limit: Limit = None
    limits: Annotated[tuple[Multiples, ...], BeforeValidator(_tuple)] = ()


class Downloads(Section):
    """The data sets that are fetched from the Hugging Face Hub.

    Attributes:
        revisions: by data set, such as `lmms-lab-encoder/POPE`, a commit, or a branch or tag. Those that are not named
            are of the branch `main`. What a branch has when it is first fetched is recorded in the data set's folder,
            and is kept.
    """

    revisions: dict[str, str] = {}


class Timing(Section):
    """How often times are measured (Table 3, and the times of budgets).

    Attributes:
        rounds: measured rounds of the methods, after one of warm-up.
        budget_rounds: measured rounds of the ways to a spectral budget, at most.
    """

    rounds: Annotated[int, Field(ge=2)] = 7
    budget_rounds: Annotated[int, Field(ge=2)] = 5


class World(Section):
    """The data sets of the miniature world.

    Attributes:
        seed: seed of the pictures and questions.
        questions: number of questions by benchmark; `default` for the benchmarks that are not named.
    """

    seed: int
    questions: dict[str, Count]

    def count(self, benchmark: str) -> int:
        """The number of questions of a benchmark."""
        return self.questions.get(benchmark, self.questions["default"])

    @model_validator(mode="after")
    def _check_questions(self) -> "World":
        if "default" not in self.questions:
            raise ValueError("must have the key 'questions.default', the number for benchmarks that are not named")
        _known_benchmarks(tuple(name for name in self.questions if name != "default"))
        return self


class Phase(Section):
    """One phase of a training.

    Attributes:
        steps: optimizer steps.
        batch: examples in a step.
        learning_rate: the highest rate of the schedule.
    """

    steps: Count
    batch: Count
    learning_rate: Annotated[float, Field(gt=0)]


class LanguagePhase(Phase):
    """The training of a language model.

    Attributes:
        compile: whether the decoder is compiled first, which needs a C compiler.
        tables_from: the step from which on tables and charts are shown; None for no change.
    """

    compile: bool
    tables_from: int | None = None


class Training(Section):
    """The training of miniature-llava."""

    seed: int
    tower: Phase
    language: LanguagePhase


class DerivedTraining(Section):
    """The training of a miniature that starts from another one.

    Attributes:
        kind: the architecture.
        start: name of the miniature that it starts from.
        layers: the decoder layers of that miniature that it begins with.
        tower: None if the vision tower stays that of the other miniature.
    """

    kind: Literal["llava", "next", "internvl"]
    start: str
    layers: Annotated[tuple[int, ...], BeforeValidator(_tuple)]
    seed: int
    tower: Phase | None = None
    language: LanguagePhase


class FineLanguagePhase(LanguagePhase):
    """A round of the training of a language model that sees a fine grid.

    Attributes:
        quarters: how many of the four tokens of each cell are shown.
        moving: the share of the steps over which places move from those of the other miniature to the new ones.
        early: weight of the answers that are read off after the second layer.
    """

    quarters: Annotated[int, Field(ge=1, le=4)]
    moving: Annotated[float, Field(ge=0, le=1)] = 0.0
    early: Annotated[float, Field(ge=0)] = 0.0


class FineTraining(Section):
    """The training of a LLaVA with 24 x 24 image tokens that starts from one with 12 x 12.

    Attributes:
        kind: `fine`.
        start: name of the miniature that it starts from.
        layers: the decoder layers of that miniature that it begins with.
        tower: the training of the vision tower's first layer.
        language: rounds of the training of the language model.
    """

    kind: Literal["fine"]
    start: str
    layers: Annotated[tuple[int, ...], BeforeValidator(_tuple)]
    seed: int
    tower: Phase
    language: Annotated[tuple[FineLanguagePhase, ...], BeforeValidator(_tuple)]


AnyDerivedTraining = Annotated[DerivedTraining | FineTraining, Field(discriminator="kind")]


class Report(Section):
    """How the report judges.

    Attributes:
        tolerances: by benchmark, or part of one (`mmbench/ocr`), the largest difference from a printed value, in the
            value's own unit, that counts as reproduced. `default` is for those that are not named; `questions` says
            what so many questions are worth, which every tolerance is at least; `average_gain` is for E-AdaPrune's
            average gain, in percentage points.
        interval: level of the intervals, in percent.
    """

    tolerances: dict[str, Annotated[float, Field(ge=0)]]
    interval: Annotated[float, Field(gt=0, lt=100)] = 95.0

    @model_validator(mode="after")
    def _check_tolerances(self) -> "Report":
        if "default" not in self.tolerances:
            raise ValueError("must have the key 'tolerances.default', the tolerance for benchmarks that are not named")
        others = ("default", "questions", "average_gain")
        _known_benchmarks(tuple(name.partition("/")[0] for name in self.tolerances if name not in others))
        return self


class Config(Section):
    """A file of parameters.

    Attributes:
        profile: such as `miniature` or `paper`: which models and data the results are of. Its results are in
            `reports/<profile>`.
        models: the models that are evaluated, by key.
        world, training, derived: only profiles with stand-ins have them.
        downloads: only profiles with data sets of the Hub have it.
    """

    profile: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    models: Annotated[dict[str, Model], Field(min_length=1)]
    evaluation: Evaluation = Evaluation()
    experiments: Experiments = Experiments()
    spectra: Spectra | None = None
    world: World | None = None
    downloads: Downloads | None = None
    timing: Timing = Timing()
    training: Training | None = None
    derived: dict[str, AnyDerivedTraining] = {}
    report: Report

    @model_validator(mode="after")
    def _check_further_models(self) -> "Config":
        eadaprune, layers = self.experiments.eadaprune, self.experiments.layers
        named = {
            "eadaprune.backbones": eadaprune.backbones if eadaprune else (),
            "layers.models": layers.models if layers else (),
        }
        for place, keys in named.items():
            unknown = [key for key in keys if key not in self.models]
            if unknown:
                raise ValueError(f"names {unknown[0]!r} in experiments.{place}, which is not among its models")
        return self

    @property
    def reports(self) -> Path:
        """The folder of the profile's report; the results of its experiments are in the folder `results` there."""
        return Path("reports") / self.profile

    @property
    def answered(self) -> Path:
        """The folder of the profile's digests of answers, one file a model."""
        return Path("data/answered") / self.profile

    def model(self, key: str | None = None) -> Model:
        """The model of this key; None for the first.

        Raises:
            ConfigError: if there is no such model.
        """
        key = self.model_key(key)
        return self.models[key]

    def model_key(self, key: str | None = None) -> str:
        """The key itself, or the key of the first model for None.

        Raises:
            ConfigError: if there is no such model.
        """
        if key is None:
            return next(iter(self.models))
        if key not in self.models:
            raise ConfigError(f"there is no model {key!r}; the models are {', '.join(self.models)}")
        return key

    def first_of(self, paper: str) -> str | None:
        """The key of the first model that is compared with this model of the papers; None if there is none."""
        return next((key for key, model in self.models.items() if model.paper == paper), None)


def load(path: Path | str) -> Config:
    """The checked parameters of a file.

    Raises:
        ConfigError: if the file cannot be read, or a key or value in it is wrong.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML ({str(error).splitlines()[0]})") from error
    return checked(Config, data, str(path))


AnySection = TypeVar("AnySection", bound=Section)


def checked(kind: type[AnySection], data: object, source: str) -> AnySection:
    """The data as a section of that kind.

    Args:
        source: where the data come from, for the error: a file, or the command line.

    Raises:
        ConfigError: one sentence that names the source, the key, the value and what would be right.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        subject = f"{source}: '{key}'" if key else source
        if first["type"] == "missing":
            raise ConfigError(f"{subject} is missing") from error
        if first["type"] == "value_error":
            problem = str(first["ctx"]["error"])
        else:
            problem = first["msg"].replace("Input should", "must").replace("valid tuple", "list")
        value = first["input"]
        if isinstance(value, dict):  # too long for a sentence, and the problem names the key
            raise ConfigError(f"{subject} {problem}") from error
        raise ConfigError(f"{subject} {problem}, not {list(value) if isinstance(value, tuple) else value!r}") from error

"""All experiments by name, in the order of results.csv: what each one asks of a model, and how it is run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from vtprune.errors import UserError
from vtstudy.config import Config, ExperimentSection, LayerSection, SpectralSection
from vtstudy.evaluation.availability import unavailable
from vtstudy.evaluation.requests import Request
from vtstudy.experiments import (
    attention_maps,
    eadaprune,
    figure_runner,
    layer_sweep,
    matched,
    redundancy,
    runner,
    spectra,
    survivors,
)
from vtstudy.experiments.adaptprune_tables import FIGURE5, TABLE1, TABLE2, TABLE4, TABLE5, TABLE6_7, TABLE8
from vtstudy.experiments.all_methods import ALL_METHODS
from vtstudy.experiments.eadaprune import Matching
from vtstudy.experiments.figure_runner import AnyFigureSettings
from vtstudy.experiments.settings import (
    AnySettings,
    FigureSettings,
    LayerSettings,
    Settings,
    SpectralSettings,
    SpectraSettings,
    SurvivorSettings,
    settings_of,
)
from vtstudy.experiments.spec import Experiment

LLAVA_7B = ("LLaVA-1.5-7B",)


@dataclass(frozen=True)
class Entry(Generic[AnySettings]):
    """An experiment that can be run.

    Attributes:
        name: the experiment's name, in results.csv, params.yaml and on the command line.
        settings: the kind of its settings.
        run: runs it and returns the path of its results.
        specify: gives its specification; None for an experiment that asks no question.
        papers: the papers' models that it is about.
        has_section: whether params.yaml has a section of this name under `experiments`, without which the
            experiment is not run.
        calibrated: whether its spectral budgets must be calibrated first.
    """

    name: str
    settings: type[AnySettings]
    run: Callable[[AnySettings], Path]
    specify: Callable[[AnySettings, Matching | None], Experiment] | None = None
    papers: tuple[str, ...] = LLAVA_7B
    has_section: bool = False
    calibrated: bool = False

    def section(self, config: Config) -> ExperimentSection | None:
        """The experiment's own settings in params.yaml; None if there are none."""
        return getattr(config.experiments, self.name, None)

    def models(self, config: Config) -> list[str]:
        """Keys of the models that the experiment is run on: all that its table prints, or else the first one.

        E-AdaPrune's comparison has further models, its backbones, and the sweep of layers has other seeds.
        """
        if self.name in (TABLE1.name, TABLE2.name):
            return [key for key, model in config.models.items() if model.table == self.name]
        if self.has_section and self.section(config) is None:
            return []
        if self.name == spectra.NAME and config.spectra is None:
            return []
        first = [key for key in (config.first_of(paper) for paper in self.papers) if key is not None]
        return list(dict.fromkeys([*first, *self._further(config)]))

    def _further(self, config: Config) -> tuple[str, ...]:
        """Keys of the models that the experiment's own section adds."""
        section = self.section(config)
        if isinstance(section, SpectralSection):
            return section.backbones
        return section.models if isinstance(section, LayerSection) else ()

    def file_stem(self, config: Config, model: str) -> str:
        """The name of the result files without suffix: with the model's key if several models are possible."""
        several = len(self.papers) > 1 or model in self._further(config)
        return f"{self.name}-{model}" if several else self.name

    def settings_of(self, config: Config, model: str | None = None, **changes: object) -> AnySettings:
        """The settings of the experiment on one model.

        Args:
            model: a key of `config.models`; None for the first model of the experiment.
            changes: settings of the command line; None changes nothing.

        Raises:
            UserError: if params.yaml has no such model, lacks the experiment's section, or has a wrong value.
        """
        if self.has_section and self.section(config) is None:
            raise UserError(f"the parameters have no section 'experiments.{self.name}', which {self.name} needs")
        if model is None:
            model = next(iter(self.models(config)), None)
        model = config.model_key(model)
        changes = {"name": self.file_stem(config, model)} | changes
        if issubclass(self.settings, SpectraSettings):
            if config.spectra is None:
                raise UserError("the parameters have no section 'spectra', which the experiment spectra needs")
            changes["spectra"] = config.spectra
            if "limit" in config.spectra.model_fields_set and changes.get("limit") is None:
                changes["limit"] = config.spectra.limit
        if issubclass(self.settings, SpectralSettings):
            results = Path(str(changes.get("out") or config.reports / "results"))
            changes = {"calibration": str(calibration_file(config, model, results))} | changes
        return settings_of(config, self.settings, self.section(config), model, **changes)


def calibration_file(config: Config, model: str, results: Path) -> Path:
    """Where a model's calibrated energies are: beside the other tables of `vtstudy spectra`, which writes them."""
    first = model in EXPERIMENTS[spectra.NAME].models(config) or config.spectra is None
    return results / "spectra" / ("calibration.csv" if first else f"calibration-{model}.csv")


def _table(spec: Experiment, *, has_section: bool = False) -> Entry[Settings]:
    return Entry(
        spec.name,
        Settings,
        lambda settings: runner.run(spec, settings),
        lambda settings, matching: spec,
        papers=spec.papers,
        has_section=has_section,
    )


def _spectral(
    name: str,
    specify: Callable[[SpectralSettings, Matching | None], Experiment],
    run: Callable[[Experiment, SpectralSettings], Path],
    *,
    calibrated: bool,
) -> Entry[SpectralSettings]:
    return Entry(
        name,
        SpectralSettings,
        lambda settings: run(specify(settings, None), settings),
        specify,
        has_section=True,
        calibrated=calibrated,
    )


def _figure(
    name: str, kind: type[AnyFigureSettings], measure: Callable[[figure_runner.Study[AnyFigureSettings]], None]
) -> Entry[AnyFigureSettings]:
    return Entry(name, kind, lambda settings: figure_runner.run(name, measure, settings), has_section=True)


_ENTRIES: tuple[Entry[Any], ...] = (
    *map(_table, (TABLE1, TABLE2, TABLE4, TABLE5, TABLE6_7, TABLE8)),
    _figure("figure1", SurvivorSettings, survivors.measure),
    _figure("figure2", FigureSettings, attention_maps.measure),
    _figure("figure3", FigureSettings, redundancy.measure),
    _table(FIGURE5),
    _table(ALL_METHODS, has_section=True),
    Entry(
        layer_sweep.NAME,
        LayerSettings,
        lambda settings: runner.run(layer_sweep.sweep(settings), settings),
        layer_sweep.sweep,
        has_section=True,
    ),
    Entry(spectra.NAME, SpectraSettings, spectra.run),
    _spectral("eadaprune", eadaprune.comparison, matched.run_comparison, calibrated=True),
    _spectral("energy", eadaprune.threshold_sweep, matched.run_comparison, calibrated=False),
    _spectral("sensitivity", eadaprune.sensitivity, matched.run_sensitivity, calibrated=True),
)
EXPERIMENTS: dict[str, Entry[Any]] = {entry.name: entry for entry in _ENTRIES}
"""By name, in the order of results.csv."""


def get_experiment(name: str) -> Entry[Any]:
    """The experiment of this name.

    Raises:
        UserError: if there is none.
    """
    if name not in EXPERIMENTS:
        raise UserError(f"there is no experiment {name!r}; the experiments are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def all_requests(config: Config, model: str, results: Path, **changes: object) -> tuple[list[Request], dict[str, str]]:
    """Everything that any experiment asks of a model, each request once.

    Args:
        model: a key of `config.models`.
        results: folder of the results, in which the calibrated energies are.
        changes: settings of the command line; None changes nothing.

    Returns:
        The requests, and by experiment or benchmark that is left out, the reason.
    """
    requests: dict[Request, None] = {}
    left_out: dict[str, str] = {}
    for entry in EXPERIMENTS.values():
        if entry.specify is None or model not in entry.models(config):
            continue
        if entry.calibrated and not calibration_file(config, model, results).is_file():
            left_out[entry.name] = "no energies were calibrated for it"
            continue
        settings = entry.settings_of(config, model, out=str(results), **changes)
        experiment = entry.specify(settings, None)
        left_out |= unavailable(experiment.benchmarks)
        requests |= dict.fromkeys(runner.requests_of(experiment, settings))
    return list(requests), left_out

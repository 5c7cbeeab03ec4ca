"""Which questions the experiments of a profile ask: what has to be fetched before they run."""

from collections.abc import Iterable

from vtstudy.benchmarks import ADAPTPRUNE, limit_of
from vtstudy.config import Config
from vtstudy.experiments import spectra
from vtstudy.experiments.plan import uncalibrated
from vtstudy.experiments.registry import EXPERIMENTS, Entry
from vtstudy.experiments.settings import FigureSettings, Settings


def questions_asked(config: Config) -> dict[str, int | None]:
    """By benchmark, how many of its first questions any experiment asks of any model; None for all."""
    counts: dict[str, int | None] = {}
    for entry in EXPERIMENTS.values():
        for model in entry.models(config):
            settings = entry.settings_of(config, model)
            for benchmark in _benchmarks(entry, settings, config):
                count, before = limit_of(settings.limit, benchmark), counts.get(benchmark, 0)
                counts[benchmark] = None if count is None or before is None else max(count, before)
    return counts


def calibrated_on(config: Config) -> list[str]:
    """The benchmarks whose data sets give the pictures that spectral budgets are calibrated on."""
    return [name for name in ADAPTPRUNE if name in questions_asked(config)]


def _benchmarks(entry: Entry, settings: Settings, config: Config) -> Iterable[str]:
    if entry.name == spectra.NAME:
        return ADAPTPRUNE
    if isinstance(settings, FigureSettings):
        return settings.benchmarks
    if entry.specify is None:
        return ()
    return entry.specify(settings, uncalibrated(config)).benchmarks

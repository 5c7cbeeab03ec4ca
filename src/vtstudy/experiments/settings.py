"""The settings of one experiment on one model, put together from params.yaml and the command line."""

from typing import TypeVar

from pydantic import Field

from vtprune.methods import methods
from vtstudy.checkpoint_source import model_name
from vtstudy.config import (
    Config,
    ConfigError,
    Evaluation,
    ExperimentSection,
    FigureSection,
    LayerSection,
    Shares,
    Spectra,
    SpectralSection,
    SurvivorSection,
    checked,
)


class Settings(Evaluation):
    """The section `evaluation` for one model, with the experiment's own section, and the folders.

    Attributes:
        profile: `miniature`, `lite` or `paper`.
        checkpoint: a folder or a Hub id.
        keeps: keep ratios in place of `keep`; empty for `keep` alone.
        layers: by name of a method, the decoder layer before which it prunes, in place of the experiment's.
        device: such as `cpu`; None for a GPU if there is one.
        cache: folder of the stored answers.
        out: folder of the results.
        name: name of the result files without suffix; None for the experiment's name.
    """

    profile: str = "miniature"
    checkpoint: str = "data/checkpoints/miniature-llava"
    keeps: Shares = ()
    layers: dict[str, int] = Field(default={})
    device: str | None = None
    cache: str = "data/answers"
    out: str = "reports/miniature/results"
    name: str | None = None

    @property
    def model(self) -> str:
        """The model's name in the results."""
        return model_name(self.checkpoint)

    def ratios(self, published: tuple[float, ...] = ()) -> tuple[float, ...]:
        """The keep ratios of the experiment: its own, or those of the published table, or `keep`."""
        return self.keeps or published or (self.keep,)


class FigureSettings(Settings, FigureSection):
    """Settings of a figure that shows what happens inside the model."""


class SurvivorSettings(FigureSettings, SurvivorSection):
    """Settings of Figures 1, 6 and 7."""


class LayerSettings(Settings, LayerSection):
    """Settings of the sweep over layers."""


class SpectralSettings(Settings, SpectralSection):
    """Settings of an experiment with spectral budgets.

    Attributes:
        calibration: the file that says which energy matches which fixed budget.
    """

    calibration: str = "reports/miniature/results/spectra/calibration.csv"


class SpectraSettings(Settings):
    """Settings of the experiment `spectra`.

    Attributes:
        spectra: the section of that name.
    """

    spectra: Spectra


AnySettings = TypeVar("AnySettings", bound=Settings)


def settings_of(
    config: Config,
    kind: type[AnySettings],
    section: ExperimentSection | None = None,
    model: str | None = None,
    **changes: object,
) -> AnySettings:
    """The settings of an experiment on one model.

    Args:
        kind: which settings the experiment has.
        section: the experiment's own settings; its keys replace those of `evaluation` and of the model.
        model: a key of `config.models`; None for the first.
        changes: settings of the command line, which replace all others. None changes nothing.

    Raises:
        ConfigError: if there is no such model, or a value is wrong.
    """
    chosen = config.model(model)
    values: dict[str, object] = {
        "profile": config.profile,
        "checkpoint": chosen.checkpoint,
        "out": str(config.reports / "results"),
    }
    values |= {key: getattr(config.evaluation, key) for key in Evaluation.model_fields}
    values |= {
        key: getattr(chosen, key) for key in ("limit", "prompt", "pictures", "layers") if key in chosen.model_fields_set
    }
    if section is not None:
        values |= {key: getattr(section, key) for key in section.model_fields_set}
    values |= {key: value for key, value in changes.items() if value is not None}
    for method in chosen.layers:
        if method not in methods() or "layer" not in methods()[method].__dataclass_fields__:
            raise ConfigError(f"models.{config.model_key(model)}.layers: there is no method {method!r} with a layer")
    return checked(kind, values, "settings")

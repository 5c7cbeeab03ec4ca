from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import synthetic_data
from helpers import synthetic_results as synthetic

from vtstudy.report.build import build_report
from vtstudy.report.inputs import Folders, Inputs, load
from vtstudy.report.view import View, build_view


@pytest.fixture(scope="session")
def default(tmp_path_factory) -> Path:
    """The folder of a report on Tables 1 and 4, for the tests that only read."""
    return build_report(**synthetic.write(tmp_path_factory.mktemp("report"), synthetic.rows())).parent


@pytest.fixture(scope="session")
def full(tmp_path_factory) -> Path:
    """The folder of a report with all of the papers' figures, for the tests that only read."""
    folder = tmp_path_factory.mktemp("full")
    table = [*synthetic.rows(), *synthetic.figure_rows(), *synthetic.spectral_rows(2.0)]
    files = synthetic.write(folder, table)
    synthetic_data.write_figures(folder / "results")
    synthetic_data.write_spectral(folder / "results")
    return build_report(**files).parent


@pytest.fixture(scope="session")
def default_view(tmp_path_factory) -> View:
    """What a report on Tables 1 and 4 shows."""
    folder = tmp_path_factory.mktemp("view")
    files = synthetic.write(folder, synthetic.rows())
    return build_view(load(Folders(folder, files["published"], files["params"])))


@pytest.fixture
def read(tmp_path) -> Callable[..., Inputs]:
    """The inputs as the report loads them."""

    def make(table: list[synthetic.Row] | None = None, profile: str = "miniature") -> Inputs:
        files = synthetic.write(tmp_path, synthetic.rows() if table is None else table, profile)
        return load(Folders(files["reports"], files["published"], files["params"]))

    return make


@pytest.fixture
def view(read) -> Callable[..., View]:
    """All that the pages of a report show, without the pages."""

    def make(table: list[synthetic.Row] | None = None, profile: str = "miniature") -> View:
        return build_view(read(table, profile))

    return make

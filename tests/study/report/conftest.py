import pytest
from helpers import synthetic_results as synthetic

from vtstudy.report import build_report
from vtstudy.report.results import load


@pytest.fixture(scope="session")
def default(tmp_path_factory):
    """The folder of one report, for the tests that only read."""
    return build_report(**synthetic.write(tmp_path_factory.mktemp("report"), synthetic.rows())).parent


@pytest.fixture
def report(tmp_path):
    """Write results, build the report; returns its folder."""

    def make(found=None, profile="miniature"):
        return build_report(**synthetic.write(tmp_path, found or synthetic.rows(), profile)).parent

    return make


@pytest.fixture
def read(tmp_path):
    """The inputs as the report loads them."""

    def make(found=None, profile="miniature"):
        files = synthetic.write(tmp_path, found or synthetic.rows(), profile)
        del files["out"], files["figures"]
        return load(**files)

    return make

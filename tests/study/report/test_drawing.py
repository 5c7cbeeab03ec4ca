"""How charts get into files."""

import pickle
import sys
from functools import partial

import pytest
from matplotlib.figure import Figure

from vtstudy.report.charts import drawing
from vtstudy.report.charts.diagram import diagram
from vtstudy.report.charts.drawing import write_charts
from vtstudy.report.charts.style import Chart

pytestmark = pytest.mark.slow


def line(height: float, panels: int = 1) -> Figure:
    figure = Figure(figsize=(2, 2), layout="constrained")
    for axis in figure.subplots(1, panels, squeeze=False).flat:
        axis.plot([0, height])
    return figure


def charts() -> list[Chart]:
    return [Chart(f"line{height}", "", "", "", partial(line, height)) for height in (1, 2)] + [
        Chart("many", "", "", "", partial(line, 1, panels=4))
    ]


def test_each_chart_is_written_and_knows_its_file(tmp_path):
    made = charts()
    write_charts(made, tmp_path / "figures", processes=1)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {chart.file for chart in made}
    assert [chart.file for chart in made] == ["line1.svg", "line2.svg", "many.png"]
    assert (tmp_path / "figures/line1.svg").read_bytes() != (tmp_path / "figures/line2.svg").read_bytes()


@pytest.mark.exhaustive
def test_several_processes_write_the_same_bytes(tmp_path):
    for processes in (1, 2):
        write_charts([diagram("one"), diagram("two")], tmp_path / str(processes), processes)
    paths = list((tmp_path / "1").iterdir())
    assert len(paths) == 2
    for path in paths:
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()


def test_a_program_without_a_file_draws_in_its_own_process(tmp_path, monkeypatch):
    """One from a pipe, for example: further processes could not import its main module."""
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "<stdin>", raising=False)
    monkeypatch.setattr(drawing, "available_cpus", lambda: 8)
    monkeypatch.setattr(drawing, "ProcessPoolExecutor", lambda *_, **__: pytest.fail("a process was started"))
    write_charts([diagram(f"chart{number}") for number in range(2 * drawing.CHARTS_A_PROCESS)], tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * drawing.CHARTS_A_PROCESS


def test_no_chart_is_drawn_before_it_is_written(default_view):
    assert default_view.charts and not any(chart.file for chart in default_view.charts)
    for chart in default_view.charts:
        assert pickle.loads(pickle.dumps(chart)).alt == chart.alt  # so that another process can draw it

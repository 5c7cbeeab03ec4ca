"""The layer K: the sentences, tables and picture follow the sweep's results."""

import pytest
from helpers import synthetic_results as synthetic
from matplotlib.figure import Figure

from vtstudy.report.layers import layer_sweep, published_layer

SEED = "miniature-other-seed"


def swept(read, *tables):
    return layer_sweep(read([*synthetic.rows(), *(row for table in tables for row in table)]))


def test_without_the_sweep_nothing_is_said(read):
    found = layer_sweep(read())
    assert not found.models and not found.charts and not found.sentences and not found.tables


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({1: 80.0, 2: 94.9, 3: 95.0}, "at K = 3, not at K = 1 and 2 (80.0 % and 94.9 %)."),
        ({1: 96.0, 2: 97.0}, "at K = 1 and 2."),
        ({1: 60.0, 2: 70.0}, "at no K (60.0 % and 70.0 %)."),
    ],
)
def test_the_criterion_of_fastv_is_read_at_each_layer(read, scores, said):
    found = swept(read, synthetic.layer_rows(scores))
    assert found.sentences[0] == f"FastV keeps at least 95 % with half of the tokens {said}"
    assert found.charts[0].title == found.sentences[0].partition(" (")[0].rstrip(".")


@pytest.mark.parametrize(("lead", "up", "down"), [(10.0, "2", "none"), (-10.0, "none", "2"), (0.5, "none", "none")])
def test_a_lead_is_read_at_all_layers(read, lead, up, down):
    found = swept(read, synthetic.layer_rows({1: 80.0, 2: 70.0}, lead))
    assert f"ahead of FastV at {up} of 2 K and clearly behind at {down}" in found.sentences[1]
    rows = dict(found.tables[0].lines)
    name = next(name for name in rows if name.startswith("AdaptPrune − FastV"))
    counts = [f"{count.replace('none', '0')} of 2" for count in (up, down)]
    assert rows[name][-2:] == counts and ("+" in rows[name][1]) == (lead > 0)


def test_leads_at_several_layers_are_corrected_together(read):
    """An interval that just excludes zero is clear alone, and not among five."""
    alone, among = (dict.fromkeys(range(1, count + 1), 80.0) for count in (1, 5))
    assert "ahead of FastV at 1 of 1" in swept(read, synthetic.layer_rows(alone, 1.05)).sentences[1]
    assert "ahead of FastV at none of 5" in swept(read, synthetic.layer_rows(among, 1.05)).sentences[1]


def test_another_seed_has_sentences_and_a_table_of_its_own(read):
    other = synthetic.layer_rows({1: 99.0, 2: 98.0}, model=SEED)
    found = swept(read, other, synthetic.layer_rows({1: 80.0, 2: 97.0}))
    assert [model.name for model in found.models] == [synthetic.MODEL, SEED]
    assert sum(sentence.startswith(f"Another seed ({SEED})") for sentence in found.sentences) == 2
    assert len(found.tables) == 3 and SEED in found.charts[0].caption
    figure = found.charts[0].draw()
    assert isinstance(figure, Figure) and len(figure.axes) == 2
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert list(dashed[0].get_ydata()) == [99.0, 98.0]


def test_the_published_layer_is_that_of_the_methods():
    assert published_layer() == 2


def test_the_alternative_text_says_where_each_method_is_best_and_worst(read):
    found = swept(read, synthetic.layer_rows({1: 80.0, 2: 97.0, 3: 60.5}))
    assert "FastV from 60.5 at K = 3 to 97.0 at K = 2" in found.charts[0].alt

"""What conventions.py says of the captions' figures, and FastV's formula written out."""

import pytest

from vtprune.cost import Workload, cost, shape_of
from vtprune.methods import get_method
from vtstudy.experiments.flops_conventions import AROUND, PRINTED, Convention, conventions, fitting_text, reduction
from vtstudy.experiments.paper_models import SIZES

SHAPES = {model: shape_of(SIZES[model].config()) for model in PRINTED}
PROMPT = {"mlp": "plain", "attention": "whole", "scope": "prompt"}


def reductions(convention):
    return {model: reduction(convention, SHAPES[model], SIZES[model].workload, 0.1) for model in PRINTED}


def fits(layer):
    found = Convention(layer=layer, **PROMPT)
    return [fitting_text(found, SHAPES[m], SIZES[m].workload, 0.1, printed) for m, printed in PRINTED.items()]


@pytest.mark.parametrize(("scope", "text"), [("image", 0), ("prompt", 64)])
def test_fastvs_formula(scope, text):
    """4nd^2 + 2n^2d + 2ndm a layer, K layers of n tokens and T - K of the rest."""

    def layer(n, d=4096, m=11008):
        return 4 * n * d**2 + 2 * n**2 * d + 2 * n * d * m

    expected = 1 - (2 * layer(576 + text) + 30 * layer(57 + text)) / (32 * layer(576 + text))
    found = reduction(Convention(2, "plain", "whole", scope), SHAPES["LLaVA-1.5-7B"], Workload(576, 64), 0.1)
    assert found == pytest.approx(expected, rel=1e-12)


def test_no_convention_with_the_published_layer_gives_87_or_88():
    for convention in conventions():
        found = reductions(convention)
        if convention.layer >= 2:
            assert max(found["LLaVA-NeXT-7B"], found["InternVL2-2B"], found["InternVL2-8B"]) < 0.86
            for model in ("LLaVA-NeXT-7B", "InternVL2-2B", "InternVL2-8B"):
                assert fitting_text(convention, SHAPES[model], SIZES[model].workload, 0.1, PRINTED[model]) is None


def test_only_the_share_of_dropped_tokens_gives_all_five_figures():
    def agreeing(convention):
        found = reductions(convention)
        return all(abs(found[model] - printed) <= AROUND for model, printed in PRINTED.items())

    fitting = [convention for convention in conventions() if agreeing(convention)]
    assert {(c.layer, c.attention, c.scope) for c in fitting} == {(0, "none", "prompt")}
    for model, found in reductions(fitting[0]).items():
        load = SIZES[model].workload
        dropped = load.image_tokens - int(0.1 * load.image_tokens)
        assert found == pytest.approx(dropped / (load.image_tokens + load.text_tokens), rel=1e-12)


@pytest.mark.parametrize(
    ("convention", "percent"),
    [
        (Convention(0, "plain", "none", "prompt"), [81.1, 81.1, 86.6, 88.3, 88.3]),
        (Convention(2, "actual", "whole", "prompt"), [76.4, 77.3, 82.4, 82.7, 83.9]),
        (Convention(2, "actual", "whole", "model"), [72.9, 75.4, 78.7, 47.0, 71.1]),
    ],
    ids=lambda value: value.name if isinstance(value, Convention) else "",
)
def test_the_reductions_that_the_description_names(convention, percent):
    assert [round(100 * found, 1) for found in reductions(convention).values()] == percent


def test_the_actual_model_is_the_exact_cost():
    """With K=2 and everything counted, a convention is the cost model, but for what scoring adds."""
    size, shape = SIZES["InternVL2-8B"], SHAPES["InternVL2-8B"]
    whole, pruned = (cost(shape, get_method("fastv", keep=keep), size.workload) for keep in (1.0, 0.1))
    found = reduction(Convention(2, "actual", "whole", "model"), shape, size.workload, 0.1)
    assert 1 - (pruned.flops - pruned.scoring) / whole.flops == pytest.approx(found, rel=1e-12)


def test_the_prompts_that_would_give_the_figures_by_fastvs_formula():
    assert fits(layer=1) == [48, 51, 50, 5, 14]
    assert fits(layer=2) == [27, 35, None, None, None]
    over_the_image = Convention(1, "plain", "whole", "image")
    assert fitting_text(over_the_image, SHAPES["LLaVA-1.5-7B"], SIZES["LLaVA-1.5-7B"].workload, 0.1, 0.81) is None

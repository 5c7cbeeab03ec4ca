"""The lmms-eval model: its arguments, and requests that it cannot answer."""

import pytest

from vtprune.errors import UserError
from vtstudy.evaluation.lmms_model import PrunedModel


def test_loglikelihoods_are_refused(loaded, tmp_path):
    with pytest.raises(NotImplementedError, match="log-likelihoods"):
        PrunedModel(checkpoint=loaded, cache=tmp_path).loglikelihood([])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"method": "nope"}, "'nope'"),
        ({"method": "fastv", "keep": 1.2}, "keep"),
        ({"method": "fastv", "keep": 0}, "keep"),
        ({"method": "fastv", "keep": "half"}, "keep"),
        ({"method": "fastv", "keep": True}, "keep"),
        ({"method": "none", "keep": 0.5}, "keep"),
        ({"method": "fastv", "keep": 0.5, "colour": 1}, "'colour'"),
        ({"image": "upside-down"}, "image"),
        ({"batch_size": 0}, "batch_size"),
        ({"checkpoint": None}, "pretrained"),
    ],
)
def test_bad_model_arguments_are_refused(loaded, tmp_path, arguments, name):
    with pytest.raises(UserError, match=name):
        PrunedModel(**{"checkpoint": loaded, "cache": tmp_path, **arguments})


def test_keep_may_be_text(loaded, tmp_path):
    model = PrunedModel(checkpoint=loaded, cache=tmp_path, method="fastv", keep="1")
    assert model.variant.method.signature()["keep"] == 1.0

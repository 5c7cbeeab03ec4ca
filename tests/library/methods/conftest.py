"""Features of image tokens that the tests of this folder give to methods."""

import pytest
from helpers.given_features import features, with_newlines

BEFORE_DECODER = {
    "one image": lambda: features(6, 6, rows=3, seed=1),
    "wide": lambda: features(3, 11, rows=3, seed=2),
    "several images": lambda: features(images=[(4, 5), (7, 2), (1, 3)], rows=3, seed=3),
    "newlines": lambda: with_newlines(features(images=[(3, 4), (5, 5)], rows=3, seed=4), image=1),
    "ragged": lambda: _ragged(features(images=[(3, 4), (5, 5)], rows=3, seed=5)),
}


def _ragged(given):
    """Of the second row one image is missing, of the third row every third token."""
    given.valid[1, 12:] = False
    given.valid[2, ::3] = False
    return given


@pytest.fixture(params=BEFORE_DECODER)
def before_decoder(request):
    """Three rows of features, for methods that choose before the decoder."""
    return BEFORE_DECODER[request.param]()

"""The caption tasks' tokenizer gives from memory what it gives from Java."""

import pytest
from pycocoevalcap.tokenizer import ptbtokenizer

from vtstudy.evaluation.captions import _remembering
from vtstudy.evaluation.environment import prepare

REFERENCES = {
    7: [{"caption": 'A "small" dog, isn\'t it?', "id": 1}, {"caption": "Two dogs\nand a cat."}],
    "x": [{"caption": "(A dog)"}],
}
ANSWERS = {7: [{"caption": ""}], "x": [{"caption": "a dog - a DOG"}]}


@pytest.fixture
def tokenizers(monkeypatch):
    """Java's own, the remembering one, and the starts of Java."""
    prepare(offline=True)
    original = getattr(ptbtokenizer.PTBTokenizer.tokenize, "__wrapped__", ptbtokenizer.PTBTokenizer.tokenize)
    starts, popen = [], ptbtokenizer.subprocess.Popen
    monkeypatch.setattr(
        ptbtokenizer.subprocess, "Popen", lambda *args, **kwargs: starts.append(args) or popen(*args, **kwargs)
    )
    return original, _remembering(original), starts


def test_tokens_are_javas_and_asked_for_once(tokenizers):
    original, remembering, starts = tokenizers
    tokenizer = ptbtokenizer.PTBTokenizer()
    expected = original(tokenizer, REFERENCES), original(tokenizer, ANSWERS)
    assert expected[0]["x"] == ["-lrb- a dog -rrb-"] and len(starts) == 2
    for _ in range(3):
        assert (remembering(tokenizer, REFERENCES), remembering(tokenizer, ANSWERS)) == expected
    assert len(starts) == 4
    assert remembering(tokenizer, {"other": REFERENCES[7]}) == {"other": expected[0][7]} and len(starts) == 5

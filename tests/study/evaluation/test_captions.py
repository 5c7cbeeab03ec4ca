"""The caption tasks' tokenizer gives from memory what it gives from Java; METEOR starts when it is asked."""

import pytest
from pycocoevalcap.meteor import meteor
from pycocoevalcap.tokenizer import ptbtokenizer

from vtstudy.evaluation.captions import _remembering, _start_when_asked
from vtstudy.evaluation.environment import prepare

pytestmark = pytest.mark.slow

REFERENCES = {
    7: [{"caption": 'A "small" dog, isn\'t it?', "id": 1}, {"caption": "Two dogs\nand a cat."}],
    "x": [{"caption": "(A dog)"}],
}
ANSWERS = {7: [{"caption": ""}], "x": [{"caption": "a dog - a DOG"}]}

# As they are before any test loads a caption task, which changes them.
ORIGINAL = (meteor.Meteor.__init__, meteor.Meteor.compute_score, meteor.Meteor.__del__)


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


@pytest.mark.exhaustive
def test_meteor_starts_when_its_score_is_asked_for(monkeypatch):
    prepare(offline=True)
    starts, popen = [], meteor.subprocess.Popen
    monkeypatch.setattr(
        meteor.subprocess, "Popen", lambda *args, **kwargs: starts.append(args) or popen(*args, **kwargs)
    )

    class Lazy(meteor.Meteor):
        """One of its own, with the original's beginning and end."""

        __init__, compute_score, __del__ = ORIGINAL

    _start_when_asked(Lazy)
    never_asked, asked = Lazy(), Lazy()
    assert starts == []
    references, answers = {0: ["a dog and a cat", "two animals"]}, {0: ["a dog and a cat"]}
    score, each = asked.compute_score(references, answers)
    assert len(starts) == 1 and score == pytest.approx(1.0, abs=0.02) and each == [score]
    assert asked.compute_score(references, {0: ["seven red balloons"]})[0] < 0.2 and len(starts) == 1
    process = asked.meteor_p
    del never_asked, asked
    assert process.returncode is not None

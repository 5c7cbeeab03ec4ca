"""The training loop: a training that was stopped and resumed ends as one that was not stopped."""

import pytest
import torch
from torch.utils.data import default_collate

from vtstudy.training.training_loop import Stream, fit, learning_rate

pytestmark = pytest.mark.slow


def draw(rng, step):
    return torch.tensor([rng.random() for _ in range(4)])


STREAM = Stream("test", 3, draw, default_collate)


def train(state_file, steps=6, stop_at=None):
    torch.manual_seed(0)
    module = torch.nn.Linear(4, 1)
    seen = []

    def loss_of(batch):
        if stop_at is not None and len(seen) == stop_at:
            raise KeyboardInterrupt
        seen.append(batch)
        loss = (module(batch) - batch.sum(1, keepdim=True)).square().mean()
        return loss, {"error": loss.item()}

    history = fit(module, STREAM, loss_of, steps=steps, peak=0.1, warmup=2, state_file=state_file, save_every=2)
    return module.weight.detach(), history, seen


def test_a_stopped_run_ends_as_one_that_was_not(tmp_path):
    weight, history, _ = train(tmp_path / "unstopped.pt")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped.pt", stop_at=5)
    resumed, again, seen = train(tmp_path / "stopped.pt")
    assert len(seen) == 2  # from the state after four steps on
    assert torch.equal(weight, resumed) and history[-1]["step"] == again[-1]["step"] == 6
    finished, _, seen = train(tmp_path / "stopped.pt")
    assert seen == [] and torch.equal(finished, weight)


def test_stream_does_not_depend_on_the_number_of_workers():
    def first(workers, start=0):
        batches = iter(STREAM.batches(start, workers))
        return [next(batches) for _ in range(4)]

    one, two = first(1), first(2)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert torch.equal(first(2, start=2)[0], one[2])
    assert torch.equal(STREAM.batch(2), one[2])


def test_digest_of_a_stream_depends_on_its_examples():
    assert STREAM.digest([0, 1]) == STREAM.digest([0, 1])
    assert len({STREAM.digest([0]), STREAM.digest([1]), Stream("other", 3, draw, default_collate).digest([0])}) == 3


def test_nan_loss_stops_the_training(tmp_path):
    module = torch.nn.Linear(4, 1)
    with pytest.raises(RuntimeError, match="step 1"):
        fit(
            module,
            STREAM,
            lambda batch: (module(batch).sum() * float("nan"), {}),
            steps=1,
            peak=1.0,
            warmup=1,
            state_file=tmp_path / "a.pt",
        )


def test_the_learning_rate_warms_up_and_falls():
    rates = [learning_rate(step, 100, 1.0, 10) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10) and rates[0] == 0.1 and rates[-1] < 0.03

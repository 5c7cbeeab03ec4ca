"""The training loop: stopped and taken up again, it ends as one that was not stopped."""

from functools import partial

import pytest
import torch
from torch.utils.data import default_collate

from vtstudy.training import training_loop as loop
from vtstudy.training.train import digest
from vtstudy.training.training_loop import batches, fit, learning_rate


def draw(rng, step):
    return torch.tensor([rng.random() for _ in range(4)])


def stream():
    return partial(batches, "test", size=3, example=draw, collate=default_collate)


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

    history = fit(module, stream(), loss_of, steps=steps, peak=0.1, warmup=2, state_file=state_file, save_every=2)
    return module.weight.detach(), history, seen


def test_a_stopped_run_ends_as_one_that_was_not(tmp_path):
    whole, history, _ = train(tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped.pt", stop_at=5)
    resumed, again, seen = train(tmp_path / "stopped.pt")
    assert len(seen) == 2  # from the state after four steps on
    assert torch.equal(whole, resumed) and history[-1]["step"] == again[-1]["step"] == 6
    finished, _, seen = train(tmp_path / "stopped.pt")
    assert seen == [] and torch.equal(finished, whole)


def test_the_stream_does_not_depend_on_the_number_of_workers(monkeypatch):
    def first(workers, start=0):
        monkeypatch.setattr(loop.os, "cpu_count", lambda: workers + 1)
        found = iter(stream()(start))
        return [next(found) for _ in range(4)]

    one, two = first(1), first(2)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert torch.equal(first(2, start=2)[0], one[2])


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    module = torch.nn.Linear(4, 1)
    with pytest.raises(RuntimeError, match="loss became nan at step 1; lower the learning rate"):
        fit(
            module,
            stream(),
            lambda batch: (module(batch).sum() * float("nan"), {}),
            steps=1,
            peak=1.0,
            warmup=1,
            state_file=tmp_path / "a.pt",
        )


def test_states_of_other_settings_have_other_names():
    assert digest({"steps": 1}, "code") == digest({"steps": 1}, "code")
    assert len({digest({"steps": 1}, "code"), digest({"steps": 2}, "code"), digest({"steps": 1}, "other code")}) == 3


def test_the_learning_rate_warms_up_and_falls():
    rates = [learning_rate(step, 100, 1.0, 10) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10) and rates[0] == 0.1 and rates[-1] < 0.03

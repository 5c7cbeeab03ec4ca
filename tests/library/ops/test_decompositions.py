"""Spectra where a device's routine fails or has no float64: the same numbers by another route, told once."""

import logging

import pytest
import torch

from vtprune.ops import decompositions, energy_rank, spectrum
from vtprune.ops.decompositions import eigenvalues, eigenvectors, has_float64, singular_values

ROUTES = {"svd": "svdvals", "gram": "eigvalsh", "randomised": "eigh"}


def low_rank(rows=3, tokens=60, width=48, rank=5):
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(rows, tokens, rank, generator=generator) * torch.tensor([9.0, 7.0, 4.0, 2.0, 1.0])
    return left @ torch.randn(rows, rank, width, generator=generator)


@pytest.fixture(autouse=True)
def fresh():
    decompositions._warn_once.cache_clear()
    has_float64.cache_clear()
    yield
    has_float64.cache_clear()


def not_converging(*arguments, **options):
    raise torch.linalg.LinAlgError("linalg.eigh: The algorithm failed to converge\nbecause of low rank")


def not_finite(name):
    routine = getattr(torch.linalg, name)

    def broken(*arguments, **options):
        result = routine(*arguments, **options)
        return (result[0] * torch.nan, result[1]) if isinstance(result, tuple) else result * torch.nan

    return broken


@pytest.mark.parametrize("failure", ["error", "not finite"])
@pytest.mark.parametrize("route", ROUTES)
def test_a_routine_that_fails_is_replaced_and_told_once(monkeypatch, caplog, route, failure):
    x, name = low_rank(), ROUTES[route]
    expected = spectrum(x, route=route, rank=8), energy_rank(x, 0.95, route=route, rank=8)
    monkeypatch.setattr(torch.linalg, name, not_converging if failure == "error" else not_finite(name))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = spectrum(x, route=route, rank=8), energy_rank(x, 0.95, route=route, rank=8)
    for part in ("shares", "slack", "total"):
        torch.testing.assert_close(getattr(found[0], part), getattr(expected[0], part), rtol=1e-5, atol=1e-7)
    assert [part.tolist() for part in found[1]] == [part.tolist() for part in expected[1]]
    (record,) = caplog.records
    assert "CPU" in record.getMessage() and "\n" not in record.getMessage()


def test_too_little_memory_is_no_reason_for_another_routine(monkeypatch):
    def full(*arguments, **options):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(torch.linalg, "eigvalsh", full)
    with pytest.raises(torch.OutOfMemoryError):
        spectrum(low_rank(), route="gram")


def test_both_routines_give_the_same_decomposition(monkeypatch):
    x = low_rank().double()
    gram = x @ x.mT
    for function, given, name in ((eigenvalues, gram, "eigvalsh"), (singular_values, x, "svdvals")):
        expected = function(given)
        with monkeypatch.context() as patch:
            patch.setattr(torch.linalg, name, not_converging)
            torch.testing.assert_close(function(given), expected, rtol=1e-9, atol=1e-9 * float(expected.max()))
    monkeypatch.setattr(torch.linalg, "eigh", not_converging)
    values, vectors = eigenvectors(gram)
    assert (values.diff(dim=-1) >= 0).all()
    torch.testing.assert_close(vectors * values[:, None] @ vectors.mT, gram)


class WithoutFloat64(torch.Tensor):
    """A tensor on a device that refuses float64, as Apple's does."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if any(value is torch.float64 for value in (*args, *kwargs.values())) or func is torch.Tensor.double:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        if func is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        return super().__torch_function__(func, types, args, kwargs)


@pytest.mark.parametrize("route", ROUTES)
def test_a_device_without_float64_leaves_spectra_to_the_cpu(monkeypatch, caplog, route):
    x = low_rank()
    valid = torch.ones(x.shape[:2], dtype=torch.bool)
    expected = spectrum(x, valid, route=route), energy_rank(x, 0.95, valid, route=route)
    with pytest.raises(TypeError):
        spectrum(x.as_subclass(WithoutFloat64), valid.as_subclass(WithoutFloat64), route=route)
    monkeypatch.setattr(decompositions, "has_float64", lambda device: False)
    there = x.as_subclass(WithoutFloat64), valid.as_subclass(WithoutFloat64)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert torch.equal(spectrum(*there, route=route).shares, expected[0].shares)
            ranks, used = energy_rank(there[0], 0.95, there[1], route=route)
    assert torch.equal(ranks, expected[1][0]) and torch.equal(used, expected[1][1])
    assert len(caplog.records) == 1 and "float64" in caplog.text


@pytest.mark.parametrize("error", [TypeError, RuntimeError])
def test_whether_a_device_has_float64_is_tried(monkeypatch, error):
    assert has_float64(torch.device("cpu"))
    has_float64.cache_clear()

    def refused(*arguments, **options):
        raise error("no float64")

    monkeypatch.setattr(torch, "ones", refused)
    assert not has_float64(torch.device("cpu"))


def test_nothing_else_computes_in_float64_off_the_cpu():
    """Scores are float64 on the CPU alone; a file that names the type otherwise must be looked at."""
    from pathlib import Path

    import vtprune

    root = Path(vtprune.__file__).parent
    naming = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if any(word in path.read_text() for word in ("torch.float64", ".double()"))
    }
    asking = {"ops/choosing.py", "methods/scope.py"}  # they ask first whether the device computes in float64
    assert naming == asking | {"ops/decompositions.py", "ops/precision.py", "ops/spectrum.py"}

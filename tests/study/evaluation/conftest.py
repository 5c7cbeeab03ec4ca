"""A checkpoint and data sets, made once."""

from pathlib import Path

import pytest
from helpers.tiny_llava import build_checkpoint, write_data

from vtstudy.evaluation.checkpoint import Checkpoint
from vtstudy.evaluation.measurement_cache import MeasurementCache


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny-llava")


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), "pope", "mme", "mmbench", "flickr30k", "vqav2")


@pytest.fixture(scope="session")
def loaded(checkpoint, tmp_path_factory) -> Checkpoint:
    return Checkpoint(checkpoint, MeasurementCache(tmp_path_factory.mktemp("measurements")), device="cpu")

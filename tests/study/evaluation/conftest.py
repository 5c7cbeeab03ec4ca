"""A checkpoint and data sets, made once."""

import os
from pathlib import Path

import pytest

for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ[name] = "1"


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    from helpers.tiny_llava import build_checkpoint

    return build_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny-llava")


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    from helpers.tiny_llava import write_data

    return write_data(tmp_path_factory.mktemp("data"), "pope", "mme", "mmbench", "flickr30k", "vqav2")


@pytest.fixture(scope="session")
def loaded(checkpoint):
    from vtstudy.evaluation.lmms_model import Loaded

    return Loaded.of(checkpoint, device="cpu")

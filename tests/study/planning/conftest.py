"""A stand-in for the Hub, which the process of the tests uses."""

import pytest
from helpers.local_hub import LocalHub
from huggingface_hub import constants


@pytest.fixture
def local_hub(tmp_path, monkeypatch):
    """Serves the folder `hub` of the test; it holds no repository yet."""
    (tmp_path / "hub").mkdir()
    with LocalHub(tmp_path / "hub") as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        yield server

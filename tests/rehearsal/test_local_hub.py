"""The stand-in for the Hub, seen through the Hub's own client."""

import hashlib
from pathlib import Path

import pytest
from helpers.local_hub import LocalHub
from huggingface_hub import HfApi, HfFileSystem, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

MODEL, DATA = "owner/model", "owner/data"
WEIGHTS = bytes(range(256)) * 4000


@pytest.fixture(autouse=True)
def online(monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def root(tmp_path) -> Path:
    model, data = tmp_path / "models" / MODEL, tmp_path / "datasets" / DATA / "data"
    model.mkdir(parents=True)
    data.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(WEIGHTS)
    (data / "test-00000-of-00001.parquet").write_bytes(WEIGHTS)
    return tmp_path


@pytest.mark.parametrize("page", [1000, 1])
def test_a_snapshot_has_the_files_and_the_commit(root, tmp_path, page):
    with LocalHub(root, page=page) as hub:
        folder = Path(snapshot_download(MODEL, endpoint=hub.endpoint, cache_dir=tmp_path / "cache"))
        commit = HfApi(hub.endpoint).model_info(MODEL).sha
    assert folder.name == commit
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert (folder / "config.json").read_text() == "{}"


def test_another_content_is_another_commit(root):
    with LocalHub(root) as hub:
        before = HfApi(hub.endpoint).model_info(MODEL).sha
        (root / "models" / MODEL / "config.json").write_text('{"a": 1}')
        after = HfApi(hub.endpoint).model_info(MODEL).sha
    assert before != after


@pytest.mark.slow
def test_a_download_goes_on_after_the_connection_broke(root, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # less than a chunk is not kept
    with LocalHub(root) as hub:
        hub.break_connection(r"model\.safetensors$", after=100_000)
        file = hf_hub_download(MODEL, "model.safetensors", endpoint=hub.endpoint, cache_dir=tmp_path / "cache")
        statuses = [request.status for request in hub.requests_of(MODEL) if request.path.startswith("/content")]
        sent = hub.bytes_of(MODEL)
    assert hashlib.sha256(Path(file).read_bytes()).digest() == hashlib.sha256(WEIGHTS).digest()
    assert statuses == [200, 206]
    assert sent < 1.1 * len(WEIGHTS)


def test_a_range_is_served_alone(root):
    with LocalHub(root) as hub:
        files = HfFileSystem(endpoint=hub.endpoint, skip_instance_cache=True)
        with files.open(f"datasets/{DATA}/data/test-00000-of-00001.parquet", block_size=1000) as file:
            file.seek(len(WEIGHTS) - 500)
            end = file.read()
        sent = hub.bytes_of(DATA)
    assert end == WEIGHTS[-500:]
    assert sent < 5000


def test_what_is_not_there_is_told_apart(root, tmp_path):
    with LocalHub(root) as hub:
        place = {"endpoint": hub.endpoint, "cache_dir": tmp_path / "cache"}
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download("owner/other", "config.json", **place)
        with pytest.raises(RevisionNotFoundError):
            hf_hub_download(MODEL, "config.json", revision="v9", **place)
        with pytest.raises(RemoteEntryNotFoundError):
            hf_hub_download(MODEL, "other.json", **place)


def test_a_gate_lets_only_its_tokens_in(root, tmp_path):
    name = "data/test-00000-of-00001.parquet"
    with LocalHub(root) as hub:
        hub.gate(DATA, "good", refused=("unasked",))
        place = {"repo_type": "dataset", "endpoint": hub.endpoint, "cache_dir": tmp_path / "cache"}
        for token, status in ((False, 401), ("unasked", 403)):
            with pytest.raises(GatedRepoError) as caught:
                hf_hub_download(DATA, name, token=token, **place)
            assert caught.value.response.status_code == status
            with pytest.raises(GatedRepoError):
                HfApi(hub.endpoint).auth_check(DATA, repo_type="dataset", token=token)
        assert Path(hf_hub_download(DATA, name, token="good", **place)).read_bytes() == WEIGHTS

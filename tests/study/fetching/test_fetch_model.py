"""Checkpoints from a stand-in for the Hub: what comes, at which commit, and how a stopped download goes on."""

import json
from pathlib import Path

import pytest
from helpers.internvl2_published import write_published_internvl2
from helpers.using_hub import using_hub
from huggingface_hub import HfApi, constants

from vtprune.errors import UserError
from vtstudy.checkpoint_source import Source, read_source
from vtstudy.fetching.hub import FetchError
from vtstudy.fetching.models import fetch_model

pytestmark = pytest.mark.slow

ID = "llava-hf/tiny"
WEIGHTS = bytes(range(256)) * 400


@pytest.fixture
def published(tmp_path) -> Path:
    folder = tmp_path / "models" / ID
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llava"}))
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "pytorch_model.bin").write_bytes(WEIGHTS)
    (folder / "modeling.py").write_text("raise SystemExit")
    return folder


@pytest.fixture
def hub(published, tmp_path):
    """A stand-in for the Hub, which this process uses."""
    with using_hub(tmp_path, tmp_path / "cache") as server:
        yield server


def commit_of(hub) -> str:
    return HfApi(hub.endpoint).model_info(ID).sha


def test_a_folder_has_what_is_needed_and_its_commit(hub, tmp_path):
    folder = tmp_path / "data/models/llava"
    fetch_model(ID, "main", folder)
    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors", "revision.yaml"}
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert read_source(folder) == Source(ID, commit_of(hub))
    assert [file.name for file in folder.parent.iterdir()] == ["llava"]


def test_a_branch_keeps_the_commit_that_was_fetched_first(hub, published, tmp_path):
    folder = tmp_path / "data/models/llava"
    fetch_model(ID, "main", folder)
    first = commit_of(hub)
    (published / "config.json").write_text(json.dumps({"model_type": "llava", "changed": True}))
    hub.served.clear()
    fetch_model(ID, "main", folder)
    assert read_source(folder) == Source(ID, first) and hub.served == []
    second = commit_of(hub)
    fetch_model(ID, second, folder)
    assert read_source(folder) == Source(ID, second) != Source(ID, first)
    assert json.loads((folder / "config.json").read_text())["changed"]


def test_a_stopped_download_goes_on(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    folder = tmp_path / "data/models/llava"
    hub.break_connection(r"model\.safetensors$", after=500, times=20)
    with pytest.raises(FetchError):
        fetch_model(ID, "main", folder)
    assert not folder.exists()
    hub._breaks.clear()
    fetch_model(ID, "main", folder)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_files_of_the_user_are_not_overwritten(hub, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError):
        fetch_model(ID, "main", folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_gated_model_names_its_page_and_the_login(hub, tmp_path):
    hub.gate(ID, "good")
    with pytest.raises(FetchError, match=rf"{hub.endpoint}/{ID}.*hf auth login"):
        fetch_model(ID, "main", tmp_path / "folder")


@pytest.mark.parametrize("name", ["llava-hf/absent", "llava-hf/tiny@v9"])
def test_what_is_not_there_is_refused(hub, tmp_path, name):
    identifier, _, revision = name.partition("@")
    with pytest.raises(FetchError, match=identifier):
        fetch_model(identifier, revision or "main", tmp_path / "folder")


def test_weights_in_another_format_are_refused(hub, published, tmp_path):
    (published / "model.safetensors").unlink()
    with pytest.raises(FetchError, match="safetensors"):
        fetch_model(ID, "main", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_internvl2_is_converted(tmp_path):
    """Its folder has transformers' own class, and the commit of the authors' files, which do not stay."""
    identifier, folder = "OpenGVLab/InternVL2-2B", tmp_path / "data/models/internvl2"
    published = tmp_path / "hub/models" / identifier
    published.mkdir(parents=True)
    write_published_internvl2(published, layers=2, vision_layers=2)
    with using_hub(tmp_path / "hub", tmp_path / "cache") as server:
        fetch_model(identifier, "main", folder)
        commit = HfApi(server.endpoint).model_info(identifier).sha
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["InternVLForConditionalGeneration"]
    assert read_source(folder) == Source(identifier, commit)
    assert [file.name for file in folder.parent.iterdir()] == ["internvl2"]


def test_a_full_disk_is_noticed_before_the_download(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("vtstudy.fetching.hub.MARGIN", 1 << 60)
    with pytest.raises(FetchError, match="free"):
        fetch_model(ID, "main", tmp_path / "folder")
    assert not any(request.path.startswith("/content") for request in hub.served)

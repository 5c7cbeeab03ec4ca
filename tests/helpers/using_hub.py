"""Make this process use a stand-in for the Hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants

from helpers.local_hub import LocalHub


@contextmanager
def using_hub(root: Path, cache: Path) -> Iterator[LocalHub]:
    """A stand-in for the Hub that serves a folder, and that this process uses in the block.

    Args:
        root: the folder that is served.
        cache: folder of the client's cache.
    """
    with LocalHub(root) as server, pytest.MonkeyPatch.context() as patch:
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "ENDPOINT", server.endpoint)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setenv("HF_ENDPOINT", server.endpoint)
        yield server

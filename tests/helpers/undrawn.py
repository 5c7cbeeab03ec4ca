"""Reports without pictures: charts are made, but neither laid out nor written, which takes most of a report's time."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from matplotlib.figure import Figure


@contextmanager
def undrawn_charts() -> Iterator[None]:
    """Within the block, charts have a file name, but the file is empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda *arguments, **options: None)
        patch.setattr(Figure, "draw_without_rendering", lambda *arguments: None)
        yield

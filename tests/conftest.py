"""Settings of the whole test run."""

from vtlaunch import configure_threads

configure_threads()  # before the first test module imports torch

"""What holds for all tests: none fails on a slow machine, beside other tests, or by chance."""

import contextlib
import fcntl
import gc
import os
import random
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

for forces_colours in ("FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE"):
    os.environ.pop(forces_colours, None)  # what is printed is compared as text

settings.register_profile(
    "the same everywhere",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("the same everywhere")


def pytest_collection_finish() -> None:
    """Leave what the tests imported out of each garbage collection, of which a measurement makes many."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """What a test draws without a seed of its own does not depend on the tests before it."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
        if "PYTEST_XDIST_WORKER" in os.environ:  # each worker of pytest-xdist has one core
            sys.modules["torch"].set_num_threads(1)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test marked `alone` run while the other workers of pytest-xdist wait."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    with turn(Path(item.config.option.basetemp).parent, item.get_closest_marker("alone") is not None):
        return (yield)


@contextlib.contextmanager
def turn(folder: Path, alone: bool) -> Iterator[None]:
    """Hold a lock in `folder` that tests share, except for those that run alone; first come, first served."""
    with (folder / "queue.lock").open("w") as queue, (folder / "machine.lock").open("w") as machine:
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(machine, fcntl.LOCK_UN)  # a child that a test left behind may hold the file open

"""What holds for all tests: none fails on a slow machine, beside other tests, or by chance."""

import fcntl
import gc
import os
import random
import sys
from collections.abc import Generator
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

for forces_colours in ("FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE"):
    os.environ.pop(forces_colours, None)  # what is printed is compared as text

ALONE = "tests/integration/alone/"
"""Tests below this folder measure: nothing runs beside them."""

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Let one worker run a whole file, and one all tests that run alone."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return ALONE if nodeid.startswith(ALONE) else super()._split_scope(nodeid)

    return Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None


def runs_alone(item: pytest.Item | None) -> bool:
    """Whether no other test may run beside this one."""
    return item is not None and item.nodeid.startswith(ALONE)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Let tests in the folder `alone` run while the other workers of pytest-xdist wait.

    The others wait until the last in a row: if they went on between two, the second would wait for them.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    TURN.begin(Path(item.config.option.basetemp).parent, runs_alone(item))
    try:
        return (yield)
    finally:
        if not (runs_alone(item) and runs_alone(nextitem)):
            TURN.end()


class Turn:
    """A lock that tests share, except for those that run alone; first come, first served."""

    def __init__(self) -> None:
        self.machine: IO[str] | None = None

    def begin(self, folder: Path, alone: bool) -> None:
        """Wait for the lock in `folder`, unless it is still held."""
        if self.machine is not None:
            return
        with (folder / "queue.lock").open("w") as queue:
            machine = (folder / "machine.lock").open("w")
            fcntl.flock(queue, fcntl.LOCK_EX)
            fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        self.machine = machine

    def end(self) -> None:
        """Let the next ones go on."""
        if self.machine is not None:
            fcntl.flock(self.machine, fcntl.LOCK_UN)  # a child that a test left behind may hold the file open
            self.machine.close()
            self.machine = None


TURN = Turn()

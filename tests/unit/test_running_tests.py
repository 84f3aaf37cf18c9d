"""How this test suite runs: a test that measures has the machine to itself."""

from __future__ import annotations

import fcntl
import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("all_tests", Path(__file__).parents[1] / "conftest.py")
assert SPEC is not None and SPEC.loader is not None
ALL = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(ALL)


def free_for(folder: Path, lock: int) -> bool:
    """Whether another worker would get the machine now."""
    with (folder / "queue.lock").open("w") as queue, (folder / "machine.lock").open("w") as machine:
        try:
            fcntl.flock(queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(machine, lock | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.parametrize("alone", [False, True])
def test_a_test_that_measures_has_the_machine_and_any_other_shares_it(tmp_path: Path, alone: bool) -> None:
    with ALL.turn(tmp_path, alone):
        assert free_for(tmp_path, fcntl.LOCK_SH) is not alone
        assert not free_for(tmp_path, fcntl.LOCK_EX)
    assert free_for(tmp_path, fcntl.LOCK_EX)


def test_one_that_fails_lets_the_next_go_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ALL.turn(tmp_path, True):
        raise KeyboardInterrupt
    assert free_for(tmp_path, fcntl.LOCK_EX)

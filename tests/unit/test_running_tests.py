"""How this test suite runs: a test that measures has the machine to itself."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

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
    turn = ALL.Turn()
    turn.begin(tmp_path, alone)
    assert free_for(tmp_path, fcntl.LOCK_SH) is not alone
    assert not free_for(tmp_path, fcntl.LOCK_EX)
    turn.end()
    assert free_for(tmp_path, fcntl.LOCK_EX)


class Item:
    """What a hook needs of a test; `basetemp` is where its worker writes."""

    def __init__(self, folder: Path, alone: bool) -> None:
        self.config = SimpleNamespace(option=SimpleNamespace(basetemp=folder / "gw0"))
        self.nodeid = f"tests/integration/{'alone/' if alone else ''}test_x.py::test_y"


def runs(item: Item, following: Item | None, ends: BaseException | None = None) -> Iterator[None]:
    """Run a test as pytest does; yield while it runs."""
    hook = ALL.pytest_runtest_protocol(item, following)
    next(hook)
    yield
    with contextlib.suppress(StopIteration):
        hook.throw(ends) if ends else hook.send(True)


def test_tests_that_measure_keep_the_machine_until_the_last_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    first, second, other = Item(tmp_path, True), Item(tmp_path, True), Item(tmp_path, False)
    for item, following, after in ((first, second, False), (second, other, True), (other, None, True)):
        for _ in runs(item, following):
            assert free_for(tmp_path, fcntl.LOCK_SH) is not (item is not other)
        assert free_for(tmp_path, fcntl.LOCK_EX) is after


def test_one_that_fails_lets_the_next_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    with pytest.raises(KeyboardInterrupt):
        for _ in runs(Item(tmp_path, True), None, KeyboardInterrupt()):
            assert not free_for(tmp_path, fcntl.LOCK_SH)
    assert free_for(tmp_path, fcntl.LOCK_EX)


def test_one_worker_gets_all_tests_that_run_alone_and_another_whole_files(tmp_path: Path) -> None:
    for name in ("alone/test_a", "alone/test_b", "test_c"):
        path = tmp_path / "tests" / "integration" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("def test_1(): pass\n\ndef test_2(): pass\n")
    (tmp_path / "tests" / "conftest.py").write_text(Path(str(ALL.__file__)).read_text())
    (tmp_path / "pytest.ini").touch()
    options = ("-n", "2", "--dist", "loadscope", "--no-loadscope-reorder", "-v", "-p", "no:cacheprovider")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = re.findall(r"\[(gw\d)\].*PASSED tests/integration/(alone/|)test", ran.stdout)
    workers = {folder: [worker for worker, each in found if each == folder] for folder in ("alone/", "")}
    assert [len(used) for used in workers.values()] == [4, 2]
    assert all(len(set(used)) == 1 for used in workers.values())
    assert workers["alone/"][0] != workers[""][0]

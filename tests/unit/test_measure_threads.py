"""Threads that work are counted, those that sleep are not, and a thread budget is held against the count."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from runs import record

from harness.analysis.records.threads import add_threads, thread_budget, thread_warnings
from harness.measure import threads as module
from harness.measure.probe import Probe, Reading
from harness.measure.procfs import ThreadTimes, thread_times
from harness.measure.threads import cores_outside, rests

linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")


WORK_S, BLOCK_S = 0.3, 1.0
"""CPU time of each that works, however long it takes to get it, and the Block of which it is a share."""


def used(workers: int, sleepers: int = 0) -> int | None:
    """Let `workers` threads work outside of the interpreter's lock, and count."""
    stop, done = threading.Event(), threading.Barrier(workers + 1)
    data = np.ones((300, 300))

    def work() -> None:
        end = time.thread_time() + WORK_S
        while time.thread_time() < end:
            np.sort(data, axis=1)  # one thread of its own, and no lock while it sorts
        done.wait()
        stop.wait()  # alive, so that it is still seen

    threads = [threading.Thread(target=stop.wait) for _ in range(sleepers)]
    probe = Probe()
    before = probe.read()
    threads += [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    done.wait()
    found = probe.threads_used(before, probe.read(), BLOCK_S)
    stop.set()
    for thread in threads:
        thread.join()
    return found


@linux
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_threads_that_work_are_counted_and_sleepers_are_not(workers: int) -> None:
    assert used(workers, sleepers=2) == workers


@linux
def test_of_replicas_only_those_that_do_the_work_count() -> None:
    code = "import sys\nprint(flush=True)\nwhile True: pass"
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for child in children:
            child.stdout.readline()
        probe = Probe([os.getpid(), *(child.pid for child in children)])
        before = probe.read()
        replicas = [thread for thread in before.threads if thread[0] != os.getpid()]
        while any(
            probe.read().threads[thread].cpu_s < before.threads[thread].cpu_s + WORK_S for thread in replicas
        ):
            pass  # busy as well: the first hands out work and does not count
        assert probe.threads_used(before, probe.read(), BLOCK_S) == 2
    finally:
        for child in children:
            child.kill()
            child.wait()
            child.stdout.close()


def fake(folder: Path, thread: int, name: str, text: str) -> None:
    path = folder / "7" / "task" / str(thread)
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_text(text)


def test_schedstat_is_read_and_stat_where_there_is_none(tmp_path: Path) -> None:
    fake(tmp_path, 1, "schedstat", "1500000000 5 9\n")
    fake(tmp_path, 2, "stat", "2 (odd) name) R " + " ".join(["0"] * 10) + " 120 30 0 0\n")
    fake(tmp_path, 3, "stat", "gone")
    assert thread_times([7], str(tmp_path)) == {(7, "1"): (1.5, 5e-9), (7, "2"): (1.5, None)}


def reading(**cpu_s: float) -> Reading:
    """A reading of process 7, whose threads have used so much."""
    times = {(7, task.strip("_")): ThreadTimes(seconds, None) for task, seconds in cpu_s.items()}
    return Reading(0, {}, times, None, None, 2, None)


def test_a_thread_that_began_in_between_counts_from_nothing() -> None:
    assert Probe([7]).threads_used(reading(_1=1.0), reading(_1=2.0, _2=0.9, _3=0.01), 1.0) == 2


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    probe = Probe(proc=str(tmp_path))
    assert probe.threads_used(probe.read(), probe.read(), 1.0) is None


def test_threads_that_spin_are_waited_for_until_they_rest_or_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    naps: list[float] = []
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=naps.append))
    assert rests(0.01, 0.5, lambda: len(naps) * 0.01) is False
    assert sum(naps) == pytest.approx(0.5)
    naps.clear()
    assert rests(0.01, 0.5, lambda: min(len(naps), 3) * 0.01) is True
    assert len(naps) == 4


def block(threads: int | None, cpu_s: float | None, wall_s: float = 1.0) -> dict:
    return {"threads_used": threads, "evidence": {"cpu_s": cpu_s, "wall_s": wall_s}}


def test_a_record_has_the_median_count_and_the_share_of_all_blocks() -> None:
    made = record()
    add_threads(made, [block(2, 2.0), block(2, 1.0), block(9, 1.5, wall_s=0.5)])
    assert (made.threads_used, made.cpu_utilization) == (2, pytest.approx(4.5 / 2.5))
    add_threads(made, [block(None, None), {"evidence": {}}])
    assert (made.threads_used, made.cpu_utilization) == (None, None)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (2, None),
        (None, None),
        (4, None),
        (3, "3 threads worked, more than the 2"),
        (1, "only 1 of the 2 threads"),
    ],
)
def test_disagreement_with_the_budget_is_a_warning_unless_the_audit_tells_it(
    count: int | None, words: str | None
) -> None:
    found = thread_warnings(record(threads=2, threads_used=count), [])
    assert found == [] if words is None else words in found[0]


def test_a_worker_that_did_not_come_to_rest_is_a_warning() -> None:
    warm = [{"rested": True}, {"rested": False}, {}]  # an older Run does not record it
    assert thread_warnings(record(), warm) == [
        "its threads use the CPU between calls too (its process is stopped while others are timed)"
    ]
    assert thread_warnings(record(), warm[::2]) == []


@pytest.mark.parametrize(
    ("used", "cores", "replicas", "reasons"),
    [
        (2, 2.0, 1, []),
        (1, 0.9, 1, []),
        (3, 2.1, 1, []),  # the calling thread may hand all work to others
        (4, 2.0, 1, ["4 threads worked; the budget is 2"]),
        (4, 2.0, 2, []),
        (2, 2.3, 1, ["2.30 cores were busy; the budget is 2"]),
        (None, None, 1, []),
    ],
)
def test_more_threads_or_cores_than_the_budget_fail_the_record(
    used: int | None, cores: float | None, replicas: int, reasons: list[str]
) -> None:
    made = record(threads=2, threads_used=used, cpu_utilization=cores, replicas=replicas)
    state = "failed" if reasons else None
    assert thread_budget(made, [{}]) == {"audit": "thread-budget", "state": state, "reasons": reasons}


def test_threads_or_cores_that_a_models_code_has_changed_fail_the_record() -> None:
    made = record(threads=2, threads_used=2)
    assert (
        thread_budget(made, [{"threads_set": 2, "cores_outside": []}, {"threads_set": None}])["reasons"] == []
    )
    ends = [{"threads_set": 2, "cores_outside": [5, 3]}, {"threads_set": 4}, {"threads_set": 1}]
    assert thread_budget(made, ends)["reasons"] == [
        "the model's code set the threads to 1 after loading; the budget is 2",
        "the model's code set the threads to 4 after loading; the budget is 2",
        "its threads may use other cores as well (3, 5); the budget is 2",
    ]


@linux
def test_a_thread_that_may_leave_the_cores_of_its_budget_is_seen() -> None:
    mine = sorted(os.sched_getaffinity(0))
    assert cores_outside([max(mine) + 1]) == mine
    assert cores_outside(mine) == cores_outside(()) == []

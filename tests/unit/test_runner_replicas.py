"""Shared memory of replicas, and folders that processes leave behind when they are killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from test_runner_evaluation_data import WEIGHTS, source

from harness import files as scratch
from harness.artifacts.cache import Cache
from harness.errors import WorkerError
from harness.formats.target import Target
from harness.measure.clock import PerfClock
from harness.runner.workers import replicas
from harness.runner.workers.replicas import ReplicatedSession

BATCH = 4


def as_of_a_dead_process(folder: Path) -> str:
    """The folder's name, were it that of a process that has gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert f"-{os.getpid()}-" in folder.name
    return folder.name.replace(f"-{os.getpid()}-", f"-{process.pid}-")


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def test_folders_of_dead_processes_go_and_those_of_live_ones_stay(tmp_path: Path) -> None:
    mine = scratch.make_folder(tmp_path, "purpose")
    other = scratch.make_folder(tmp_path, "another")
    name = as_of_a_dead_process(mine)
    (tmp_path / name).mkdir()
    (tmp_path / name / "file").write_text("x")
    foreign = tmp_path / "purpose-another.machine-1-x"
    foreign.mkdir()
    scratch.sweep(tmp_path, "purpose")
    assert sorted(tmp_path.iterdir()) == sorted([mine, other, foreign])


def test_making_a_folder_removes_what_was_left(tmp_path: Path) -> None:
    left = scratch.make_folder(tmp_path, "purpose")
    left = left.rename(tmp_path / as_of_a_dead_process(left))
    scratch.make_folder(tmp_path, "purpose")
    assert not left.exists()


def test_half_a_build_of_a_killed_process_goes(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.staging() as staged:
        left = staged.rename(staged.with_name(as_of_a_dead_process(staged)))
    cache.sweep()
    assert not left.exists()


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stand-ins for /dev/shm and the disk."""
    made = [tmp_path / "memory", tmp_path / "disk"]
    for place in made:
        place.mkdir()
    monkeypatch.setattr(replicas, "_places", lambda: made)
    return made


def pool(batches: int = 3) -> list[tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((BATCH, 4)).astype(np.float32),) for _ in range(batches)]


def spec(folder: Path, **fields: Any) -> dict[str, Any]:
    artifact = source(folder)
    artifact.write_manifest()
    return {
        "timeout_s": 60.0,
        "runtime": "onnxruntime",
        "runtime_config": {},
        "artifact": str(folder),
        **fields,
    }


@pytest.fixture
def session(tmp_path: Path, places: list[Path]) -> Iterator[ReplicatedSession]:
    opened = ReplicatedSession(spec(tmp_path / "m"), [Target(BATCH), Target(BATCH)], pool())
    yield opened
    opened.close()


def test_replicas_compute_and_leave_no_name_in_shared_memory(
    session: ReplicatedSession, places: list[Path]
) -> None:
    assert [list(place.iterdir()) for place in places] == [[], []]
    for batch in [*session._pool, *session._pool]:
        np.testing.assert_allclose(session.bind(batch)()[0], batch[0] @ WEIGHTS, rtol=1e-4, atol=1e-5)
    outside = (np.full((BATCH, 4), 2.0, np.float32),)
    np.testing.assert_allclose(session.run(outside)[0], outside[0] @ WEIGHTS, rtol=1e-4, atol=1e-5)


def test_serving_many_times_each_and_gives_the_last_output(session: ReplicatedSession) -> None:
    for count in [1, 2, 7, 8, 9, 100] * 3:
        block = session.serve(count, PerfClock())
        assert block.calls == count
        assert block.duration_ns > 0
        assert (block.calls_ns > 0).all()
        expected = session._pool[block.last_index][0] @ WEIGHTS
        np.testing.assert_allclose(block.last[0], expected, rtol=1e-4, atol=1e-5)


def test_closing_ends_the_replicas(tmp_path: Path, places: list[Path]) -> None:
    before = children()
    opened = ReplicatedSession(spec(tmp_path / "m"), [Target(BATCH), Target(BATCH)], pool())
    assert len(children() - before) == 2
    opened.close()
    assert children() <= before


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not pin")
def test_all_threads_of_a_replica_are_pinned_to_its_own_cores(tmp_path: Path, places: list[Path]) -> None:
    mine = sorted(os.sched_getaffinity(0))
    shares = [(mine[0],), (mine[-1],)]
    targets = [Target(BATCH, threads=1, cores=cores) for cores in shares]
    opened = ReplicatedSession(spec(tmp_path / "m"), targets, pool())
    for worker, cores in zip(opened._workers, shares, strict=True):
        tasks = [int(task.name) for task in Path(f"/proc/{worker.pid}/task").iterdir()]
        assert {tuple(os.sched_getaffinity(task)) for task in tasks} == {cores}
    opened.close()
    assert sorted(os.sched_getaffinity(0)) == mine


def test_a_replica_that_cannot_open_takes_all_down_and_leaves_nothing(
    tmp_path: Path, places: list[Path]
) -> None:
    before = children()
    broken = spec(tmp_path / "m", artifact=str(tmp_path / "none"))
    with pytest.raises(WorkerError, match=r"a replica failed: .*contains no readable Artifact"):
        ReplicatedSession(broken, [Target(BATCH), Target(BATCH)], pool())
    assert [list(place.iterdir()) for place in places] == [[], []]
    assert children() <= before


def test_a_replica_that_dies_while_serving_is_told(session: ReplicatedSession) -> None:
    psutil.Process(session._workers[1].pid).kill()
    with pytest.raises(WorkerError, match="SIGKILL"):
        for _ in range(2):
            session.serve(16, PerfClock())


def test_the_disk_is_used_where_memory_has_no_room(
    tmp_path: Path, places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Path] = []
    monkeypatch.setattr(
        replicas.shutil, "disk_usage", lambda place: SimpleNamespace(free=10**9 * (place == places[1]))
    )
    make = replicas.make_folder
    monkeypatch.setattr(
        replicas, "make_folder", lambda place, purpose: (used.append(place), make(place, purpose))[1]
    )
    ReplicatedSession(spec(tmp_path / "m"), [Target(BATCH)], pool()).close()
    assert used == [places[1]]

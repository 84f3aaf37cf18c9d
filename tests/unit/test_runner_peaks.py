"""Peaks of a Plan: measured once a thread budget, kept, and never in the way of a Run."""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from suite_texts import NoObserver

from harness.artifacts.cache import Cache
from harness.devices.peaks.bandwidth import Bandwidth
from harness.devices.peaks.compute import Products, Rate
from harness.devices.peaks.registry import GEMMS, Gemm
from harness.errors import WorkerError
from harness.formats.target import Target
from harness.runner.place import Place
from harness.runner.run import peaks as module
from harness.runner.run.peaks import find_peaks, higher, measure_peaks, with_notes


def peaks(
    flop_per_s: float = 1e9, notes: tuple[str, ...] = (), copy: float = 1e9, left_out: tuple[str, ...] = ()
) -> dict[str, Any]:
    rate = Rate("float32", flop_per_s, 512, 9, "numpy", "matmul", "float32", 32, 1e9, "numpy matmul")
    disturbed = dict.fromkeys(notes, "noise")
    made = {
        "threads": 1,
        "rates": [asdict(rate)],
        "memory_bandwidth_bytes_per_s": copy,
        "left_out": list(left_out),
    }
    return with_notes({**made, "disturbed": disturbed})


def plan(*targets: Target, peak_time: float = 0.1, huge_pages: bool = False) -> Any:
    cells = {str(i): SimpleNamespace(target=target, skip=None) for i, target in enumerate(targets)}
    cells["skipped"] = SimpleNamespace(target=Target(1, threads=99), skip="wants 99 threads")
    measure = SimpleNamespace(peak_time=peak_time, huge_pages=huge_pages, environment={})
    suite = SimpleNamespace(spec=SimpleNamespace(measure=measure))
    return SimpleNamespace(cells=cells, suite=suite, place=Place((0, 1), None, frozenset(), "m"))


class Told(NoObserver):
    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was measured so far: threads; the replies to give come from its second list."""
    asked: list[Any] = []
    replies: list[Any] = []

    def fake(target: Target, seconds: float, logs: Path, environment: dict[str, str]) -> dict[str, Any]:
        asked.append(target.threads)
        reply = replies.pop(0) if replies else peaks()
        if isinstance(reply, Exception):
            raise reply
        return {**reply, "threads": target.threads}

    monkeypatch.setattr(module, "measure_peaks", fake)
    return [asked, replies]


def test_each_budget_is_measured_once_and_kept(measured: list[Any], tmp_path: Path) -> None:
    asked = measured[0]
    made = plan(Target(1, threads=1), Target(64, threads=1), Target(1, threads=2), Target(1, "cuda", 4))
    first = find_peaks(made, Cache(tmp_path), NoObserver(), tmp_path)
    assert asked == [1, 2]
    assert [one["threads"] for one in first] == [1, 2]
    assert [one["fresh"] for one in first] == [True, True]
    again = find_peaks(made, Cache(tmp_path), NoObserver(), tmp_path)
    assert again == [{**one, "fresh": False} for one in first]
    assert asked == [1, 2]


def test_a_budget_in_doubt_is_measured_again_though_it_is_known(measured: list[Any], tmp_path: Path) -> None:
    asked, replies = measured
    made = plan(Target(1, threads=1), Target(1, threads=2))
    find_peaks(made, Cache(tmp_path), NoObserver(), tmp_path)
    replies.append(peaks(3e9))
    (found,) = find_peaks(made, Cache(tmp_path), NoObserver(), tmp_path, again={2})
    assert asked == [1, 2, 2]
    assert (found["fresh"], found["threads"], found["rates"][0]["flop_per_s"]) == (True, 2, 3e9)


def test_other_settings_variables_and_products_have_other_peaks(
    measured: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = measured[0]
    find_peaks(plan(Target(1)), Cache(tmp_path), NoObserver(), tmp_path)
    find_peaks(plan(Target(1), huge_pages=True), Cache(tmp_path), NoObserver(), tmp_path)
    monkeypatch.setattr(module, "that_shift_peaks", lambda _host: {"governor": "powersave"})
    find_peaks(plan(Target(1)), Cache(tmp_path), NoObserver(), tmp_path)
    monkeypatch.setitem(GEMMS._items, "new/int8", Gemm("new", "int8", lambda r, s, t: print, (), "mm"))
    find_peaks(plan(Target(1)), Cache(tmp_path), NoObserver(), tmp_path)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")  # a worker gets it, and it chooses kernels
    find_peaks(plan(Target(1)), Cache(tmp_path), NoObserver(), tmp_path)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")  # a worker does not get it
    find_peaks(plan(Target(1)), Cache(tmp_path), NoObserver(), tmp_path)
    assert len(asked) == 5


def test_disturbed_peaks_are_measured_again_a_few_times_and_the_higher_one_stays(
    measured: list[Any], tmp_path: Path
) -> None:
    asked, replies = measured
    replies += [peaks(2e9, ("disturbed",)), peaks(1e9, ("disturbed",)), peaks(3e9), peaks(9e9)]
    made = plan(Target(1, threads=1))
    found = [find_peaks(made, Cache(tmp_path), NoObserver(), tmp_path)[0] for _ in range(5)]
    assert [one["rates"][0]["flop_per_s"] for one in found] == [2e9, 2e9, 3e9, 3e9, 3e9]
    assert [bool(one["notes"]) for one in found] == [True, True, False, False, False]
    assert len(asked) == 3


def test_what_stays_disturbed_is_taken_in_the_end(measured: list[Any], tmp_path: Path) -> None:
    asked, replies = measured
    replies += [peaks(1e9, ("disturbed",))] * 9
    for _ in range(6):
        find_peaks(plan(Target(1)), Cache(tmp_path), NoObserver(), tmp_path)
    assert len(asked) == module.MAX_TRIES


def test_no_time_means_no_peaks(measured: list[Any], tmp_path: Path) -> None:
    assert find_peaks(plan(Target(1), peak_time=0), Cache(tmp_path), NoObserver(), tmp_path) == []
    assert measured[0] == []


def test_a_worker_that_fails_is_told_and_the_run_goes_on(measured: list[Any], tmp_path: Path) -> None:
    measured[1].append(WorkerError("was ended by SIGKILL"))
    told = Told()
    found = find_peaks(plan(Target(1, threads=1), Target(1, threads=2)), Cache(tmp_path), told, tmp_path)
    assert [one["threads"] for one in found] == [2]
    assert told.notices == ["the peaks with 1 thread could not be measured: was ended by SIGKILL"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"rates": []}'])
def test_a_damaged_file_is_measured_anew(damage: str, measured: list[Any], tmp_path: Path) -> None:
    made = plan(Target(1, threads=1))
    find_peaks(made, Cache(tmp_path), NoObserver(), tmp_path)
    (path,) = (tmp_path / module.FOLDER).iterdir()
    path.write_text(damage)
    find_peaks(made, Cache(tmp_path), NoObserver(), tmp_path)
    assert measured[0] == [1, 1]
    assert json.loads(path.read_text())["rates"]


def test_a_cache_that_cannot_be_written_is_told(measured: list[Any], tmp_path: Path) -> None:
    (tmp_path / module.FOLDER).write_text("a file where the folder should be")
    told = Told()
    assert len(find_peaks(plan(Target(1)), Cache(tmp_path), told, tmp_path)) == 1
    assert "cannot be kept" in told.notices[0]


def test_the_higher_of_each_peak_counts() -> None:
    joined = higher(peaks(1e9, copy=5e9), peaks(2e9, ("numpy/float32",), copy=1e9))
    assert (joined["rates"][0]["flop_per_s"], joined["memory_bandwidth_bytes_per_s"], joined["notes"]) == (
        2e9,
        5e9,
        [],
    )
    assert higher(peaks(), {}) == peaks()


def test_what_was_undisturbed_in_one_of_two_measurements_is_not_in_doubt() -> None:
    rows = "torch/int8 with one row"
    first = peaks(1e9, ("torch/int8", "numpy/float32", "memory bandwidth", rows))
    joined = higher(peaks(1e9, ("memory bandwidth",), left_out=("torch/int8: killed",)), first)
    assert set(joined["disturbed"]) == {
        "memory bandwidth",
        "torch/int8",
        rows,
    }  # torch was not measured a second time
    assert joined["notes"] == ["disturbed: noise (torch/int8, memory bandwidth, torch/int8 with one row)"]
    assert joined["left_out"] == []  # its rate is known from the first


class FakeWorker:
    """Replies at once, as `deaths` and `asked` of the class say."""

    deaths: ClassVar[set[str | None]] = set()
    asked: ClassVar[list[str | None]] = []

    def __init__(
        self, module: str, log: Path, *, environment: dict[str, str], cores: tuple[int, ...]
    ) -> None:
        assert (environment, cores) == ({"OMP_NUM_THREADS": "2"}, (0, 1))

    def send(self, command: str, **question: Any) -> None:
        self.library = question["library"]
        self.asked.append(self.library)

    def expect(self, event: str, timeout_s: float) -> dict[str, Any]:
        if self.library in self.deaths:
            raise WorkerError("was ended by SIGSEGV")
        if self.library is None:
            return {"event": event, **asdict(Bandwidth(1e9, 8, 3, "noise"))}
        rate = Rate(self.library, 1e9, 512, 3, self.library, "mm", "int8", 8)
        return {"event": event, **asdict(Products([rate], {f"{self.library}/x": "noise"}))}

    def close(self) -> None: ...

    kill = close


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    monkeypatch.setattr(FakeWorker, "deaths", set())
    monkeypatch.setattr(FakeWorker, "asked", [])
    monkeypatch.setattr(module, "Worker", FakeWorker)
    entries = [Gemm(*name, lambda r, s, t: print, (), "mm") for name in (("a", "x"), ("b", "x"), ("a", "y"))]
    entries.append(Gemm("gone", "x", lambda r, s, t: print, ("no_such",), "mm"))
    monkeypatch.setattr(module.GEMMS, "values", lambda: entries)
    return FakeWorker


def test_each_library_has_a_process_of_its_own(workers: type[FakeWorker], tmp_path: Path) -> None:
    found = measure_peaks(Target(1, threads=2, cores=(0, 1)), 0.1, tmp_path, {"OMP_NUM_THREADS": "2"})
    assert workers.asked == [None, "a", "b"]
    assert [rate["library"] for rate in found["rates"]] == ["a", "b"]
    assert (found["threads"], found["memory_bandwidth_bytes_per_s"]) == (2, 1e9)
    assert found["left_out"] == ["gone/x: no_such is not installed"]
    assert found["notes"] == ["disturbed: noise (memory bandwidth, a/x, b/x)"]
    json.dumps(found)


def test_a_library_whose_process_dies_loses_only_its_own_peaks(
    workers: type[FakeWorker], tmp_path: Path
) -> None:
    workers.deaths.add("a")
    found = measure_peaks(Target(1, threads=2, cores=(0, 1)), 0.1, tmp_path, {"OMP_NUM_THREADS": "2"})
    assert [rate["library"] for rate in found["rates"]] == ["b"]
    assert found["left_out"] == [
        "a/x: was ended by SIGSEGV",
        "a/y: was ended by SIGSEGV",
        "gone/x: no_such is not installed",
    ]


def test_without_bandwidth_there_are_no_peaks(workers: type[FakeWorker], tmp_path: Path) -> None:
    workers.deaths.add(None)
    with pytest.raises(WorkerError, match="SIGSEGV"):
        measure_peaks(Target(1, threads=2, cores=(0, 1)), 0.1, tmp_path, {"OMP_NUM_THREADS": "2"})


@pytest.mark.slow
def test_a_real_worker_measures_real_peaks(tmp_path: Path) -> None:
    (found,) = find_peaks(plan(Target(1, threads=1)), Cache(tmp_path), NoObserver(), tmp_path)
    assert all(rate["flop_per_s"] > 1e6 for rate in found["rates"])
    assert {"float32", "int8", "int4", "bfloat16", "float16"} <= {rate["dtype"] for rate in found["rates"]}
    assert (
        found["memory_bandwidth_bytes_per_s"] > 1e6
    )  # far below what any machine does, and far above a wrong unit

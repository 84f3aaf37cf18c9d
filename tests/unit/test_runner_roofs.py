"""Roofs of a Plan: measured once a thread budget, kept, and never in the way of a Run."""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.artifacts.cache import Cache
from harness.artifacts.targets import Target
from harness.devices.gemms.registry import GEMMS, Gemm
from harness.devices.peaks import Rate
from harness.errors import WorkerError
from harness.runner import roofs as module
from harness.runner.observing import Silent
from harness.runner.roofs import find_roofs, higher


def roofs(flop_per_s: float = 1e9, notes: tuple[str, ...] = (), copy: float = 1e9) -> dict[str, Any]:
    rate = Rate("float32", flop_per_s, 512, 9, "numpy", "matmul", "float32", 32, 1e9, "numpy matmul")
    return {"threads": 1, "rates": [asdict(rate)], "copy_bytes_per_s": copy, "notes": list(notes)}


def plan(*targets: Target, roof_time: float = 0.1, huge_pages: bool = False) -> Any:
    cells = {str(i): SimpleNamespace(target=target, skip=None) for i, target in enumerate(targets)}
    cells["skipped"] = SimpleNamespace(target=Target(1, threads=99), skip="wants 99 threads")
    measure = SimpleNamespace(roof_time=roof_time, huge_pages=huge_pages)
    suite = SimpleNamespace(spec=SimpleNamespace(measure=measure))
    return SimpleNamespace(cells=cells, suite=suite, place=SimpleNamespace(machine_id="m"))


class Told(Silent):
    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was measured so far: threads; the answers to give come from its second list."""
    asked: list[Any] = []
    answers: list[Any] = []

    def fake(target: Target, seconds: float, logs: Path, *, huge_pages: bool) -> dict[str, Any]:
        asked.append(target.threads)
        answer = answers.pop(0) if answers else roofs()
        if isinstance(answer, Exception):
            raise answer
        return {**answer, "threads": target.threads}

    monkeypatch.setattr(module, "_measure", fake)
    return [asked, answers]


def test_each_budget_is_measured_once_and_kept(measured: list[Any], tmp_path: Path) -> None:
    asked = measured[0]
    made = plan(Target(1, threads=1), Target(64, threads=1), Target(1, threads=2), Target(1, "cuda", 4))
    first = find_roofs(made, Cache(tmp_path), Silent(), tmp_path)
    assert asked == [1, 2]
    assert [one["threads"] for one in first] == [1, 2]
    assert [one["fresh"] for one in first] == [True, True]
    again = find_roofs(made, Cache(tmp_path), Silent(), tmp_path)
    assert again == [{**one, "fresh": False} for one in first]
    assert asked == [1, 2]


def test_a_budget_in_doubt_is_measured_again_though_it_is_known(measured: list[Any], tmp_path: Path) -> None:
    asked, answers = measured
    made = plan(Target(1, threads=1), Target(1, threads=2))
    find_roofs(made, Cache(tmp_path), Silent(), tmp_path)
    answers.append(roofs(3e9))
    (found,) = find_roofs(made, Cache(tmp_path), Silent(), tmp_path, again={2})
    assert asked == [1, 2, 2]
    assert (found["fresh"], found["threads"], found["rates"][0]["flop_per_s"]) == (True, 2, 3e9)


def test_other_settings_and_other_products_have_other_roofs(
    measured: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = measured[0]
    find_roofs(plan(Target(1)), Cache(tmp_path), Silent(), tmp_path)
    find_roofs(plan(Target(1), huge_pages=True), Cache(tmp_path), Silent(), tmp_path)
    monkeypatch.setattr(module, "that_shift_roofs", lambda _host: {"governor": "powersave"})
    find_roofs(plan(Target(1)), Cache(tmp_path), Silent(), tmp_path)
    monkeypatch.setitem(GEMMS._items, "new/int8", Gemm("new", "int8", lambda r, s, t: print, (), "mm"))
    find_roofs(plan(Target(1)), Cache(tmp_path), Silent(), tmp_path)
    assert len(asked) == 4


def test_disturbed_roofs_are_measured_again_a_few_times_and_the_higher_one_stays(
    measured: list[Any], tmp_path: Path
) -> None:
    asked, answers = measured
    answers += [roofs(2e9, ("disturbed",)), roofs(1e9, ("disturbed",)), roofs(3e9), roofs(9e9)]
    made = plan(Target(1, threads=1))
    found = [find_roofs(made, Cache(tmp_path), Silent(), tmp_path)[0] for _ in range(5)]
    assert [one["rates"][0]["flop_per_s"] for one in found] == [2e9, 2e9, 3e9, 3e9, 3e9]
    assert [bool(one["notes"]) for one in found] == [True, True, False, False, False]
    assert len(asked) == 3


def test_what_stays_disturbed_is_taken_in_the_end(measured: list[Any], tmp_path: Path) -> None:
    asked, answers = measured
    answers += [roofs(1e9, ("disturbed",))] * 9
    for _ in range(6):
        find_roofs(plan(Target(1)), Cache(tmp_path), Silent(), tmp_path)
    assert len(asked) == module.MOST_TRIES


def test_no_time_means_no_roofs(measured: list[Any], tmp_path: Path) -> None:
    assert find_roofs(plan(Target(1), roof_time=0), Cache(tmp_path), Silent(), tmp_path) == []
    assert measured[0] == []


def test_a_worker_that_fails_is_told_and_the_run_goes_on(measured: list[Any], tmp_path: Path) -> None:
    measured[1].append(WorkerError("was ended by SIGKILL"))
    told = Told()
    found = find_roofs(plan(Target(1, threads=1), Target(1, threads=2)), Cache(tmp_path), told, tmp_path)
    assert [one["threads"] for one in found] == [2]
    assert told.notices == ["the roofs with 1 threads could not be measured: was ended by SIGKILL"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"rates": []}'])
def test_a_damaged_file_is_measured_anew(damage: str, measured: list[Any], tmp_path: Path) -> None:
    made = plan(Target(1, threads=1))
    find_roofs(made, Cache(tmp_path), Silent(), tmp_path)
    (path,) = (tmp_path / module.FOLDER).iterdir()
    path.write_text(damage)
    find_roofs(made, Cache(tmp_path), Silent(), tmp_path)
    assert measured[0] == [1, 1]
    assert json.loads(path.read_text())["rates"]


def test_a_cache_that_cannot_be_written_is_told(measured: list[Any], tmp_path: Path) -> None:
    (tmp_path / module.FOLDER).write_text("a file where the folder should be")
    told = Told()
    assert len(find_roofs(plan(Target(1)), Cache(tmp_path), told, tmp_path)) == 1
    assert "cannot be kept" in told.notices[0]


def test_the_higher_of_each_roof_counts() -> None:
    joined = higher(roofs(1e9, copy=5e9), roofs(2e9, ("n",), copy=1e9))
    assert (joined["rates"][0]["flop_per_s"], joined["copy_bytes_per_s"], joined["notes"]) == (2e9, 5e9, [])
    assert higher(roofs(), {}) == roofs()


@pytest.mark.slow
def test_a_real_worker_measures_real_roofs(tmp_path: Path) -> None:
    (found,) = find_roofs(plan(Target(1, threads=1)), Cache(tmp_path), Silent(), tmp_path)
    assert all(rate["flop_per_s"] > 1e6 for rate in found["rates"])
    assert {"float32", "int8", "int4", "bfloat16", "float16"} <= {rate["dtype"] for rate in found["rates"]}
    assert found["copy_bytes_per_s"] > 1e6  # far below what any machine does, and far above a wrong unit

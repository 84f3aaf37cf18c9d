"""Roofs: rates follow from sizes and the clock, and what was measured is said."""

import json
import sys
from collections.abc import Callable

import numpy as np
import pytest

from harness.devices import peaks
from harness.devices.gemms.registry import GEMMS, Gemm, installed
from harness.errors import HarnessError
from harness.measure.clock import FakeClock

STEP_NS = 1_000_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "_SIDES", (8, 16))
    monkeypatch.setattr(peaks, "_COPY_BYTES", 1 << 20)


def product(library: str = "fake", dtype: str = "float32", run: Callable[[], object] = lambda: None) -> Gemm:
    return Gemm(library, dtype, lambda side, threads: run, ())


def test_rates_are_operations_and_bytes_over_time() -> None:
    clock = FakeClock(tick_ns=STEP_NS)  # each run takes one step
    found = peaks.measure(2, seconds=0.2, gemms=[product()], clock=clock)
    (rate,) = found.rates
    assert (rate.side, rate.dtype, rate.library) == (16, "float32", "fake")
    assert rate.flop_per_s == pytest.approx(2 * 16**3 / 1e-3)
    assert found.copy_bytes_per_s == pytest.approx(2 * (1 << 20) / 1e-3)
    assert found.copy_bytes == 1 << 20
    assert min(rate.runs, found.copy_runs) >= 3
    assert json.loads(json.dumps(found.to_dict()))["rates"][0]["library"] == "fake"


def test_the_best_run_is_the_roof() -> None:
    clock = FakeClock(tick_ns=STEP_NS)
    pauses = iter([9, 9, 9, 0] + [9] * 1000)  # the first is the import's
    uneven = product(run=lambda: clock.advance(next(pauses) * STEP_NS))
    found = peaks.measure(1, seconds=0.4, gemms=[uneven], clock=clock)
    assert found.rates[0].flop_per_s == pytest.approx(2 * 8**3 / 1e-3)


def test_the_fastest_library_of_each_number_type_is_the_roof() -> None:
    clock = FakeClock(tick_ns=STEP_NS)
    slow = product("slow", run=lambda: clock.advance(5 * STEP_NS))
    gemms = [slow, product("fast"), product("fast", "int8"), product("slow", "int8", slow.prepare(8, 1))]
    found = peaks.measure(1, seconds=0.4, gemms=gemms, clock=clock)
    assert {(rate.dtype, rate.library) for rate in found.rates} == {("float32", "fast"), ("int8", "fast")}


def test_a_size_that_would_take_too_long_is_left_out() -> None:
    clock = FakeClock(tick_ns=10**9)
    assert peaks.measure(1, seconds=1.0, gemms=[product()], clock=clock).rates[0].side == 8


def test_a_disturbed_measurement_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "tags", lambda evidence: ("steal",))
    found = peaks.measure(1, seconds=0.1, gemms=[product()], clock=FakeClock(tick_ns=STEP_NS))
    assert found.notes == ("disturbed: the hypervisor took the cores away for more than 1 % of the time",)


@pytest.mark.parametrize("name", ["numpy/float32", "onnxruntime/float32", "torch/float32"])
def test_each_library_multiplies(name: str) -> None:
    entry = GEMMS.get(name)
    assert entry.dtype == "float32"
    made = entry.prepare(32, 1)()
    (answer,) = made if isinstance(made, list) else (made,)
    assert np.asarray(answer).shape == (32, 32)
    assert np.asarray(answer).dtype == np.float32
    assert 0 < float(np.asarray(answer).mean()) < 32


def test_a_library_that_is_not_here_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        GEMMS._items, "gone/float32", Gemm("gone", "float32", lambda s, t: print, ("no_such",))
    )
    assert "gone/float32" not in [entry.name for entry in installed()]
    assert "numpy/float32" in [entry.name for entry in installed()]
    assert "no_such" not in sys.modules


@pytest.mark.parametrize(("threads", "seconds"), [(0, 1.0), (1, 0.0), (1, -1.0)])
def test_no_threads_or_no_time_is_refused(threads: int, seconds: float) -> None:
    with pytest.raises(HarnessError, match="1 thread and some time"):
        peaks.measure(threads, seconds)


def test_the_real_machine_has_roofs() -> None:
    found = peaks.measure(1, seconds=0.05, gemms=[GEMMS.get("numpy/float32")])
    assert found.rates[0].flop_per_s > 0 and found.copy_bytes_per_s > 0

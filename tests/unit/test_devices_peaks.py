"""Roofs: rates follow from sizes and the clock, and what was measured is said."""

import json
import sys

import numpy as np
import pytest

from harness.devices import peaks
from harness.errors import HarnessError
from harness.measure.clock import FakeClock

STEP_NS = 1_000_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "_SIDES", (8, 16))
    monkeypatch.setattr(peaks, "_COPY_BYTES", 1 << 20)


def test_rates_are_operations_and_bytes_over_time() -> None:
    clock = FakeClock(tick_ns=STEP_NS)  # each run takes one step
    found = peaks.measure(2, seconds=0.2, clock=clock)
    assert found.gemm_side == 16
    assert found.flop_per_s == pytest.approx(2 * 16**3 / 1e-3)
    assert found.copy_bytes_per_s == pytest.approx(2 * (1 << 20) / 1e-3)
    assert found.copy_bytes == 1 << 20
    assert min(found.gemm_runs, found.copy_runs) >= 3
    assert json.loads(json.dumps(found.to_dict()))["gemm_source"] == "numpy"


def test_the_best_run_is_the_roof() -> None:
    clock = FakeClock(tick_ns=STEP_NS)
    pauses = iter([9, 9, 0] + [9] * 1000)

    def uneven(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        clock.advance(next(pauses) * STEP_NS)
        return left @ right

    assert peaks.measure(1, seconds=0.4, gemm=uneven, clock=clock).flop_per_s == pytest.approx(
        2 * 8**3 / 1e-3
    )


def test_a_runtimes_own_product_is_used_and_named() -> None:
    seen: list[tuple[int, ...]] = []

    def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        assert left.dtype == right.dtype == np.float32
        seen.append(left.shape)
        return left

    found = peaks.measure(1, 0.2, gemm=product, source="onnxruntime", clock=FakeClock(tick_ns=STEP_NS))
    assert set(seen) == {(8, 8), (16, 16)}
    assert found.gemm_source == "onnxruntime"


def test_a_size_that_would_take_too_long_is_left_out() -> None:
    clock = FakeClock(tick_ns=10**9)
    assert peaks.measure(1, seconds=1.0, clock=clock).gemm_side == 8


def test_a_disturbed_measurement_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "tags", lambda evidence: ("steal",))
    found = peaks.measure(1, seconds=0.1, clock=FakeClock(tick_ns=STEP_NS))
    assert found.notes == ("disturbed: the hypervisor took the cores away for more than 1 % of the time",)


def test_threads_that_cannot_be_held_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    found = peaks.measure(1, seconds=0.1, clock=FakeClock(tick_ns=STEP_NS))
    assert "OPENBLAS_NUM_THREADS" in found.notes[0]


@pytest.mark.parametrize(("threads", "seconds"), [(0, 1.0), (1, 0.0), (1, -1.0)])
def test_no_threads_or_no_time_is_refused(threads: int, seconds: float) -> None:
    with pytest.raises(HarnessError, match="1 thread and some time"):
        peaks.measure(threads, seconds)


def test_the_real_machine_has_roofs() -> None:
    found = peaks.measure(1, seconds=0.05)
    assert found.flop_per_s > 0 and found.copy_bytes_per_s > 0

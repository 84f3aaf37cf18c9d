"""Peaks: rates follow from sizes and the clock, and what was measured is said."""

import gc
import itertools
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clocks import FakeClock

from harness.devices.host import Host
from harness.devices.peaks import bandwidth as memory
from harness.devices.peaks import compute as peaks
from harness.devices.peaks import timed
from harness.devices.peaks.registry import GEMMS, Gemm
from harness.devices.peaks.timed import disturbances
from harness.errors import HarnessError
from harness.measure.evidence import Evidence

STEP_NS = 1_000_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "_SIDES", (8, 16))
    monkeypatch.setattr(memory, "_BANDWIDTH_BYTES", 1 << 20)
    monkeypatch.setattr(peaks, "_WEIGHT_SIDE", 64)
    monkeypatch.setattr(timed, "disturbances", lambda evidence: [])


def product(library: str = "fake", dtype: str = "float32", run: Callable[[], object] = lambda: None) -> Gemm:
    return Gemm(library, dtype, lambda rows, side, threads: run, (), "product")


def test_rates_are_operations_and_bytes_over_time(tmp_path: Path) -> None:
    clock = FakeClock(tick_ns=STEP_NS)  # each run takes one step
    (rate,) = peaks.measure_products([product()], 2, 0.4, clock).rates
    assert (rate.side, rate.dtype, rate.library) == (16, "float32", "fake")
    assert rate.flop_per_s == pytest.approx(2 * 16**3 / 1e-3)
    bandwidth = memory.measure_bandwidth(2, 0.4, clock, Host(str(tmp_path)))
    assert bandwidth.memory_bandwidth_bytes_per_s == pytest.approx(2 * (1 << 20) / 1e-3)
    assert bandwidth.bandwidth_bytes == 1 << 20
    assert min(rate.runs, bandwidth.bandwidth_runs) >= 3


@pytest.mark.parametrize(
    ("limit_mib", "cache_mib", "copied_mib"),
    [
        (None, 1, 256),
        (512, 1, 32),  # the array and its copy take an eighth
        (512, 48, 96),  # twice the cache
        (512, 480, 128),  # half of the memory
        (None, 480, 960),
    ],
)
def test_the_copied_array_fits_into_the_container_and_not_into_the_cache(
    limit_mib: int | None, cache_mib: int, copied_mib: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_BANDWIDTH_BYTES", 256 << 20)
    monkeypatch.setattr(memory, "_pair", lambda size: sizes.append(size))
    monkeypatch.setattr(memory, "_copy", lambda pair: None)
    sizes: list[int] = []
    files = {
        "proc/meminfo": f"MemTotal: {64 << 20} kB\nMemAvailable: {64 << 20} kB\n",
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n",
        "cg/memory.max": f"{limit_mib << 20}\n" if limit_mib else "max\n",
        "cg/memory.current": "0\n",
        "sys/devices/system/cpu/cpu0/cache/index3/size": f"{cache_mib << 10}K\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    memory.measure_bandwidth(2, 0.01, FakeClock(tick_ns=STEP_NS), Host(str(tmp_path)))
    assert sum(sizes) == copied_mib << 20


def test_the_best_run_is_the_peak() -> None:
    clock = FakeClock(tick_ns=STEP_NS)
    pauses = iter([9, 9, 9, 0] + [9] * 1000)  # the first is the import's
    uneven = product(run=lambda: clock.advance(next(pauses) * STEP_NS))
    found = peaks.measure_products([uneven], 1, 0.4, clock)
    assert found.rates[0].flop_per_s == pytest.approx(2 * 8**3 / 1e-3)


def test_the_fastest_library_of_each_dtype_is_the_peak() -> None:
    clock = FakeClock(tick_ns=STEP_NS)
    slow = product("slow", run=lambda: clock.advance(5 * STEP_NS))
    gemms = [slow, product("fast"), product("fast", "int8"), product("slow", "int8", slow.prepare(8, 8, 1))]
    found = peaks.measure_products(gemms, 1, 0.4, clock)
    assert {(rate.dtype, rate.library) for rate in found.rates} == {("float32", "fast"), ("int8", "fast")}


def test_a_size_that_would_take_too_long_is_left_out() -> None:
    clock = FakeClock(tick_ns=10**9)
    assert peaks.measure_products([product()], 1, 1.0, clock).rates[0].side == 8


def disturbed_at(monkeypatch: pytest.MonkeyPatch, *times: int) -> None:
    """Disturb the watched spans of these numbers; each product has two in a round."""
    spans = itertools.count()
    monkeypatch.setattr(timed, "disturbances", lambda evidence: ["x"] if next(spans) in times else [])


def test_a_product_that_is_disturbed_each_time_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    disturbed_at(monkeypatch, 0, 2, 4)  # both products in the first round, one of them in the second
    both = [product(name) for name in ("a", "b")]
    found = peaks.measure_products(both, 1, 0.1, FakeClock(tick_ns=STEP_NS))
    assert found.disturbed == {"a/float32": "x"}


def test_what_was_undisturbed_once_is_measured_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    disturbed_at(monkeypatch, 0, 3)  # the product in the first round, its one row in the second
    made: list[int] = []

    def prepare(rows: int, side: int, threads: int) -> Callable[[], object]:
        made.append(rows)
        return lambda: None

    fake = Gemm("fake", "float32", prepare, (), "product")
    found = peaks.measure_products([fake], 1, 0.1, FakeClock(tick_ns=STEP_NS))
    assert found.disturbed == {}
    assert made.count(1) == 2 and len(found.rates) == 1


def test_the_best_of_all_rounds_is_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    disturbed_at(monkeypatch, 0)
    clock = FakeClock(tick_ns=STEP_NS)
    slow = iter([0] * 8)  # as in the first round, and slower in the second

    def run() -> None:
        clock.advance(next(slow, 9) * STEP_NS)

    (rate,) = peaks.measure_products([product(run=run)], 1, 0.1, clock).rates
    assert rate.flop_per_s == pytest.approx(2 * 8**3 / 1e-3)


EVIDENCE = Evidence.from_dict({"wall_s": 1.0, "cores": 128, "watched_cores": 2, "threads": 2})


@pytest.mark.parametrize(
    ("share", "told"),
    [
        ({}, None),
        ({"steal_s": 0.19}, None),  # of two cores
        ({"steal_s": 0.21}, "the hypervisor took the cores away"),
        ({"run_delay_s": 0.19}, None),
        ({"run_delay_s": 0.21}, "threads that were ready to run waited for a core"),
        ({"worst_delay_s": 0.11}, "one thread waited for a core, and the others for it"),
        ({"foreign_watched_s": 0.19, "foreign_cpu_s": 99.0}, None),  # elsewhere
        ({"foreign_watched_s": 0.21}, "other processes used its cores"),
        ({"throttled_s": 0.19}, None),
        ({"throttled_s": 0.21}, "the cgroup's CPU quota stopped the process"),
    ],
)
def test_a_tenth_of_the_time_of_its_cores_disturbs_the_best_of_many_runs(
    share: dict[str, float], told: str | None
) -> None:
    found = disturbances(replace(EVIDENCE, **share))
    assert found == ([f"{told} for more than 10 % of the time"] if told else [])


def output_of(name: str, rows: int) -> Any:
    made = GEMMS.get(name).prepare(rows, 64, 1)()
    (output,) = made if isinstance(made, list) else (made,)
    return output.float().numpy() if hasattr(output, "float") else np.asarray(output)


@pytest.mark.parametrize("rows", [1, 64])
@pytest.mark.parametrize("name", [entry.name for entry in GEMMS.values()])
def test_each_library_multiplies(name: str, rows: int) -> None:
    for module in GEMMS.get(name).imports:
        pytest.importorskip(module)
    output = output_of(name, rows)
    assert output.shape == (rows, 64)
    assert float(np.abs(output).max()) > 0.1
    if "float" in GEMMS.get(name).dtype:
        assert 0 < float(output.mean()) < 64


def test_a_product_of_openvino_keeps_the_array_that_it_reads() -> None:
    openvino = pytest.importorskip("openvino")
    from harness.devices.peaks.products.openvino import one_matmul

    ops = openvino.opset13
    left = np.ones((64, 64), np.float32)
    held = weakref.ref(left)
    parameter = ops.parameter([64, 64], np.float32)
    product = one_matmul(parameter, ops.constant(np.eye(64, dtype=np.float32)), parameter, left, 1)
    del left
    gc.collect()
    assert held() is not None
    assert (np.asarray(product()) == 1).all()


@pytest.mark.parametrize("name", ["onnxruntime/int8", "torch/int8"])
def test_integers_sum_into_32_bits_without_loss(name: str) -> None:
    output = output_of(name, 64)
    assert (output == np.round(output)).all()
    assert np.abs(output).max() > 2**15  # 16-bit sums could not hold it


def test_a_kernel_that_widens_computes_in_float32() -> None:
    half = GEMMS.get("torch/float16")
    assert half.compute_dtype(frozenset({"avx2", "avx512f"})) == "float32"
    assert half.compute_dtype(frozenset({"avx2", "avx512_fp16"})) == "float16"
    assert GEMMS.get("onnxruntime/int4").compute_dtype(frozenset()) == "int8"
    assert GEMMS.get("onnxruntime/int8").compute_dtype(frozenset()) == "int8"


def test_a_library_that_is_not_here_or_fails_is_left_out_with_its_reason() -> None:
    gone = Gemm("gone", "float32", lambda r, s, t: print, ("no_such",), "mm")

    def fail() -> object:
        raise RuntimeError("no kernel for this processor\nand a long trace")

    found = peaks.measure_products(
        [gone, product("broken", run=fail), product()], 1, 0.1, FakeClock(tick_ns=STEP_NS)
    )
    assert found.left_out == [
        "gone/float32: no_such is not installed",
        "broken/float32: no kernel for this processor",
    ]
    assert [rate.library for rate in found.rates] == ["fake"]
    assert "no_such" not in sys.modules


def failing_from(size: int, rows: int = 0) -> Gemm:
    def prepare(given: int, side: int, threads: int) -> Callable[[], object]:
        if given == rows or side == size:
            raise MemoryError
        return lambda: None

    return Gemm("big", "int8", prepare, (), "product")


def test_a_product_that_fails_at_its_real_size_is_left_out_alone() -> None:
    found = peaks.measure_products([failing_from(16), product()], 1, 0.4, FakeClock(tick_ns=STEP_NS))
    assert found.left_out == ["big/int8: MemoryError"]
    assert [rate.library for rate in found.rates] == ["fake"]


def test_a_product_that_fails_with_one_row_keeps_its_rate() -> None:
    found = peaks.measure_products([failing_from(0, rows=1)], 1, 0.1, FakeClock(tick_ns=STEP_NS))
    assert found.left_out == ["big/int8 with one row: MemoryError"]
    assert found.rates[0].flop_per_s > 0
    assert (found.rates[0].weight_bytes_per_s, found.rates[0].weight_kernel) == (None, "")


def test_an_unknown_dtype_is_left_out() -> None:
    found = peaks.measure_products([product(dtype="int5"), product()], 1, 0.1, FakeClock(tick_ns=STEP_NS))
    assert found.left_out[0].startswith("fake/int5: unknown dtype")
    assert [rate.dtype for rate in found.rates] == ["float32"]


def test_each_thread_flushes_its_own_share(monkeypatch: pytest.MonkeyPatch) -> None:
    wrote: list[tuple[int, int]] = []

    def add(part: Any, one: int, out: Any) -> None:
        wrote.append((threading.get_ident(), part.nbytes))

    monkeypatch.setattr(memory.np, "add", add)
    with memory.flushing(3) as flush:
        flush()
    assert len({thread for thread, _ in wrote}) == 3
    assert all(size >= 8 << 20 for _, size in wrote) and sum(size for _, size in wrote) >= (64 << 20) - 3


def test_the_work_follows_from_the_products() -> None:
    assert peaks.work_s(100.0, 10) == pytest.approx(2 * 175.0)  # all of them disturbed once


def test_a_product_of_one_row_reads_its_weights_from_memory() -> None:
    clock = FakeClock(tick_ns=STEP_NS)
    found = peaks.measure_products([product(dtype="int4")], 1, 0.2, clock)
    assert found.rates[0].weight_bits == 4
    assert found.rates[0].weight_bytes_per_s == pytest.approx(64 * 64 / 2 / 1e-3)


def test_the_best_matrix_vector_product_may_be_another_kernels() -> None:
    both = [
        peaks.Rate("int8", flops, 64, 3, name, "mm", "int8", 8, weights, f"{name} mm")
        for name, flops, weights in (("a", 2e9, 1e9), ("b", 1e9, 3e9))
    ]
    (rate,) = peaks.best(both)
    assert (rate.library, rate.flop_per_s) == ("a", 2e9)
    assert (rate.weight_kernel, rate.weight_bytes_per_s) == ("b mm", 3e9)


@pytest.mark.parametrize(("threads", "seconds"), [(0, 1.0), (1, 0.0), (1, -1.0)])
def test_no_threads_or_no_time_is_refused(threads: int, seconds: float) -> None:
    with pytest.raises(HarnessError, match="at least 1 thread and some time"):
        peaks.measure_products([], threads, seconds)


def test_the_real_machine_has_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_last_level_cache_bytes", lambda host: 0)  # else it copies up to a GiB
    assert peaks.measure_products([GEMMS.get("numpy/float32")], 1, 0.05).rates[0].flop_per_s > 0
    assert memory.measure_bandwidth(1, 0.05).memory_bandwidth_bytes_per_s > 0


@pytest.mark.slow
@pytest.mark.parametrize("library", sorted({entry.library for entry in GEMMS.values()}))
def test_a_library_is_measured_without_the_others(library: str) -> None:
    heavy = {"onnxruntime", "openvino", "torch"} - {library}
    code = f"""
import sys
from harness.devices.peaks import compute as peaks
from harness.devices.peaks.registry import GEMMS
peaks._SIDES, peaks._ROUNDS = (512,), 1  # large enough that freed memory would be given back
found = peaks.measure_products([e for e in GEMMS.values() if e.library == {library!r}], 1, 0.05)
assert found.rates or found.left_out
sys.exit(" ".join(set(sys.modules) & {heavy!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) in ((0, ""), (1, ""))


@pytest.mark.parametrize("side", [64, 1024])
def test_rounded_activations_are_told_from_floats(side: int) -> None:
    from harness.devices.peaks.products.openvino import is_rounded

    random = np.random.default_rng(0)
    left = random.random((1, side), dtype=np.float32)
    weights = random.integers(-8, 8, (side, side))
    packed = ((weights[:, ::2] & 15) | ((weights[:, 1::2] & 15) << 4)).astype(np.uint8)
    right = weights.T.astype(np.float32) * np.float32(0.01)
    assert not is_rounded(left @ right, left, packed.ravel())
    assert is_rounded((np.round(left * 127) / 127).astype(np.float32) @ right, left, packed.ravel())

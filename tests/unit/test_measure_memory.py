"""Memory by phase: each phase has its own peak, and nobody inherits another's."""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.measure.memory import Phase, PhaseMeter, peak_rss_bytes, reset_peak, rss_bytes

MIB = 1 << 20
SLACK = 8 * MIB
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")


@pytest.fixture(autouse=True)
def _no_garbage_of_other_tests() -> Iterator[None]:
    """What earlier tests left is freed before, not while a phase lasts."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def touch(size: int) -> bytearray:
    return bytearray(b"x") * size  # written, so that the pages are there


@linux
def test_a_peak_is_seen_in_its_phase_and_not_in_the_next() -> None:
    meter = PhaseMeter()
    meter.begin("load")
    held = touch(64 * MIB)
    del held
    load = meter.end()
    meter.begin("steady")
    steady = meter.end()

    assert load.exact and steady.exact
    assert 64 * MIB - SLACK < load.peak_rss_bytes - load.rss_start_bytes < 64 * MIB + SLACK
    assert load.rss_end_bytes - load.rss_start_bytes < SLACK
    assert steady.peak_rss_bytes - steady.rss_start_bytes < SLACK


STAYS = """
import json, os
from harness.measure.memory import PhaseMeter, pss_bytes
meter = PhaseMeter()
meter.begin("load")
before = pss_bytes(os.getpid())
held = bytearray(b"x") * (32 << 20)
print(json.dumps({"before": before, **meter.end().to_dict()}))
"""


@linux
def test_memory_that_stays_is_in_the_end_figure_and_in_the_share() -> None:
    """In a process that imports little: the share of a library's pages falls when another process maps it."""
    child = subprocess.run([sys.executable, "-c", STAYS], capture_output=True, text=True, check=True)
    phase = json.loads(child.stdout)

    assert phase["rss_end_bytes"] - phase["rss_start_bytes"] > 32 * MIB - SLACK
    assert phase["pss_bytes"] - phase["before"] > 32 * MIB - SLACK


CHILD = """
import json
from harness.measure.memory import PhaseMeter
meter = PhaseMeter()
meter.begin("empty")
print(json.dumps(meter.end().to_dict()))
"""


@linux
def test_a_child_does_not_start_with_its_parents_peak() -> None:
    held = touch(256 * MIB)
    reset_peak(os.getpid())
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    phase = json.loads(child.stdout)

    assert peak_rss_bytes(os.getpid()) > 256 * MIB
    assert phase["peak_rss_bytes"] < 128 * MIB
    del held


@linux
def test_replicas_are_summed_and_watched_from_outside() -> None:
    code = "import sys; held = bytearray(b'x') * (64 << 20); print('up', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code]
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipe) as one, subprocess.Popen(command, **pipe) as two:
        assert (one.stdout.readline(), two.stdout.readline()) == ("up\n", "up\n")
        meter = PhaseMeter([one.pid, two.pid])
        meter.begin("steady")
        phase = meter.end()
        assert phase.rss_start_bytes == pytest.approx(rss_bytes(one.pid) + rss_bytes(two.pid), abs=SLACK)
        assert phase.rss_start_bytes > 128 * MIB
        assert phase.pss_bytes < phase.rss_end_bytes
        one.stdin.close()
        two.stdin.close()


def fake_proc(folder: Path, rss_kib: int, hwm_kib: int) -> str:
    (folder / "7").mkdir(exist_ok=True)
    (folder / "7" / "status").write_text(f"Name:\tx\nVmHWM:\t{hwm_kib} kB\nVmRSS:\t{rss_kib} kB\n")
    return str(folder)


def test_where_the_peak_cannot_be_reset_only_a_new_one_is_exact(tmp_path: Path) -> None:
    meter = PhaseMeter([7], fake_proc(tmp_path, rss_kib=100, hwm_kib=500))
    meter.begin("load")
    fake_proc(tmp_path, rss_kib=200, hwm_kib=500)
    below = meter.end()
    meter.begin("first call")
    fake_proc(tmp_path, rss_kib=300, hwm_kib=900)
    above = meter.end()

    assert (below.peak_rss_bytes, below.exact) == (200 * 1024, False)
    assert (above.peak_rss_bytes, above.exact) == (900 * 1024, True)
    assert below.pss_bytes is None


def test_without_proc_the_edges_are_measured_and_the_phase_says_so(tmp_path: Path) -> None:
    meter = PhaseMeter(proc=str(tmp_path))
    meter.begin("load")
    phase = meter.end()

    assert not phase.exact
    assert phase.peak_rss_bytes == max(phase.rss_start_bytes, phase.rss_end_bytes) > 0
    assert phase.pss_bytes is None


def test_a_process_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="process 4194304 cannot be read"):
        rss_bytes(4194304, str(tmp_path))  # above the kernel's highest pid


def test_phases_neither_nest_nor_end_twice() -> None:
    meter = PhaseMeter()
    with pytest.raises(HarnessError, match="no memory phase has begun"):
        meter.end()
    meter.begin("load")
    with pytest.raises(HarnessError, match="inside 'load'"):
        meter.begin("steady")
    assert isinstance(meter.end(), Phase)

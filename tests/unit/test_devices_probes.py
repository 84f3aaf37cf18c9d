"""Evidence and memory of a GPU around Blocks, through a stand-in for the pynvml module."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest
from nvml import MIB, FakeNvml

from harness.devices import cuda
from harness.devices.probes import PROBES, CudaProbe, open_probe
from harness.measure.device import DeviceEvidence, DeviceState
from harness.measure.evidence import Evidence
from harness.measure.grading import tags
from harness.measure.memory import PhaseMeter
from harness.suite.schema import Hardware

HERE = os.getpid()


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNvml]:
    """A GPU on which this process is at work, in place of the pynvml module."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fake = FakeNvml(reasons=0, pids=(HERE,))
    monkeypatch.setitem(sys.modules, "pynvml", fake)  # type: ignore[arg-type]
    cuda._loaded.cache_clear()
    yield fake
    cuda._loaded.cache_clear()


def probe() -> CudaProbe:
    made = CudaProbe(manager=HERE)
    assert isinstance(open_probe("cuda"), CudaProbe)
    return made


def around(made: CudaProbe, nvml: FakeNvml, **after: Any) -> DeviceEvidence:
    """The evidence of a Block in which attributes of the GPU become `after`."""
    before = made.read()
    for name, value in after.items():
        setattr(nvml, name, value)
    return made.between(before, made.read())


def tagged(device: DeviceEvidence) -> tuple[str, ...]:
    return tags(replace(Evidence.from_dict({"wall_s": 1.0, "cores": 2}), device=device))


def test_each_device_of_a_suite_has_a_probe() -> None:
    assert set(PROBES) == set(get_args(Hardware.model_fields["device"].annotation))
    on_cpu = open_probe("cpu")
    assert (on_cpu.read(), on_cpu.between(None, None), on_cpu.free_bytes()) == (None, None, None)
    assert on_cpu.memory([HERE]) == (None, None)


def test_a_block_has_the_state_of_its_gpu(nvml: FakeNvml) -> None:
    found = around(probe(), nvml, clock_mhz=1410, reasons=0x4 | 0x1, limited_ns={0: 90_000_000, 1: 5_000_000})
    start = DeviceState(
        clock_mhz=1980,
        memory_clock_mhz=2619,
        slowdowns=(),
        heat_limited_s=0.0,
        power_limited_s=0.0,
        foreign_processes=0,
        temperature_c=61,
        power_w=312.5,
        used_memory_bytes=5 << 30,
        free_memory_bytes=75 << 30,
    )
    limited = {
        "slowdowns": ("power-cap",),
        "heat_limited_s": 0.005,
        "power_limited_s": 0.09,
    }  # idle is a state
    assert found == DeviceEvidence("cuda", start, replace(start, clock_mhz=1410, **limited))
    assert tagged(found) == ("gpu-clock", "gpu-power-cap")


def sample(pid: int, percent: int) -> Any:
    return type("Sample", (), {"pid": pid, "smUtil": percent, "timeStamp": 1 << 62})


def test_other_workers_of_the_run_are_not_foreign_and_others_are(nvml: FakeNvml) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as worker:
        nvml.memory |= {worker.pid: 9 * MIB}
        found = around(probe(), nvml)
        assert (found.after.foreign_processes, tagged(found)) == (0, ())
        nvml.memory |= {1: 9 * MIB}  # holds the GPU; what it does is not known
        found = around(probe(), nvml)
        assert (found.after.foreign_processes, tagged(found)) == (1, ("gpu-shared",))
        idle = around(probe(), nvml, samples=[sample(HERE, 80), sample(worker.pid, 40)])
        assert (idle.after.foreign_utilization, tagged(idle)) == (0.0, ())
        busy = around(probe(), nvml, samples=[sample(HERE, 80), sample(1, 20), sample(1, 30)])
        assert (busy.after.foreign_utilization, tagged(busy)) == (0.3, ("gpu-shared",))
        worker.communicate(b"\n")


@pytest.mark.parametrize("listed", [{}, {1 << 22: 7 * MIB}, {1: 7 * MIB}])
def test_in_a_container_others_are_not_known(nvml: FakeNvml, listed: dict[int, int]) -> None:
    nvml.memory, nvml.samples = listed, [sample(1, 20)]
    found = around(probe(), nvml)
    assert (found.after.foreign_processes, found.after.foreign_utilization) == (None, None)


def test_memory_of_a_process_is_the_drivers_figure(nvml: FakeNvml) -> None:
    made = probe()
    assert made.memory([HERE]) == (7 * MIB, "driver")
    nvml.memory |= {os.getppid(): 5 * MIB}
    assert made.memory([HERE, os.getppid(), 1]) == (12 * MIB, "driver")
    assert made.free_bytes() == 75 << 30


def test_in_a_container_memory_is_what_the_gpus_grew_while_the_worker_was_at_work(nvml: FakeNvml) -> None:
    nvml.memory = {}
    made = probe()
    meter = PhaseMeter(device=made)
    found = []
    for phase, own, others in (("empty", 0, 50), ("load", 300, 40), ("first call", 20, 0), ("steady", 0, 0)):
        meter.begin(phase)
        nvml.used += own * MIB
        if phase != "steady":
            found.append(meter.end())
            nvml.used += others * MIB  # of other workers, while this one waits
    nvml.used += 999 * MIB  # others load
    made.resume()
    nvml.used += 8 * MIB  # warm-up
    made.pause()
    nvml.used += 999 * MIB  # Blocks of others
    around(made, nvml, used=nvml.used + 2 * MIB)
    nvml.used += 999 * MIB
    found.append(meter.end())
    assert [phase.device_bytes for phase in found] == [0, 300 * MIB, 320 * MIB, 330 * MIB]
    assert {phase.device_source for phase in found} == {"difference"}


def test_a_driver_that_tells_nothing_leaves_everything_unknown(nvml: FakeNvml) -> None:
    nvml.silent = {name for name in dir(FakeNvml) if name.startswith("nvmlDeviceGet")}
    nvml.silent -= {"nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"}
    made = probe()
    assert around(made, nvml) == DeviceEvidence("cuda")
    assert (made.memory([HERE]), made.free_bytes()) == ((None, "unknown"), None)


@pytest.mark.parametrize("missing", ["library", "gpu", "lost before", "lost later"])
def test_without_nvml_a_trial_goes_on(nvml: FakeNvml, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing == "library":
        monkeypatch.setitem(sys.modules, "pynvml", None)
    nvml.count = 0 if missing == "gpu" else 2
    nvml.lost = (0,) if missing == "lost before" else ()
    made = probe()
    nvml.lost = (0,)
    assert around(made, nvml) == DeviceEvidence("cuda")
    meter = PhaseMeter(device=made)
    meter.begin("load")
    phase = meter.end()
    assert (phase.device_bytes, phase.device_source, made.free_bytes()) == (None, "unknown", None)


@pytest.mark.gpu
def test_a_real_gpu_tells_of_a_process_that_computes() -> None:
    """Only a GPU can show that NVML knows the process, and that a context counts as its memory."""
    if reason := cuda.available():
        pytest.skip(reason)
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    made = CudaProbe(manager=HERE)
    meter = PhaseMeter(device=made)
    meter.begin("load")
    held = torch.zeros(64 * MIB, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    loaded = meter.end()
    before = made.read()
    (held.float() @ held.float()).cpu()
    found = made.between(before, made.read())
    assert loaded.device_source in ("driver", "difference") and (loaded.device_bytes or 0) > 64 * MIB
    assert found.after.clock_mhz and found.after.slowdowns is not None and found.after.used_memory_bytes

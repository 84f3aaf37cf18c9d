"""GPUs through a stand-in for NVML: what is read, what is not known, and what counts as noise."""

import os
from types import SimpleNamespace

import pytest

from harness.devices import cuda
from harness.errors import HarnessError


class FakeError(Exception):
    """Stands for pynvml.NVMLError."""


class FakeNvml:
    """Two H100, the second of a driver that tells little."""

    NVMLError = FakeError

    def __init__(self, reasons: int = 0x4 | 0x20, pids: tuple[int, ...] = (), count: int = 2) -> None:
        self.reasons, self.pids, self.count = reasons, pids, count

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index >= self.count:
            raise FakeError("Invalid Argument")
        return index

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:  # noqa: N802
        return b"NVIDIA H100" if handle else "NVIDIA H100"

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return f"GPU-{handle}{handle}{handle}-secret"

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "550.54"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=80 << 30, used=5 << 30)

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:  # noqa: N802
        return {1: 1980, 2: 2619}[kind]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: int) -> int:  # noqa: N802
        return self.reasons

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        if handle:
            raise FakeError("Not Supported")
        return 61

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return 312_500

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:  # noqa: N802
        if handle:
            raise FakeError("Not Supported")
        return (9, 0)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=7 << 20) for pid in self.pids]


def test_gpus_are_listed_without_their_serial_identity() -> None:
    first, second = cuda.gpus(FakeNvml())
    assert (first.name, first.memory_bytes, first.driver) == ("NVIDIA H100", 80 << 30, "550.54")
    assert second.name == "NVIDIA H100"
    assert first.uuid_hash != second.uuid_hash
    assert "secret" not in repr((first, second))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, [0, 1]),
        ("1", [1]),
        ("1,0", [1, 0]),
        ("", []),
        ("-1", []),
        ("GPU-111", [1]),
        ("0,7,1", [0]),
        ("0,0", [0]),
    ],
)
def test_only_visible_gpus_count(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, expected: list[int]
) -> None:
    if setting is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
    nvml = FakeNvml()
    assert [gpu.index for gpu in cuda.visible(cuda.gpus(nvml), nvml)] == expected


def test_a_sample_decodes_reasons_and_units_and_leaves_unknown_what_is() -> None:
    nvml = FakeNvml()
    first, second = cuda.state(0, nvml=nvml), cuda.state(1, nvml=nvml)
    assert first.throttle_reasons == ("power-cap", "thermal-software")
    assert (first.sm_clock_mhz, first.memory_clock_mhz) == (1980, 2619)
    assert (first.temperature_c, second.temperature_c) == (61, None)
    assert (first.power_w, first.used_memory_bytes) == (312.5, 5 << 30)
    assert first.to_dict()["foreign_processes"] == 0


def test_foreign_processes_are_those_that_are_not_ours() -> None:
    here, parent = os.getpid(), os.getppid()
    nvml = FakeNvml(pids=(here, parent))
    assert cuda.state(0, own_pids=[here], nvml=nvml).foreign_processes == 1
    assert cuda.process_memory_bytes(0, here, nvml) == 7 << 20
    assert cuda.process_memory_bytes(0, 1 << 22, nvml) is None


def test_pids_of_another_namespace_cannot_be_matched() -> None:
    assert cuda.state(0, nvml=FakeNvml(pids=(1 << 22,))).foreign_processes is None


def test_noise_on_a_gpu() -> None:
    quiet = cuda.state(0, nvml=FakeNvml(reasons=0x1 | 0x2))
    capped = cuda.state(0, nvml=FakeNvml(reasons=0x4))
    slower = cuda.GpuState(1500, 2619, (), 61, 300.0, 0, 1)
    assert cuda.tags(quiet, quiet) == ()
    assert cuda.tags(quiet, capped) == ("gpu-throttled",)
    assert cuda.tags(quiet, slower) == ("gpu-shared", "gpu-clock")


def test_why_there_is_no_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cuda.available(FakeNvml()) is None
    assert cuda.available(FakeNvml(count=0)) == "the NVIDIA driver sees no GPU"
    assert cuda.gpus(FakeNvml(count=0)) == ()

    def refuse() -> None:
        raise FakeError("Driver Not Loaded")

    library = SimpleNamespace(NVMLError=FakeError, nvmlInit=refuse)
    cuda._loaded.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "pynvml", library)
    assert cuda.available() == "no NVIDIA GPU can be reached: Driver Not Loaded"
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert "pip install nvidia-ml-py" in (cuda.available() or "")


def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(HarnessError, match="GPU 5 cannot be reached"):
        cuda.state(5, nvml=FakeNvml())


@pytest.mark.gpu
def test_a_real_gpu_tells_its_state() -> None:
    if reason := cuda.available():
        pytest.skip(reason)
    state = cuda.state(0)
    assert state.sm_clock_mhz and state.used_memory_bytes is not None


def test_the_compute_capability_is_that_of_the_first_gpu_that_is_seen(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cuda.capability(FakeNvml()) == (9, 0)
    assert cuda.capability(FakeNvml(count=0)) is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert cuda.capability(FakeNvml()) is None, "a driver that does not tell"

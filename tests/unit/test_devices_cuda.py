"""GPUs through a stand-in for NVML: what is read, what is not known, and what counts as noise."""

import os
from types import SimpleNamespace

import pytest
from nvml import FakeError, FakeNvml

from harness.devices import cuda
from harness.errors import HarnessError


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
    assert first.slowdowns == ("power-cap", "thermal-software")
    assert (first.clock_mhz, first.memory_clock_mhz) == (1980, 2619)
    assert (first.temperature_c, second.temperature_c) == (61, None)
    assert (first.power_w, first.used_memory_bytes) == (312.5, 5 << 30)
    assert first.free_memory_bytes == 75 << 30
    assert cuda.state(0, FakeNvml(reasons=0x1 | 0x2)).slowdowns == ()  # idle, and clocks that were set


def test_processes_are_those_that_this_system_knows() -> None:
    here, parent = os.getpid(), os.getppid()
    assert cuda.processes(0, FakeNvml(pids=(here, parent))) == {here: 7 << 20, parent: 7 << 20}
    assert cuda.processes(0, FakeNvml(pids=(here, 1 << 22))) == {here: 7 << 20}  # the other just ended
    assert cuda.processes(0, FakeNvml(pids=(1 << 22,))) is None  # pids of another namespace


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
    assert state.clock_mhz and state.used_memory_bytes is not None


def test_the_compute_capability_is_that_of_the_first_gpu_that_is_seen(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cuda.capability(FakeNvml()) == (9, 0)
    assert cuda.capability(FakeNvml(count=0)) is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert cuda.capability(FakeNvml()) is None, "a driver that does not tell"

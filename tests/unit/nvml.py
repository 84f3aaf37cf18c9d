"""A stand-in for the pynvml module: GPUs whose state a test sets, and what the harness asks of them."""

from types import SimpleNamespace
from typing import Any

MIB = 1 << 20


class FakeError(Exception):
    """Stands for pynvml.NVMLError."""


class FakeNvml:
    """Two H100, the second of a driver that tells little. Attributes are the state of the first."""

    NVMLError = FakeError

    def __init__(self, reasons: int = 0x4 | 0x20, pids: tuple[int, ...] = (), count: int = 2) -> None:
        self.reasons, self.count = reasons, count
        self.memory = dict.fromkeys(pids, 7 * MIB)
        self.clock_mhz, self.used, self.total = 1980, 5 << 30, 80 << 30
        self.limited_ns = {0: 0, 1: 0}
        self.samples: list[SimpleNamespace] = []
        self.silent: set[str] = set()
        self.lost: tuple[int, ...] = ()

    def __getattribute__(self, name: str) -> Any:
        """Refuse what is in `silent`, as a driver does that does not support it."""
        if name.startswith("nvml") and name in self.silent:
            raise AttributeError(name)
        return super().__getattribute__(name)

    def nvmlInit(self) -> None:  # noqa: N802
        """Load the driver."""

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index >= self.count or index in self.lost:
            raise FakeError("Invalid Argument")
        return index

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:  # noqa: N802
        return b"NVIDIA H100" if handle else "NVIDIA H100"

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return f"GPU-{handle}{handle}{handle}-secret"

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "550.54"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=self.total, used=self.used, free=self.total - self.used)

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:  # noqa: N802
        return {1: self.clock_mhz, 2: 2619}[kind]

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
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in self.memory.items()]

    def nvmlDeviceGetViolationStatus(self, handle: int, policy: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(referenceTime=0, violationTime=self.limited_ns[policy])

    def nvmlDeviceGetProcessUtilization(self, handle: int, since_us: int) -> list[SimpleNamespace]:  # noqa: N802
        found = [sample for sample in self.samples if sample.timeStamp > since_us]
        if not found:
            raise FakeError("Not Found")
        return found

"""Parts: which arms are alive together, by what the machine, its container and its device have free."""

import sys
from pathlib import Path

import pytest
from nvml import FakeNvml

from harness.artifacts.artifact import Artifact
from harness.devices import cuda
from harness.devices.host import Host
from harness.formats.target import Target
from harness.runner.experiment import parts
from harness.runner.experiment.measurements import ArmHistory, Measurements
from harness.runner.experiment.parts import MEMORY_SHARE, Room, cut_into_parts, rooms
from harness.runner.experiment.trial import Arm
from harness.runner.workers.launch import Code

GIB = 1 << 30


def arms(*names: str, device: str = "cpu", payload_bytes: int = 0) -> list[Arm]:
    here = Path("nowhere")
    about = (Artifact("k", "onnx", here, payload_bytes), here, here, Target(1, device), {})
    return [Arm(name, "subject", name, Code(), *about, runtime=("fake", {})) for name in names]


def names(made: list[list[Arm]]) -> list[list[str]]:
    return [[arm.id for arm in part] for part in made]


def test_a_group_that_fits_is_one_part() -> None:
    shared, others = arms("base", "control"), arms("a", "b")
    assert cut_into_parts(others, shared, [Room(4, lambda _arm: 1)]) == [[*shared, *others]]
    assert cut_into_parts(others, shared, []) == [[*shared, *others]]


@pytest.mark.parametrize("room", [0, 1, 3, 4])
def test_a_group_that_does_not_fit_is_cut_and_each_part_has_the_baseline(room: int) -> None:
    shared, others = arms("base", "control"), arms("a", "b", "c", "d", "e")
    made = cut_into_parts(others, shared, [Room(room + 0.5, lambda _arm: 1)])
    assert all(part[:2] == shared for part in made)
    assert [arm for part in made for arm in part[2:]] == others
    assert [len(part) - 2 for part in made] == ([2, 2, 1] if room == 4 else [1] * 5)


def test_a_large_arm_takes_the_room_of_many() -> None:
    shared, others = arms("base", "control"), arms("a", "large", "b", "c")
    made = cut_into_parts(others, shared, [Room(5.5, lambda arm: 3 if arm.id == "large" else 1)])
    assert names(made) == [
        ["base", "control", "a"], ["base", "control", "large"], ["base", "control", "b", "c"],
    ]  # fmt: skip


def test_parts_fit_into_every_memory_that_they_share() -> None:
    host, device = Room(10, lambda _arm: 1), Room(4, lambda arm: 2 if arm.id in "ab" else 1)
    made = cut_into_parts(arms("a", "b", "c", "d", "e"), [], [host, device])
    assert names(made) == [["a", "b"], ["c", "d", "e"]]


def test_parts_of_a_group_without_a_baseline_or_without_others() -> None:
    others, shared, enough = arms("a", "b"), arms("base", "control"), [Room(4, lambda _arm: 1)]
    assert cut_into_parts(others, [], enough) == [others]
    assert cut_into_parts([], shared, enough) == [shared]
    assert cut_into_parts([], [], enough) == []


MEMINFO = {"proc/meminfo": f"MemTotal: {64 * GIB // 1024} kB\nMemAvailable: {60 * GIB // 1024} kB\n"}
V2 = {
    "proc/self/cgroup": "0::/box/job\n",
    "proc/self/mountinfo": "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n",
    "cg/box/memory.max": f"{2 * GIB}\n",
    "cg/box/memory.current": f"{GIB}\n",
    "cg/box/memory.stat": f"anon {GIB // 2}\ninactive_file {GIB // 4}\nactive_file {GIB // 8}\n",
    "cg/box/job/memory.max": "max\n",
    "cg/box/job/memory.current": f"{GIB // 2}\n",
}
V1 = {
    "proc/self/cgroup": "2:memory:/job\n",
    "proc/self/mountinfo": "31 2 0:1 / /cg/memory rw - cgroup cgroup rw,memory\n",
    "cg/memory/job/memory.limit_in_bytes": f"{2 * GIB}\n",
    "cg/memory/job/memory.usage_in_bytes": f"{GIB}\n",
    "cg/memory/job/memory.stat": f"inactive_file 0\ntotal_inactive_file {3 * GIB // 8}\n",
    "cg/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "cg/memory/memory.usage_in_bytes": f"{4 * GIB}\n",
}


@pytest.mark.parametrize(
    ("files", "free_gib"),
    [
        (MEMINFO, 60),
        (MEMINFO | V2, 2 - (1 - 3 / 8)),
        (MEMINFO | V1, 2 - (1 - 3 / 8)),
        (MEMINFO | V2 | {"cg/box/job/memory.max": f"{GIB // 2}\n"}, 0),  # the tightest counts, and it is full
        (MEMINFO | V2 | {"cg/box/memory.max": f"{99 * GIB}\n"}, 60),
        ({"proc/meminfo": "MemTotal: 1 kB\n"}, None),
    ],
)
def test_the_room_of_a_container_is_what_its_limit_leaves(
    files: dict[str, str], free_gib: float | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    made = arms("a", "b", "c", "d")
    found = rooms(made, lambda _arm: ArmHistory(peak_bytes=GIB // 2), Host(str(tmp_path)))
    assert [room.free_bytes for room in found] == (
        [] if free_gib is None else [MEMORY_SHARE * free_gib * GIB]
    )
    held = {60: 4, 1.375: 2, 0: 1, None: 4}[free_gib]
    assert max(map(len, cut_into_parts(made, [], found))) == held


@pytest.mark.parametrize(
    ("seen", "free_gib", "expected"),
    [
        ({}, 4, [["base", "a"], ["base", "b"], ["base", "large"]]),  # 1.36 GB each
        ({"base": 1, "a": 1, "b": 1}, 4, [["base", "a", "b"], ["base", "large"]]),
        ({}, 12, [["base", "a", "b"], ["base", "large"]]),
        ({}, 40, [["base", "a", "b", "large"]]),
    ],
)
def test_parts_fit_into_the_gpus_memory_too(
    seen: dict[str, float], free_gib: int, expected: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = FakeNvml()
    nvml.used = nvml.total - free_gib * GIB
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # type: ignore[arg-type]
    cuda._loaded.cache_clear()
    monkeypatch.setattr(parts, "free_memory_bytes", lambda _host: 10**13)  # the host has room for all
    small = arms("base", "a", "b", device="cuda", payload_bytes=GIB // 4)
    large = arms("large", device="cuda", payload_bytes=3 * GIB)

    def history(arm: Arm) -> ArmHistory:
        return ArmHistory(device_bytes=round(seen.get(arm.id, 0) * GIB))

    made = cut_into_parts([*small[1:], *large], small[:1], rooms([*small, *large], history))
    cuda._loaded.cache_clear()
    assert names(made) == expected


def test_what_a_worker_took_of_the_device_is_remembered_by_arm() -> None:
    events = [
        {"event": "memory", "steady": {"peak_rss_bytes": 5, "device_bytes": size}, "trial": trial}
        for trial, size in enumerate((70, None, 60))
    ]
    told = Measurements(
        "s", [{"sitting": "s", "cell_id": "a", "arm": "subject", **event} for event in events]
    )
    kept = told.arm(("a", "subject")).among([2])
    assert (kept.peak_bytes, kept.device_bytes, list(kept.trials)) == (5, 70, [2])

"""The doctor: recorded machines get the findings that an engineer would give them."""

import json
from pathlib import Path

import pytest

from harness.devices.doctor import CHECKS, Finding, check, examine
from harness.devices.host import Host
from harness.measure.procfs import CoreTimes

CPU = "sys/devices/system/cpu"
EPYC_GUEST = {
    "proc/cpuinfo": "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: avx2 hypervisor\n",
    "proc/meminfo": "MemTotal: 24683656 kB\nMemAvailable: 24222288 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    "proc/self/status": "Cpus_allowed_list:\t0-1\n",
    "proc/stat": "cpu 9 0 9 9 0 0 0 5\ncpu0 100 0 0 900 0 0 0 50 0 0\ncpu1 100 0 0 900 0 0 0 0 0 0\nintr 5\n",
    "proc/loadavg": "3.10 0.12 0.10 1/83 5178\n",
    "proc/sys/kernel/randomize_va_space": "2\n",
    f"{CPU}/online": "0-1\n",
    f"{CPU}/isolated": "\n",
    "sys/devices/system/node/node0/cpulist": "0-1\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    ".dockerenv": "",
}
LAPTOP = {
    "proc/cpuinfo": "vendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Core(TM) i7-8550U\nflags\t\t: avx2\n",
    "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 900000 kB\nSwapTotal: 2000 kB\nSwapFree: 1000 kB\n",
    "proc/self/status": "Cpus_allowed_list:\t0-3\n",
    "proc/stat": "cpu0 100 0 0 900 0 0 0 0 0 0\nintr 5\n",
    "proc/loadavg": "0.10 0.12 0.10 1/83 5178\n",
    "proc/1/cgroup": "0::/init.scope\n",
    "proc/sys/kernel/randomize_va_space": "0\n",
    f"{CPU}/online": "0-3\n",
    f"{CPU}/isolated": "2-3\n",
    f"{CPU}/intel_pstate/no_turbo": "0\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n",
    "sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm\n",
    "sys/class/thermal/thermal_zone0/temp": "91000\n",
    "sys/class/power_supply/BAT0/type": "Battery\n",
    "sys/class/power_supply/BAT0/status": "Discharging\n",
    "sys/class/power_supply/hidpp_battery_0/type": "Battery\n",
    "sys/class/power_supply/hidpp_battery_0/scope": "Device\n",
    "sys/class/power_supply/AC/type": "Mains\n",
}
for core in range(4):
    LAPTOP[f"{CPU}/cpu{core}/cpufreq/scaling_governor"] = "powersave\n"
    LAPTOP[f"{CPU}/cpu{core}/cpufreq/scaling_min_freq"] = "400000\n"
    LAPTOP[f"{CPU}/cpu{core}/cpufreq/scaling_max_freq"] = "4000000\n"
    LAPTOP[f"{CPU}/cpu{core}/topology/thread_siblings_list"] = f"{core % 2},{core % 2 + 2}\n"
    LAPTOP[f"{CPU}/cpu{core}/thermal_throttle/core_throttle_count"] = "3\n"


def findings(root: Path, files: dict[str, str]) -> dict[str, Finding]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {finding.name: finding for finding in examine(Host(str(root), window_s=0.001))}


def test_a_shared_guest(tmp_path: Path) -> None:
    found = findings(tmp_path, EPYC_GUEST)
    levels = {name: finding.level for name, finding in found.items()}
    assert levels == levels | {
        "governor": "unknown",
        "turbo": "unknown",
        "battery": "ok",
        "steal": "warn",
        "load": "bad",
        "virtual-machine": "note",
        "container": "note",
        "huge-pages": "ok",
        "aslr": "ok",
        "swap": "ok",
        "memory": "ok",
        "cpu-quota": "ok",
        "clock-source": "ok",
        "numa": "ok",
    }
    assert "since boot 20.0 %" in found["steal"].value


def test_a_laptop_on_battery(tmp_path: Path) -> None:
    found = findings(tmp_path, LAPTOP)
    levels = {name: finding.level for name, finding in found.items()}
    assert levels == levels | {
        "governor": "warn",
        "frequency": "note",
        "turbo": "warn",
        "smt": "note",
        "thermal": "warn",
        "battery": "bad",
        "memory": "warn",
        "swap": "warn",
        "aslr": "warn",
        "huge-pages": "note",
        "isolation": "ok",
        "virtual-machine": "ok",
        "container": "ok",
        "clock-source": "warn",
    }
    assert found["turbo"].remedy == "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"
    assert found["thermal"].value == "91 °C, slowed down 12 times since boot"
    assert found["aslr"].remedy == "sudo sysctl kernel.randomize_va_space=2"


def test_random_addresses_may_be_off_for_this_process_alone(tmp_path: Path) -> None:
    aslr = findings(tmp_path, EPYC_GUEST | {"proc/self/personality": "00040000\n"})["aslr"]
    assert (aslr.level, aslr.value) == ("warn", "on, but switched off for this process")
    assert findings(tmp_path, EPYC_GUEST | {"proc/self/personality": "00000000\n"})["aslr"].level == "ok"


def test_the_same_laptop_on_its_charger(tmp_path: Path) -> None:
    found = findings(tmp_path, LAPTOP | {"sys/class/power_supply/BAT0/status": "Charging\n"})
    assert found["battery"].level == "ok"


@pytest.mark.parametrize(
    ("cpu_max", "level"), [("200000 100000", "note"), ("150000 100000", "warn"), ("50000 100000", "bad")]
)
def test_a_cpu_quota(tmp_path: Path, cpu_max: str, level: str) -> None:
    cgroup = {
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n",
    }
    found = findings(tmp_path, EPYC_GUEST | cgroup | {"cg/cpu.max": cpu_max})
    assert found["cpu-quota"].level == level
    throttled = findings(tmp_path, {"cg/cpu.max": "200000 100000", "cg/cpu.stat": "throttled_usec 2500000\n"})
    assert throttled["cpu-quota"].level == "warn"
    assert throttled["cpu-quota"].value == "2 cores; 2.5 s throttled so far"


@pytest.mark.parametrize(
    ("ours_s", "level", "value"),
    [
        (0.005, "ok", "0.01 of 2 available cores used by other processes, 20.00 of the 62 others"),
        (0.02, "ok", "0.04 of 2 available cores used by other processes, 20.00 of the 62 others"),  # rounding
        (0.03, "warn", "0.06 of 2 available cores used by other processes, 20.00 of the 62 others"),
    ],
)
def test_work_of_others_counts_on_the_cores_that_are_ours(
    tmp_path: Path, ours_s: float, level: str, value: str
) -> None:
    online = {"sys/devices/system/cpu/online": "0-63\n", "proc/self/status": "Cpus_allowed_list:\t4-5\n"}
    stat = "".join(f"cpu{i} 0 0 0 100 0 0 0 {0 if i in (4, 5) else 50} 0 0\n" for i in range(64))
    findings(tmp_path, EPYC_GUEST | online | {"proc/stat": stat})
    host = Host(str(tmp_path))
    times = {core: CoreTimes(10 / 62, 0.4) for core in range(64)}  # half a second of 64 cores
    host.__dict__["window"] = (0.5, times | {4: CoreTimes(ours_s, 0.0), 5: CoreTimes(0.0, 0.0)})
    found = {finding.name: finding for finding in examine(host)}
    assert (found["other-work"].level, found["other-work"].value) == (level, value)
    assert found["steal"].value == "0.0 % of the time now; since boot 0.0 % of the time with work"


@pytest.mark.parametrize(("busy", "level"), [({}, "ok"), ({77: 0.06}, "warn")])
def test_one_busy_core_among_many_is_found(tmp_path: Path, busy: dict[int, float], level: str) -> None:
    online = {"sys/devices/system/cpu/online": "0-127\n", "proc/self/status": "Cpus_allowed_list:\t0-127\n"}
    stat = "".join(f"cpu{i} 0 0 0 100 0 0 0 0 0 0\n" for i in range(128))
    findings(tmp_path, EPYC_GUEST | online | {"proc/stat": stat})
    host = Host(str(tmp_path))
    quiet = {core: CoreTimes(0.3 * 0.5 / 128, 0.0) for core in range(128)}  # 0.3 core of background
    host.__dict__["window"] = (0.5, quiet | {core: CoreTimes(s, 0.0) for core, s in busy.items()})
    assert {finding.name: finding.level for finding in examine(host)}["other-work"] == level


def test_free_memory_is_that_of_the_container(tmp_path: Path) -> None:
    cgroup = {
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n",
        "cg/memory.max": f"{2 << 30}\n",
        "cg/memory.current": f"{3 << 29}\n",
    }
    memory = findings(tmp_path, EPYC_GUEST | cgroup)["memory"]
    assert (memory.level, memory.value) == ("warn", "0.5 of 2.0 GiB free")


def test_a_machine_that_tells_nothing_is_unknown_and_not_an_error(tmp_path: Path) -> None:
    found = findings(tmp_path, {})
    assert {finding.level for finding in found.values()} <= {"unknown", "ok", "warn", "note"}
    assert not any("could not be read" in finding.value for finding in found.values())
    assert found["steal"].level == found["governor"].level == found["memory"].level == "unknown"


def test_findings_come_worst_first_and_fit_into_json(tmp_path: Path) -> None:
    found = list(findings(tmp_path, LAPTOP).values())
    order = ["bad", "warn", "note", "unknown", "ok"]
    assert [f.level for f in found] == sorted((f.level for f in found), key=order.index)
    assert json.loads(json.dumps([f.to_dict() for f in found]))[0]["name"] == "battery"


def test_this_machine_can_be_examined() -> None:
    found = examine(Host(window_s=0.01))
    assert len(found) == len(CHECKS.names())
    assert all(finding.why and finding.value for finding in found)
    assert not any("could not be read" in finding.value for finding in found)
    assert all(finding.remedy for finding in found if finding.level in ("warn", "bad"))


def test_variables_that_force_kernels_are_named_but_their_values_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("LD_PRELOAD_NOT", "x")
    found = CHECKS.get("environment")(Host())
    assert found.level == "warn"
    assert "OPENBLAS_CORETYPE" in found.value and "Prescott" not in found.value


def test_a_check_that_fails_says_so_and_takes_no_other_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(CHECKS, "_items", {})
    monkeypatch.setattr(CHECKS, "_loaded", True)

    @check("odd", "it shows what happens")
    def odd(host: Host) -> tuple[str, str]:
        raise ValueError("a file of a kind never seen")

    (finding,) = examine(Host(str(tmp_path)))
    assert finding.level == "unknown"
    assert "a file of a kind never seen" in finding.value

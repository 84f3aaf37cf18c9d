"""The machine's identity: stable against what changes by itself, different where the hardware is."""

import json
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.devices import cpu
from harness.devices.cores import cores
from harness.devices.fingerprint import fingerprint, identity_hash, memory_class_gib, slug
from harness.devices.host import Host

EPYC = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC
stepping\t: 1
microcode\t: 0x1000065
cpu MHz\t\t: 2445.406
flags\t\t: fpu sse2 avx f16c fma hypervisor avx2 vaes
bugs\t\t: spectre_v1

processor\t: 1
model name\t: AMD EPYC
"""
LAPTOP = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 142
model name\t: Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz
stepping\t: 10
flags\t\t: fpu avx avx2 fma avx512f avx512_vnni
"""
GRAVITON = """processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd asimdhp asimddp sve i8mm bf16
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd40
CPU revision\t: 1
"""
NO_GPU = SimpleNamespace(NVMLError=RuntimeError, nvmlDeviceGetCount=lambda: 0)


def write(root: Path, files: dict[str, str]) -> Host:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Host(str(root), window_s=0)


def epyc(root: Path, **changes: str) -> Host:
    files = {
        "proc/cpuinfo": EPYC,
        "proc/meminfo": "MemTotal:       24683656 kB\nMemAvailable:   24222288 kB\n",
        "proc/self/status": "Name:\tx\nCpus_allowed_list:\t0-1\n",
        "sys/devices/system/cpu/online": "0-1\n",
        "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        ".dockerenv": "",
    }
    return write(root, files | changes)


def test_an_epyc_guest_is_named_readably(tmp_path: Path) -> None:
    machine = fingerprint(epyc(tmp_path), NO_GPU)
    assert re.fullmatch(r"amd-epyc-2c-32g-[0-9a-f]{8}", machine.slug)
    assert machine.slug.endswith(machine.id)
    assert machine.identity.isa == ("avx", "avx2", "fma", "f16c")
    assert (machine.state.virtual, machine.state.container) == (True, "docker")
    assert machine.state.os == "Debian GNU/Linux 12 (bookworm)"


def test_what_changes_by_itself_does_not_change_the_id(tmp_path: Path) -> None:
    before = fingerprint(epyc(tmp_path), NO_GPU)
    changed = EPYC.replace("0x1000065", "0x2").replace("vaes", "some_new_flag").replace("2445.406", "3000.1")
    after = fingerprint(epyc(tmp_path, **{"proc/cpuinfo": changed, "etc/os-release": "NAME=x"}), NO_GPU)
    assert after.id == before.id
    assert after.state != before.state


@pytest.mark.parametrize(
    "change",
    [
        {"proc/cpuinfo": EPYC.replace("avx2", "")},
        {"proc/self/status": "Cpus_allowed_list:\t1\n"},
        {"proc/meminfo": "MemTotal:       8000000 kB\n"},
    ],
)
def test_other_features_cores_or_memory_make_another_machine(tmp_path: Path, change: dict[str, str]) -> None:
    assert fingerprint(epyc(tmp_path), NO_GPU).id != fingerprint(epyc(tmp_path, **change), NO_GPU).id


def test_the_id_is_the_same_on_every_run_and_version_of_python(tmp_path: Path) -> None:
    identity = fingerprint(epyc(tmp_path), NO_GPU).identity
    fixed = replace(identity, architecture="x86_64")
    assert identity_hash(fixed) == "4774f790"


@pytest.mark.parametrize(
    ("text", "expected"),
    [(LAPTOP, "intel-core-i7-8550u-1c-32g"), (GRAVITON, "arm-neoverse-v1-1c-32g"), ("", "cpu-1c-32g")],
)
def test_slugs_drop_the_decoration_of_model_names(tmp_path: Path, text: str, expected: str) -> None:
    host = epyc(tmp_path, **{"proc/cpuinfo": text, "proc/self/status": "Cpus_allowed_list:\t0\n"})
    identity = replace(fingerprint(host, NO_GPU).identity, architecture="")
    assert slug(identity) == expected
    many = "AMD EPYC 9654 96-Core Processor"
    assert slug(replace(identity, cpu=many, cores=96)) == "amd-epyc-9654-96c-32g"


def test_gpus_stand_in_the_slug(tmp_path: Path) -> None:
    identity = fingerprint(epyc(tmp_path), NO_GPU).identity
    two = replace(identity, gpus=("NVIDIA H100 80GB HBM3 80GiB",) * 2)
    assert slug(two) == "amd-epyc-2c-32g-2x-nvidia-h100-80gb-hbm3"


@pytest.mark.parametrize(
    ("gib", "expected"), [(None, 0), (0.4, 1), (15.4, 16), (23.5, 32), (31.2, 32), (125.6, 128)]
)
def test_memory_is_a_class_so_that_what_firmware_keeps_does_not_matter(
    gib: float | None, expected: int
) -> None:
    assert memory_class_gib(None if gib is None else int(gib * 2**30)) == expected


def test_this_machine_is_described_without_naming_host_or_place() -> None:
    machine = fingerprint()
    text = json.dumps(machine.to_dict())
    assert machine.identity.cores == len(cores(Host()).ids) >= 1
    assert not any(str(place) in text for place in (Path.cwd(), Path.home()) if place != Path("/"))
    assert f'"{socket.gethostname()}"' not in text
    assert fingerprint().id == machine.id


def test_the_machine_is_read_without_importing_an_ml_library() -> None:
    code = """
import sys
from harness.devices.doctor import examine
from harness.devices.fingerprint import fingerprint
from harness.devices.host import Host
import harness.devices.peaks.compute, harness.measure.memory, harness.measure.probe
fingerprint(), examine(Host(window_s=0))
sys.exit(bool({"torch", "onnxruntime", "onnx"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


SIBLINGS = {
    f"sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list": f"{core % 4},{core % 4 + 4}\n"
    for core in range(8)
}


def test_with_smt_the_first_cores_given_are_different_physical_ones(tmp_path: Path) -> None:
    files = {"proc/self/status": "Cpus_allowed_list:\t0-7\n", "sys/devices/system/cpu/online": "0-7\n"}
    given = cores(write(tmp_path, files | SIBLINGS))
    assert given.ids == (0, 1, 2, 3, 4, 5, 6, 7)
    assert (given.physical, given.online, given.smt) == (4, 8, True)
    assert cores(Host(str(tmp_path)), affinity=(0, 4, 1)).ids == (0, 1, 4)


V2 = {"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n"}
V1 = {
    "proc/self/cgroup": "2:memory:/\n1:cpu,cpuacct:/\n",
    "proc/self/mountinfo": "1 2 0:1 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "3 2 0:2 / /cg/memory rw - cgroup cgroup rw,memory\n",
}


@pytest.mark.parametrize(
    ("files", "quota", "ids", "limit"),
    [
        (V2 | {"cg/a/cpu.max": "max 100000\n", "cg/cpu.max": "250000 100000\n"}, 2.5, (0, 1), None),
        (V2 | {"cg/a/cpu.max": "50000 100000\n", "cg/a/memory.max": "1073741824\n"}, 0.5, (0,), 1 << 30),
        (V2 | {"cg/a/cpu.max": "max 100000\n", "cg/a/memory.max": "max\n"}, None, (0, 1, 2, 3), None),
        (
            V1 | {"cg/cpu/cpu.cfs_quota_us": "300000", "cg/cpu/cpu.cfs_period_us": "100000"},
            3.0,
            (0, 1, 2),
            None,
        ),
        (
            V1 | {"cg/cpu/cpu.cfs_quota_us": "-1", "cg/cpu/cpu.cfs_period_us": "100000"},
            None,
            (0, 1, 2, 3),
            None,
        ),
        (V1 | {"cg/memory/memory.limit_in_bytes": "9223372036854771712"}, None, (0, 1, 2, 3), None),
    ],
)
def test_a_quota_limits_the_cores_given_and_a_limit_the_memory(
    tmp_path: Path, files, quota, ids, limit
) -> None:
    host = write(tmp_path, {"proc/meminfo": "MemTotal: 4194304 kB\n"} | files)
    given = cores(host, affinity=(0, 1, 2, 3))
    assert (given.quota, given.ids) == (quota, ids)
    assert cpu.memory_limit_bytes(host) == limit
    assert cpu.memory_bytes(host) == (limit or 4 << 30)


def test_a_machine_that_tells_nothing_still_has_a_fingerprint(tmp_path: Path) -> None:
    machine = fingerprint(Host(str(tmp_path)), NO_GPU)
    assert machine.identity.cores == 1
    assert machine.identity.memory_gib == 0
    assert machine.state.governor is machine.state.turbo is machine.state.virtual is None

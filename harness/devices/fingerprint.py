"""Fingerprint of the machine: an identity that does not change by itself, and a state that does.

It contains no name of a person, a host or a path.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
from dataclasses import asdict, dataclass
from typing import Any

from harness.devices import cpu, cuda, settings
from harness.devices.cores import cores as read_cores
from harness.devices.host import Host
from harness.packages import ABSENT, package_version

_GIB = 1 << 30
_LIBRARIES = (
    *("torch", "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "openvino", "tensorrt", "triton"),
    *(
        "numpy",
        "scipy",
        "onnx",
        "torchao",
        "torch-pruning",
        "nncf",
        "safetensors",
        "tokenizers",
        "transformers",
    ),
)


@dataclass(frozen=True)
class Identity:
    """What does not change by itself; its hash is the machine's id.

    Cores and memory are those available to this process: for a benchmark, the same computer with half of its
    cores is another machine. Memory is rounded to a power of two GiB, because firmware and kernel take some
    of it; a GPU's memory is rounded to whole GiB.
    """

    architecture: str
    vendor: str
    cpu: str
    family: str
    model: str
    stepping: str
    isa: tuple[str, ...]
    cores: int
    physical_cores: int
    memory_gib: int
    gpus: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """What may change from one day to the next; trends show such a change.

    `core_ids` are the available cores in pinning order, `cpu_quota_cores` is the cgroup's limit. `smt`,
    `virtual`, `container`, `turbo` and `governor` are None where unknown.
    """

    os: str
    kernel: str
    libc: str
    python: str
    libraries: dict[str, str]
    microcode: str
    governor: str | None
    turbo: bool | None
    smt: bool | None
    virtual: bool | None
    container: str | None
    core_ids: tuple[int, ...]
    cores_online: int
    cpu_quota_cores: float | None
    memory_bytes: int | None
    gpu_driver: str | None
    gpu_uuid_hashes: tuple[str, ...]


@dataclass(frozen=True)
class Machine:
    """A machine: `id` is a short hash of `identity`; `slug` ends in it and can name a folder."""

    id: str
    slug: str
    identity: Identity
    state: State

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON would hold them (lists for tuples)."""
        fields: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return fields


def fingerprint(host: Host | None = None, nvml: Any = None) -> Machine:
    """Return this machine's fingerprint. Call it before pinning, since it reads the caller's affinity."""
    host = host or Host()
    found = cuda.visible(cuda.gpus(nvml), nvml)
    info, cores, memory = cpu.cpuinfo(host), read_cores(host), cpu.memory_bytes(host)
    who = Identity(
        architecture=platform.machine().lower(),
        vendor=info.vendor,
        cpu=info.model_name,
        family=info.family,
        model=info.model,
        stepping=info.stepping,
        isa=info.isa,
        cores=len(cores.ids),
        physical_cores=cores.physical,
        memory_gib=memory_class_gib(memory),
        gpus=tuple(f"{gpu.name} {round((gpu.memory_bytes or 0) / _GIB)}GiB" for gpu in found),
    )
    state = State(
        os=_os(host),
        kernel=f"{platform.system()} {platform.release()}",
        libc=" ".join(platform.libc_ver()).strip(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries=library_versions(),
        microcode=info.microcode,
        governor=settings.governor(host),
        turbo=settings.turbo(host),
        smt=cores.smt,
        virtual=settings.virtual(host),
        container=settings.container(host),
        core_ids=cores.ids,
        cores_online=cores.online,
        cpu_quota_cores=cores.quota,
        memory_bytes=memory,
        gpu_driver=found[0].driver if found else None,
        gpu_uuid_hashes=tuple(gpu.uuid_hash for gpu in found),
    )
    machine_id = identity_hash(who)
    return Machine(machine_id, f"{slug(who)}-{machine_id}", who, state)


def identity_hash(identity: Identity) -> str:
    """Return the first eight hex digits of the SHA-256 of the identity's canonical JSON."""
    text = json.dumps(asdict(identity), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def memory_class_gib(size_bytes: int | None) -> int:
    """Round to the nearest power of two GiB, on a logarithmic scale: at least 1, or 0 where unknown."""
    return 2 ** max(0, round(math.log2(size_bytes / _GIB))) if size_bytes else 0


def slug(identity: Identity) -> str:
    """Return a readable name of a machine: processor, cores, memory class, GPUs."""
    gpus = list(dict.fromkeys(_plain(gpu.rpartition(" ")[0]) for gpu in identity.gpus))
    count = f"{len(identity.gpus)}x-" if len(identity.gpus) > 1 else ""
    parts = [_cpu_slug(identity), f"{identity.cores}c", f"{identity.memory_gib}g"]
    return "-".join(parts + ([f"{count}{gpus[0]}"] if gpus else []))


def library_versions() -> dict[str, str]:
    """Return the versions of the installed libraries that affect speed, without importing any."""
    return {name: version for name in _LIBRARIES if (version := package_version(name)) != ABSENT}


def _cpu_slug(identity: Identity) -> str:
    """Turn ``Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz`` into ``intel-core-i7-8550u``."""
    name = identity.cpu or identity.vendor or identity.architecture or "cpu"
    name = re.sub(r"\((R|TM|r|tm)\)|@.*|\b\d+-Core\b|\bProcessor\b|\bCPU\b|\b\d+th Gen\b", " ", name)
    return _plain(name) or "cpu"


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _os(host: Host) -> str:
    pretty = re.search(r'^PRETTY_NAME="?([^"\n]+)', host.text("etc/os-release") or "", re.MULTILINE)
    if pretty:
        return pretty[1]
    mac = platform.mac_ver()[0] if host.real else ""
    return f"macOS {mac}" if mac else platform.system()

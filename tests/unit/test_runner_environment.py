"""Environment of measuring workers."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from harness.environment import POOLS
from harness.runner.workers.launch import worker_environment

BIG = 64 * 2**20
FILL = f"""
import ctypes, os
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
start = libc.malloc({BIG})
ctypes.memset(start, 1, {BIG})
from harness.measure.memory import huge_bytes
inside = asked = False
for line in open("/proc/self/smaps"):
    first, _, last = line.split()[0].partition("-")
    if last:
        inside = int(first, 16) <= start < int(last, 16)
    elif inside and line.startswith("VmFlags:"):
        asked = "hg" in line.split()
print(int(asked), huge_bytes(os.getpid()))
"""
"""Prints whether malloc asked for huge pages, and how many bytes the kernel gave: it need not have any."""


def test_every_thread_pool_gets_the_budget():
    environment = worker_environment(3)
    assert {environment[pool] for pool in POOLS} == {"3"}
    assert "OMP_NUM_THREADS" in environment


def test_workers_number_gpus_as_nvml_does(monkeypatch):
    """Whose state and compute capability are read is that of the GPU that is used."""
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert worker_environment(1)["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_huge_pages_keep_what_the_user_has_set(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=1")
    assert "GLIBC_TUNABLES" not in worker_environment(1)
    found = worker_environment(1, huge_pages=True)["GLIBC_TUNABLES"]
    assert found == "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1"


def test_what_the_suite_states_reaches_workers_and_huge_pages_keep_it():
    stated = {"KMP_BLOCKTIME": "0", "GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}
    found = worker_environment(1, stated, huge_pages=True)
    assert found["KMP_BLOCKTIME"] == "0"
    assert found["GLIBC_TUNABLES"] == "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"


def test_malloc_really_asks_for_huge_pages():
    try:
        choice = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        pytest.skip("this system has no transparent huge pages")
    if "[madvise]" not in choice:
        pytest.skip(f"transparent huge pages are set to {choice.strip()}: nothing to choose")
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split("."))) < (2, 35):
        pytest.skip(f"{library} {version} does not know the setting: it takes glibc 2.35")
    found = {}
    for huge in (False, True):
        environment = worker_environment(1, huge_pages=huge)
        done = subprocess.run(
            [sys.executable, "-c", FILL], env=environment, check=True, capture_output=True, text=True
        )
        found[huge] = tuple(map(int, done.stdout.split()))
    assert found[False][0] == 0 and found[False][1] < BIG / 4
    assert found[True][0] == 1

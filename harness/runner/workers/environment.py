"""Environment variables of measuring workers: equal terms that a process can only be given at its start."""

from __future__ import annotations

import os

from harness.devices.cuda import CUDA_ORDER

POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
TUNABLES, HUGE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
"""malloc asks for transparent huge pages with madvise (glibc 2.35 or newer; others ignore the variable)."""


def worker_environment(threads: int, *, huge_pages: bool = False) -> dict[str, str]:
    """Return what a worker with `threads` intra-op threads gets besides this process's own environment."""
    environment = dict.fromkeys(POOLS, str(threads)) | CUDA_ORDER
    if huge_pages:
        own = os.environ.get(TUNABLES)
        environment[TUNABLES] = f"{own}:{HUGE}" if own else HUGE
    return environment

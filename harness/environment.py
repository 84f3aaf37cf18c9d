"""Environment variables that change speed: those that are recorded, and those that workers do not get."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What the thread budget sets in each worker."""
OWN = frozenset({*POOLS, "CUDA_DEVICE_ORDER", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONUNBUFFERED"})
"""What the harness sets itself in each worker."""
WITHHELD = frozenset(
    {
        *POOLS,
        # OpenMP's standard, GNU's libgomp, LLVM's and Intel's libomp: spinning, binding, number of threads
        *("OMP_WAIT_POLICY", "OMP_PROC_BIND", "OMP_PLACES", "OMP_DYNAMIC", "OMP_THREAD_LIMIT"),
        *("OMP_NESTED", "OMP_MAX_ACTIVE_LEVELS", "GOMP_SPINCOUNT", "GOMP_CPU_AFFINITY"),
        *("KMP_BLOCKTIME", "KMP_LIBRARY", "KMP_USE_YIELD", "KMP_AFFINITY", "KMP_PLACE_THREADS"),
        *("KMP_HW_SUBSET", "KMP_ALL_THREADS", "KMP_DEVICE_THREAD_LIMIT", "KMP_DYNAMIC_MODE"),
        # Intel's MKL, OpenBLAS
        *("MKL_DYNAMIC", "MKL_DOMAIN_NUM_THREADS", "OPENBLAS_THREAD_TIMEOUT"),
        *("OPENBLAS_MAIN_FREE", "GOTOBLAS_MAIN_FREE"),
    }
)
"""Variables by which a library's threads spin between calls, are bound to cores, or get another number.

A shell sets them for other programs. They would bind one runtime and not another, or let the worker of one
arm spin through the Blocks of the others. Variables that choose kernels or an allocator are passed on.
"""
_SPEED = re.compile(
    r"(?:LD_PRELOAD|DYLD_INSERT_LIBRARIES|LD_LIBRARY_PATH|GLIBC_TUNABLES|PYTHONMALLOC|PYTHONOPTIMIZE)$|(?:PY)?TORCH|OPENVINO|"
    r"(?:OMP|GOMP|KMP|MKL|MALLOC|MIMALLOC|TCMALLOC|ORT|ONNXRUNTIME|OPENBLAS|GOTO|BLIS|VECLIB|NUMEXPR|NVPL|OV"
    r"|DNNL|ONEDNN|TBB|ATEN|AT|CUDA|CUBLAS|CUDNN|NCCL|NVIDIA|XLA|TRITON)_|"
    r"TF_(?:CPP|CPU|CUDNN|DETERMINISTIC|DISABLE|ENABLE|FORCE|GPU|NUM|USE|XLA)_"  # other TF_ are Terraform's
)
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSW|CREDENTIAL|AUTH")
_FOLDERS = re.compile(r"""[^\s:;,="']*[/\\](?=[^\s:;,="'/\\])""")
_DEVICE_ID = re.compile(r"\b(GPU|MIG)-([0-9a-fA-F-]{8,})")


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a worker gets of the shell's environment."""
    return {name: value for name, value in environment.items() if name not in WITHHELD}


def speed_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that change speed, by name.

    Of a path only its last part is kept, and of a GPU's id a hash. Variables named as secrets are left out.
    """
    return {
        name: _DEVICE_ID.sub(_hashed, _FOLDERS.sub("", value))
        for name, value in sorted(environment.items())
        if _SPEED.match(name) and not _SECRET.search(name)
    }


def _hashed(found: re.Match[str]) -> str:
    return f"{found[1]}-{hashlib.sha256(found[2].encode()).hexdigest()[:8]}"


def withheld_notice(environment: Mapping[str, str]) -> str:
    """Return what to tell a reader of the shell's variables that workers do not get; empty for none."""
    found = {name: value for name, value in speed_variables(environment).items() if name in WITHHELD}
    if not found:
        return ""
    told = ", ".join(f"{name}={value}" for name, value in found.items())
    return (
        f"workers do not get these variables of the shell: {told}; the suite sets the number of threads "
        "(hardware: threads) and the other variables (measure: environment)"
    )

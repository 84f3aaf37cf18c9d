"""Settings of a process that a model's code may change; they are put back, the same for all runtimes."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Put back what the code inside the `with` block sets.

    That is torch's threads, default dtype, default device and grad mode, the working folder, and filters of
    warnings. What it adds to `sys.path` comes last, where it hides no other module.
    """
    import torch

    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    device, gradients = torch.get_default_device(), torch.is_grad_enabled()
    path, folder = list(sys.path), os.curdir
    with contextlib.suppress(OSError):  # it may be gone
        folder = os.getcwd()  # noqa: PTH109
    try:
        with warnings.catch_warnings():
            yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:  # a device that is set takes time in each call
            torch.set_default_device(None if device.type == "cpu" else device)
        torch.set_grad_enabled(gradients)
        sys.path[:] = [*path, *(place for place in sys.path if place not in path)]
        with contextlib.suppress(OSError):
            os.chdir(folder)

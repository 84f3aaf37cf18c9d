"""The thread budget and the Session of the PyTorch runtimes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.formats.outputs import leaves
from harness.formats.target import Target
from harness.formats.tensors import Array
from harness.formats.torch.outputs import plain
from harness.runtimes.registry import Call, Outputs, Session


def set_threads(target: Target) -> None:
    """Set torch's intra-op threads to the thread budget and its inter-op threads to 1."""
    import torch

    torch.set_num_threads(target.threads)
    if torch.get_num_interop_threads() != 1:
        torch.set_num_interop_threads(1)


class TorchSession(Session):
    """A module, an exported program or a compiled package, called under `torch.inference_mode`."""

    def __init__(self, module: Callable[..., Any], device: str, fixed_batch: int | None) -> None:
        self.module = module
        self.device = device
        self.fixed_batch = fixed_batch

    def bind(self, inputs: Sequence[Array]) -> Call:
        """Return a call that runs the module on `inputs` and copies the outputs back to the host.

        The outputs are flat, in the order of an exported graph (formats/outputs.py). On a GPU the copies in
        both directions are part of the call; copying back waits for the device.
        """
        import torch

        arrays, module, device = list(inputs), self.module, self.device
        from_numpy, inference_mode, Tensor = torch.from_numpy, torch.inference_mode, torch.Tensor  # noqa: N806
        on_host = device == "cpu"

        def call() -> Outputs:
            with inference_mode():
                tensors = [from_numpy(array) for array in arrays]
                if not on_host:
                    tensors = [tensor.to(device) for tensor in tensors]
                result = module(*tensors)
                parts = (result,) if isinstance(result, Tensor) else leaves(result)
                return tuple(plain(part).cpu().numpy() for part in parts)

        return call

    def threads(self) -> int:
        """Return torch's intra-op threads, which are one setting for the whole process."""
        import torch

        return torch.get_num_threads()

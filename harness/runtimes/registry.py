"""The seam of runtimes: a Session that can answer a batch, one class and one file for each runtime.

A runtime's file imports its library inside `open_session`, so that a measuring worker holds only its own.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.artifacts.artifact import Artifact
from harness.config import Config
from harness.formats.target import Target
from harness.formats.tensors import Array
from harness.registry import Registry

Outputs = tuple[Array, ...]
Call = Callable[[], Outputs]


class RuntimeConfig(Config):
    """Base of all runtime configs."""


class Session(ABC):
    """A loaded Artifact: host arrays in, host arrays out; a call returns when they are there."""

    fixed_batch: int | None = None
    """The only batch it answers, or None when any will do."""

    @abstractmethod
    def bind(self, inputs: Sequence[Array]) -> Call:
        """Return a call that answers `inputs`, (batch, *shape) each, as a tuple of host arrays.

        What a request does not pay for, such as looking up names, is done here; what it does pay for,
        such as copying to a device, is done in the call.
        """

    def run(self, inputs: Sequence[Array]) -> Outputs:
        """Answer one batch."""
        return self.bind(inputs)()

    def close(self) -> None:  # noqa: B027 (most Sessions have nothing to close)
        """Let go of processes and files."""


@dataclass(frozen=True)
class Runtime:
    """A registered runtime.

    `imports` are the modules that its worker imports before the Artifact is loaded, which is what "empty
    worker" means; `packages` are the distributions whose versions are recorded. `arithmetic(config)` names
    the number type that float32 operators of the Artifact are computed in; ``float32 or int8`` that
    under compressed weights it may be the second, and nobody tells. `leaves_pairs(config)` is why
    quantize and dequantize pairs are not fused into integer kernels, or None where they are.
    """

    name: str
    config: type[RuntimeConfig]
    open_session: Callable[[Any, Artifact, Target], Session]
    takes: tuple[str, ...]
    summary: str
    imports: tuple[str, ...]
    packages: tuple[str, ...]
    extra: str | None = None
    devices: tuple[str, ...] = ("cpu",)
    compute_dtype: Callable[[Any], str] = lambda _config: "float32"
    leaves_pairs: Callable[[Any], str | None] = lambda _config: None

    def missing(self) -> str | None:
        """Return why the runtime cannot be used here, or None; imports nothing."""
        for module in self.imports:
            if importlib.util.find_spec(module.partition(".")[0]) is None:
                remedy = f"accel-harness[{self.extra}]" if self.extra else " ".join(self.packages)
                return f"{module} is not installed: pip install '{remedy}'"
        return None


RUNTIMES: Registry[Runtime] = Registry("runtime", "harness.runtimes", "harness.runtimes")

C = TypeVar("C", bound=RuntimeConfig)


def runtime(
    name: str, config: type[C], **about: Any
) -> Callable[[Callable[[C, Artifact, Target], Session]], Callable[[C, Artifact, Target], Session]]:
    """Register the decorated function as the runtime `name`."""

    def register(
        open_session: Callable[[C, Artifact, Target], Session],
    ) -> Callable[[C, Artifact, Target], Session]:
        RUNTIMES.add(name, Runtime(name, config, open_session, **about))
        return open_session

    return register

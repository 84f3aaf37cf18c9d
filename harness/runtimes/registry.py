"""The registry of runtimes: each is a Session class and an `open_session` function in one file.

A runtime's file imports its library inside `open_session`, so that a measuring worker loads no other.
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
    """The only batch that it takes, or None when any will do."""
    output_names: Sequence[str] = ()
    """Names of the outputs, where the Artifact has them."""

    @abstractmethod
    def bind(self, inputs: Sequence[Array]) -> Call:
        """Return a call that runs the model on `inputs` (TensorSpec.array_shape), and returns host arrays.

        Work that is not part of a request, such as looking up names, is done here; work that is part of it,
        such as copying to a device, is done in the call and timed.
        """

    def run(self, inputs: Sequence[Array]) -> Outputs:
        """Run one batch."""
        return self.bind(inputs)()

    def threads(self) -> int | None:
        """Return the intra-op threads that the runtime is set to now.

        None where code outside of the Session cannot change them.
        """
        return None

    def close(self) -> None:  # noqa: B027 (most Sessions have nothing to close)
        """Release processes and files."""


@dataclass(frozen=True)
class Runtime:
    """A registered runtime.

    `title` is its name in a sentence. `imports` are the modules that its worker imports before the Artifact
    is loaded (an "empty worker"). `packages` are the distributions whose versions are recorded.
    `compute_dtype(config)` names the compute
    dtype of the Artifact's float32 operators; ``float32 or int8`` means that products with compressed weights
    may use int8, which the runtime does not report. `leaves_pairs(config)` says why quantize and dequantize
    pairs are not fused into integer kernels; None where they are. `unfit(config, scenario, threads,
    replicas)` says why a Cell cannot run with these settings; None where it can. `any_batch`: an Artifact is
    not compiled for one batch, so `open_session` takes a target with another one. `snippet(config, artifact,
    target)` returns lines of Python that do what `open_session` does, without the harness: `load()` returns
    the model, `run(model, inputs)` a batch's outputs as arrays. They know `FOLDER`, where the files are.
    """

    name: str
    config: type[RuntimeConfig]
    open_session: Callable[[Any, Artifact, Target], Session]
    takes: tuple[str, ...]
    summary: str
    imports: tuple[str, ...]
    packages: tuple[str, ...]
    title: str = ""
    extra: str | None = None
    devices: tuple[str, ...] = ("cpu",)
    compute_dtype: Callable[[Any], str] = lambda _config: "float32"
    leaves_pairs: Callable[[Any], str | None] = lambda _config: None
    unfit: Callable[[Any, str, int, int], str | None] = lambda *_: None
    any_batch: bool = False
    snippet: Callable[[Any, Artifact, Target], str] | None = None

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

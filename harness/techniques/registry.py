"""The seam of techniques: a step is a frozen config class and one function, registered where it is defined.

Three kinds of step make a pipeline: *transforms* turn an Artifact into another (prune, quantize);
*conversions* change its form without being asked for (a module is exported to ONNX because the runtime takes
ONNX) and are inserted by the planner; a *deployment* says how Sessions are laid out (replicate). The runtime
between them has its own registry (harness/runtimes).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from harness.artifacts.artifact import Artifact
from harness.artifacts.cache import file_digest
from harness.errors import HarnessError
from harness.formats.target import Target
from harness.formats.tensors import TensorSpec
from harness.registry import Registry
from harness.zoo.registry import Data

Aspect = Literal["batch", "device", "threads", "machine"]
"""What a step may specialize on; it goes into the Artifact's content address."""


class StepConfig(BaseModel):
    """Base of all step configs: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BuildContext(Protocol):
    """What a step may ask for while it builds. All randomness comes from `seed`."""

    seed: int
    target: Target
    inputs: tuple[TensorSpec, ...]
    cpu_features: frozenset[str]

    def training_data(self) -> Data:
        """Training items of the model's dataset. Raises BuildError when it has none."""
        ...

    def say(self, text: str) -> None:
        """Put a line into the Cell's build log."""
        ...


@dataclass(frozen=True)
class Transform:
    """A registered transform or conversion.

    `build(config, source, out, context)` writes the new Artifact's files into the empty folder `out` and
    returns what it has to report (shown with the Record). `resolve(config, target, cpu_features)` returns
    what settings that follow the machine come to; it goes into the content address. `keeps` names facts of
    the source that the step does not change; others are counted anew where the form allows it.
    `cuda_capability` is the least compute capability of a GPU that it can be for. The code of
    the file that defines `build` goes into the content address, and so does `version`: raise it when the
    step's result changes by code in another file.

    `shows_in` are the forms that keep what the step did; a pipeline whose runtime takes another is skipped.
    `needs_fusion` says that it writes quantize and dequantize pairs: integers are multiplied only where the
    runtime fuses them, and a pipeline whose runtime does not is refused.

    One entry of a suite may be done by several steps, each for other forms (``precision`` on a module and on
    an ONNX graph): they share family, variant and config class and differ by `implementation`; the pipeline
    takes the one that fits.
    """

    family: str
    variant: str | None
    selector: str | None
    config: type[StepConfig]
    build: Callable[[Any, Artifact, Path, BuildContext], dict[str, Any]]
    takes: tuple[str, ...]
    yields: str
    summary: str
    packages: tuple[str, ...] = ()
    extra: str | None = None
    devices: tuple[str, ...] = ("cpu", "cuda")
    cuda_capability: tuple[int, int] | None = None
    specialize_on: tuple[Aspect, ...] = ()
    resolve: Callable[[Any, Target, frozenset[str]], dict[str, Any]] = lambda *_: {}
    keeps: tuple[str, ...] = ()
    needs_training_data: Callable[[Any], bool] = lambda _config: False
    version: int = 1
    implementation: str | None = None
    shows_in: tuple[str, ...] = ()
    needs_fusion: bool = False

    @property
    def name(self) -> str:
        """Family, variant and implementation where there are several: ``quantize/static``."""
        return "/".join(part for part in (self.family, self.variant, self.implementation) if part)

    @property
    def code(self) -> str:
        """Hash of the file that defines `build`; empty where it is in none."""
        return _file_hash(getattr(sys.modules.get(self.build.__module__), "__file__", None))


@functools.cache
def _file_hash(path: str | None) -> str:
    return file_digest(Path(path)) if path and Path(path).is_file() else ""


class ReplicaHost(Protocol):
    """What a deployment is given to lay Sessions out with; the runner implements it."""

    target: Target

    def concurrent(self, targets: list[Target]) -> Any:
        """Open a Session in a process of its own for each target; return one Session over them all."""
        ...


@dataclass(frozen=True)
class Deployment:
    """A registered deployment; `open_session(config, host)` returns the Session that is timed.

    `replicas(config)` is the number of processes; `scenarios` are those in which it can show anything.
    """

    family: str
    config: type[StepConfig]
    open_session: Callable[[Any, ReplicaHost], Any]
    replicas: Callable[[Any], int]
    summary: str
    scenarios: tuple[str, ...]
    name: str = ""


@dataclass
class Family:
    """Steps that share a key in the suite; `selector` is the field that picks the variant.

    `variants` are the implementations of each, by name.
    """

    selector: str | None = None
    variants: dict[str, tuple[Transform, ...]] = field(default_factory=dict)


TRANSFORMS: Registry[Transform] = Registry("step", "harness.techniques", "harness.techniques")
CONVERSIONS: Registry[Transform] = Registry("conversion", "harness.techniques", "harness.techniques")
DEPLOYMENTS: Registry[Deployment] = Registry("deployment", "harness.techniques", "harness.techniques")

C = TypeVar("C", bound=StepConfig)
Build = Callable[[C, Artifact, Path, BuildContext], dict[str, Any]]


def transform(
    family: str,
    config: type[C],
    *,
    takes: tuple[str, ...],
    yields: str,
    summary: str,
    select: tuple[str, str] | None = None,
    **options: Any,
) -> Callable[[Build[C]], Build[C]]:
    """Register the decorated function as a transform. `select` is the field and value that pick it."""

    def register(build: Build[C]) -> Build[C]:
        selector, variant = select or (None, None)
        entry = Transform(family, variant, selector, config, build, takes, yields, summary, **options)
        for other in TRANSFORMS.registered():
            same = (other.family, other.variant) == (family, variant)
            if same and other.config is not config:
                raise HarnessError(
                    f"{entry.name} and {other.name} share a name in suites, not a config class"
                )
        TRANSFORMS.add(entry.name, entry)
        return build

    return register


def conversion(
    name: str, config: type[C], *, takes: str, yields: str, summary: str, **options: Any
) -> Callable[[Build[C]], Build[C]]:
    """Register the decorated function as a conversion between two forms."""

    def register(build: Build[C]) -> Build[C]:
        CONVERSIONS.add(
            name, Transform(name, None, None, config, build, (takes,), yields, summary, **options)
        )
        return build

    return register


def deployment(
    family: str,
    config: type[C],
    *,
    replicas: Callable[[C], int],
    summary: str,
    scenarios: tuple[str, ...],
) -> Callable[[Callable[[C, ReplicaHost], Any]], Callable[[C, ReplicaHost], Any]]:
    """Register the decorated function as a deployment."""

    def register(open_session: Callable[[C, ReplicaHost], Any]) -> Callable[[C, ReplicaHost], Any]:
        DEPLOYMENTS.add(
            family, Deployment(family, config, open_session, replicas, summary, scenarios, family)
        )
        return open_session

    return register


def versions_within(*names: str) -> dict[str, int]:
    """Versions of the steps that a step runs inside itself, for its `resolve`: its result follows them."""
    return {name: (TRANSFORMS if name in TRANSFORMS else CONVERSIONS).get(name).version for name in names}


def families() -> dict[str, Family]:
    """All transforms by family."""
    found: dict[str, Family] = {}
    for entry in TRANSFORMS.values():
        family = found.setdefault(entry.family, Family(entry.selector))
        family.variants[entry.variant or ""] = (*family.variants.get(entry.variant or "", ()), entry)
    return found

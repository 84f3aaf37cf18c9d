"""The registry of techniques: a step is a frozen config class and one function, registered in its own file.

A pipeline has three kinds of step: *transforms* turn an Artifact into another (prune, quantize);
*conversions* change only its format (torch module to ONNX), and the planner inserts them where a format does
not fit; a *deployment* sets how Sessions run (replicate). The runtime between them has its own registry
(harness/runtimes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import ConfigDict

from harness.artifacts.artifact import Artifact
from harness.artifacts.code import code_of
from harness.config import Config
from harness.errors import HarnessError
from harness.formats.registry import FORMATS
from harness.formats.target import Target
from harness.formats.tensors import TensorSpec
from harness.registry import Registry
from harness.zoo.registry import Data

Aspect = Literal["batch", "device", "threads", "machine"]
"""What a step may specialize on. It becomes part of the Artifact's cache key."""


class StepConfig(Config):
    """Base of all step configs: finite numbers only."""

    model_config = ConfigDict(allow_inf_nan=False)


class BuildContext(Protocol):
    """What a step can use while it builds. All randomness comes from `seed`."""

    seed: int
    target: Target
    inputs: tuple[TensorSpec, ...]
    cpu_features: frozenset[str]

    def training_data(self) -> Data:
        """Return the training samples of the model's dataset. Raises BuildError when it has none."""
        ...

    def say(self, text: str) -> None:
        """Write a line into the Cell's build log."""
        ...

    def warn(self, text: str) -> None:
        """Warn of something in the Records of all Cells that use the Artifact."""
        ...


@dataclass(frozen=True)
class Transform:
    """A registered transform or conversion.

    `build(config, source, out, context)` writes the new Artifact's files into the empty folder `out` and
    returns its report (shown with the Record). `resolve(config, target, cpu_features)` returns the values of
    settings that depend on the machine; they are part of the Artifact's cache key, and so is the code that
    `build` uses. `keeps` names statistics of the source that the step does not change; the others are counted
    again where the format allows it. `cuda_capability` is the lowest compute capability of a GPU that it runs
    on. `packages` are the distributions that it imports (harness/packages.py).

    `shows_in` are the formats that preserve the step's effect; a pipeline whose runtime takes another is
    skipped. `needs_fusion`: the step writes quantize and dequantize pairs, which are computed in integers
    only if the runtime fuses them; a pipeline whose runtime does not is rejected.

    Several steps can implement one entry of a suite, each for other formats (``precision`` on a module and on
    an ONNX graph): they share family, variant and config class and differ in `implementation`. The pipeline
    uses the one that fits.
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
    implementation: str | None = None
    shows_in: tuple[str, ...] = ()
    needs_fusion: bool = False

    @property
    def name(self) -> str:
        """Family, variant and implementation, as far as it has them: ``quantize/static``."""
        return "/".join(part for part in (self.family, self.variant, self.implementation) if part)

    @property
    def code(self) -> str:
        """Hash of the harness's code that `build` and the statistics of its result depend on."""
        return code_of(self.build, FORMATS.get(self.yields).count if self.yields in FORMATS else None)


class ReplicaHost(Protocol):
    """What a deployment can use to open Sessions; the runner implements it."""

    target: Target

    def concurrent(self, targets: list[Target]) -> Any:
        """Open one Session for each target, in its own process; return a Session that uses them all."""
        ...


@dataclass(frozen=True)
class Deployment:
    """A registered deployment; `open_session(config, host)` returns the Session that is timed.

    `replicas(config)` is the number of processes; `scenarios` are those in which it can change the speed.
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
    """Steps that share a key in the suite; `selector` is the field that selects the variant.

    `variants` are the implementations of each variant, by its name.
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
    """Register the decorated function as a transform. `select` is the field and the value that select it."""

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
    name: str, *, takes: str, yields: str, summary: str, **options: Any
) -> Callable[[Build[StepConfig]], Build[StepConfig]]:
    """Register the decorated function as a conversion between two formats.

    It has no settings, because the planner inserts it: a suite could not set them.
    """

    def register(build: Build[StepConfig]) -> Build[StepConfig]:
        CONVERSIONS.add(
            name, Transform(name, None, None, StepConfig, build, (takes,), yields, summary, **options)
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


def families() -> dict[str, Family]:
    """Return all transforms by family."""
    found: dict[str, Family] = {}
    for entry in TRANSFORMS.values():
        family = found.setdefault(entry.family, Family(entry.selector))
        family.variants[entry.variant or ""] = (*family.variants.get(entry.variant or "", ()), entry)
    return found

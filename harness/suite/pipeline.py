"""A technique as it runs: transforms, one runtime, at most one deployment, their forms fitted together."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from typing import Any

from harness.runtimes.registry import Runtime, RuntimeConfig
from harness.techniques.registry import CONVERSIONS, Deployment, StepConfig, Transform


@dataclass(frozen=True)
class Stage:
    """One build step with its settings."""

    step: Transform
    config: StepConfig

    def content(self) -> dict[str, Any]:
        """As JSON: what goes into content addresses and Records."""
        return {"step": self.step.name, "version": self.step.version, **self.config.model_dump(mode="json")}


@dataclass(frozen=True)
class Choice:
    """A transform as a suite names it, and the steps that can do it, each for other forms."""

    steps: tuple[Transform, ...]
    config: StepConfig

    @property
    def family(self) -> str:
        """Family of the steps."""
        return self.steps[0].family

    @property
    def name(self) -> str:
        """Family, and variant where there are several, without the implementation."""
        return "/".join(part for part in (self.family, self.steps[0].variant) if part)

    def content(self) -> dict[str, Any]:
        """As JSON: what makes two of them the same."""
        versions = [step.version for step in self.steps]
        version = versions[0] if len(versions) == 1 else versions
        return {"step": self.name, "version": version, **self.config.model_dump(mode="json")}

    def stages(self) -> list[Stage]:
        """The steps to choose from."""
        return [Stage(step, self.config) for step in self.steps]


@dataclass(frozen=True)
class Pipeline:
    """A validated technique."""

    name: str
    transforms: tuple[Choice, ...]
    runtime: Runtime
    runtime_config: RuntimeConfig
    deployment: Deployment | None = None
    deployment_config: StepConfig | None = None

    @property
    def families(self) -> list[str]:
        """Families of its steps, in order; the runtime is not among them."""
        names = [choice.family for choice in self.transforms]
        return names + ([self.deployment.family] if self.deployment else [])

    @property
    def replicas(self) -> int:
        """Inference processes."""
        return self.deployment.replicas(self.deployment_config) if self.deployment else 1

    def content(self) -> list[dict[str, Any]]:
        """As JSON, defaults filled in: what makes two techniques the same."""
        steps = [choice.content() for choice in self.transforms]
        steps.append({"runtime": self.runtime.name, **self.runtime_config.model_dump(mode="json")})
        if self.deployment and self.deployment_config:
            steps.append({"step": self.deployment.family, **self.deployment_config.model_dump(mode="json")})
        return steps

    def stages(self, format: str) -> list[Stage]:
        """All build steps from a model in `form`, conversions inserted where a form does not fit.

        Raises ValueError, in words, when no chain of conversions leads from one step to the next.
        """
        chains, reasons = [], []
        for stages in itertools.product(*(choice.stages() for choice in self.transforms)):
            try:
                chains.append(self._chain(format, stages))
            except ValueError as error:
                reasons.append(str(error))
        if not chains:
            raise ValueError("; ".join(dict.fromkeys(reasons)))
        return min(chains, key=self._detours)

    def _chain(self, format: str, stages: tuple[Stage, ...]) -> list[Stage]:
        """The stages with the conversions that they need."""
        chain: list[Stage] = []
        for stage in stages:
            chain += [*_convert(format, stage.step.takes, stage.step.name), stage]
            format = stage.step.yields
        chain += _convert(format, self.runtime.takes, f"the runtime {self.runtime.name}")
        for i, stage in enumerate(chain):
            lost = [one.step for one in chain[i:] if one.step.yields not in stage.step.shows_in]
            if stage.step.shows_in and lost:
                raise ValueError(f"{stage.step.name} does nothing there: {lost[0].name} does not keep it")
            if stage.step.needs_fusion and (why := self.runtime.leaves_pairs(self.runtime_config)):
                raise ValueError(
                    f"{stage.step.name} would round and multiply in float: "
                    f"it writes quantize and dequantize pairs, and {why}"
                )
        return chain

    def _detours(self, chain: list[Stage]) -> tuple[int, int]:
        """Order chains: the fewest conversions first, then those whose transforms stand near the runtime."""
        configs = [choice.config for choice in self.transforms]
        return len(chain), -sum(i for i, stage in enumerate(chain) if stage.config in configs)


def _convert(format: str, wanted: tuple[str, ...], who: str) -> list[Stage]:
    """Shortest chain of conversions from `form` to one of `wanted`."""
    queue: deque[tuple[str, tuple[Transform, ...]]] = deque([(format, ())])
    seen = {format}
    while queue:
        at, path = queue.popleft()
        if at in wanted:
            return [Stage(step, step.config()) for step in path]
        for step in CONVERSIONS.values():
            if at in step.takes and step.yields not in seen:
                seen.add(step.yields)
                queue.append((step.yields, (*path, step)))
    raise ValueError(f"{who} takes {' or '.join(wanted)}, and nothing makes that from {format}")

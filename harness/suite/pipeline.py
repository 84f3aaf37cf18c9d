"""A technique as a pipeline of transforms, one runtime and at most one deployment, connected by formats."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.config import Config
from harness.runtimes.registry import Runtime, RuntimeConfig
from harness.techniques.registry import CONVERSIONS, Deployment, StepConfig, Transform


@dataclass(frozen=True)
class Stage:
    """One build step with its settings."""

    step: Transform
    config: StepConfig

    def content(self) -> dict[str, Any]:
        """Return as JSON what identifies it, for the address of its Artifact."""
        return {"step": self.step.name, **self.config.content()}


@dataclass(frozen=True)
class Choice:
    """A transform as a suite names it, and the steps that implement it, each for other formats."""

    steps: tuple[Transform, ...]
    config: StepConfig

    @property
    def family(self) -> str:
        """Return the family of the steps."""
        return self.steps[0].family

    @property
    def name(self) -> str:
        """Return the family, and the variant if there are several; not the implementation."""
        return "/".join(part for part in (self.family, self.steps[0].variant) if part)


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
        """Return the families of its steps in order, without the runtime."""
        names = [choice.family for choice in self.transforms]
        return names + ([self.deployment.family] if self.deployment else [])

    @property
    def replicas(self) -> int:
        """Return the number of inference processes."""
        return self.deployment.replicas(self.deployment_config) if self.deployment else 1

    def content(self) -> list[dict[str, Any]]:
        """Return as JSON what identifies it: its steps with the settings that differ from their defaults."""
        return [{**about, **config.content()} for about, config in self._steps()]

    def settings(self) -> list[dict[str, Any]]:
        """Return as JSON its steps with all settings, for readers."""
        return [{**about, **config.model_dump(mode="json")} for about, config in self._steps()]

    def _steps(self) -> Iterator[tuple[dict[str, str], Config]]:
        for choice in self.transforms:
            yield {"step": choice.name}, choice.config
        yield {"runtime": self.runtime.name}, self.runtime_config
        if self.deployment and self.deployment_config:
            yield {"step": self.deployment.family}, self.deployment_config

    def stages(self, format: str) -> list[Stage]:
        """Return all build steps for a model in `format`, with the conversions between them.

        Raises ValueError with the reason when no chain of conversions leads from one step to the next.
        """
        chains, reasons = [], []
        options = [[Stage(step, choice.config) for step in choice.steps] for choice in self.transforms]
        for stages in itertools.product(*options):
            try:
                chains.append(self._chain(format, stages))
            except ValueError as error:
                reasons.append(str(error))
        if not chains:
            raise ValueError("; ".join(dict.fromkeys(reasons)))
        return min(chains, key=self._detours)

    def _chain(self, format: str, stages: tuple[Stage, ...]) -> list[Stage]:
        """Return the stages with the conversions that they need."""
        chain: list[Stage] = []
        for stage in stages:
            chain += [*_convert(format, stage.step.takes, stage.step.name), stage]
            format = stage.step.yields
        chain += _convert(format, self.runtime.takes, f"the runtime {self.runtime.name}")
        for i, stage in enumerate(chain):
            lost = [one.step for one in chain[i:] if one.step.yields not in stage.step.shows_in]
            if stage.step.shows_in and lost:
                raise ValueError(f"{stage.step.name} has no effect: {lost[0].name} does not preserve it")
            if stage.step.needs_fusion and (why := self.runtime.leaves_pairs(self.runtime_config)):
                raise ValueError(
                    f"{stage.step.name} would round values and still multiply in float: "
                    f"it writes quantize and dequantize pairs, and {why}"
                )
        return chain

    def _detours(self, chain: list[Stage]) -> tuple[int, int]:
        """Return the order of chains: fewest conversions first, then transforms close to the runtime."""
        configs = [choice.config for choice in self.transforms]
        return len(chain), -sum(i for i, stage in enumerate(chain) if stage.config in configs)


NO_WAY = ", and no conversion makes that from "


def _convert(format: str, wanted: tuple[str, ...], who: str) -> list[Stage]:
    """Return the shortest chain of conversions from `format` to one of `wanted`."""
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
    raise ValueError(f"{who} takes {' or '.join(wanted)}{NO_WAY}{format}")

"""The seam of scenarios: a Workload's options and the Load that times Blocks, registered in one file.

A scenario's file imports nothing heavy at module level; what it needs from outside is named in `imports`.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import Field

from harness.config import Config
from harness.measure.blocks import Block, Call, calls_for
from harness.measure.clock import Clock
from harness.measure.warmup import Warmth, warm_up, whole
from harness.registry import Registry

Speed = Literal["latency", "throughput", "rate"]
"""What a reader is shown first: a call's latency, items a second, or queries a second within a bound."""


WAKE_NS = 5_000_000
"""Untimed calls before a Block go on for this long. Another worker had the caches, and the cores were idle:
without this the first calls of a Block took 1.6 to 18 times as long as its median, and an arm with few calls
a Block paid more for it than one with many."""
CALLS_A_LANE = 4
"""Calls of each lane in a Block, at least: the end of a Block, where some lanes have nothing left to do,
must be a small part of it."""


class Workload(Config):
    """How inputs arrive. Each scenario adds its own options to these two."""

    scenario: str
    batch: int = Field(default=1, ge=1, le=65_536, description="items a call")

    def speed(self) -> Speed:
        """What stands for speed in this workload."""
        return "latency"

    def conditions(self) -> str:
        """What is measured, in words."""
        return f"{say_samples(self.batch)} a call, one call after the other"

    def sample(self) -> str:
        """What one timed Sample is, in words."""
        return "time of one call"

    def search_s(self) -> float:
        """Seconds of a Trial, at most, that go into finding the load before anything is timed."""
        return 0.0

    def follows_calls(self) -> bool:
        """Whether calls that take a share longer make its figure worse by the same share."""
        return True


@dataclass(frozen=True)
class Seat:
    """What a Load gets in the measuring worker.

    `session` is what is measured and `calls` its bound calls, taken in turn. `block_s` is the aimed length of
    a Block, `cap_s` the longest warm-up. `seed` is the Trial's, the same for all arms. `patience(s)` tells
    the manager that nothing may come for so many seconds.
    """

    session: Any
    calls: Sequence[Call]
    clock: Clock
    block_s: float
    cap_s: float
    seed: tuple[int, ...] = (0,)
    patience: Callable[[float], None] = lambda _seconds: None


class Load(ABC):
    """A workload at work on one Session: warm once, then Block by Block."""

    workload: Any

    def __init__(self, workload: Any, seat: Seat) -> None:
        self.workload, self.seat = workload, seat
        self.count = 1
        self.blocks = 0
        self._turn = 0

    @property
    def samples(self) -> int:
        """Items answered by one Sample."""
        return int(self.workload.batch)

    def warm(self) -> Warmth:
        """Call until steady; settle how many Samples make a Block."""
        warmth = warm_up(self.run, self.seat.block_s, self.seat.cap_s, self.lanes, self.seconds_per_sample)
        self.count = whole(calls_for(self.seat.block_s, warmth.call_s), self.lanes)
        if self.lanes > 1:
            self.count = max(self.count, CALLS_A_LANE * self.lanes)
        return warmth

    @property
    def lanes(self) -> int:
        """Calls that are answered side by side."""
        return 1

    def wake(self) -> None:
        """Make untimed calls, one at least, so that a Block starts with its own caches and awake cores."""
        end_ns = self.seat.clock.now_ns() + WAKE_NS
        for call in cycle(self.seat.calls):
            call()
            if self.seat.clock.now_ns() >= end_ns:
                return

    def take(self, count: int, distinct: int) -> int:
        """Return which of `distinct` calls comes first in a Block of `count`: all get their turn.

        One is passed over from Block to Block, so that Blocks do not all end with the same call.
        """
        start = self._turn
        self._turn = (start + count + 1) % distinct
        return start % distinct

    def block(self) -> Block:
        """Time one Block."""
        return self.run(self.count)

    def next_seed(self) -> tuple[int, ...]:
        """Return the next Block's seed; all arms of a Trial have the same."""
        self.blocks += 1
        return (*self.seat.seed, self.blocks)

    @abstractmethod
    def run(self, count: int) -> Block:
        """Time `count` Samples, each started when the one before is done, or all at once."""

    def seconds_per_sample(self, block: Block) -> float:
        """Return what comparisons take for the Block's speed: the median Sample, by item."""
        return float(np.median(block.calls_ns)) / 1e9 / self.samples

    def statistics(self, _block: Block) -> dict[str, Any]:
        """What stands with the Block that was just timed, ready for JSON."""
        return {}


@dataclass(frozen=True)
class Scenario:
    """A registered scenario. `imports` are modules it needs besides the runtime's, which `extra` brings."""

    name: str
    workload: type[Workload]
    load: type[Load]
    summary: str
    imports: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    extra: str | None = None

    def missing(self) -> str | None:
        """Return why it cannot be used here, or None; imports nothing."""
        for module in self.imports:
            if importlib.util.find_spec(module) is None:
                return f"{module} is not installed: pip install 'accel-harness[{self.extra}]'"
        return None


SCENARIOS: Registry[Scenario] = Registry("scenario", "harness.measure.scenarios", "harness.scenarios")

L = TypeVar("L", bound=Load)


def scenario(
    name: str, workload: type[Workload], *, summary: str, **about: Any
) -> Callable[[type[L]], type[L]]:
    """Register the decorated Load as the scenario `name`; `workload` holds its options."""

    def register(load: type[L]) -> type[L]:
        SCENARIOS.add(name, Scenario(name, workload, load, summary, **about))
        return load

    return register


def say_samples(count: int) -> str:
    """``one item``, ``32 items``."""
    return "one item" if count == 1 else f"{count:,} items"

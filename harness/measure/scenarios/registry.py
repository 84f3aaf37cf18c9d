"""The extension point of scenarios: a Workload's options and the Load that times Blocks.

A scenario's file imports nothing heavy at module level and names the modules that it needs in `imports`.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import Field

from harness.config import Config
from harness.measure.blocks import Block, Call, Wake, at_once, calls_for
from harness.measure.clock import Clock
from harness.measure.warmup import WarmUp, warm_up, whole
from harness.registry import Registry

Speed = Literal["latency", "throughput", "rate"]
"""The main figure: a call's latency, samples a second, or queries a second within a bound."""


WAKE_NS = 5_000_000
"""Duration of the untimed calls before a Block. Before it, another worker used the caches, or cores were
idle. Without them the first calls of a Block took 1.6 to 18 times its median, which cost an arm with few
calls a Block more than one with many."""
LAST_NS = 1_000_000
"""The part of WAKE_NS that comes after the counters were read. Reading them uses the caches, too, so at least
one untimed call stands between that and the first timed call."""
LONG_S = 0.05
"""Duration of a call from which on one call wakes alone, before the counters are read: filling the caches
again after that takes some 0.1 ms, hence at most 0.2 % of the first timed call."""
CALLS_A_LANE = 4
"""Minimum calls of each lane in a Block. At its end some lanes are idle, and that part must stay small."""


class Workload(Config):
    """How inputs arrive. Each scenario adds its own options to these two."""

    scenario: str
    batch: int = Field(default=1, ge=1, le=65_536, description="samples a call")

    def speed(self) -> Speed:
        """Return which figure is the speed of this workload."""
        return "latency"

    def conditions(self) -> str:
        """Describe what is measured."""
        return f"{say_samples(self.batch)} a call, one call after the other"

    def timed_call(self) -> str:
        """Describe one timed call."""
        return "time of one call"

    def search_s(self) -> float:
        """Return the maximum seconds of a Trial that a search for the load takes before anything is timed."""
        return 0.0

    def block_s(self, asked_s: float) -> float:
        """Return the seconds of a Block if `block_time` asks for `asked_s`, as far as known before a call."""
        return asked_s

    def warning(self, _asked_s: float, _timed_s: float) -> str:
        """Return what a dry run must say of Blocks of `asked_s` and `timed_s` in total; empty for nothing."""
        return ""

    def follows_calls(self) -> bool:
        """Whether the main figure changes by the same share as the duration of calls."""
        return True


@dataclass(frozen=True)
class Seat:
    """What a Load gets in the measuring worker.

    `session` is what is measured and `calls` its bound calls, taken in turn. `block_s` is the intended
    duration of a Block, `cap_s` the maximum of warm-up. `seed` is the Trial's, the same for all arms.
    `patience(s)` tells the manager that no message may come for so many seconds. `look` reads counters before
    a Block, as late as possible.
    """

    session: Any
    calls: Sequence[Call]
    clock: Clock
    block_s: float
    cap_s: float
    seed: tuple[int, ...] = (0,)
    patience: Callable[[float], None] = lambda _seconds: None
    look: Wake = at_once


class Load(ABC):
    """Runs a workload on one Session: `warm` once, then `block` for each Block."""

    workload: Any

    def __init__(self, workload: Any, seat: Seat) -> None:
        self.workload, self.seat = workload, seat
        self.count = 1
        self.call_s = 0.0
        self.blocks = 0
        self.awake_ns = 0
        self._next = 0

    @property
    def samples(self) -> int:
        """Samples that one timed call processes."""
        return int(self.workload.batch)

    def warm(self) -> WarmUp:
        """Call until steady, and set how many calls make a Block."""
        warmed = warm_up(self.run, self.seat.block_s, self.seat.cap_s, self.lanes, self.seconds_per_sample)
        self.call_s = warmed.call_s
        self.count = whole(calls_for(self.seat.block_s, self.call_s), self.lanes)
        if self.lanes > 1:
            self.count = max(self.count, CALLS_A_LANE * self.lanes)
        return warmed

    @property
    def lanes(self) -> int:
        """Number of calls that run at the same time."""
        return 1

    def wake(self) -> None:
        """Make untimed calls, so that a Block starts with warm caches and active cores; set `awake_ns`.

        At least one of them comes before the counters are read, else the clock frequency would be that of
        idle cores; and, of calls shorter than LONG_S, at least one after it.
        """
        self._call_for(WAKE_NS - LAST_NS)
        self.seat.look()
        self.awake_ns = self._call_for(LAST_NS) if self.call_s < LONG_S else self.seat.clock.now_ns()

    def _call_for(self, least_ns: int) -> int:
        """Make untimed calls for `least_ns`, at least one; return the time at the end."""
        now = self.seat.clock.now_ns
        end_ns = now() + least_ns
        for call in self.untimed():
            call()
            if (time_ns := now()) >= end_ns:
                break
        return time_ns

    def untimed(self) -> Iterable[Call]:
        """Return the calls that wake, as many as are wanted."""
        return cycle(self.seat.calls)

    def take(self, count: int, distinct: int) -> int:
        """Return the index of the first of `distinct` calls in a Block of `count`.

        Blocks continue where the last one ended and skip one call, so that they do not all end with the same.
        """
        start = self._next
        self._next = (start + count + 1) % distinct
        return start % distinct

    def block(self) -> Block:
        """Time one Block; `wake` comes right before it, once all else is prepared."""
        return self.run(self.count, self.wake)

    def next_seed(self) -> tuple[int, ...]:
        """Return the next Block's seed, which is the same for all arms of a Trial."""
        self.blocks += 1
        return (*self.seat.seed, self.blocks)

    @abstractmethod
    def run(self, count: int, wake: Wake = at_once) -> Block:
        """Time `count` calls, one after the other or all at once."""

    def seconds_per_sample(self, block: Block) -> float:
        """Return the statistic that comparisons use for a Block: the median call's seconds per sample."""
        return float(np.median(block.calls_ns)) / 1e9 / self.samples

    def statistics(self, _block: Block) -> dict[str, Any]:
        """Return figures that are stored with the Block that was just timed, ready for JSON."""
        return {}


@dataclass(frozen=True)
class Scenario:
    """A registered scenario. `imports` are modules that it needs itself; `extra` installs them."""

    name: str
    workload: type[Workload]
    load: type[Load]
    summary: str
    imports: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    extra: str | None = None

    def missing(self) -> str | None:
        """Return why it cannot be used here, or None. Imports nothing."""
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
    """Return ``one sample``, ``32 samples``."""
    return "one sample" if count == 1 else f"{count:,} samples"

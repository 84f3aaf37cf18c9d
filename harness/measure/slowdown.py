"""A known slow-down, injected: what `harness noise` finds, or fails to find, again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.measure.blocks import Call
from harness.measure.clock import Clock


def slow_down(calls: Sequence[Call], wait_ns: int, clock: Clock) -> list[Call]:
    """Return `calls`, each followed by a busy-wait of `wait_ns` nanoseconds that is part of the call.

    Busy, since a sleep would let the core idle and what comes after it start slower. The wrapping itself
    takes some 0.2 µs more.
    """
    return [_slowed(call, wait_ns, clock) for call in calls]


def _slowed(call: Call, wait_ns: int, clock: Clock) -> Call:
    now = clock.now_ns

    def slowed() -> Any:
        answer = call()
        end = now() + wait_ns
        while now() < end:
            pass
        return answer

    return slowed

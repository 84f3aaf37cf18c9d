"""How every peak is measured: the fastest of several runs, and what disturbed them."""

from __future__ import annotations

from collections.abc import Callable

from harness.measure.clock import Clock, elapsed_ns
from harness.measure.evidence import Evidence
from harness.measure.probe import Probe
from harness.measure.rules import foreign_s, per_core, per_thread, worst_wait

MIN_RUNS = 3
DISTURBED_SHARE = 0.1
"""Share of the cores' time lost to others from which on a peak counts as disturbed. A smaller share does
not lower the best of many short runs, because it would have to affect all of them. Rules for Blocks
(measure/grading.py) are ten times as strict, since there every call counts."""
_CAUSES: tuple[tuple[str, Callable[[Evidence], float | None]], ...] = (
    ("the hypervisor took the cores away", lambda e: per_core(e.steal_s, e)),
    ("the cgroup's CPU quota stopped the process", lambda e: per_thread(e.throttled_s, e)),
    ("threads that were ready to run waited for a core", lambda e: per_thread(e.run_delay_s, e)),
    ("one thread waited for a core, and the others for it", worst_wait),
    ("other processes used its cores", lambda e: per_core(foreign_s(e), e)),
)


def best_s(
    run: Callable[[], object], seconds: float, clock: Clock, before: Callable[[], object] = lambda: None
) -> tuple[float, int]:
    """Return the duration of the fastest run, and the number of runs: for `seconds`, at least three.

    `before` is called before each run and is not timed.
    """
    run()
    begin, best_ns, runs = clock.now_ns(), 0, 0
    while runs < MIN_RUNS or (clock.now_ns() - begin) / 1e9 < seconds:
        before()
        start = clock.now_ns()
        run()
        took_ns = max(1, elapsed_ns(start, clock.now_ns()))
        best_ns = min(best_ns or took_ns, took_ns)
        runs += 1
    return best_ns / 1e9, runs


class Watch:
    """Records what disturbs this process from the time of its creation."""

    def __init__(self) -> None:
        self._probe = Probe()
        self._before = self._probe.read()

    def disturbance(self) -> str:
        """Return what has disturbed the process; empty for nothing."""
        return "; ".join(disturbances(self._probe.between(self._before, self._probe.read())))


def disturbances(evidence: Evidence) -> list[str]:
    """Return what took more than DISTURBED_SHARE of the time, as a mean or for one thread."""
    found = [text for text, share in _CAUSES if (share(evidence) or 0.0) > DISTURBED_SHARE]
    return [f"{text} for more than {DISTURBED_SHARE * 100:.0f} % of the time" for text in found]

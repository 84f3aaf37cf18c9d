"""repeated-input: an input that was answered before must cost as much as one that was never seen.

Blocks repeat a few batches, so a Session that looks answers up instead of working them out would win. Calls
as the Blocks made them are timed in pairs with calls on new inputs, and the pairs are counted (sign test),
so that no stall of the machine decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from harness.measure.clock import elapsed_ns
from harness.runner.workers.audits.registry import Audit, Call, Finding, Inputs, Subject, audit, verdict

LIMIT, LIMIT_NS = 2.0, 3_000
"""A pair counts when the new input took more than LIMIT times the repeated one and LIMIT_NS longer, which a
call that was just bound may take by itself. So a look-up that costs half as much as the work passes."""
FEWEST_PAIRS, MAX_PAIRS = 9, 32
BUDGET_S, MAX_S = 0.5, 30.0
"""Pairs are taken for BUDGET_S within these bounds; where the fewest take longer than MAX_S, none count."""
ALPHA = 0.02
"""Suspicious when so many pairs count, were it a matter of tossing a coin for each, has at most this
probability. Of an honest Session next to none count; where the machine is so disturbed that it is like
tossing a coin, a second series must say the same, so that at most one in 2,500 of such is accused."""
DRAWS = 16
"""Draws in search of a batch that was never seen; small sets of single items may hold none."""


@audit
class RepeatedInput(Audit):
    """Times pairs of calls after the last Block."""

    name = "repeated-input"

    def __init__(self) -> None:
        self._fresh: list[int] = []
        self._repeated: list[int] = []
        self._confirmed = False

    def probe(self, subject: Subject) -> None:
        """Time a series of pairs, and a second one where the first is suspicious."""
        rng = np.random.default_rng(0)
        known = {_content(batch) for batch in subject.seen}
        self._series(subject, known, rng)
        if len(self._fresh) >= FEWEST_PAIRS and is_looked_up(self._fresh, self._repeated):
            first, self._fresh, self._repeated = (self._fresh, self._repeated), [], []
            self._series(subject, known, rng)
            enough = len(self._fresh) >= FEWEST_PAIRS
            self._confirmed = enough and is_looked_up(self._fresh, self._repeated)
            self._fresh, self._repeated = first[0] + self._fresh, first[1] + self._repeated

    def _series(self, subject: Subject, known: set[int], rng: np.random.Generator) -> None:
        """Time pairs, each in random order, as long as there are inputs that were never seen."""
        now = subject.clock.now_ns
        begun = now()
        while len(self._fresh) < MAX_PAIRS:
            enough = len(self._fresh) >= FEWEST_PAIRS
            if now() - begun > (BUDGET_S if enough else MAX_S) * 1e9:
                return
            batch = _unseen(subject, known, rng)
            if batch is None:
                return
            subject.beat()
            pair = [subject.bind(batch), subject.calls[len(self._fresh) % len(subject.calls)]]
            subject.calls[0]()  # what binding left in the caches shall disturb neither
            took = [0, 0]
            for which in rng.permutation(2):
                took[which] = _time(pair[which], subject)
            self._fresh.append(took[0])
            self._repeated.append(took[1])

    def finding(self) -> Finding:
        """Say whether repeated inputs were answered as slowly as new ones."""
        if len(self._fresh) < FEWEST_PAIRS:
            return verdict(self.name, 0, ())
        fresh, repeated = float(np.median(self._fresh)), float(np.median(self._repeated))
        ratio = fresh / max(repeated, 1.0)
        faults = []
        if self._confirmed:
            times = f"{repeated / 1e3:,.1f} µs for a repeated input, {fresh / 1e3:,.1f} µs for a new one"
            faults = [f"answers look cached: {times}"]
        return verdict(self.name, len(self._fresh), faults, ratio=ratio)


def is_looked_up(fresh_ns: Iterable[int], repeated_ns: Iterable[int]) -> bool:
    """Whether new inputs took longer than repeated ones, pair by pair, beyond what chance and noise do."""
    pairs = list(zip(fresh_ns, repeated_ns, strict=True))
    count = sum(new > max(LIMIT * old, old + LIMIT_NS) for new, old in pairs)
    tail: float = sum(math.comb(len(pairs), k) for k in range(count, len(pairs) + 1)) / 2.0 ** len(pairs)
    return tail <= ALPHA


def _unseen(subject: Subject, known: set[int], rng: np.random.Generator) -> Inputs | None:
    """Draw a batch that was not answered before, and remember it."""
    for _ in range(DRAWS):
        batch = subject.draw(rng)
        content = _content(batch)
        if content not in known:
            known.add(content)
            return batch
    return None


def _content(batch: Inputs) -> int:
    return hash(b"".join(array.tobytes() for array in batch))


def _time(call: Call, subject: Subject) -> int:
    now = subject.clock.now_ns
    before = now()
    call()
    return elapsed_ns(before, now())

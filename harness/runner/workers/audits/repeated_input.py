"""repeated-input: a call on a repeated input must take as long as a call on a new one.

Blocks repeat a few batches, so a Session that caches its outputs would look fast. Calls on those batches are
timed in pairs with calls on new inputs. A sign test on the pairs decides, so that a stall of the machine does
not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from harness.measure.clock import elapsed_ns
from harness.runner.workers.audits.registry import Audit, Call, Finding, Inputs, Subject, audit, verdict

LIMIT, LIMIT_NS = 2.0, 3_000
"""A pair counts when the new input took more than LIMIT times the repeated one and LIMIT_NS longer; a call
that was just bound may take LIMIT_NS longer. So a cache that saves half of the time passes."""
MIN_PAIRS, MAX_PAIRS = 9, 32
BUDGET_S, MAX_S = 0.5, 30.0
"""Pairs are timed for BUDGET_S within these bounds; where MIN_PAIRS take longer than MAX_S, none count."""
ALPHA = 0.02
"""So many pairs are suspicious if their probability is at most this where each counts with probability 1/2.
Without a cache almost none count. On a machine so disturbed that each pair is a coin toss, a second series
must be suspicious too, so that at most one in 2,500 such Sessions fails."""
DRAWS = 16
"""Draws in search of a batch that was never seen; a small dataset at batch 1 may have none left."""


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
        if len(self._fresh) >= MIN_PAIRS and is_cached(self._fresh, self._repeated):
            first, self._fresh, self._repeated = (self._fresh, self._repeated), [], []
            self._series(subject, known, rng)
            enough = len(self._fresh) >= MIN_PAIRS
            self._confirmed = enough and is_cached(self._fresh, self._repeated)
            self._fresh, self._repeated = first[0] + self._fresh, first[1] + self._repeated

    def _series(self, subject: Subject, known: set[int], rng: np.random.Generator) -> None:
        """Time pairs, each in random order, as long as there are new inputs."""
        now = subject.clock.now_ns
        begun = now()
        while len(self._fresh) < MAX_PAIRS:
            enough = len(self._fresh) >= MIN_PAIRS
            if now() - begun > (BUDGET_S if enough else MAX_S) * 1e9:
                return
            batch = _unseen(subject, known, rng)
            if batch is None:
                return
            subject.beat()
            pair = [subject.bind(batch), subject.calls[len(self._fresh) % len(subject.calls)]]
            subject.calls[0]()  # so that the caches are the same for both after binding
            took = [0, 0]
            for which in rng.permutation(2):
                took[which] = _time(pair[which], subject)
            self._fresh.append(took[0])
            self._repeated.append(took[1])

    def finding(self) -> Finding:
        """Return whether repeated inputs took as long as new ones."""
        if len(self._fresh) < MIN_PAIRS:
            return verdict(self.name, 0, ())
        fresh, repeated = float(np.median(self._fresh)), float(np.median(self._repeated))
        ratio = fresh / max(repeated, 1.0)
        faults = []
        if self._confirmed:
            times = f"{repeated / 1e3:,.1f} µs for a repeated input, {fresh / 1e3:,.1f} µs for a new one"
            faults = [f"outputs look cached: {times}"]
        return verdict(self.name, len(self._fresh), faults, ratio=ratio)


def is_cached(fresh_ns: Iterable[int], repeated_ns: Iterable[int]) -> bool:
    """Return whether new inputs took longer than repeated ones in more pairs than chance explains."""
    pairs = list(zip(fresh_ns, repeated_ns, strict=True))
    count = sum(new > max(LIMIT * old, old + LIMIT_NS) for new, old in pairs)
    tail: float = sum(math.comb(len(pairs), k) for k in range(count, len(pairs) + 1)) / 2.0 ** len(pairs)
    return tail <= ALPHA


def _unseen(subject: Subject, known: set[int], rng: np.random.Generator) -> Inputs | None:
    """Draw a batch that was not seen before, and remember it."""
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

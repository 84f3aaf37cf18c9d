"""In which order the workers of a Trial start: random, and each of two arms comes first equally often.

Of two arms, the one that was first more often so far now starts later. If a Trial is repeated with the same
arms, the second starts them in the reverse order of the first. Other arms may take part in between (parts) or
no longer take part: only Trials that two arms share count for them.

These demands are met, and the counts of two arms then differ by at most 1, unless they form a circle (a
before b, b before c, c before a). That takes arms that are divided into parts anew. The largest imbalance
then counts most, and later Trials restore the balance.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.runner.experiment.trial import Key


def start_order(keys: Sequence[Key], before: Collection[Sequence[Key]], rng: random.Random) -> list[Key]:
    """Return the arms `keys` in the order in which they start; `before` are the orders of earlier Trials."""
    left = rng.sample(keys, len(keys))
    early = np.maximum(_leads(left, before), 0) ** 2 * _weights(left, len(before))
    places = list(range(len(left)))
    order = []
    while places:
        cost = early[np.ix_(places, places)].sum(axis=1)
        order.append(left[places.pop(int(cost.argmin()))])
    return order


def _leads(keys: Sequence[Key], before: Collection[Sequence[Key]]) -> NDArray[np.int64]:
    """Return how much more often an arm (row) started before another (column) than after it."""
    leads = np.zeros((len(keys), len(keys)), np.int64)
    for order in before:
        place = {key: number for number, key in enumerate(order)}
        known = [number for number, key in enumerate(keys) if key in place]
        mine = np.array([place[keys[number]] for number in known], np.int64)
        leads[np.ix_(known, known)] += np.sign(mine[None, :] - mine[:, None])
    return leads


def _weights(keys: Sequence[Key], trials: int) -> NDArray[np.int64]:
    """Return what an imbalance of two arms counts: next to nothing for the control and a subject.

    These two are compared with the baseline, but never with each other.
    """
    control = np.array([role == "control" for _, role in keys])
    baseline = np.array([role == "baseline" for _, role in keys])
    apart = control[:, None] & ~baseline[None, :]
    return np.where(apart | apart.T, 1, len(keys) * (trials + 1) ** 2)

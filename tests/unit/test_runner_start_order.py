"""Start orders: of two arms that are compared, each starts first equally often, whoever takes part."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import pytest

from harness.runner.experiment.start_order import start_order
from harness.runner.experiment.trial import Key

BASE: Key = ("base", "baseline")
CONTROL: Key = ("base", "control")


def subjects(*names: str) -> list[Key]:
    return [(name, "subject") for name in names]


class Orders:
    """The start orders of a sitting so far."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.made: list[list[Key]] = []

    def trial(self, *keys: Key) -> list[Key]:
        self.made.append(start_order(keys, self.made, self.rng))
        assert sorted(self.made[-1]) == sorted(keys)
        return self.made[-1]

    def lead(self, a: Key, b: Key) -> int:
        """How much more often `a` started before `b`."""
        both = [order for order in self.made if a in order and b in order]
        return sum(1 if order.index(a) < order.index(b) else -1 for order in both)

    def largest_leads(self) -> tuple[int, int]:
        """The largest imbalance of two arms that are compared, and of the control and a subject."""
        keys = sorted({key for order in self.made for key in order})
        apart = {frozenset((CONTROL, key)) for key in keys if key[1] == "subject"}
        leads = {frozenset(pair): abs(self.lead(*pair)) for pair in combinations(keys, 2)}
        compared = max(lead for pair, lead in leads.items() if pair not in apart)
        return compared, max(leads[pair] for pair in apart)


def test_the_same_arms_start_in_the_reverse_order_in_every_other_trial() -> None:
    orders = Orders()
    keys = [BASE, CONTROL, *subjects("a", "b", "c", "d")]
    made = [orders.trial(*keys) for _ in range(8)]
    assert all(second == first[::-1] for first, second in zip(made[::2], made[1::2], strict=True))
    assert all(third != second for second, third in pairwise(made[::2]))


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("leaver", [None, "a0", "b0"])
@pytest.mark.parametrize("seed", range(10))
def test_each_starts_first_equally_often_in_parts_and_after_one_dropped_out(
    parts: int, leaver: str | None, seed: int
) -> None:
    orders = Orders(seed)
    groups = [subjects(f"a{part}", f"b{part}", f"c{part}") for part in range(parts)]
    for number in range(15):
        for group in groups:
            orders.trial(BASE, CONTROL, *(key for key in group if number == 0 or key[0] != leaver))
            compared, apart = orders.largest_leads()
            assert compared <= 1
            assert apart <= 2


@pytest.mark.parametrize("seed", range(10))
def test_a_whole_part_that_ends_leaves_the_others_balanced(seed: int) -> None:
    orders = Orders(seed)
    for part in ("abc", "def", "ghi", *["def", "ghi"] * 6):
        orders.trial(BASE, CONTROL, *subjects(*part))
        assert orders.largest_leads()[0] <= 1


@pytest.mark.parametrize("seed", range(10))
def test_arms_that_are_divided_anew_before_each_trial_stay_nearly_balanced(seed: int) -> None:
    orders = Orders(seed)
    for number in range(20):
        names = random.Random(f"{seed}/{number}").sample("abcdef", 6)
        for part in (names[:3], names[3:]):
            orders.trial(BASE, CONTROL, *subjects(*part))
            assert orders.largest_leads()[0] <= 3


def test_an_order_is_random_where_nothing_was_measured() -> None:
    first = {Orders(seed).trial(BASE, CONTROL, *subjects("a"))[0] for seed in range(40)}
    assert first == {BASE, CONTROL, *subjects("a")}

"""A stopping rule that ends arms which certainly lose, so that the others get their time."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from harness.runner.experiment.measurements import Measurements
from harness.runner.experiment.stopping_rule import NOT_NEEDED, Decision, Stop, StoppingRule, companions_of
from harness.runner.experiment.trial import Key
from harness.stats.planning import MIN_TRIALS
from harness.stats.ratio import Ratio

CONFIDENCE = 0.99
"""Of the interval that must show the loss. It is looked at after each Trial and for each pair of arms."""


@dataclass(frozen=True)
class Contenders:
    """Arms by id. `rivals` may win by their speed, since their quality holds: id and name.

    `kept` may win by something else than speed, such as their size; they are never stopped here.
    """

    rivals: Mapping[str, str]
    kept: Collection[str] = ()


@dataclass(frozen=True)
class WithoutLosers:
    """Stop an arm that is slower than one which may win, as far as `CONFIDENCE` goes, after MIN_TRIALS.

    An arm that is faster, but whose quality does not hold, stops nobody. `contenders` is asked only if an arm
    is that slow, because its answer takes a look at the whole Run.
    """

    rule: StoppingRule
    contenders: Callable[[], Contenders]

    def decide(
        self, history: Measurements, keys: Sequence[Key], baseline: Key | None, done: Collection[Key] = ()
    ) -> Decision:
        """Decide as the rule does, and stop those that certainly lose."""
        decision = self.rule.decide(history, keys, baseline, done)
        beside = companions_of(keys, baseline)
        subjects = [key for key in decision.allotments if key not in beside]
        faster = {key: _faster(history, keys, key) for key in subjects}
        if not any(faster.values()):
            return decision
        found = self.contenders()
        stops = [
            Stop(key, f"certainly slower than {found.rivals[rival[0]]}")
            for key in subjects
            if key[0] not in found.kept
            and (rival := next((one for one in faster[key] if one[0] in found.rivals), None))
        ]
        return without(decision, stops, beside, history)


def without(
    decision: Decision, stops: Sequence[Stop], beside: Collection[Key], history: Measurements
) -> Decision:
    """Return a Decision that also stops these arms; the companions `beside` stop with the last of them."""
    lost = {stop.key for stop in stops}
    left = {key: allotment for key, allotment in decision.allotments.items() if key not in lost}
    if all(key in beside for key in left):
        ends = (Stop(key, NOT_NEEDED) for key in left)
        return Decision(stops=(*decision.stops, *stops, *ends), trials=history.finished)
    return replace(decision, allotments=left, stops=(*decision.stops, *stops))


def _faster(history: Measurements, keys: Sequence[Key], key: Key) -> list[Key]:
    """Return the arms, no control among them, that are certainly faster than `key`."""
    others = (one for one in keys if one != key and one[1] != "control")
    return [one for one in others if _certain(history.interleaved_ratio(key, one))]


def _certain(ratio: Ratio | None) -> bool:
    """Whether the interval of a ratio lies above 1 with `CONFIDENCE`."""
    if ratio is None or ratio.trials < MIN_TRIALS or ratio.df <= 0 or not math.isfinite(ratio.log_se):
        return False
    return math.log(ratio.estimate) > _quantile(ratio.df) * ratio.log_se


@lru_cache(maxsize=256)
def _quantile(df: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.5 + CONFIDENCE / 2))

"""How many Trials and Blocks to measure, and when to stop (after Kalibera & Jones 2013)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harness.errors import HarnessError
from harness.stats import checks
from harness.stats.checks import Values
from harness.stats.location import located
from harness.stats.ratio import Ratio

MIN_TRIALS = 3
"""With 2 Trials Student's t is 12.7 standard errors wide, and still too narrow for Trials with two modes."""
WANTED_TRIALS = 5
"""Number of Trials from which on a narrow interval may end the measuring: see `stop`."""
MAX_TRIALS = 50
PILOT_BLOCKS = 10
"""Blocks of each arm in a pilot Trial, if there is time for them."""
MIN_ROUNDS = 2
"""Blocks that each arm gets in a Trial, however long one Block takes."""
MIN_BLOCKS = 5
MAX_BLOCKS = 1000
ASSUMED_BETWEEN = 0.01
"""Relative spread between Trials that is assumed for a pilot of one Trial (0.5-1 % was seen)."""


@dataclass(frozen=True)
class Spread:
    """Variances of the logarithm between Trials, and of a Block within its Trial; 1e-4 is 1 % of spread."""

    between: float
    within: float
    assumed: bool

    def standard_error(self, trials: int, blocks: int) -> float:
        """Return the standard error of the mean log over trials x blocks."""
        return math.sqrt((self.between + self.within / blocks) / trials)


@dataclass(frozen=True)
class Budget:
    """What to measure: Trials, Blocks in each, expected relative half-width, expected seconds, reason."""

    trials: int
    blocks: int
    expected_halfwidth: float
    expected_s: float
    reason: str


class StopReason(StrEnum):
    """Why measuring ended."""

    TARGET_CI = "target_ci reached"
    MAX_TIME = "max_time reached"


def spread(pilot: Sequence[Values]) -> Spread:
    """Return the variances between and within Trials of a pilot.

    `pilot`: per Trial a 1-D array of positive Block statistics. Within: the median over Trials of the
    variance per Block of the median (`location.located`). Between: the variance of the Trials' locations less
    what the Blocks explain, not below 0 (Kalibera & Jones 2013, 6.2). Raises HarnessError for no Trials,
    empty ones, NaN, values <= 0, or no Trial with at least 2 Blocks.
    """
    places = [located(np.log(blocks)) for blocks in checks.trials(pilot, "pilot")]
    known = [place for place in places if math.isfinite(place.variance)]
    if not known:
        raise HarnessError("the pilot has one Block a Trial; the spread within a Trial needs at least 2.")
    within = float(np.median([place.variance * place.n for place in known]))
    if len(places) == 1:
        return Spread(between=ASSUMED_BETWEEN**2, within=within, assumed=True)
    explained = within * float(np.mean([1 / place.n for place in places]))
    observed = float(np.var([place.value for place in places], ddof=1))
    return Spread(between=max(0.0, observed - explained), within=within, assumed=False)


def plan(
    pilot: Sequence[Values],
    start_s: float,
    block_s: float,
    target_ci: float,
    max_time_s: float,
    confidence: float = 0.95,
    max_timed_s: float = math.inf,
) -> Budget:
    """Return the cheapest numbers of Trials and Blocks whose interval should be no wider than +- target_ci.

    `pilot`: per Trial the Block statistics of one arm, or `ratio.paired_ratios` where a ratio is planned
    (then `start_s` and `block_s` are the costs of both arms together). A Trial costs `start_s` (process,
    load, warm-up) plus `block_s` a Block. For R Trials of B Blocks the half-width is t(R-1) sqrt((between +
    within / B) / R). For each R >= 5 the smallest sufficient B is computed, and the cheapest pair is taken.
    For many Trials B tends to Kalibera and Jones' sqrt(start_s / block_s * within / between); here t is exact
    for few Trials too. If nothing within `max_time_s` suffices, the plan is the pair (R >= 3) with the
    narrowest interval that fits; if nothing fits, the most Trials of few Blocks that do, at least one.
    `max_time_s` limits starts and Blocks together, `max_timed_s` the Blocks alone. A pilot estimates its
    variances badly, so plan again after each Trial. Raises HarnessError for a bad pilot, for target_ci,
    block_s, max_time_s or max_timed_s <= 0, and for start_s < 0.
    """
    for value, what in ((target_ci, "target_ci"), (block_s, "block_s"), (max_time_s, "max_time_s")):
        checks.above_zero(value, what)
    if not (math.isfinite(start_s) and start_s >= 0):
        raise HarnessError(f"start_s must be 0 or more seconds, got {start_s}.")
    checks.above_zero(max_timed_s if math.isfinite(max_timed_s) else 1.0, "max_timed_s")
    quantiles = _t_quantiles(checks.fraction(confidence, "a confidence"))
    terms = _Terms(spread(pilot), quantiles, start_s, block_s, max_time_s, max_timed_s)
    note = "; one pilot Trial, so 1 % spread between Trials is assumed" if terms.seen.assumed else ""
    if pair := _cheapest(terms, target_ci):
        return terms.budget(*pair, f"the cheapest plan that reaches +-{target_ci:.2%}{note}")
    if pair := _narrowest(terms):
        reason = (
            f"max_time {max_time_s:g} s does not reach +-{target_ci:.2%}; the narrowest plan that fits{note}"
        )
        return terms.budget(*pair, reason)
    trials = next((n for n in range(MIN_TRIALS, 1, -1) if terms.room(n) >= 1), 1)
    blocks = max(1, min(MIN_BLOCKS, terms.room(trials)))
    reason = f"max_time {max_time_s:g} s is too short for {MIN_TRIALS} Trials of {MIN_BLOCKS} Blocks{note}"
    return terms.budget(trials, blocks, reason)


def stop(
    ratio: Ratio, target_ci: float, elapsed_s: float, max_time_s: float, min_trials: int = WANTED_TRIALS
) -> StopReason | None:
    """Return the reason to stop measuring now, or None to continue.

    TARGET_CI: the interval's relative half-width is at most `target_ci`, after at least `min_trials`.
    MAX_TIME: no time is left. A rule that looks after each Trial and stops at the first narrow interval
    favors intervals that are narrow by luck: in simulations a nominal 95 % interval then covers 90-95 % when
    looking starts at 3 Trials, and 92.6-95 % when it starts at 5 (lowest where about 12 Trials are needed).
    So start to look at the planned number. Raises HarnessError for target_ci or max_time <= 0.
    """
    checks.above_zero(target_ci, "target_ci")
    checks.above_zero(max_time_s, "max_time_s")
    if ratio.trials >= min_trials and ratio.halfwidth <= target_ci:
        return StopReason.TARGET_CI
    return StopReason.MAX_TIME if elapsed_s >= max_time_s else None


def samples_needed(samples: int, estimate: float, high: float, limit: float) -> int | None:
    """Return how many samples put the upper end of an interval at `limit`, if the estimate stays as it is.

    `high` is the upper end that `samples` gave. The distance between both shrinks with the square root of the
    number of samples. None: the estimate is not below the limit, so no number would do, or `high` is unknown.
    """
    if not (estimate < limit and math.isfinite(high) and high > estimate):
        return None
    return max(samples, math.ceil(samples * ((high - estimate) / (limit - estimate)) ** 2))


def _t_quantiles(confidence: float) -> list[float]:
    """Two-sided t quantiles by number of Trials; infinite for 0 and 1."""
    from scipy.special import stdtrit

    quantiles = stdtrit(np.arange(1, MAX_TRIALS), 0.5 + confidence / 2)
    return [math.inf, math.inf, *(float(value) for value in quantiles)]


@dataclass(frozen=True)
class _Terms:
    """What a plan is computed from: the pilot's spread, t by number of Trials, and the costs in seconds."""

    seen: Spread
    quantiles: list[float]
    start_s: float
    block_s: float
    max_time_s: float
    max_timed_s: float

    def room(self, trials: int) -> int:
        """Return the number of Blocks that fit into each of `trials` Trials; below 1 where none does."""
        timed_s = min(self.max_time_s - trials * self.start_s, self.max_timed_s)
        return min(MAX_BLOCKS, math.floor(timed_s / trials / self.block_s * (1 + 1e-9)))

    def cost_s(self, trials: int, blocks: int) -> float:
        return trials * (self.start_s + blocks * self.block_s)

    def halfwidth(self, trials: int, blocks: int) -> float:
        """Return the expected half-width on the log scale."""
        return self.quantiles[trials] * self.seen.standard_error(trials, blocks) if trials > 1 else math.inf

    def budget(self, trials: int, blocks: int, reason: str) -> Budget:
        half = self.halfwidth(trials, blocks)
        relative = math.expm1(half) if half < 700 else math.inf
        return Budget(trials, blocks, relative, self.cost_s(trials, blocks), reason)


def _cheapest(terms: _Terms, target_ci: float) -> tuple[int, int] | None:
    """Find the fewest Blocks that reach `target_ci` for each number of Trials; return the cheapest pair."""
    best, best_s = None, math.inf
    for trials in range(WANTED_TRIALS, MAX_TRIALS + 1):
        room = trials * (math.log1p(target_ci) / terms.quantiles[trials]) ** 2 - terms.seen.between
        if room <= 0:
            continue
        blocks = max(MIN_BLOCKS, math.ceil(terms.seen.within / room))
        cost = terms.cost_s(trials, blocks)
        if blocks <= terms.room(trials) and cost < best_s:
            best, best_s = (trials, blocks), cost
    return best


def _narrowest(terms: _Terms) -> tuple[int, int] | None:
    """Find the most Blocks that fit for each number of Trials; return the narrowest pair."""
    best, best_half = None, math.inf
    for trials in range(MIN_TRIALS, MAX_TRIALS + 1):
        blocks = terms.room(trials)
        if blocks < MIN_BLOCKS:
            break
        half = terms.halfwidth(trials, blocks)
        if half < best_half:
            best, best_half = (trials, blocks), half
    return best

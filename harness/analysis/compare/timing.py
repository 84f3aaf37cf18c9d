"""The Blocks of a Run for statistics: by arm and Trial, in seconds per sample; and ratios of arms.

Each Block records its speed in seconds per sample. For Blocks of older Runs it is computed here: the median
call for a single stream, the Block's time over its samples for offline work.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.stats.planning import PILOT_BLOCKS
from harness.stats.ratio import Ratio, speedup, unpaired_ratio
from harness.stats.verdict import floor_magnitude

TRUNCATED = 0.25
"""A Trial is not compared if it has fewer Blocks than this share of the usual number, and than a pilot."""

Floats = NDArray[np.float64]
Timings = dict[tuple[str, str], "Timing"]
"""By (cell_id, arm)."""
TrialKey = tuple[str, int]
"""A Trial: the key of its sitting, and its number there. Other sittings have Trials of the same numbers."""


@dataclass
class Timing:
    """One arm's Blocks: by Trial, seconds per sample and the Blocks' rounds."""

    seconds: dict[TrialKey, Floats] = field(default_factory=dict)
    rounds: dict[TrialKey, NDArray[np.int64]] = field(default_factory=dict)

    def of(self, trials: Collection[TrialKey]) -> Timing:
        """Return the Trials that are among `trials`."""
        kept = [trial for trial in self.seconds if trial in trials]
        return Timing({t: self.seconds[t] for t in kept}, {t: self.rounds[t] for t in kept})

    def median(self) -> float | None:
        """Return the geometric mean over Trials of the median over their Blocks, seconds per sample."""
        logs = [np.median(np.log(part)) for part in self.seconds.values()]
        return float(np.exp(np.mean(logs))) if logs else None


def timings(blocks: pd.DataFrame, scenarios: dict[str, str]) -> Timings:
    """Arrange Blocks by arm and Trial; Blocks without a positive, finite time are left out."""
    known = blocks[blocks["cell_id"].isin(list(scenarios))].copy()
    offline = known["cell_id"].map(scenarios).eq("offline").to_numpy()
    per_call = known["samples"] / known["calls"].where(known["calls"] > 0)
    computed = np.where(offline, known["duration_s"] / known["samples"], known["median_s"] / per_call)
    said = pd.to_numeric(known["seconds_per_sample"]) if "seconds_per_sample" in known else np.nan
    known["seconds"] = np.where(pd.isna(said), computed, said)
    known = known[np.isfinite(known["seconds"]) & (known["seconds"] > 0)]
    known["sitting"] = known["sitting"].fillna("") if "sitting" in known else ""
    names = ["cell_id", "arm", "sitting", "trial"]
    known = known.drop_duplicates([*names, "round"])
    arms: Timings = {}
    for (cell_id, arm, sitting, trial), part in known.groupby(names, sort=True):
        timing = arms.setdefault((str(cell_id), str(arm)), Timing())
        key = str(sitting), int(trial)
        timing.seconds[key] = part["seconds"].to_numpy(dtype=np.float64)
        timing.rounds[key] = part["round"].to_numpy(dtype=np.int64)
    for timing in arms.values():
        _leave_out_truncated(timing)
    return arms


def _leave_out_truncated(timing: Timing) -> None:
    """Drop truncated Trials, which ended early (a dead worker, Ctrl-C) with far fewer Blocks than others.

    Every Trial has the same weight, so a truncated one would count as much as a whole one. As many Blocks as
    in a pilot Trial are enough: later Trials may be planned to be several times as long. The others are those
    of the same sitting.
    """
    sizes = {trial: part.size for trial, part in timing.seconds.items()}
    for sitting in {trial[0] for trial in sizes}:
        mine = {trial: size for trial, size in sizes.items() if trial[0] == sitting}
        enough = min(TRUNCATED * float(np.median(list(mine.values()))), PILOT_BLOCKS)
        for trial in [trial for trial, size in mine.items() if size < enough]:
            del timing.seconds[trial], timing.rounds[trial]


def interleaved(baseline: Timing, candidate: Timing) -> tuple[Timing, Timing]:
    """Return both arms, reduced to the Trials in which they share a round, in order: these may be paired."""
    common = [
        trial
        for trial in sorted(baseline.seconds.keys() & candidate.seconds.keys())
        if np.intersect1d(baseline.rounds[trial], candidate.rounds[trial]).size
    ]
    first, second = (
        Timing({t: arm.seconds[t] for t in common}, {t: arm.rounds[t] for t in common})
        for arm in (baseline, candidate)
    )
    return first, second


def ratio_of(baseline: Timing | None, candidate: Timing | None) -> Ratio | None:
    """Return the speed-up of `candidate` from the interleaved Trials of both arms; unpaired without any."""
    if baseline is None or candidate is None or not baseline.seconds or not candidate.seconds:
        return None
    pair = interleaved(baseline, candidate)
    paired = bool(pair[0].seconds)
    left, right = (list(arm.seconds.values()) for arm in (pair if paired else (baseline, candidate)))
    rounds = list(pair[0].rounds.values()), list(pair[1].rounds.values())
    try:
        return speedup(left, right, rounds=rounds) if paired else unpaired_ratio(left, right)
    except HarnessError:  # times without a ratio, such as zero
        return None


def noise_floor(baseline: Timing | None, control: Timing | None, candidate: Timing | None) -> Ratio | None:
    """Return what identical code showed while `candidate` was measured: the ratio of the control.

    The control's ratio is taken over all Trials and over the candidate's Trials; the larger one counts. An
    arm ends when its own interval is narrow, sometimes by luck. With the floor of all Trials only, identical
    code was called different in 1.2 of 100 simulated comparisons; with this rule in 0.8.
    """
    whole = ratio_of(baseline, control)
    if baseline is None or control is None or candidate is None:
        return whole
    trials = candidate.seconds.keys()
    part = ratio_of(baseline.of(trials), control.of(trials))
    found = [ratio for ratio in (whole, part) if ratio is not None]
    return max(found, key=floor_magnitude) if found else None

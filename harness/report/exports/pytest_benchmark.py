"""The JSON of pytest-benchmark 5 (`storage` files): each Cell is a benchmark.

Statistics are of all timed calls in seconds, pooled over Trials.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board, boards
from harness.analysis.words.headline import place
from harness.report.exports.registry import export
from harness.store.info import RunInfo
from harness.store.reading import Calls, Run

VERSION = "5.0.0"
NONE = np.zeros(0, np.int64)
EXTRA = (
    *("cell_id", "runtime", "batch", "threads", "replicas", "speedup", "speedup_low", "speedup_high"),
    *("winner_low", "winner_high", "speedup_trials", "speedup_blocks", "seconds_per_sample"),
    *("verdict", "quality", "quality_metric", "quality_loss", "throughput_samples_per_s", "artifact_bytes"),
    "peak_rss_steady_bytes",
)
"""Columns of the Record that go along as `extra_info`."""


@export("pytest-benchmark", "for `pytest-benchmark compare`; each Cell is a benchmark")
def convert(run: Run) -> str:
    """Return the Cells on the leaderboards as benchmarks, grouped by Group."""
    calls = Calls(run)
    found = [
        _benchmark(row, board, seconds)
        for board in boards(run)
        for row in board.rows
        if len(seconds := np.concatenate([NONE, *calls.get((row.cell_id, row.arm), [])]) / 1e9)
    ]
    content = {
        "machine_info": _machine(run.info),
        "commit_info": _commit(run.info),
        "benchmarks": found,
        "datetime": run.info.started_at,
        "version": VERSION,
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _benchmark(row: Comparison, board: Board, seconds: NDArray[np.float64]) -> dict[str, Any]:
    group = place(board.group)
    return {
        "group": group,
        "name": row.technique,
        "fullname": f"{group} · {row.technique}",
        "params": None,
        "param": None,
        "extra_info": {name: getattr(row, name) for name in EXTRA},
        "options": {"disable_gc": True, "timer": "perf_counter_ns", "warmup": True},
        "stats": stats(seconds),
    }


def stats(seconds: NDArray[np.float64]) -> dict[str, Any]:
    """Return the statistics that pytest-benchmark stores; `seconds` holds at least one call."""
    (first, third), middle = _quartiles(np.sort(seconds)), float(np.median(seconds))
    mean, spread = float(seconds.mean()), float(seconds.std(ddof=1)) if len(seconds) > 1 else 0.0
    low, high = first - 1.5 * (third - first), third + 1.5 * (third - first)
    inside = seconds[(seconds >= low) & (seconds <= high)]
    far = int((np.abs(seconds - mean) > spread).sum())
    beyond = len(seconds) - len(inside)
    return {
        "min": float(seconds.min()),
        "max": float(seconds.max()),
        "mean": mean,
        "stddev": spread,
        "rounds": len(seconds),
        "median": middle,
        "iqr": third - first,
        "q1": first,
        "q3": third,
        "iqr_outliers": beyond,
        "stddev_outliers": far,
        "outliers": f"{far};{beyond}",
        "ld15iqr": float(inside.min()),
        "hd15iqr": float(inside.max()),
        "ops": 1 / mean if mean > 0 else 0.0,
        "total": float(seconds.sum()),
        "iterations": 1,
    }


def _quartiles(times: NDArray[np.float64]) -> tuple[float, float]:
    """Return first and third quartile of sorted times by pytest-benchmark's rule, which differs from numpy's.

    They are the medians of both halves; for an odd number of times, points between two times.
    """
    n, rest = divmod(len(times), 4)
    if len(times) == 1:
        return float(times[0]), float(times[0])
    if len(times) % 2 == 0:
        half = len(times) // 2
        return float(np.median(times[:half])), float(np.median(times[half:]))
    places = ((n - 1, 0.75), (3 * n, 0.25)) if rest == 1 else ((n, 0.25), (3 * n + 1, 0.75))
    first, third = (float(times[at] + share * (times[at + 1] - times[at])) for at, share in places)
    return first, third


def _machine(info: RunInfo) -> dict[str, Any]:
    """Return what pytest-benchmark compares to see whether two files come from one machine."""
    identity, state = info.machine.get("identity") or {}, info.machine.get("state") or {}
    return {
        "node": str(info.machine.get("slug") or "unknown"),
        "machine": str(identity.get("architecture") or ""),
        "processor": str(identity.get("cpu") or ""),
        "system": str(state.get("os") or ""),
        "release": str(state.get("kernel") or ""),
        "python_version": str(state.get("python") or ""),
        "cpu": {"brand_raw": str(identity.get("cpu") or ""), "count": identity.get("cores")},
    }


def _commit(info: RunInfo) -> dict[str, Any]:
    commit = info.commit
    return {
        "id": commit.hash if commit else "unknown",
        "time": None,  # a Run does not know the time of the commit
        "author_time": None,
        "dirty": commit.dirty if commit else False,
        "project": info.suite,
        "branch": "unknown",
    }

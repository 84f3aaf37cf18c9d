"""What the statistics cost: a ratio is taken after every Block, percentiles of every Cell."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats.quantiles import percentiles
from harness.stats.ratio import speedup


@pytest.mark.parametrize(("trials", "blocks"), [(1, 10), (3, 10), (10, 30)])
def test_perf_ratio(benchmark, trials, blocks):
    rng = np.random.default_rng(0)
    base, cand = np.exp(0.01 * rng.standard_normal((2, trials, blocks)))
    rounds = ([np.arange(blocks)] * trials, [rng.permutation(blocks) for _ in range(trials)])
    speedup(base, cand, rounds=rounds)  # scipy is imported here
    benchmark(speedup, base, cand, rounds=rounds)


@pytest.mark.parametrize("n", [1_000, 100_000])
def test_perf_percentiles(benchmark, n):
    samples = np.random.default_rng(0).lognormal(size=n)
    percentiles(samples, [0.5, 0.9, 0.99, 0.999])
    benchmark(percentiles, samples, [0.5, 0.9, 0.99, 0.999])

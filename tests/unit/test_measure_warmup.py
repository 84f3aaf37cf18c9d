"""Warm-up: it ends when calls are steady, or at the cap, and a call's length is known after it."""

from collections.abc import Callable, Iterator
from itertools import repeat

import numpy as np
import pytest

from harness.measure.blocks import Block
from harness.measure.warmup import MIN_BLOCKS, SHARE_OF_BLOCK, warm_up
from harness.stats.steady import WINDOW

CALL_NS = 1_000_000


def calls_of(lengths_ns: Iterator[float], at_once: int = 1) -> tuple[Callable[[int], Block], list[int]]:
    """Blocks whose calls are all as long as the next of `lengths_ns`, and the counts that were asked for."""
    counts: list[int] = []

    def run(count: int) -> Block:
        counts.append(count)
        length = int(next(lengths_ns))
        return Block(np.full(count, length), max(length * count // at_once, 1), None, 0)

    return run, counts


def test_calls_that_are_steady_from_the_start_end_it_after_one_window() -> None:
    run, counts = calls_of(repeat(CALL_NS))
    warmth = warm_up(run, block_s=0.1, cap_s=60.0)
    assert warmth.steady
    assert len(counts) == WINDOW
    assert warmth.calls == sum(counts)
    assert warmth.call_s == pytest.approx(CALL_NS / 1e9)
    assert warmth.seconds == pytest.approx(sum(counts) * CALL_NS / 1e9)


def test_slow_first_calls_are_waited_out() -> None:
    run, counts = calls_of(iter([50e6, 10e6, 4e6, 2e6, *[CALL_NS] * 100]))
    warmth = warm_up(run, block_s=0.1, cap_s=60.0)
    assert warmth.steady
    assert len(counts) > WINDOW
    assert warmth.call_s == pytest.approx(CALL_NS / 1e9)


def test_calls_that_keep_drifting_end_at_the_cap() -> None:
    run, _ = calls_of(CALL_NS * 1.1**i for i in range(200))
    warmth = warm_up(run, block_s=0.1, cap_s=1.0)
    assert not warmth.steady
    assert 1.0 <= warmth.seconds < 1.1


@pytest.mark.parametrize("cap_s", [0.0, 1e-9])
def test_whatever_the_cap_a_cold_first_call_does_not_tell_the_length(cap_s: float) -> None:
    run, counts = calls_of(iter([30 * CALL_NS, CALL_NS, CALL_NS, CALL_NS]))
    warmth = warm_up(run, block_s=0.1, cap_s=cap_s)
    assert counts == [1] * MIN_BLOCKS
    assert not warmth.steady
    assert warmth.calls == MIN_BLOCKS
    assert warmth.call_s == pytest.approx(CALL_NS / 1e9)


def test_a_short_cap_still_leaves_room_for_the_test() -> None:
    run, _ = calls_of(iter([18e6, *[CALL_NS] * 1000]))
    warmth = warm_up(run, block_s=0.15, cap_s=0.2)
    assert warmth.steady
    assert warmth.seconds < 0.2


def test_a_cell_that_becomes_steady_late_is_waited_for() -> None:
    run, counts = calls_of(iter([*(CALL_NS * (3 - i / 30) for i in range(60)), *[CALL_NS] * 1000]))
    warmth = warm_up(run, block_s=0.1, cap_s=60.0)
    assert warmth.steady
    assert 60 < len(counts) < 60 + 2 * WINDOW


def test_no_lane_is_idle_while_a_calls_length_is_taken() -> None:
    run, counts = calls_of(repeat(CALL_NS), at_once=3)
    warm_up(run, block_s=0.05, cap_s=60.0, lanes=3)
    assert min(counts) == 6
    assert all(count % 3 == 0 for count in counts)


def test_a_warm_up_block_is_a_share_of_a_timed_one() -> None:
    run, counts = calls_of(repeat(CALL_NS))
    warm_up(run, block_s=0.1, cap_s=60.0)
    assert counts[1:] == [round(0.1 * SHARE_OF_BLOCK / (CALL_NS / 1e9))] * (WINDOW - 1)


def test_calls_that_run_side_by_side_are_counted_by_wall_time() -> None:
    run, counts = calls_of(repeat(CALL_NS), at_once=4)
    warmth = warm_up(run, block_s=0.1, cap_s=60.0)
    assert warmth.call_s == pytest.approx(CALL_NS / 4e9)
    assert counts[-1] == round(4 * 0.1 * SHARE_OF_BLOCK / (CALL_NS / 1e9))


def test_a_call_that_is_disturbed_now_and_then_is_as_long_as_comparisons_take_it() -> None:
    def run(count: int) -> Block:
        samples = np.full(max(count, 10), CALL_NS)
        samples[0] = 21 * CALL_NS
        return Block(samples, int(samples.sum()), None, 0)

    warmth = warm_up(run, block_s=0.01, cap_s=60.0)
    assert warmth.sample_s == pytest.approx(CALL_NS / 1e9)
    assert warmth.call_s == pytest.approx(3 * CALL_NS / 1e9)
    by_wall = warm_up(run, 0.01, 60.0, sample_s=lambda block: block.duration_ns / 1e9 / block.calls / 4)
    assert by_wall.sample_s == pytest.approx(warmth.call_s / 4)


def test_calls_too_fast_for_the_clock_do_not_break_it() -> None:
    run, counts = calls_of(repeat(0))
    warmth = warm_up(run, block_s=0.1, cap_s=1e-6)
    assert warmth.calls == sum(counts)
    assert warmth.call_s > 0

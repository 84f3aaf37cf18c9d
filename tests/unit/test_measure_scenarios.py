"""Scenarios: single-stream is one call after the other, offline hands all to a Session that can take it."""

import numpy as np

from harness.measure.blocks import Block
from harness.measure.clock import Clock, FakeClock
from harness.measure.scenarios import SCENARIOS


class Many:
    """Answers many requests at once."""

    def __init__(self) -> None:
        self.served: list[int] = []

    def serve(self, count: int, clock: Clock) -> Block:
        self.served.append(count)
        return Block(np.full(count, 5), count, "answer", 0)


def test_offline_uses_a_servers_own_way() -> None:
    target, made = Many(), []
    block = SCENARIOS["offline"].run(target, [lambda: made.append(1)], 7, FakeClock(tick_ns=1))
    assert target.served == [7]
    assert block.last == "answer"
    assert made == []


def test_offline_takes_turns_where_there_is_no_server() -> None:
    made: list[int] = []
    block = SCENARIOS["offline"].run(object(), [lambda: made.append(1)], 7, FakeClock(tick_ns=3))
    assert len(made) == 7
    np.testing.assert_array_equal(block.samples_ns, [3] * 7)


def test_single_stream_never_uses_a_server() -> None:
    target, made = Many(), []
    SCENARIOS["single-stream"].run(target, [lambda: made.append(1)], 4, FakeClock(tick_ns=1))
    assert target.served == []
    assert len(made) == 4


def test_every_scenario_is_registered_under_its_own_name_and_explained() -> None:
    assert all(name == scenario.name and scenario.summary for name, scenario in SCENARIOS.items())

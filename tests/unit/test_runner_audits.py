"""Audits: a Record stands only on work that was done, for each input anew, with outputs that are scored."""

import hashlib
import tracemalloc
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from clocks import FakeClock

from harness.measure.clock import PerfClock
from harness.runner.workers.audits import repeated_input
from harness.runner.workers.audits.constant_output import MIN_WHOLE, ConstantOutput
from harness.runner.workers.audits.registry import AUDITS, Subject
from harness.runner.workers.audits.repeated_input import MAX_PAIRS, MIN_PAIRS, RepeatedInput, is_cached
from harness.runner.workers.audits.same_outputs import MAX_VALUES, RELATIVE, SameOutputs, difference, sampled

ONES = np.ones((4, 3), np.float32)


def changed(value: float, array: np.ndarray = ONES) -> np.ndarray:
    copy = array.copy()
    copy[1, 1] = value
    return copy


@pytest.mark.parametrize(
    ("ours", "theirs", "fault"),
    [
        (ONES, ONES, None),
        (changed(1 + RELATIVE / 2), ONES, None),
        (changed(1 + 2 * RELATIVE), ONES, "by up to 0.2 % of the largest value; 0.1 % is allowed"),
        (changed(2.53), ONES, "by up to 1.5 times the largest value"),
        (ONES[:2], ONES, "shape (2, 3) in a timed call, (4, 3) in the evaluation"),
        (changed(np.nan), ONES, "NaN or infinity in only one"),
        (changed(np.nan), changed(np.nan), None),
        (changed(np.inf), changed(np.inf), None),
        (changed(1e6), changed(1e6), None),
        (np.zeros((2, 2)), np.zeros((2, 2)), None),
        (np.array([1, 2]), np.array([1, 2]), None),
        (np.array([1, 2]), np.array([1, 3]), "other values"),
        (np.array([True]), np.array([False]), "other values"),
        (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), None),
        (ONES.astype(np.float16), ONES, None),
    ],
)
def test_difference(ours: np.ndarray, theirs: np.ndarray, fault: str | None) -> None:
    found = difference(ours, theirs)
    assert (found is None) if fault is None else fault in (found or "")


def test_infinities_of_opposite_signs_differ() -> None:
    assert difference(changed(np.inf), changed(-np.inf)) is not None


def test_equal_outputs_pass_and_unequal_ones_fail() -> None:
    audit = SameOutputs()
    audit.timed(0, [ONES])
    audit.timed(1, [ONES])
    audit.evaluated(0, 4, [], [ONES])
    assert (audit.finding().state, audit.finding().reasons) == ("passed", ())
    audit.evaluated(1, 4, [], [2 * ONES])
    assert audit.finding().state == "failed"
    audit.timed(2, [ONES])
    audit.evaluated(2, 4, [], [2 * ONES])
    (reason,) = audit.finding().reasons  # and not one for each batch
    assert reason.startswith(
        "output 0 for the same inputs: a timed call differs from the evaluation by up to 50 %"
    )
    assert "does not compute the same in each call" in reason
    assert audit.finding().evidence["different"] == 2


def test_without_anything_to_compare_there_is_no_verdict() -> None:
    audit = SameOutputs()
    audit.timed(0, None)
    audit.evaluated(0, 4, [], [ONES])
    assert audit.finding().state is None


def test_padding_of_the_last_batch_does_not_count() -> None:
    audit = SameOutputs()
    audit.timed(0, [changed(5.0)])
    audit.evaluated(0, 1, [], [ONES])  # the row that differs is no real sample
    assert audit.finding().state == "passed"


def test_what_a_session_writes_over_is_kept_as_it_was() -> None:
    audit, output = SameOutputs(), ONES.copy()
    audit.timed(0, [output])
    output[:] = 0
    audit.evaluated(0, 4, [], [ONES])
    assert audit.finding().state == "passed"


def test_another_number_of_outputs_is_a_fault_and_no_crash() -> None:
    audit = SameOutputs()
    audit.timed(0, [ONES, ONES])
    audit.evaluated(0, 4, [], [ONES])
    assert audit.finding().state == "failed"


def test_one_output_is_kept_for_each_batch_that_was_timed() -> None:
    audit = SameOutputs()
    for block in range(640):
        audit.timed(block % 3, [ONES])
    for batch in range(5):
        audit.evaluated(batch, 4, [], [ONES])
    assert audit.finding().evidence["looked_at"] == 3


def test_large_outputs_do_not_fill_the_memory_that_is_measured() -> None:
    """Peaks of the timed Blocks are the model's: 16 batches of outputs of 4 MB once came to 64 MB more."""
    large = np.zeros((4, 512, 512), np.float32)
    tracemalloc.start()
    audit = SameOutputs()
    for batch in range(16):
        audit.timed(batch, [large])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * MAX_VALUES * 4 < 16 * large.nbytes / 4


def test_of_large_outputs_values_of_every_sample_are_compared() -> None:
    output = np.random.default_rng(0).standard_normal((5, 200, 300)).astype(np.float32)
    states = []
    for sample in range(5):
        audit, other = SameOutputs(), output.copy()
        other[sample] *= 1.01
        audit.timed(0, [output])
        audit.evaluated(0, 4, [], [other])  # the last sample is padding
        states.append(audit.finding().state)
    assert states == ["failed"] * 4 + ["passed"]
    assert sampled(output.transpose(0, 2, 1)).shape == (5, MAX_VALUES // 5)
    audit = SameOutputs()
    audit.timed(0, [output])
    audit.evaluated(0, 4, [], [output[:, :199]])
    assert "shape (5, 200, 300) in a timed call, (5, 199, 300)" in audit.finding().reasons[0]


def constant(inputs: np.ndarray, outputs: np.ndarray, batch: int = 4) -> str | None:
    audit = ConstantOutput()
    for start in range(0, len(inputs), batch):
        part = slice(start, start + batch)
        audit.evaluated(start // batch, len(inputs[part]), [inputs[part]], [outputs[part]])
    return audit.finding().state


def test_outputs_that_do_not_follow_their_inputs_fail() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((64, 5)).astype(np.float32)
    same = np.repeat(rng.standard_normal((1, 3)), 64, axis=0)
    assert constant(inputs, same) == "failed"
    assert constant(inputs, np.full((64, 3), np.nan)) == "failed"
    same[-1, -1] += 1e-12
    assert constant(inputs, same) == "passed"
    assert constant(inputs, rng.standard_normal((64, 3))) == "passed"


def test_equal_inputs_may_have_equal_outputs() -> None:
    assert constant(np.ones((8, 5)), np.ones((8, 3))) is None


def test_a_few_equal_labels_are_no_fault_and_many_are() -> None:
    inputs = np.arange(2.0 * MIN_WHOLE)[:, None]
    assert constant(inputs[: MIN_WHOLE - 1], np.zeros(MIN_WHOLE - 1, np.int64)) is None
    assert constant(inputs, np.zeros(len(inputs), np.int64)) == "failed"
    assert constant(inputs, np.arange(len(inputs)) // 100) == "passed"


def test_an_output_without_a_batch_is_not_judged() -> None:
    audit = ConstantOutput()
    audit.evaluated(0, 2, [np.arange(2.0)], [np.float32(3.0)])
    assert audit.finding().state is None


class Session:
    """Multiplies; takes `work_s` on its clock, or caches outputs as `memory` says."""

    def __init__(self, clock: FakeClock, memory: str = "none", work_s: float = 2e-3) -> None:
        self.clock, self.memory, self.work_ns = clock, memory, round(work_s * 1e9)
        self.rng = np.random.default_rng(5)
        self.known: dict[bytes, np.ndarray] = {}
        self.noise: Callable[[], float] = lambda: float(self.rng.lognormal(0, 0.2))

    def bind(self, inputs: Sequence[np.ndarray]) -> Callable[[], tuple[np.ndarray, ...]]:
        own: list[np.ndarray] = []

        def call() -> tuple[np.ndarray, ...]:
            content = hashlib.sha256(inputs[0].tobytes()).digest()
            found = {"content": self.known.get(content), "call": own[0] if own else None}.get(self.memory)
            if found is not None:
                self.clock.advance(self.work_ns // 50)
                return (found,)
            self.clock.advance(round(self.work_ns * self.noise()))
            output = inputs[0] * 2.0
            self.known[content] = output
            own.append(output)
            return (output,)

        return call


def probed(session: Session, samples: int = 500, batch: int = 4) -> RepeatedInput:
    data = np.random.default_rng(1).standard_normal((samples, 3))
    pool = [(data[i * batch : (i + 1) * batch],) for i in range(3)]
    calls = [session.bind(part) for part in pool]
    for call in calls * 3:
        call()
    audit = RepeatedInput()
    draw = lambda rng: (data[rng.choice(samples, batch, replace=False)],)  # noqa: E731
    audit.probe(Subject(session.bind, calls, pool, draw, session.clock))
    return audit


@pytest.mark.parametrize("memory", ["content", "call"])
def test_a_session_that_caches_outputs_is_caught(memory: str) -> None:
    finding = probed(Session(FakeClock(), memory)).finding()
    assert finding.state == "failed"
    assert "outputs look cached: 40.0 µs for a repeated input, " in finding.reasons[0]
    assert finding.evidence["ratio"] > 20


def test_a_session_that_computes_each_output_passes() -> None:
    audit = probed(Session(FakeClock()))
    assert audit.finding().state == "passed"
    assert audit.finding().evidence["looked_at"] == MAX_PAIRS


def test_long_calls_get_few_pairs_and_endless_ones_none() -> None:
    few = probed(Session(FakeClock(), work_s=0.5)).finding()
    assert (few.state, few.evidence["looked_at"]) == ("passed", MIN_PAIRS)
    assert probed(Session(FakeClock(), work_s=20.0)).finding().state is None


def test_where_all_items_were_seen_nothing_is_judged() -> None:
    assert probed(Session(FakeClock(), "content"), samples=4, batch=1).finding().state is None


def noisy(kind: str, rng: np.random.Generator, pairs: int) -> np.ndarray:
    """Times of alternating calls of one Session, µs: (pairs, 2)."""
    base = rng.lognormal(0, 0.1, (pairs, 2))
    match kind:
        case "bimodal":
            base *= np.where(rng.random((pairs, 2)) < 0.2, 3.0, 1.0)
        case "stalls":
            base += np.where(rng.random((pairs, 2)) < 0.1, rng.exponential(20.0, (pairs, 2)), 0.0)
        case "drift":
            base *= np.linspace(1, 4, pairs)[:, None]
    return base * 200


@pytest.mark.parametrize("kind", ["log-normal", "bimodal", "stalls", "drift"])
@pytest.mark.parametrize("pairs", [MIN_PAIRS, MAX_PAIRS])
def test_noise_is_next_to_never_taken_for_a_cache(kind: str, pairs: int) -> None:
    rng = np.random.default_rng(7)
    alarms = sum(is_cached(*(noisy(kind, rng, pairs).T * 1e3).round()) for _ in range(5_000))
    assert alarms <= 5  # at most 1 in 1,000; most kinds of noise give none


@pytest.mark.parametrize("kind", ["log-normal", "stalls", "drift"])
@pytest.mark.parametrize("pairs", [MIN_PAIRS, MAX_PAIRS])
def test_a_cache_that_saves_most_of_the_work_is_nearly_always_seen(kind: str, pairs: int) -> None:
    rng = np.random.default_rng(8)
    times = [noisy(kind, rng, pairs) * 1e3 * [1.0, 0.1] for _ in range(1_000)]
    needed = {MIN_PAIRS: 700, MAX_PAIRS: 990}[pairs]  # nine pairs forgive one stall
    assert sum(is_cached(*one.T.round()) for one in times) >= needed


def test_a_suspicion_that_a_second_series_does_not_share_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def first_only(fresh: Sequence[int], repeated: Sequence[int]) -> bool:
        asked.append(len(fresh))
        return len(asked) == 1

    monkeypatch.setattr(repeated_input, "is_cached", first_only)
    finding = probed(Session(FakeClock())).finding()
    assert asked == [MAX_PAIRS, MAX_PAIRS]
    assert (finding.state, finding.evidence["looked_at"]) == ("passed", 2 * MAX_PAIRS)


def test_on_a_machine_where_chance_decides_next_to_none_is_accused() -> None:
    rng = np.random.default_rng(9)
    accused = 0
    for _ in range(3_000):
        series = [rng.lognormal(0, 4, (2, MAX_PAIRS)) * 1e6 for _ in range(2)]
        accused += all(is_cached(*one.round()) for one in series)
    assert accused <= 3


def test_the_cost_of_a_fresh_binding_is_no_cache() -> None:
    assert not is_cached([3_900] * MAX_PAIRS, [1_000] * MAX_PAIRS)
    assert is_cached([90_000] * MAX_PAIRS, [10_000] * MAX_PAIRS)


def test_real_work_on_a_real_clock_passes_and_a_real_cache_does_not() -> None:
    weights = np.random.default_rng(0).standard_normal((400, 400))
    data = np.random.default_rng(1).standard_normal((64, 200, 400))

    def audited(remember: bool) -> str | None:
        known: dict[bytes, np.ndarray] = {}

        def bind(inputs: Sequence[np.ndarray]) -> Callable[[], np.ndarray]:
            def call() -> np.ndarray:
                key = inputs[0][0].tobytes()
                if not remember or key not in known:
                    known[key] = inputs[0] @ weights @ weights @ weights @ weights
                return known[key]

            return call

        pool = [(data[0],), (data[1],)]
        calls = [bind(part) for part in pool]
        _ = [call() for call in calls]
        audit = RepeatedInput()
        audit.probe(Subject(bind, calls, pool, lambda rng: (data[rng.integers(64)],), PerfClock()))
        return audit.finding().state

    assert audited(remember=False) == "passed"
    assert audited(remember=True) == "failed"


def test_all_audits_are_found_and_speak_for_themselves() -> None:
    assert {"constant-output", "repeated-input", "same-outputs"} <= set(AUDITS.names())
    findings = [cls().finding() for cls in AUDITS.values()]
    assert [one.audit for one in findings] == AUDITS.names()
    assert {one.state for one in findings} == {None}
    assert repeated_input.RepeatedInput in AUDITS.values()

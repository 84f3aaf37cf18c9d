"""Records from a journal, against the same figures worked out by brute force."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from harness.analysis.records.arms import times
from harness.analysis.records.assemble import assemble, mean_with_interval
from harness.analysis.records.columns import add_memory, device_warnings
from harness.analysis.words.headline import time_spent
from harness.stats.quantiles import min_calls
from harness.store.arrays import pack
from harness.store.info import RunInfo, Times
from harness.store.reading import load
from harness.store.record import Record
from harness.store.writing import write_run

INFO = RunInfo(run_id="r", suite="s", started_at="2026-01-01T00:00:00+00:00", settings={"warmup_time": 1.5})
Event = dict[str, Any]


def phase(peak: int, pss: int | None = 50, exact: bool = True) -> dict[str, Any]:
    return {
        "name": "x", "rss_start_bytes": 1, "peak_rss_bytes": peak, "rss_end_bytes": 1, "pss_bytes": pss,
        "exact": exact,
    }  # fmt: skip


class Story:
    """Writes events as the runner does."""

    def __init__(self) -> None:
        self.events: list[Event] = [{"event": "run", "at": 100.0, "info": {}}]

    def add(self, event: str, at: float = 100.0, **content: Any) -> None:
        self.events.append({"event": event, "at": at, **content})

    def session(self, start_ns: int = 0, at: float = 100.0) -> None:
        self.add("session", at, start_ns=start_ns)

    def cell(self, cell_id: str = "c", arm: str = "subject", reason: str | None = None) -> None:
        row = {
            "cell_id": cell_id,
            **dict.fromkeys(("group_id", "model", "technique", "workload", "hardware"), "x"),
            "arm": arm,
            "status": "skipped" if reason else "pending",
            "reason": reason,
            "batch": 4,
        }
        self.add("cell", cell_id=cell_id, row=row)

    def artifact(self, cell_id: str = "c", **statistics: float) -> None:
        steps = [{"step": "a", "build_s": 1.5}, {"step": "b", "build_s": 0.5}]
        self.add(
            "artifact", cell_id=cell_id,
            key="k", format="onnx", bytes=123, zstd_bytes=45, build_s=2.0, build_peak_rss_bytes=9,
            steps=steps, statistics=statistics,
        )  # fmt: skip

    def start(self, cell_id: str = "c", arm: str = "subject", trial: int = 0, **about: Any) -> None:
        names = {"cell_id": cell_id, "arm": arm, "trial": trial}
        self.add(
            "ready", **names, import_s=about.get("import_s", 0.5), rss_empty_bytes=10 + trial, clock_ns=40.0
        )
        self.add(
            "loaded",
            **names,
            load_s=0.1 * (trial + 1),
            first_call_s=0.2,
            load=phase(100 + 10 * trial),
            first_call=phase(200),
        )
        self.add("warm", **names, calls=7, seconds=0.25, steady=about.get("steady", True), block_calls=5)

    def block(
        self,
        calls: Sequence[int],
        cell_id: str = "c",
        arm: str = "subject",
        trial: int = 0,
        round_: int = 0,
        **more: Any,
    ) -> None:
        calls = np.asarray(calls, np.int64)
        content = {
            "start_ns": 0, "duration_ns": int(calls.sum()), "samples": 4 * len(calls),
            "calls_ns": pack(calls),
            "evidence": {"wall_s": 1.0}, "tags": ["steal"], "order": 0, **more,
        }  # fmt: skip
        self.add("block", cell_id=cell_id, arm=arm, trial=trial, round=round_, **content)

    def end(self, cell_id: str = "c", arm: str = "subject", trial: int = 0, steady: Any = None) -> None:
        names = {"cell_id": cell_id, "arm": arm, "trial": trial}
        self.add("memory", **names, steady=steady or phase(300 + trial))
        self.add("trial-end", **names, worker_s=3.0)

    def quality(
        self, scores: Sequence[float], cell_id: str = "c", arm: str = "subject", **finding: Any
    ) -> None:
        self.add(
            "evaluation",
            cell_id=cell_id,
            arm=arm,
            trial=0,
            metric="top-1",
            unit="pt",
            higher_is_better=True,
            seconds=0.75,
            scores=pack(np.asarray(scores, np.float32)),
            audits=[
                {"audit": "constant-output", "state": "passed", "reasons": [], "evidence": {}},
                {"audit": "same-outputs", "state": "passed", "reasons": [], "evidence": {}, **finding},
            ],
        )

    def cells(self) -> list[Record]:
        return assemble(self.events, INFO).cells

    def record(self) -> Record:
        (record,) = self.cells()
        return record


@pytest.fixture
def story() -> Story:
    made = Story()
    made.session()
    return made


@pytest.mark.parametrize(
    ("sources", "source", "warned"),
    [
        (["driver", "driver"], "driver", 0),
        (["difference", "driver"], "difference, driver", 1),
        (["unknown", "unknown"], "unknown", 1),
        ([None, None], None, 0),
    ],
)
def test_device_memory_is_the_median_of_trials_and_says_its_source(
    sources: list[str | None], source: str | None, warned: int
) -> None:
    kinds: dict[str, list[Any]] = {"ready": [], "loaded": [], "memory": []}
    for trial, told in enumerate(sources):
        of = {"device_source": told}
        kinds["ready"].append({"trial": trial, "rss_empty_bytes": 1, "device_empty_bytes": 0})
        first = {"load": phase(1) | of | {"device_bytes": 100 + 10 * trial}, "first_call": phase(1) | of}
        kinds["loaded"].append({"trial": trial, **first})
        kinds["memory"].append({"trial": trial, "steady": phase(1) | of | {"device_bytes": 300}})
    about = dict.fromkeys(
        ("cell_id", "group_id", "model", "technique", "workload", "hardware", "status"), "x"
    )
    record = Record(arm="subject", **about)
    add_memory(record, kinds)
    assert (record.device_memory_empty_bytes, record.device_memory_load_bytes) == (0, 105)
    assert (record.device_memory_first_call_bytes, record.device_memory_steady_bytes) == (None, 300)
    assert record.device_memory_source == source
    assert len(device_warnings(record)) == warned


def test_all_figures_against_brute_force(story: Story) -> None:
    rng = np.random.default_rng(0)
    blocks = [rng.integers(1_000_000, 9_000_000, size=50) for _ in range(20)]
    story.cell()
    story.artifact(parameters=100, nonzero_parameters=60, flops_per_sample=1e6)
    for trial in (0, 1):
        story.start(trial=trial)
        for i, calls in enumerate(blocks[trial::2]):
            story.block(calls, trial=trial, round_=i)
        story.end(trial=trial)
    story.quality([1, 0, 1, 1])
    record = story.record()
    calls = sorted(ns / 1e9 for samples in blocks for ns in samples.tolist())
    seconds = sum(calls)
    assert record.status == "measured"
    assert record.calls == 1000
    assert (record.blocks, record.trials) == (20, 2)
    assert record.latency_mean_s == pytest.approx(seconds / 1000)
    assert record.latency_min_s == calls[0]
    assert record.latency_p50_s == pytest.approx((calls[499] + calls[500]) / 2)
    assert record.latency_p90_s == pytest.approx(calls[899] + 0.1 * (calls[900] - calls[899]))
    assert record.latency_p99_s == pytest.approx(calls[989] + 0.01 * (calls[990] - calls[989]))
    assert record.latency_p99_upper_s in calls
    assert record.latency_p99_upper_s >= record.latency_p99_s
    assert record.latency_std_s == pytest.approx(float(np.std(calls, ddof=1)))
    assert record.measured_s == pytest.approx(seconds)
    of_trials = [sum(int(part.sum()) for part in blocks[trial::2]) / 1e9 for trial in (0, 1)]
    throughput = np.mean([2000 / timed_s for timed_s in of_trials])
    assert record.throughput_samples_per_s == pytest.approx(throughput)
    assert record.achieved_flop_per_s == pytest.approx(1e6 * throughput)
    assert (record.parameters, record.nonzero_parameters) == (100, 60)
    assert (record.artifact_key, record.artifact_format, record.artifact_bytes) == ("k", "onnx", 123)
    assert record.artifact_zstd_bytes == 45
    assert (record.build_s, record.build_peak_rss_bytes) == (2.0, 9)
    assert [step["step"] for step in json.loads(record.build_details)] == ["a", "b"]
    assert record.warmup_calls == 14
    assert record.steady is True
    assert (record.import_s, record.first_call_s) == (0.5, 0.2)
    assert record.load_s == pytest.approx(0.15)  # the median of the Trials
    assert record.rss_empty_bytes == 10  # 10.5, to even
    assert record.peak_rss_load_bytes == 105
    assert record.peak_rss_first_call_bytes == 200
    assert record.peak_rss_steady_bytes == 300
    assert record.pss_bytes == 50
    assert record.worker_s == 6.0
    assert (record.quality, record.evaluation_samples, record.evaluation_s) == (0.75, 4, 0.75)
    assert record.quality_low < 0.75 < record.quality_high
    assert record.audit == "passed"
    assert record.warnings == []


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("short", [0, 1])
def test_a_percentile_stands_only_where_it_may(story: Story, q: float, short: int) -> None:
    story.cell()
    story.block(range(1_000, 1_000 + min_calls(q) - short))
    name = f"latency_p{round(100 * q)}_s"
    assert (getattr(story.record(), name) is None) == bool(short)


def test_a_percentile_that_hangs_on_one_stall_is_not_shown_and_the_record_says_what_its_calls_are_worth(
    story: Story,
) -> None:
    story.cell()
    for block in range(8):
        slow = 60 if block == 3 else 0
        story.block([1_000 + i for i in range(500 - slow)] + [9_000] * slow, round_=block)
    record = story.record()
    assert record.latency_p50_s is not None
    assert record.latency_p99_s is None
    worth = json.loads(record.independent_calls)
    # q (1 - q) / v; p99 is 9000 ns: the stall's calls share what lies above, 40 of 4,000.
    assert worth["p99"] == round(0.99 * 0.01 / (((40 - 5) ** 2 + 7 * 5**2) / 4_000**2 * 8 / 7))


def test_throughput_counts_wall_time_where_calls_overlap(story: Story) -> None:
    story.cell()
    story.block([1_000_000_000] * 4, duration_ns=2_000_000_000)  # two replicas
    assert story.record().throughput_samples_per_s == pytest.approx(8.0)
    assert story.record().latency_mean_s == pytest.approx(1.0)


def test_a_single_call_has_no_deviation(story: Story) -> None:
    story.cell()
    story.block([1_000])
    record = story.record()
    assert record.latency_std_s is None
    assert record.latency_p50_s is None
    assert record.latency_mean_s == pytest.approx(1e-6)


def test_memory_over_an_empty_worker_is_taken_trial_by_trial(story: Story) -> None:
    story.cell()
    for trial, peak in enumerate((300, 500, 400)):  # the empty workers have 10, 11 and 12
        story.start(trial=trial)
        story.block([1_000] * 20, trial=trial)
        story.end(trial=trial, steady=phase(peak))
    record = story.record()
    assert record.rss_empty_bytes == 11
    assert record.peak_rss_steady_bytes == 400
    assert record.over_empty_steady_bytes == 400 - 12
    assert record.over_empty_load_bytes == record.peak_rss_load_bytes - 11
    assert record.pss_bytes == 50 and record.pss_load_bytes == 50


def test_trials_of_two_sittings_are_different_trials_though_they_have_the_same_number(story: Story) -> None:
    story.cell()
    for sitting, empty, calls in (("r/first", 10, [1_000] * 20), ("r/second", 200, [3_000] * 60)):
        began = len(story.events)
        story.start()
        story.block(calls)
        story.end(steady=phase(300))
        for event in story.events[began:]:
            event["sitting"] = sitting
        story.events[began]["rss_empty_bytes"] = empty
    record = story.record()
    assert (record.trials, record.blocks, record.calls) == (2, 2, 80)
    assert record.latency_mean_s == pytest.approx(2e-6)  # each Trial has the same weight
    assert record.over_empty_steady_bytes == (290 + 100) / 2
    assert [block["sitting"] for block in assemble(story.events, INFO).blocks] == ["r/first", "r/second"]


def test_a_worker_that_was_started_twice_is_told_as_such(story: Story) -> None:
    story.cell(arm="baseline")
    names = {"cell_id": "c", "arm": "baseline", "trial": 1}
    story.add("trial-failed", **names, stage="load", reason="out of memory", blocks=0)
    story.add("trial-again", **names)
    story.block([1_000] * 20, arm="baseline", trial=1)
    assert story.record().warnings == ["Trial 2 was started twice (load): out of memory"]
    story.add("trial-failed", **names, stage="measure", reason="killed", blocks=1)
    assert story.record().warnings == [
        "Trial 2 was started twice (load): out of memory",
        "Trial 2 ended early (measure): killed",
    ]


def test_a_worker_that_grew_smaller_needs_nothing_more(story: Story) -> None:
    story.cell()
    story.start()
    story.block([1_000] * 20)
    story.end(steady=phase(5))
    assert story.record().over_empty_steady_bytes == 0


def test_a_skipped_cell_keeps_its_reason(story: Story) -> None:
    story.cell(reason="no GPU here")
    record = story.record()
    assert (record.status, record.reason, record.stage) == ("skipped", "no GPU here", None)


def test_a_cell_that_was_never_reached_is_skipped_with_the_reason(story: Story) -> None:
    story.cell()
    story.artifact()
    record = story.record()
    assert (record.status, record.artifact_bytes) == ("skipped", 123)
    assert "ended before" in record.reason


def test_a_failed_build(story: Story) -> None:
    story.cell()
    story.add("cell-failed", cell_id="c", stage="build", reason="boom", log="build-k.log")
    record = story.record()
    assert (record.status, record.stage, record.reason) == ("failed", "build", "boom")
    assert record.log == "logs/build-k.log"


@pytest.mark.parametrize("stage", ["start", "load", "measure"])
def test_a_trial_that_never_timed_a_block_fails_the_cell(story: Story, stage: str) -> None:
    story.cell()
    story.artifact()
    story.add("trial-failed", cell_id="c", arm="subject", trial=0, stage=stage, reason="SIGSEGV", blocks=0)
    record = story.record()
    assert (record.status, record.stage, record.reason) == ("failed", stage, "SIGSEGV")
    assert record.log == "logs/c.log"
    assert record.artifact_bytes == 123


def test_a_trial_that_died_halfway_keeps_its_blocks_and_says_so(story: Story) -> None:
    story.cell()
    story.start()
    story.block([1_000] * 20)
    story.add(
        "trial-failed", cell_id="c", arm="subject", trial=0, stage="measure", reason="SIGKILL", blocks=1
    )
    story.start(trial=1)
    story.block([1_000] * 20, trial=1)
    story.end(trial=1)
    story.quality([1, 1])
    record = story.record()
    assert (record.status, record.calls, record.trials) == ("measured", 40, 2)
    assert record.reason is None
    assert record.warnings == ["Trial 1 ended early (measure): SIGKILL"]


def test_a_record_without_quality_says_so(story: Story) -> None:
    story.cell()
    story.start()
    story.block([1_000] * 20)
    story.end()
    record = story.record()
    assert record.quality is None
    assert record.audit is None
    assert record.warnings == ["the quality was not evaluated"]


def test_a_shadow_is_a_row_of_its_own_and_is_never_asked_for_quality(story: Story) -> None:
    story.cell(arm="baseline")
    for arm, ns in (("baseline", 1_000), ("control", 2_000)):
        story.start(arm=arm)
        story.block([ns] * 20, arm=arm)
        story.end(arm=arm)
    story.quality([1], arm="baseline")
    baseline, control = story.cells()
    assert (baseline.arm, control.arm) == ("baseline", "control")
    assert control.latency_p50_s == pytest.approx(2e-6)
    assert baseline.latency_p50_s == pytest.approx(1e-6)
    assert control.quality is None
    assert control.warnings == []


def test_a_shadow_that_failed_does_not_fail_its_baseline(story: Story) -> None:
    story.cell(arm="baseline")
    story.block([1_000] * 20, arm="baseline")
    story.add("trial-failed", cell_id="c", arm="control", trial=0, stage="load", reason="x", blocks=0)
    baseline, control = story.cells()
    assert (baseline.status, control.status) == ("measured", "failed")


def test_warnings_name_what_a_reader_must_know(story: Story) -> None:
    story.cell()
    story.start(steady=False)
    story.start(trial=1)
    story.block([1_000] * 20)
    story.end(steady=phase(300, pss=None, exact=False) | {"device_source": "unknown"})
    story.quality([1], state="failed", reasons=["batch 0, output 0: off by 1"])
    record = story.record()
    assert record.steady is False
    assert record.audit == "failed"
    assert record.audit_reasons == ["same-outputs: batch 0, output 0: off by 1"]
    assert record.pss_bytes is None
    assert record.warnings == [
        "calls had not become steady after 1.5 s of warm-up",
        "this system shows memory peaks only at the ends of each phase",
        "device memory: unknown, since the driver tells neither that of its processes nor that of the device",
    ]


def test_the_last_answer_to_the_quality_set_counts(story: Story) -> None:
    story.cell()
    story.block([1_000] * 20)
    story.quality([0, 0])
    story.quality([1, 1, 1])
    tables = assemble(story.events, INFO)
    assert tables.cells[0].quality == 1.0
    (scores,) = tables.by_name()["scores"]
    assert scores["cell_id"] == ["c"] * 3
    np.testing.assert_array_equal(scores["sample"], [0, 1, 2])
    np.testing.assert_array_equal(scores["score"], [1, 1, 1])


def test_scores_of_a_sample_keep_their_positions_and_the_record_its_batch(story: Story) -> None:
    story.cell()
    story.block([1_000] * 20)
    story.quality([1, 0, 1])
    positions = np.array([2, 5, 9])
    warning = "quality is that of batch 4, as timed"
    story.events[-1] |= {"set_samples": 10, "positions": pack(positions), "batch": 4, "warning": warning}
    tables = assemble(story.events, INFO)
    (record,) = tables.cells
    assert (record.evaluation_samples, record.evaluation_set_samples, record.evaluation_batch) == (3, 10, 4)
    assert warning in record.warnings
    (scores,) = tables.by_name()["scores"]
    assert scores["sample"].tolist() == [2, 5, 9]


def test_two_sessions_add_up_and_lie_one_after_the_other(story: Story) -> None:
    story.cell()
    story.artifact()
    story.start()
    story.block([1_000] * 10, start_ns=2_000_000_000)
    story.add("wall", at=110.0, seconds=10.0)
    story.session(start_ns=500_000_000, at=1100.0)
    story.artifact()
    story.start(trial=1)
    story.block([3_000] * 10, trial=1, start_ns=3_500_000_000)
    story.add("wall", at=1120.0, seconds=20.0)
    tables = assemble(story.events, INFO)
    assert tables.cells[0].calls == 20
    assert [block["start_s"] for block in tables.blocks] == pytest.approx([2.0, 1003.0])
    assert tables.times.wall_s == 30.0
    assert tables.times.timed_s == pytest.approx(40e-6)


def test_a_build_that_failed_in_one_session_and_worked_in_the_next(story: Story) -> None:
    story.cell()
    story.add("cell-failed", cell_id="c", stage="build", reason="no room", log="b.log")
    story.session()
    story.artifact()
    record = story.record()
    assert (record.status, record.stage, record.log) == ("skipped", None, None)
    story.block([1_000] * 20)
    record = story.record()
    assert (record.status, record.stage, record.reason) == ("measured", None, None)


def test_wall_time_of_a_session_that_was_killed_is_until_its_last_event() -> None:
    story = Story()
    story.session(at=100.0)
    story.add("builds-done", at=103.0, seconds=2.0)
    story.add("evaluation", at=107.0, seconds=1.0)
    story.session(at=500.0)
    story.add("wall", at=505.0, seconds=5.0)
    assert times(story.events).wall_s == pytest.approx(12.0)
    story.session(at=900.0)
    story.add("warm", at=901.0, seconds=0.5)
    found = times(story.events)
    assert found.wall_s == pytest.approx(13.0)
    assert (found.build_s, found.evaluation_s, found.warmup_s) == (3.0, 1.0, 1.0)


def test_times_add_up_over_all_arms(story: Story) -> None:
    story.cell(arm="baseline")
    for arm in ("baseline", "control"):
        story.start(arm=arm)
        story.block([1_000_000] * 10, arm=arm)
    story.add("wall", seconds=1.0)
    found = assemble(story.events, INFO).times
    assert found.timed_s == pytest.approx(0.02)
    assert found.measured_share == pytest.approx(0.02)


def test_the_parts_of_the_wall_time_follow_from_the_events_and_add_up_to_it() -> None:
    story = Story()
    story.session(at=100.0)
    for event, at, more in [
        ("built", 103.0, {"build_s": 2.5}),
        ("build-failed", 104.5, {}),
        ("builds-done", 105.0, {"seconds": 5.0}),  # builds: 5 s
        ("artifact", 105.25, {}),
        ("peaks", 112.25, {}),  # peaks: 7 s
        ("trial-start", 112.5, {}),
        ("ready", 114.0, {}),
        ("ready", 114.5, {}),  # two workers start at a time: 2 s, however long each took to import
        ("loaded", 115.5, {}),  # 1 s
        ("warm", 116.0, {"seconds": 0.4}),
        ("loaded", 116.5, {}),  # 0.5 s
        ("warm", 117.0, {"seconds": 0.4}),  # warm-up, with the wait until the threads rest: 1 s
        ("block", 117.3, {"duration_ns": 200_000_000}),
        ("block", 117.6, {"duration_ns": 250_000_000}),  # 0.45 s timed, 0.15 s between
        ("memory", 117.7, {}),
        ("evaluation", 120.7, {"seconds": 2.0}),  # 2 s, and audits 1 s
        ("memory", 120.8, {}),
        ("trial-end", 121.8, {}),
        ("trial-end", 122.0, {}),  # 1.2 s
        ("trial-done", 122.1, {}),
        ("wall", 122.5, {"seconds": 23.0}),  # half a second before the session's first event
    ]:
        story.add(event, at=at, **more)
    found = times(story.events)
    expected = {
        "builds": 5.0,
        "peaks of the machine": 7.0,
        "worker starts": 2.0,
        "loading and first calls": 1.5,
        "warm-up": 1.0,
        "timed Blocks": 0.45,
        "between Blocks": 0.15,
        "evaluation": 2.0,
        "audits": 1.0,
        "worker ends": 1.2,
        "the rest": 1.7,
    }
    assert dict(found.parts()) == pytest.approx(expected)
    assert [title for title, _ in found.parts()] == list(expected)
    assert found.wall_s == 23.0
    assert sum(seconds for _, seconds in found.parts()) == pytest.approx(23.0)
    story.session(at=5000.0)  # the time between sessions belongs to no part
    story.add("ready", at=5001.0)
    story.add("block", at=5001.5, duration_ns=100_000_000)
    found = times(story.events)
    assert (found.wall_s, found.start_s) == pytest.approx((24.5, 3.0))
    assert (found.timed_s, found.between_blocks_s) == pytest.approx((0.55, 0.55))
    assert sum(seconds for _, seconds in found.parts()) == pytest.approx(24.5)


def test_an_older_run_has_no_parts_of_its_wall_time() -> None:
    old = Times(wall_s=10.0, build_s=4.0, start_s=3.0, timed_s=3.0)
    assert old.parts() == []
    info = INFO.model_copy(update={"times": old})
    assert time_spent(info) == []
    spent = time_spent(info.model_copy(update={"times": old.model_copy(update={"rest_s": 0.0})}))
    assert spent[0] == ("builds", "4.0 s", "40 %")
    assert spent[-1] == ("wall time", "10 s", "100 %")


def test_an_empty_journal_gives_empty_tables() -> None:
    tables = assemble([], INFO)
    assert (tables.cells, tables.blocks, tables.times.wall_s) == ([], [], 0.0)
    assert [list(tables.by_name()[name]) for name in ("calls", "scores")] == [[], []]


def test_tables_are_what_the_store_takes(story: Story, tmp_path: Any) -> None:
    story.cell()
    story.cell("d", reason="no")
    story.artifact(parameters=100.0)
    story.start()
    story.block([1_000, 2_000], round_=3)
    story.quality([0.5])
    tables = assemble(story.events, INFO)
    assert [type(row) for row in tables.cells] == [Record, Record]
    write_run(tmp_path, INFO, tables.by_name())
    run = load(tmp_path)
    assert list(run.calls["call_ns"]) == [1_000, 2_000]
    assert list(run.calls["round"]) == [3, 3]
    assert run.blocks.loc[0, "median_s"] == pytest.approx(1.5e-6)
    assert run.blocks.loc[0, "max_s"] == pytest.approx(2e-6)
    assert list(run.blocks.loc[0, "tags"]) == ["steal"]
    assert json.loads(run.blocks.loc[0, "evidence"]) == {"wall_s": 1.0}
    assert run.cells.loc[0, "parameters"] == 100


def test_intervals_of_a_mean() -> None:
    mean, low, high = mean_with_interval(np.array([1.0, 0.0, 1.0, 1.0]))
    assert mean == 0.75
    assert 0 < low < 0.75 < high < 1
    mean, low, high = mean_with_interval(np.array([0.5, 0.7, 0.9]))
    half = 4.302653 * 0.2 / 3**0.5  # Student's t, 2 degrees of freedom
    assert (mean, low, high) == pytest.approx((0.7, 0.7 - half, 0.7 + half))
    assert np.isnan(mean_with_interval(np.array([0.5]))[1])
    assert mean_with_interval(np.ones(10))[2] == pytest.approx(1.0)
    assert mean_with_interval(np.ones(10))[1] < 0.9
    assert mean_with_interval(np.ones(10), shares=False) == (1.0, 1.0, 1.0)  # cosines, exactly 1 in float32

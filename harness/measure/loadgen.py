"""Bridge to MLCommons LoadGen: it issues the queries and measures the time; the calls are the harness's.

Times come from LoadGen's own trace, so they are what an MLPerf submission would report. Calls run in the
thread from which LoadGen issues queries, because another thread would give runtimes a second thread pool.
Latency counts from when a query was due, so a late hand-over is part of it. A sample of LoadGen is one call
of `batch` samples.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.measure.blocks import Call, Wake, at_once, no_garbage_collection
from harness.measure.open_loop import Seed

MODULE, PACKAGE, EXTRA = "mlperf_loadgen", "mlcommons-loadgen", "loadgen"
_SAMPLE = re.compile(
    r'"name":"Sample","cat":"default","ph":"b",[^\n]*?"ts":(-?[\d.]+),"args":\{"sample_seq":(\d+),'
    r'"query_seq":(\d+),"sample_idx":(\d+),"issue_start_ns":(-?\d+),"complete_ns":(-?\d+)\}'
)


@dataclass(frozen=True)
class Trace:
    """LoadGen's trace, int64 (samples,) each, in the order of its queries.

    `due_ns` is when a sample's query was scheduled, counted from the first query; `issued_ns` and `done_ns`
    count from `due_ns`. `query` numbers the queries. `last` is the last output, `last_index` its call.
    """

    query: NDArray[np.int64]
    due_ns: NDArray[np.int64]
    issued_ns: NDArray[np.int64]
    done_ns: NDArray[np.int64]
    last: Any
    last_index: int

    @property
    def span_ns(self) -> int:
        """Time from the first query's schedule to the last completion, LoadGen's own work included."""
        return int((self.due_ns + self.done_ns).max() - self.due_ns.min())


def run_test(
    scenario: str,
    calls: Sequence[Call],
    queries: int,
    seed: Seed,
    wake: Wake = at_once,
    samples_a_query: int = 1,
    **settings: Any,
) -> Trace:
    """Run one LoadGen test of `queries` queries and return its trace.

    `scenario` is a name of `TestScenario`, `settings` are fields of `TestSettings`. `wake` is called when
    LoadGen asks for its samples to be loaded: after that it only draws its queries. Raises the error of a
    failed call, and HarnessError where LoadGen's trace lacks samples.
    """
    import mlperf_loadgen as loadgen

    caller = _Caller(calls, loadgen, wake)
    asked = _settings(loadgen, scenario, queries, seed, samples_a_query, settings)
    with tempfile.TemporaryDirectory(prefix="harness-loadgen-") as folder:
        sut = loadgen.ConstructFastSUT(caller.issue, _nothing)
        library = loadgen.ConstructQSL(len(calls), len(calls), caller.wake, _nothing)
        try:
            with no_garbage_collection():
                loadgen.StartTestWithLogSettings(sut, library, asked, _logging(loadgen, folder), "")
        finally:
            loadgen.DestroyQSL(library)
            loadgen.DestroyFastSUT(sut)
        if caller.error is not None:
            raise caller.error
        trace = (Path(folder) / "mlperf_log_trace.json").read_text(encoding="utf-8")
    wanted = queries if scenario == "Offline" else queries * samples_a_query
    return _parse(trace, wanted, caller)


class _Caller:
    """Makes the calls of LoadGen's samples; after an error it completes the rest at once to end the test."""

    def __init__(self, calls: Sequence[Call], loadgen: Any, wake: Wake) -> None:
        self.calls = calls
        self._wake = wake
        self.last: Any = None
        self.last_index = 0
        self.error: BaseException | None = None
        self._complete = loadgen.QuerySamplesComplete
        self._responses = [loadgen.QuerySampleResponse(0, 0, 0)]

    def wake(self, _indices: Sequence[int]) -> None:
        """Wake, in the thread that issues the queries."""
        try:
            self._wake()
        except BaseException as error:  # an exception must not pass through LoadGen's C++ code
            self.error = error

    def issue(self, ids: Sequence[int], indices: Sequence[int]) -> None:
        """Make the call of each sample; the response object is reused, since creating one takes 0.4 µs."""
        calls, complete, responses = self.calls, self._complete, self._responses
        response = responses[0]
        for number, index in zip(ids, indices, strict=True):
            if self.error is None:
                try:
                    self.last = calls[index]()
                    self.last_index = index
                except BaseException as error:  # as in `wake`
                    self.error = error
            response.id = number
            complete(responses)


def _settings(
    loadgen: Any, scenario: str, queries: int, seed: Seed, samples_a_query: int, more: dict[str, Any]
) -> Any:
    """Return settings for exactly `queries` queries of any duration; all seeds derive from `seed`."""
    found = loadgen.TestSettings()
    found.scenario = getattr(loadgen.TestScenario, scenario)
    found.mode = loadgen.TestMode.PerformanceOnly
    found.min_duration_ms = found.max_duration_ms = 0
    found.min_query_count = found.max_query_count = queries
    found.multi_stream_samples_per_query = samples_a_query
    seeds = np.random.SeedSequence(seed).generate_state(3, np.uint64)
    found.qsl_rng_seed, found.sample_index_rng_seed, found.schedule_rng_seed = map(int, seeds)
    for name, value in more.items():
        setattr(found, name, value)
    return found


def _logging(loadgen: Any, folder: str) -> Any:
    """Return log settings that trace all samples and write the trace after the test."""
    found = loadgen.LogSettings()
    output = loadgen.LogOutputSettings()
    output.outdir = folder
    output.copy_summary_to_stdout = output.copy_detail_to_stdout = False
    found.log_output = output
    found.log_mode = loadgen.LoggingMode.EndOfTestOnly
    found.enable_trace = True
    return found


def _parse(trace: str, wanted: int, caller: _Caller) -> Trace:
    rows = _SAMPLE.findall(trace)
    if len(rows) != wanted:
        raise HarnessError(f"LoadGen's trace holds {len(rows)} of {wanted} samples")
    rows.sort(key=lambda row: (int(row[2]), int(row[1])))
    due = np.array([round(float(row[0]) * 1000) for row in rows], dtype=np.int64)  # microseconds
    query, issued, done = (np.array([int(row[i]) for row in rows], dtype=np.int64) for i in (2, 4, 5))
    return Trace(query, due - due[0], issued, done, caller.last, caller.last_index)


_nothing: Callable[..., None] = lambda *_: None  # noqa: E731

"""MLCommons LoadGen asks the questions and keeps the time; the answers are ours.

Times come from LoadGen's own trace, so they are what an MLPerf submission would report. The calls are made
in the thread that LoadGen issues queries from: another one would give runtimes a second thread pool, and
since latency counts from when a query was due, one that is handed over late loses nothing. A LoadGen sample
is one call of `batch` items.
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
from harness.measure.blocks import Call, no_garbage_collection
from harness.measure.open_loop import Seed

MODULE, PACKAGE, EXTRA = "mlperf_loadgen", "mlcommons-loadgen", "loadgen"
_SAMPLE = re.compile(
    r'"name":"Sample","cat":"default","ph":"b",[^\n]*?"ts":(-?[\d.]+),"args":\{"sample_seq":(\d+),'
    r'"query_seq":(\d+),"sample_idx":(\d+),"issue_start_ns":(-?\d+),"complete_ns":(-?\d+)\}'
)


@dataclass(frozen=True)
class Trace:
    """What LoadGen saw, int64 (samples,) each, in the order of its queries.

    `due_ns` is when a sample's query was scheduled, from the first on; `issued_ns` and `done_ns` count from
    then. `query` numbers the queries. `last` is the last answer and `last_index` whose it was.
    """

    query: NDArray[np.int64]
    due_ns: NDArray[np.int64]
    issued_ns: NDArray[np.int64]
    done_ns: NDArray[np.int64]
    last: Any
    last_index: int

    @property
    def span_ns(self) -> int:
        """From when the first query was due until the last answer, LoadGen's own time in between included."""
        return int((self.due_ns + self.done_ns).max() - self.due_ns.min())


def ask(
    scenario: str,
    calls: Sequence[Call],
    queries: int,
    seed: Seed,
    samples_a_query: int = 1,
    **settings: Any,
) -> Trace:
    """Run one LoadGen test of `queries` queries and return its trace.

    `scenario` is a name of `TestScenario`, `settings` are fields of `TestSettings`. Raises what a call
    raised, and HarnessError where LoadGen's trace lacks samples.
    """
    import mlperf_loadgen as loadgen

    answers = _Answers(calls, loadgen)
    asked = _settings(loadgen, scenario, queries, seed, samples_a_query, settings)
    with tempfile.TemporaryDirectory(prefix="harness-loadgen-") as folder:
        sut = loadgen.ConstructFastSUT(answers.issue, _nothing)
        library = loadgen.ConstructQSL(len(calls), len(calls), _nothing, _nothing)
        try:
            with no_garbage_collection():
                loadgen.StartTestWithLogSettings(sut, library, asked, _logging(loadgen, folder), "")
        finally:
            loadgen.DestroyQSL(library)
            loadgen.DestroyFastSUT(sut)
        if answers.error is not None:
            raise answers.error
        trace = (Path(folder) / "mlperf_log_trace.json").read_text(encoding="utf-8")
    wanted = queries if scenario == "Offline" else queries * samples_a_query
    return _parse(trace, wanted, answers)


class _Answers:
    """Answers LoadGen's samples; after an error the rest are told done, so that the test ends."""

    def __init__(self, calls: Sequence[Call], loadgen: Any) -> None:
        self.calls = calls
        self.last: Any = None
        self.last_index = 0
        self.error: BaseException | None = None
        self._complete = loadgen.QuerySamplesComplete
        self._responses = [loadgen.QuerySampleResponse(0, 0, 0)]

    def issue(self, ids: Sequence[int], indices: Sequence[int]) -> None:
        """Make the call of each sample; one response serves all, since making one takes 0.4 µs."""
        calls, complete, responses = self.calls, self._complete, self._responses
        response = responses[0]
        for number, index in zip(ids, indices, strict=True):
            if self.error is None:
                try:
                    self.last = calls[index]()
                    self.last_index = index
                except BaseException as error:  # it must not unwind through LoadGen's C++
                    self.error = error
            response.id = number
            complete(responses)


def _settings(
    loadgen: Any, scenario: str, queries: int, seed: Seed, samples_a_query: int, more: dict[str, Any]
) -> Any:
    """Exactly so many queries, however long they take; all seeds from ours."""
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
    """A trace of all samples, written when the test is over."""
    found = loadgen.LogSettings()
    output = loadgen.LogOutputSettings()
    output.outdir = folder
    output.copy_summary_to_stdout = output.copy_detail_to_stdout = False
    found.log_output = output
    found.log_mode = loadgen.LoggingMode.EndOfTestOnly
    found.enable_trace = True
    return found


def _parse(trace: str, wanted: int, answers: _Answers) -> Trace:
    rows = _SAMPLE.findall(trace)
    if len(rows) != wanted:
        raise HarnessError(f"LoadGen's trace holds {len(rows)} of {wanted} samples")
    rows.sort(key=lambda row: (int(row[2]), int(row[1])))
    due = np.array([round(float(row[0]) * 1000) for row in rows], dtype=np.int64)  # microseconds
    query, issued, done = (np.array([int(row[i]) for row in rows], dtype=np.int64) for i in (2, 4, 5))
    return Trace(query, due - due[0], issued, done, answers.last, answers.last_index)


_nothing: Callable[..., None] = lambda *_: None  # noqa: E731

"""The evaluation of one arm: outputs for the evaluation set are scored, in the process that was timed.

10,000 calls at batch 1 take longer than all timing, so a suite may ask for a larger batch. It is used where
it gives the same outputs as the calls that were timed. Where a step quantizes activations by the range of the
whole batch, it does not. The audits see only the timed Session, at its own batch.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.formats.tensors import Array
from harness.runner.workers.audits.registry import Audit, Inputs
from harness.runner.workers.audits.same_outputs import difference
from harness.runner.workers.evaluation_data import EvaluationData
from harness.runtimes.registry import Outputs, Session
from harness.store.arrays import pack
from harness.zoo.registry import Metric

CHECKED = 2
"""So many larger batches, the first and the middle one, are compared with calls as timed."""
NOT_TIMED = -1
"""Number of a batch that no timed call used."""


@dataclass(frozen=True)
class Evaluation:
    """Scores the Session that was timed, on batches `pool` of `batch` samples each.

    `open_at(batch)` opens the same Artifact for another batch; it returns None where the runtime cannot.
    `beat` tells the manager that the worker is alive.
    """

    session: Session
    batch: int
    pool: Sequence[Inputs]
    data: EvaluationData
    audits: Sequence[Audit]
    open_at: Callable[[int], Session | None]
    beat: Callable[[], None]
    metric: Metric
    limit_s: float | None = None

    def run(self, batch: int | None, samples: int | None, seed: int) -> dict[str, Any]:
        """Score `samples` samples drawn at random, or all; return what the event says of it.

        With a time limit, samples are taken in random order until it is over, one batch at least.

        `batch` is rounded down to a multiple of the timed one. It is used where it is larger than that, where
        the set holds more than the batches that are compared, and where outputs do not depend on it.
        """
        if self.data.unscored is not None:
            for i, inputs in enumerate(self.pool):
                self._as_timed(i, inputs, self.batch)
            none = pack(np.zeros(0, np.float32))
            return {"batch": self.batch, "set_samples": 0, "warning": self.data.unscored, "scores": none}
        data = self.data.sample(samples, seed)
        if self.limit_s is not None:
            data = data.shuffled(seed)
        size = (batch or 0) // self.batch * self.batch
        larger = size > self.batch and len(data) > CHECKED * size
        every = data is self.data and not larger  # then the pass repeats all calls that were timed
        if not every:
            for i, inputs in enumerate(self.pool):
                self._as_timed(i, inputs, len(self.data.truth_of(i, self.batch)))
        scores, why = self._scores_at(size, data) if larger else (None, "")
        if scores is None:
            size = self.batch
            scores = self._scores(
                data, size, lambda i, *rest: self._as_timed(i if every else NOT_TIMED, *rest)
            )
        if len(scores) < len(data):
            limit = (
                f"the evaluation stopped after {self.limit_s:g} s: {len(scores):,} of {len(data):,} samples"
            )
            why = f"{why}; {limit}" if why else limit
        event = {"batch": size, "set_samples": len(self.data), "warning": why}
        if data.positions is None:
            return {**event, "scores": pack(scores)}
        places = data.positions[: len(scores)]
        order = np.argsort(places)
        return {**event, "scores": pack(scores[order]), "positions": pack(places[order])}

    def _scores_at(self, size: int, data: EvaluationData) -> tuple[Array | None, str]:
        """Return scores at this batch if its outputs are the timed Session's; else None, and what is wrong.

        Nothing is wrong with an Artifact that is made for another batch.
        """
        session = None
        try:
            session = self.session if self.session.fixed_batch is None else self.open_at(size)
            if session is None or session.fixed_batch not in (None, size):
                return None, ""
            if (fault := self._difference(session, size, data)) is None:
                other = session
                return self._scores(data, size, lambda _number, inputs, _real: self._run(other, inputs)), ""
            why = f"the outputs at batch {size} are others, {fault}"
        except Exception as error:  # each runtime raises its own; the timed Session works
            why = f"batch {size} fails: {str(error).partition(chr(10))[0]}"
        finally:
            if session is not None and session is not self.session:
                session.close()
        return None, f"quality is that of batch {self.batch}, as timed: {why}"

    def _difference(self, session: Session, size: int, data: EvaluationData) -> str | None:
        """Return how outputs of `session` differ from those of calls as timed, or None."""
        calls = size // self.batch
        for number in (0, len(data) // size // 2):
            theirs = [part.copy() for part in self._run(session, data.batch(number, size))]
            for i in range(calls):
                self.beat()
                inputs = data.batch(number * calls + i, self.batch)
                ours = self._as_timed(NOT_TIMED, inputs, self.batch)
                own = slice(i * self.batch, (i + 1) * self.batch)
                for mine, other in zip(ours, theirs, strict=True):
                    if fault := difference(mine, other[own] if other.ndim else other):
                        return fault
        return None

    def _scores(self, data: EvaluationData, size: int, call: Callable[[int, Inputs, int], Outputs]) -> Array:
        """Return a score for each sample of `data`.

        `call` gets a batch's number, its inputs and how many of its samples are no padding.
        """
        rows: list[Array] = []
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) / "outputs.npy"  # large outputs do not fill the memory
            for i in range(-(-len(data) // size)):
                truth = data.truth_of(i, size)
                outputs = call(i, data.batch(i, size), len(truth))
                seen = data.view.of(outputs)
                seen = seen[: len(truth)] if seen.ndim else seen
                if self._needs_all:
                    _keep(kept, seen, len(data), i * size)
                    rows.append(truth)
                else:
                    rows.append(self.metric.score((seen,), truth))
                self.beat()
                if self.limit_s is not None and time.perf_counter() - start > self.limit_s:
                    break
            found = np.concatenate(rows)
            if self._needs_all:
                found = self.metric.score((np.load(kept, mmap_mode="r")[: len(found)],), found)
        whole = getattr(self.metric, "whole", None)
        return np.asarray(found if whole is None else whole(found), dtype=np.float32)

    @property
    def _needs_all(self) -> bool:
        return getattr(self.metric, "needs_all", False)

    def _as_timed(self, number: int, inputs: Inputs, real: int) -> Outputs:
        """Return the timed Session's outputs for one batch, after the audits have seen them."""
        outputs = self._run(self.session, inputs)
        for audit in self.audits:
            audit.evaluated(number, real, self.data.input_rows(inputs), outputs)
        return outputs

    def _run(self, session: Session, inputs: Inputs) -> Outputs:
        """Return the outputs with the samples first."""
        return self.data.output_rows(session.run(inputs))


def _keep(path: Path, rows: Array, count: int, at: int) -> None:
    """Write `rows` into the file of `count` rows, from position `at`."""
    if at == 0:
        np.lib.format.open_memmap(path, mode="w+", dtype=rows.dtype, shape=(count, *rows.shape[1:]))
    np.load(path, mmap_mode="r+")[at : at + len(rows)] = rows

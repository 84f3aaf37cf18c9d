"""One sitting: arms are alive together, and one runs at a time, Block by Block in random order.

So drift of the machine affects all arms alike, and no arm profits from an early start. The order follows from
the seed and the sitting's key, so that it differs from Run to Run; the journal records it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import count
from typing import Any

import psutil

from harness.errors import WorkerError
from harness.runner.experiment.measurements import Measurements
from harness.runner.experiment.stopping_rule import BASELINE_LOST, Allotment, Decision, StoppingRule
from harness.runner.experiment.trial import Arm, Key, Settings, Trial
from harness.runner.progress import Observer
from harness.store.journal import Event

MIN_ROUNDS = 2
"""Blocks that each arm gets in a Trial, however long one Block takes."""
MEMORY_SHARE = 0.8
"""Of the free memory, the most that live workers may be expected to take."""


class Sitting:
    """Measures arms side by side. `key` tells its Trials from those of all other sittings.

    `record` writes an event to the journal and returns it. `measurements` are those of an earlier session,
    `orders` yields the numbers of Blocks. Without `evaluate` outputs are not scored. `cores` limits how many
    workers import their libraries at a time; `start` makes a Trial.
    """

    def __init__(
        self,
        key: str,
        settings: Settings,
        record: Callable[..., Event],
        observer: Observer,
        *,
        cores: int = 1,
        measurements: Measurements | None = None,
        orders: Iterator[int] | None = None,
        evaluate: bool = True,
        start: Callable[..., Trial] = Trial,
    ) -> None:
        self.key, self.settings, self.observer, self.evaluate = key, settings, observer, evaluate
        self.measurements = measurements or Measurements(key)
        self._record_event, self._start = record, start
        self._starters = max(1, min(2, cores))
        self._orders = orders or count()

    def measure(self, arms: Sequence[Arm], rule: StoppingRule) -> Measurements:
        """Measure Trials of `arms` until the rule stops them all; return all that this sitting measured.

        It can be called again, with other arms and another rule: the numbers of Trials continue, and a
        baseline that takes part again gets its whole time again. An arm that was stopped stays stopped.
        """
        while True:
            decision = self.decide(arms, rule)
            self._keep(decision, arms)
            if not decision.allotments:
                return self.measurements
            taking = [arm for arm in arms if arm.key in decision.allotments]
            shared = [arm for arm in taking if arm.role != "subject"]
            parts = cut_into_parts([arm for arm in taking if arm.role == "subject"], shared, self._bytes)
            for number, part in enumerate(parts, 1):
                trial = self.measurements.next_trial
                names = {"trial": trial, "part": number, "parts": len(parts)}
                self._record("trial-start", **names, expected=decision.trials)
                self.run_trial(part, trial, decision.allotments)
                finished = self.measurements.finished + (number == len(parts))
                self._record("trial-done", **names, finished=finished, arms=[arm.key for arm in part])

    def decide(self, arms: Sequence[Arm], rule: StoppingRule) -> Decision:
        """Return what the next Trial of `arms` is. Cells that failed in this session are left out."""
        history = self.measurements
        history.scenarios |= {arm.id: arm.workload["scenario"] for arm in arms}
        able = [arm for arm in arms if arm.id not in history.failed]
        subjects = [arm.key for arm in able if arm.role == "subject" and arm.key not in history.stopped]
        seen = history.among(subjects) if subjects else history
        baseline = next((arm.key for arm in able if arm.role == "baseline"), None)
        decision = rule.decide(seen, [arm.key for arm in able], baseline, history.stopped)
        total = decision.trials + history.finished - seen.finished
        return Decision(decision.allotments, decision.stops, total)

    def run_trial(self, arms: Sequence[Arm], number: int, allotments: Mapping[Key, Allotment]) -> None:
        """Measure one Trial of every arm. Arms that fail are recorded and left out; the others go on."""
        seed = f"{self.settings.seed}/{self.key}"
        rng = random.Random(f"{seed}/{number}")  # noqa: S311
        live: list[Trial] = []
        try:
            self._start_all(_start_order(arms, seed, number), number, live)
            for one in live.copy():
                with self._guard(one, live):
                    self.observer.step(f"{one.arm.title}: load, warm-up")
                    one.load()
            self._time_blocks(live, rng, allotments)
            for one in live.copy():
                with self._guard(one, live):
                    self._finish(one)
            for one in live:
                one.dismiss()
            for one in live:
                one.close()
        except BaseException:
            for one in live:
                one.kill()
            raise

    def _start_all(self, order: Sequence[Arm], number: int, live: list[Trial]) -> None:
        """Start workers into `live`, a few importing at a time; loading is done later, one by one."""
        waiting: list[Trial] = []
        for arm in [*order, *[None] * self._starters]:
            if len(waiting) == self._starters or (arm is None and waiting):
                first = waiting.pop(0)
                with self._guard(first, live):
                    first.wait_ready()
            if arm is not None:
                self.observer.step(f"{arm.title}: start")
                one = self._start(arm, number, self.settings, self._record)
                live.append(one)
                with self._guard(one, live):
                    one.launch()
                    waiting.append(one)

    def _time_blocks(
        self, live: list[Trial], rng: random.Random, allotments: Mapping[Key, Allotment]
    ) -> None:
        """Time one Block of each arm a round, until each has used up its Allotment."""
        for round_ in count():
            due = [one for one in live if _is_due(one, allotments[one.arm.key])]
            if not due:
                return
            for one in rng.sample(due, len(due)):
                self.observer.step(f"{one.arm.title}: timing")
                with self._guard(one, live):
                    one.block(round_, next(self._orders))

    def _finish(self, one: Trial) -> None:
        """End a Trial's timing; evaluate each Cell once, the control never."""
        evaluate = (
            self.evaluate and one.arm.role != "control" and one.arm.id not in self.measurements.evaluated
        )
        if evaluate:
            self.observer.step(f"{one.arm.title}: evaluation")
        one.finish(evaluate=evaluate)

    @contextmanager
    def _guard(self, one: Trial, live: list[Trial]) -> Iterator[None]:
        """Record the death of a worker and go on without it."""
        try:
            yield
        except WorkerError as error:
            one.fail(error)
            live.remove(one)
            self.observer.notice(f"{one.arm.title}: {one.stage} failed: {error}", cause=str(error))

    def _keep(self, decision: Decision, arms: Sequence[Arm]) -> None:
        """Record stopped arms once, and the plans of the others."""
        titles = {arm.key: arm.title for arm in arms}
        for stop in decision.stops:
            if stop.key in self.measurements.stopped or not self.measurements.arm(stop.key).blocks:
                continue
            cell_id, role = stop.key
            self._record("stop", cell_id=cell_id, arm=role, reason=stop.reason, halfwidth=stop.halfwidth)
            if stop.reason == BASELINE_LOST:
                text = f"{titles[stop.key]} ends early: {stop.reason}"
                self.observer.notice(text, cause=f"{self.key}: {stop.reason}")
        for (cell_id, role), allotment in decision.allotments.items():
            if (budget := allotment.planned) is not None:
                self._record("plan", cell_id=cell_id, arm=role, **asdict(budget))

    def _record(self, event: str, **content: Any) -> Event:
        entry = self._record_event(event, sitting=self.key, **content)
        self.measurements.note(entry)
        return entry

    def _bytes(self, arm: Arm) -> int:
        """Return the memory that a worker needs: what it was seen to need, else what is expected."""
        return self.measurements.arm(arm.key).peak_bytes or arm.expected_bytes


def _start_order(arms: Sequence[Arm], seed: str, number: int) -> list[Arm]:
    """Return a random order for every other Trial, reversed for the next, to balance who starts first."""
    pair, second = divmod(number, 2)
    order = random.Random(f"{seed}/{pair}/start").sample(arms, len(arms))  # noqa: S311
    return order[::-1] if second else order


def _is_due(one: Trial, allotment: Allotment) -> bool:
    return one.rounds < MIN_ROUNDS or (one.rounds < allotment.blocks and one.timed_s < allotment.seconds)


def cut_into_parts(
    arms: Sequence[Arm], shared: Sequence[Arm], needs: Callable[[Arm], int]
) -> list[list[Arm]]:
    """Split arms that do not fit into memory together into parts, each with the `shared` arms too.

    `needs` returns the bytes that an arm's worker takes. A part has at least one arm of its own.
    """
    room = psutil.virtual_memory().available * MEMORY_SHARE - sum(map(needs, shared))
    parts: list[list[Arm]] = []
    left = 0.0
    for arm in arms:
        if not parts or needs(arm) > left:
            parts.append([*shared])
            left = room
        parts[-1].append(arm)
        left -= needs(arm)
    return parts or ([[*shared]] if shared else [])

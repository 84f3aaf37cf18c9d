"""One sitting: arms are alive together, and one runs at a time, Block by Block in random order.

So drift of the machine affects all arms alike, and no arm profits from an early start. The order follows from
the seed and the sitting's key, so that it differs from Run to Run; the journal records it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import count
from typing import Any

from harness.errors import WorkerError
from harness.runner.experiment.measurements import ArmHistory, Measurements
from harness.runner.experiment.parts import cut_into_parts, rooms
from harness.runner.experiment.start_order import start_order
from harness.runner.experiment.stopping_rule import BASELINE_LOST, Allotment, Decision, StoppingRule
from harness.runner.experiment.trial import Arm, Key, Settings, Trial
from harness.runner.progress import Observer
from harness.stats.planning import MIN_ROUNDS
from harness.store.journal import Event


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
        self._lost: list[Arm] = []
        self._spared: set[Key] = set()
        self._late: list[Callable[[], None]] = []

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
            subjects = [arm for arm in taking if arm.role == "subject"]
            parts = cut_into_parts(subjects, shared, rooms(taking, self._history))
            for number, part in enumerate(parts, 1):
                trial = self.measurements.next_trial
                names = {"trial": trial, "part": number, "parts": len(parts)}
                order = self.start_order(part, trial)
                keys = [arm.key for arm in order]
                self._record("trial-start", **names, expected=decision.trials, arms=keys)
                self.run_trial(order, trial, decision.allotments)
                finished = self.measurements.finished + (number == len(parts))
                self._record("trial-done", **names, finished=finished, arms=keys)

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

    def start_order(self, arms: Sequence[Arm], number: int) -> list[Arm]:
        """Return the arms that can take part in Trial `number`, in the order in which they start."""
        able = {arm.key: arm for arm in arms if arm.id not in self.measurements.failed}
        before = self.measurements.start_orders.values()
        return [able[key] for key in start_order([*able], before, self._random(f"{number}/start"))]

    def run_trial(self, arms: Sequence[Arm], number: int, allotments: Mapping[Key, Allotment]) -> None:
        """Measure one Trial of every arm, started in this order.

        Arms that fail are recorded and left out; the others go on. The baseline and the control, which all
        others need, are started once more if they fail before their first Block.
        """
        live: list[Trial] = []
        self._lost, self._spared = [], set()
        try:
            self._start_and_load(arms, number, live)
            self._time_blocks(live, number, allotments)
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

    def _start_and_load(self, arms: Sequence[Arm], number: int, live: list[Trial]) -> None:
        """Start workers into `live`, then load and warm up one after the other."""
        waiting = len(live)
        self._start_all(arms, number, live)
        for one in live[waiting:]:
            with self._guard(one, live):
                self.observer.step(f"{one.arm.title}: load, warm-up")
                one.load()

    def _start_again(self, live: list[Trial], number: int) -> None:
        """Start the lost arms once more, beside the others, which wait; no control without its baseline."""
        lost, self._lost = self._lost, []
        for arm in sorted(lost, key=lambda arm: arm.role):
            if arm.role == "baseline" or arm.id not in self.measurements.failed:
                self._record("trial-again", cell_id=arm.id, arm=arm.role, trial=number)
                self._start_and_load([arm], number, live)

    def _time_blocks(self, live: list[Trial], number: int, allotments: Mapping[Key, Allotment]) -> None:
        """Time one Block of each arm a round, until each has used up its Allotment.

        A Block is recorded while the next worker wakes, so that recording takes no time between Blocks.
        """
        rng = self._random(f"{number}")
        try:
            for round_ in count():
                if self._lost:
                    self._catch_up()
                    self._start_again(live, number)
                due = [one for one in live if _is_due(one, allotments[one.arm.key])]
                if not due:
                    return
                for one in rng.sample(due, len(due)):
                    meanwhile = partial(self._catch_up, f"{one.arm.title}: timing")
                    with self._guard(one, live):
                        self._late.append(one.block(round_, next(self._orders), meanwhile))
        finally:
            self._catch_up()

    def _catch_up(self, step: str = "") -> None:
        """Record the Blocks that were timed and not recorded yet, and show the next step."""
        while self._late:
            self._late.pop(0)()
        if step:
            self.observer.step(step)

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
        """Record the death of a worker and go on without it, or note that it may start once more."""
        try:
            yield
        except WorkerError as error:
            self._catch_up()
            one.fail(error)
            live.remove(one)
            again = one.arm.role != "subject" and not one.rounds and one.arm.key not in self._spared
            if again:
                self._spared.add(one.arm.key)
                self._lost.append(one.arm)
            end = "; it is started once more" if again else ""
            self.observer.notice(f"{one.arm.title}: {one.stage} failed: {error}{end}", cause=str(error))

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

    def _history(self, arm: Arm) -> ArmHistory:
        return self.measurements.arm(arm.key)

    def _random(self, purpose: str) -> random.Random:
        """Return random numbers that follow from the seed, the sitting and the purpose."""
        return random.Random(f"{self.settings.seed}/{self.key}/{purpose}")  # noqa: S311


def _is_due(one: Trial, allotment: Allotment) -> bool:
    return one.rounds < MIN_ROUNDS or (one.rounds < allotment.blocks and one.timed_s < allotment.seconds)

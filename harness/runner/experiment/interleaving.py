"""Turn-taking: the arms of a Group are alive together, one runs at a time, Block by Block in random order.

So drift of the machine hits all arms alike, and which process started first favours none. All order comes
from the Suite's seed and the Run's id, so that no arm has the same luck in each Run, and is in the journal.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import psutil

from harness.errors import WorkerError
from harness.runner.experiment.group_progress import GroupProgress, Key
from harness.runner.experiment.stopping_rule import Allotment
from harness.runner.experiment.trial import Arm, LiveTrial
from harness.runner.progress import Observer
from harness.suite.schema import Measure

MIN_ROUNDS = 2
"""Blocks that each arm gets in a Trial, however long one Block takes."""
MEMORY_SHARE = 0.8
"""Of the memory that is free, the most that live workers may be expected to take."""


class GroupSchedule:
    """Measures one Group; `start(arm, trial)` starts a worker and returns its handle.

    `order` is the number of the Run's next Block, `salt` the Run's id.
    """

    def __init__(
        self,
        measure: Measure,
        start: Callable[[Arm, int], LiveTrial],
        observer: Observer,
        cores: int,
        order: int = 0,
        salt: str = "",
    ) -> None:
        self.measure = measure
        self.start = start
        self.observer = observer
        self.starters = max(1, min(2, cores))
        self.order = order
        self.salt = salt

    def run_trial(
        self, arms: list[Arm], trial: int, progress: GroupProgress, allotments: Mapping[Key, Allotment]
    ) -> None:
        """Measure one Trial of every arm. Arms that fail are recorded and left out; the others go on."""
        seed = f"{self.measure.seed}/{self.salt}/{arms[0].planned.cell.group_id}"
        rng = random.Random(f"{seed}/{trial}")  # noqa: S311
        order = _start_order(arms, seed, trial)
        live: list[LiveTrial] = []
        try:
            live = self._start_all(order, trial, live, progress)
            for one in list(live):
                with self._guard(one, live, progress):
                    self.observer.step(f"{one.arm.title}: load, warm-up")
                    one.load()
            self._rounds(live, rng, progress, allotments)
            for one in list(live):
                with self._guard(one, live, progress):
                    wanted = one.arm.kind != "control" and one.arm.cell_id not in progress.evaluated
                    if wanted:
                        self.observer.step(f"{one.arm.title}: quality")
                    one.finish(quality=wanted)
                    if wanted:
                        progress.evaluated.add(one.arm.cell_id)
            for one in live:
                one.dismiss()
            for one in live:
                one.close()
        except BaseException:
            for one in live:
                one.kill()
            raise

    def _start_all(
        self, order: list[Arm], trial: int, live: list[LiveTrial], progress: GroupProgress
    ) -> list[LiveTrial]:
        """Start workers, a few importing at a time; loading is done later, one by one."""
        waiting: list[LiveTrial] = []
        for arm in [*order, *[None] * self.starters]:
            if len(waiting) == self.starters or (arm is None and waiting):
                first = waiting.pop(0)
                try:
                    first.wait_ready()
                except WorkerError as error:
                    self._bury(first, error, live, progress)
            if arm is not None:
                self.observer.step(f"{arm.title}: start")
                one = self.start(arm, trial)
                live.append(one)
                try:
                    one.launch()
                except WorkerError as error:
                    self._bury(one, error, live, progress)
                else:
                    waiting.append(one)
        return live

    def _rounds(
        self,
        live: list[LiveTrial],
        rng: random.Random,
        progress: GroupProgress,
        allotments: Mapping[Key, Allotment],
    ) -> None:
        round_ = 0
        while True:
            due = [one for one in live if _is_due(one, allotments[one.arm.key])]
            if not due:
                return
            for one in rng.sample(due, len(due)):
                self.observer.step(f"{one.arm.title}: timing")
                with self._guard(one, live, progress):
                    one.block(round_, self.order)
                    if one.arm.kind != "control":
                        progress.timed.add(one.arm.cell_id)
                self.order += 1
            round_ += 1

    @contextmanager
    def _guard(self, one: LiveTrial, live: list[LiveTrial], progress: GroupProgress) -> Iterator[None]:
        """Turn a worker's death into a record, and go on without it."""
        try:
            yield
        except WorkerError as error:
            self._bury(one, error, live, progress)

    def _bury(
        self, one: LiveTrial, error: WorkerError, live: list[LiveTrial], progress: GroupProgress
    ) -> None:
        """Record a dead worker. A Cell that never timed a Block is not tried again in this session."""
        one.fail(error)
        live.remove(one)
        if one.arm.cell_id not in progress.timed and one.arm.kind != "control":
            progress.failed.add(one.arm.cell_id)
        self.observer.notice(f"{one.arm.title}: {one.stage} failed: {error}")


def _start_order(arms: list[Arm], seed: str, trial: int) -> list[Arm]:
    """Random for every other Trial; the next one has it backwards, so that who starts first is balanced."""
    pair, second = divmod(trial, 2)
    order = random.Random(f"{seed}/{pair}/start").sample(arms, len(arms))  # noqa: S311
    return order[::-1] if second else order


def _is_due(one: LiveTrial, allotment: Allotment) -> bool:
    return one.rounds < MIN_ROUNDS or (one.rounds < allotment.blocks and one.timed_s < allotment.seconds)


def cut_into_parts(arms: list[Arm], shared: list[Arm], needs: Callable[[Arm], int]) -> list[list[Arm]]:
    """Cut a Group that would not fit into memory into parts, each with the `shared` arms (the baseline's).

    `needs` tells the bytes that an arm's worker takes. A part has one arm of its own at least.
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
    return parts or ([shared] if shared else [])

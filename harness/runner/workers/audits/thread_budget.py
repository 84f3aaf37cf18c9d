"""thread-budget: the threads and cores that were set before loading must still be set after the last Block.

A model's code may change both, where it is imported or in a call. Runtimes that do not run that code would
then be compared with one that has another budget.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from harness.measure import procfs
from harness.runner.workers.audits.registry import Audit, Finding, Subject, audit, verdict


@audit
class ThreadBudget(Audit):
    """Reads the runtime's setting and the threads' cores after the last Block. It only finds faults."""

    name = "thread-budget"

    def __init__(self) -> None:
        self._faults: list[str] = []

    def probe(self, subject: Subject) -> None:
        """Compare what is set now with the target."""
        threads, target = subject.threads(), subject.target
        if threads not in (None, target.threads):
            self._faults.append(
                f"the model's code set the threads to {threads} after loading; the budget is {target.threads}"
            )
        if outside := cores_outside(target.cores):
            listed = ", ".join(map(str, outside))
            self._faults.append(f"its threads may use cores outside of its budget: {listed}")

    def finding(self) -> Finding:
        """Return what the model's code changed."""
        return verdict(self.name, 0, self._faults)


def cores_outside(cores: Sequence[int], tasks: str = "/proc/self/task") -> list[int]:
    """Return the cores beside `cores` that threads of this process may use; none for a process not pinned."""
    found: set[int] = set()
    for task in procfs.names(tasks) if cores else ():
        with contextlib.suppress(OSError):  # the thread has ended
            found |= os.sched_getaffinity(int(task))
    return sorted(found - set(cores))

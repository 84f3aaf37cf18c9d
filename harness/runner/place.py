"""What a Plan needs to know of the machine."""

from __future__ import annotations

from dataclasses import dataclass

from harness.devices.cores import Nodes, choose


@dataclass(frozen=True)
class Place:
    """The machine of a Plan: usable cores, GPU, instruction set, identity.

    `nodes` says how the cores lie (devices/cores.py); without it, each core counts as a physical one.
    """

    cores: tuple[int, ...]
    cuda_missing: str | None
    cpu_features: frozenset[str]
    machine_id: str
    cuda_capability: tuple[int, int] | None = None
    nodes: Nodes = ()

    def threads(self, asked: int | str) -> int:
        """Return the thread budget: all physical cores for ``all``, all hardware threads for ``logical``."""
        if isinstance(asked, int):
            return asked
        return len(self.cores) if asked == "logical" else min(len(self.cores), sum(map(len, self._nodes)))

    def choose(self, threads: int, parts: int = 1) -> tuple[int, ...]:
        """Return the cores of a thread budget in equal parts (`devices.cores.choose`)."""
        return choose(self._nodes, threads, parts)

    @property
    def _nodes(self) -> Nodes:
        return self.nodes or (tuple((core,) for core in self.cores),)

"""Replication: several inference processes share the thread budget and process batches concurrently."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.formats.target import Target
from harness.techniques.registry import ReplicaHost, StepConfig, deployment


class Replicate(StepConfig):
    """`replicas` processes, each with an equal share of the thread budget and its own cores."""

    replicas: int = Field(ge=2, le=1024)


@deployment(
    "replicate",
    Replicate,
    replicas=lambda config: config.replicas,
    scenarios=("offline",),
    summary="N inference processes that share the thread budget, each on its own cores",
)
def open_replicas(config: Replicate, host: ReplicaHost) -> Any:
    """Open one Session per process; each batch goes to a free replica."""
    return host.concurrent(split(host.target, config.replicas))


def split(target: Target, replicas: int) -> list[Target]:
    """Divide threads and cores of `target` equally.

    The planner has chosen the cores so that no two replicas share a physical core, and has refused threads
    that cannot be divided.
    """
    share = target.threads // replicas
    return [
        Target(target.batch, target.device, share, target.cores[i * share : (i + 1) * share])
        for i in range(replicas)
    ]

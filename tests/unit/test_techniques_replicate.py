"""Replicas share the thread budget and never a core."""

from __future__ import annotations

import pytest

from harness.formats.target import Target
from harness.techniques.registry import DEPLOYMENTS
from harness.techniques.replicate import split


@pytest.mark.parametrize(("threads", "replicas"), [(4, 2), (6, 2), (6, 3), (8, 8)])
def test_cores_are_shared_out_evenly_and_none_twice(threads, replicas):
    cores = tuple(range(10, 10 + threads))
    targets = split(Target(16, "cpu", threads, cores), replicas)
    assert len(targets) == replicas
    assert {target.threads for target in targets} == {threads // replicas}
    given = [core for target in targets for core in target.cores]
    assert given == list(cores)
    assert all(len(target.cores) == target.threads for target in targets)
    assert {(target.batch, target.device) for target in targets} == {(16, "cpu")}


def test_the_host_is_asked_for_one_session_over_all_replicas():
    asked = []

    class Host:
        target = Target(4, "cpu", 4, (0, 1, 2, 3))

        def concurrent(self, targets):
            asked.extend(targets)
            return "session"

    entry = DEPLOYMENTS.get("replicate")
    config = entry.config(replicas=2)
    assert entry.open_session(config, Host()) == "session"
    assert asked == [Target(4, "cpu", 2, (0, 1)), Target(4, "cpu", 2, (2, 3))]
    assert entry.replicas(config) == 2
    assert entry.scenarios == ("offline",)

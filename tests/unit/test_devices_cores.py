"""Which cores a thread budget gets, on simulated machines with 2 sockets × 4 cores × 2 hardware threads."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest

from harness.devices.cores import choose, cores
from harness.devices.host import Host

CPU, NODE = "sys/devices/system/cpu", "sys/devices/system/node"


def machine(folder: Path, siblings: list[tuple[int, int]], nodes: dict[int, str], quota: str = "max") -> Host:
    """Write the files of a machine; a node without cores (memory only) has an empty list."""
    files = {
        f"{CPU}/online": f"0-{2 * len(siblings) - 1}",
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n",
        "cg/cpu.max": f"{quota} 100000",
    }
    files |= {f"{NODE}/node{node}/cpulist": text for node, text in nodes.items()}
    for pair in siblings:
        listed = f"{pair[0]}-{pair[1]}" if pair[1] == pair[0] + 1 else f"{pair[0]},{pair[1]}"
        files |= {f"{CPU}/cpu{core}/topology/thread_siblings_list": listed for core in pair}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return Host(str(folder))


def apart(folder: Path, quota: str = "max") -> Host:
    """Siblings are 0 and 8, 1 and 9 …, as most servers number them. Node 10 has memory and no core."""
    siblings = [(core, core + 8) for core in range(8)]
    return machine(folder, siblings, {0: "0-3,8-11", 2: "4-7,12-15", 10: ""}, quota)


def together(folder: Path) -> Host:
    """Siblings are 0 and 1, 2 and 3 …"""
    return machine(folder, [(2 * core, 2 * core + 1) for core in range(8)], {0: "0-7", 1: "8-15"})


@pytest.mark.parametrize(
    ("threads", "parts", "expected"),
    [
        (3, 1, [[0, 1, 2]]),
        (6, 1, [[0, 1, 2, 3, 4, 5]]),
        (8, 2, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (6, 2, [[0, 1, 2], [4, 5, 6]]),  # not 0, 1, 2 and 3, 4, 5, which lies in both nodes
        (6, 3, [[0, 1], [2, 3], [4, 5]]),
        (9, 1, [[0, 1, 2, 3, 4, 5, 6, 7, 8]]),
        (16, 2, [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]),
        (16, 4, [[0, 1, 8, 9], [2, 3, 10, 11], [4, 5, 12, 13], [6, 7, 14, 15]]),
        (12, 3, [[0, 1, 8, 9], [2, 3, 10, 11], [4, 5, 12, 13]]),
        (15, 3, []),  # a third of eight physical cores is two, which have four threads, not five
        (16, 16, []),
        (5, 2, []),
        (17, 1, []),
    ],
)
def test_replicas_get_physical_cores_of_their_own_in_one_node(
    tmp_path: Path, threads: int, parts: int, expected: list[list[int]]
) -> None:
    assert choose(cores(apart(tmp_path), range(16)).nodes, threads, parts) == tuple(chain(*expected))


@pytest.mark.parametrize(
    ("threads", "parts", "expected"),
    [
        (3, 1, [[0, 2, 4]]),
        (6, 2, [[0, 2, 4], [8, 10, 12]]),
        (10, 1, [[0, 2, 4, 6, 8, 10, 12, 14, 1, 3]]),
        (16, 2, [[0, 2, 4, 6, 1, 3, 5, 7], [8, 10, 12, 14, 9, 11, 13, 15]]),
    ],
)
def test_the_choice_does_not_depend_on_how_siblings_are_numbered(
    tmp_path: Path, threads: int, parts: int, expected: list[list[int]]
) -> None:
    assert choose(cores(together(tmp_path), range(16)).nodes, threads, parts) == tuple(chain(*expected))


def test_a_budget_lies_in_the_first_node_that_has_room_for_it(tmp_path: Path) -> None:
    given = cores(apart(tmp_path), affinity=(3, 4, 5, 6, 7, 12))
    assert given.nodes == (((3,),), ((4, 12), (5,), (6,), (7,)))
    assert choose(given.nodes, 2) == (4, 5)
    assert choose(given.nodes, 5) == (3, 4, 5, 6, 7)
    assert given.ids == (3, 4, 5, 6, 7, 12)


def test_a_part_that_needs_siblings_gets_cores_that_have_some() -> None:
    assert choose((((0,), (1, 5), (2, 6)),), 4, 2) == (1, 5, 2, 6)


def test_a_quota_limits_the_count_and_leaves_the_choice(tmp_path: Path) -> None:
    given = cores(apart(tmp_path, quota="600000"), affinity=range(16))
    assert (given.ids, given.physical, given.quota) == ((0, 1, 2, 3, 4, 5), 6, 6.0)
    assert choose(given.nodes, 6, 2) == (0, 1, 2, 4, 5, 6)

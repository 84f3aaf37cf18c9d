"""Noise evidence: counted right, tagged by stated thresholds, graded for a Run, and empty without /proc."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.measure import procfs
from harness.measure.device import DeviceEvidence, DeviceState
from harness.measure.evidence import Evidence
from harness.measure.grading import grade, lost_share, sentence, tags
from harness.measure.probe import Probe, Reading
from harness.measure.rules import RULES

QUIET = Evidence(
    wall_s=1.0,
    cpu_s=1.0,
    foreign_cpu_s=0.0,
    steal_s=0.0,
    throttled_s=0.0,
    run_delay_s=0.0001,
    involuntary_switches=4,
    voluntary_switches=0,
    minor_faults=10,
    major_faults=0,
    freq_mhz_start=3000.0,
    freq_mhz_end=2990.0,
    load_1m=1.0,
    swap_in_pages=0,
    swap_out_pages=0,
    cores=2,
    foreign_watched_s=0.0,
    elsewhere_share=0.0,
    worst_delay_s=0.0001,
    watched_cores=1,
    threads=1,
)
GPU = DeviceState(clock_mhz=1980, slowdowns=(), heat_limited_s=7.0, power_limited_s=9.0, foreign_processes=0)


def on_gpu(**after: Any) -> Evidence:
    """A quiet Block, after which the state of its GPU is quiet but for `after`."""
    end = replace(GPU, clock_mhz=1965, heat_limited_s=7.005, power_limited_s=9.005)
    return replace(QUIET, device=DeviceEvidence("cuda", GPU, replace(end, **after)))


BLIND = Evidence(1.0, *[None] * 14, cores=2)

STAT = """cpu  300 0 60 2000 9 0 5 {steal} 40 0
cpu0 {busy0} 0 20 1000 5 0 3 {steal} 40 0
cpu1 100 10 40 1000 4 2 2 0 0 0
intr 347951 0 0 0
ctxt 474608
"""


@pytest.mark.parametrize(
    ("tag", "change"),
    [
        ("steal", {"steal_s": 0.03}),
        ("throttled", {"throttled_s": 0.001}),
        ("core-shared", {"run_delay_s": 0.02}),
        ("thread-delayed", {"worst_delay_s": 0.06}),
        ("switches", {"involuntary_switches": 101}),
        ("foreign-cpu", {"foreign_watched_s": 0.02}),
        ("busy-elsewhere", {"elsewhere_share": 0.11}),
        ("major-faults", {"major_faults": 1}),
        ("swap", {"swap_out_pages": 1}),
        ("frequency", {"freq_mhz_end": 2800.0}),
        ("load", {"load_1m": 2.1}),
        ("minor-faults", {"minor_faults": 10_001}),
        ("gpu-throttled", {"device": on_gpu(slowdowns=("thermal-hardware",)).device}),
        ("gpu-throttled", {"device": on_gpu(heat_limited_s=7.02).device}),
        ("gpu-power-cap", {"device": on_gpu(slowdowns=("power-cap",)).device}),
        ("gpu-power-cap", {"device": on_gpu(power_limited_s=9.02).device}),
        ("gpu-shared", {"device": on_gpu(foreign_processes=1).device}),
        ("gpu-shared", {"device": on_gpu(foreign_processes=1, foreign_utilization=0.02).device}),
        ("gpu-clock", {"device": on_gpu(clock_mhz=1880).device}),
    ],
)
def test_each_kind_of_noise_has_its_tag_and_its_sentence(tag: str, change: dict) -> None:
    assert tags(replace(QUIET, **change)) == (tag,)
    assert len(sentence(tag).split()) >= 3


def test_every_rule_is_tested_above_and_named_once() -> None:
    assert len({rule.tag for rule in RULES}) == len(RULES) == 16


def test_a_quiet_block_and_one_without_evidence_have_no_tags() -> None:
    assert tags(QUIET) == tags(BLIND) == ()


def test_one_tick_in_a_short_block_may_be_rounding_and_is_no_tag() -> None:
    short = replace(QUIET, wall_s=0.1, involuntary_switches=2, minor_faults=9)
    assert tags(replace(short, steal_s=procfs.TICK_S)) == ()
    assert tags(replace(short, steal_s=2 * procfs.TICK_S)) == ("steal",)


@pytest.mark.parametrize(
    ("cpu_s", "foreign_s", "found"),
    [
        (0.5, 0.09, ()),  # 250 samples, half of them busy: 3 * sqrt(250 / 4) samples of 4 ms are 0.095 s
        (0.5, 0.10, ("foreign-cpu",)),
        (0.99, 0.025, ()),  # 0.019 s, with rounding 0.0258 s
        (0.99, 0.026, ("foreign-cpu",)),
        (1.0, 0.02, ("foreign-cpu",)),  # always busy: rounding only
    ],
)
def test_a_cell_that_sleeps_between_queries_is_sampled_and_that_is_no_foreign_work(
    cpu_s: float, foreign_s: float, found: tuple[str, ...]
) -> None:
    assert tags(replace(QUIET, cpu_s=cpu_s, foreign_watched_s=foreign_s)) == found
    assert tags(replace(QUIET, cpu_s=cpu_s, steal_s=0.02)) == ("steal",)  # counted, not sampled


def test_stolen_ticks_of_short_blocks_add_up_in_the_grade() -> None:
    blocks = [replace(QUIET, wall_s=0.1, involuntary_switches=0, steal_s=procfs.TICK_S)] * 20
    assert grade(blocks).letter == "C"  # a tenth of the time, though no Block has a tag
    assert "lost to others" in grade(blocks).reasons[0]


@pytest.mark.parametrize(
    ("noisy", "letter"), [(0, "A"), (5, "A"), (6, "B"), (20, "B"), (21, "C"), (50, "C"), (51, "D")]
)
def test_the_grade_follows_the_share_of_time_in_noisy_blocks(noisy: int, letter: str) -> None:
    given = grade([replace(QUIET, major_faults=1)] * noisy + [QUIET] * (100 - noisy))
    assert given.letter == letter
    assert bool(given.reasons) == bool(given.remedies) == bool(noisy)


def test_a_long_noisy_block_weighs_more_than_a_short_one() -> None:
    long, short = replace(QUIET, wall_s=9.0, major_faults=1), QUIET
    assert grade([long, short]).letter == "D"
    assert grade([replace(long, major_faults=0), replace(short, major_faults=1)]).letter == "B"


def test_what_the_cell_does_itself_does_not_lower_the_grade() -> None:
    assert grade([replace(QUIET, minor_faults=10**6, load_1m=9.0, elsewhere_share=0.9)]).letter == "A"


def test_without_evidence_nobody_calls_a_run_clean() -> None:
    given = grade([BLIND])
    assert given.letter == "B"
    assert any("stolen by a hypervisor" in reason for reason in given.reasons)
    assert grade([]).letter == "D"


@pytest.mark.parametrize(
    ("block", "letter", "missing"),
    [
        (on_gpu(), "A", []),
        (on_gpu(foreign_processes=1, foreign_utilization=0.0), "A", []),  # who holds it and does nothing
        (on_gpu(slowdowns=("power-cap",)), "A", []),  # told, and not graded: a loaded GPU's normal state
        (on_gpu(heat_limited_s=7.1), "D", None),
        (on_gpu(foreign_processes=None), "B", ["other processes on the GPU"]),
        (
            replace(QUIET, device=DeviceEvidence("cuda")),
            "B",
            ["the GPU's clock frequency", "what slows the GPU down", "other processes on the GPU"],
        ),
    ],
)
def test_a_run_on_a_gpu_is_graded_by_the_gpu_too(
    block: Evidence, letter: str, missing: list[str] | None
) -> None:
    given = grade([block] * 2)
    assert given.letter == letter
    if missing is not None:
        assert list(given.reasons) == [f"this system does not report {what}" for what in missing]


def test_the_most_frequent_noise_is_named_first() -> None:
    given = grade([replace(QUIET, major_faults=1)] + [replace(QUIET, swap_in_pages=1)] * 2)
    assert "swapped" in given.reasons[0]
    assert "read from disk" in given.reasons[1]


def test_evidence_survives_json_and_reads_older_runs() -> None:
    kept = on_gpu(slowdowns=("power-cap",))
    read = Evidence.from_dict(json.loads(json.dumps(kept.to_dict())))
    assert tags(read) == tags(kept) == ("gpu-power-cap",)
    fields = json.loads(json.dumps(QUIET.to_dict()))
    assert Evidence.from_dict(fields) == QUIET
    del fields["swap_in_pages"]
    assert Evidence.from_dict({**fields, "of_a_later_version": 1}) == replace(QUIET, swap_in_pages=None)


@pytest.mark.parametrize(
    ("change", "letter", "found"),
    [
        ({}, "A", ()),
        ({"run_delay_s": 0.011}, "D", ("core-shared",)),
        ({"steal_s": 0.02}, "D", ("steal",)),
        ({"foreign_cpu_s": 0.02}, "D", ("foreign-cpu",)),  # on whichever core
    ],
)
def test_sums_of_older_runs_are_taken_as_of_one_core(change: dict, letter: str, found: tuple) -> None:
    new = ("foreign_watched_s", "elsewhere_share", "worst_delay_s", "watched_cores", "threads")
    older = Evidence.from_dict({k: v for k, v in (QUIET.to_dict() | change).items() if k not in new})
    assert (grade([older]).letter, tags(older)) == (letter, found)


def test_many_threads_that_each_wait_a_little_are_quiet() -> None:
    waited = replace(
        QUIET, threads=64, watched_cores=64, run_delay_s=64 * 0.004, worst_delay_s=0.004,
        involuntary_switches=64 * 10, minor_faults=64 * 1000,
    )  # fmt: skip
    assert (grade([waited]).letter, tags(waited), lost_share(waited)) == ("A", (), pytest.approx(0.004))


def test_one_of_many_threads_that_waits_half_of_the_time_is_noise() -> None:
    waited = replace(QUIET, threads=64, watched_cores=64, run_delay_s=0.5, worst_delay_s=0.5)
    assert lost_share(waited) == pytest.approx(0.5 / 64)
    assert tags(waited) == ("thread-delayed",)


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({"run_delay_s": 0.02}, 0.01),  # two threads that each wait 1 % of the time
        ({"steal_s": 0.1}, 0.05),
        ({"throttled_s": 0.8}, 0.4),  # both cores of the cgroup, for 0.4 s each
        ({"throttled_s": 0.8, "run_delay_s": 0.9}, 0.45),  # who is throttled waits
        ({"steal_s": 0.2, "run_delay_s": 0.4}, 0.28),  # 0.1 + 0.2, of which 0.02 was stolen and waited for
        ({"run_delay_s": 9.0}, 1.0),
    ],
)
def test_the_lost_share_is_a_mean_over_threads_and_cores_and_counts_nothing_twice(
    change: dict, lost: float
) -> None:
    quiet = replace(QUIET, threads=2, watched_cores=2, run_delay_s=0.0)
    assert lost_share(replace(quiet, **change)) == pytest.approx(lost)


def machine(
    folder: Path, *, cpu: int, busy0: int, steal: int, throttled: int, delay: int, switches: int
) -> Probe:
    """A recorded machine with two cores and one process of two threads, pid 7."""
    task = folder / "proc" / "7" / "task"
    for thread in ("7", "8"):
        (task / thread).mkdir(parents=True, exist_ok=True)
        (task / thread / "schedstat").write_text(f"5000 {delay} 3\n")
        (task / thread / "status").write_text(
            f"voluntary_ctxt_switches:\t2\nnonvoluntary_ctxt_switches:\t{switches}\n"
        )
    (folder / "proc" / "self").mkdir(exist_ok=True)
    mount = f"31 23 0:28 / {folder}/cg rw - cgroup2 cgroup2 rw\n"
    (folder / "proc" / "self" / "mountinfo").write_text(mount)
    (folder / "proc" / "7" / "cgroup").write_text("0::/\n")
    (folder / "cg").mkdir(exist_ok=True)
    (folder / "cg" / "cpu.stat").write_text(f"usage_usec 5\nnr_throttled 1\nthrottled_usec {throttled}\n")
    (folder / "proc" / "7" / "stat").write_text(
        f"7 (a (b) c) R 1 7 7 0 -1 0 11 0 1 0 {cpu} 5 0 0 20 0 2 0 1\n"
    )
    (folder / "proc" / "stat").write_text(STAT.format(busy0=busy0, steal=steal))
    (folder / "proc" / "vmstat").write_text("nr_free_pages 5\npswpin 3\npswpout 4\n")
    frequency = folder / "sys" / "devices" / "system" / "cpu" / "cpu0" / "cpufreq"
    frequency.mkdir(parents=True, exist_ok=True)
    (frequency / "scaling_cur_freq").write_text("2400000\n")
    return Probe([7], [0], proc=str(folder / "proc"), system=str(folder / "sys"))


def test_a_probe_counts_what_lies_between_two_readings(tmp_path: Path) -> None:
    probe = machine(tmp_path, cpu=100, busy0=200, steal=1, throttled=0, delay=100, switches=5)
    before = probe.read()
    machine(tmp_path, cpu=150, busy0=280, steal=4, throttled=2500, delay=400, switches=9)
    evidence = probe.between(before, probe.read())

    assert evidence.cpu_s == pytest.approx(0.5)
    assert evidence.foreign_cpu_s == pytest.approx(0.3)  # 80 ticks busy on the machine, 50 of them its own
    assert evidence.foreign_watched_s == pytest.approx(0.3)
    assert evidence.elsewhere_share == 0.0
    assert (evidence.watched_cores, evidence.threads) == (1, 1)
    assert evidence.steal_s == pytest.approx(0.03)
    assert evidence.throttled_s == pytest.approx(0.0025)
    assert evidence.run_delay_s == pytest.approx(600e-9)
    assert evidence.worst_delay_s == pytest.approx(300e-9)
    assert (evidence.involuntary_switches, evidence.voluntary_switches) == (8, 0)
    assert (evidence.minor_faults, evidence.major_faults) == (0, 0)
    assert (evidence.freq_mhz_start, evidence.freq_mhz_end) == (2400.0, 2400.0)
    assert (evidence.swap_in_pages, evidence.swap_out_pages, evidence.cores) == (0, 0, 2)


def test_a_thread_that_ended_makes_no_negative_count(tmp_path: Path) -> None:
    probe = machine(tmp_path, cpu=100, busy0=200, steal=1, throttled=0, delay=400, switches=9)
    before = probe.read()
    machine(tmp_path, cpu=100, busy0=200, steal=1, throttled=0, delay=100, switches=2)
    evidence = probe.between(before, probe.read())
    assert (evidence.run_delay_s, evidence.involuntary_switches) == (0.0, 0)


class Server:
    """128 cores, and a process with a thread budget of two that fills cores 0 and 1 of them for a second."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.delays_ns = folder, [0, 0]
        self.ticks = [1000] * 128
        self.own = 200
        self.probe = Probe([7], [0, 1], 2, proc=str(folder / "proc"), system=str(folder / "sys"))

    def read(self) -> Reading:
        for thread, delay_ns in zip("78", self.delays_ns, strict=True):
            task = self.folder / "proc" / "7" / "task" / thread
            task.mkdir(parents=True, exist_ok=True)
            (task / "schedstat").write_text(f"5000 {delay_ns} 3\n")
        (self.folder / "proc" / "7" / "stat").write_text(
            f"7 (x) R 1 7 7 0 -1 0 0 0 0 0 {self.own} 0 0 0 20 0 2 0 1\n"
        )
        lines = [f"cpu{i} {ticks} 0 0 9 0 0 0 0 0 0" for i, ticks in enumerate(self.ticks)]
        (self.folder / "proc" / "stat").write_text("\n".join(["cpu  0 0 0 0 0 0 0", *lines, "intr 0"]))
        return self.probe.read()

    def second(self, own: int = 200, busy: tuple[int, int] = (100, 100), elsewhere: int = 0) -> Evidence:
        """Let a second pass, in ticks; work elsewhere is on core 77."""
        before = self.read()
        self.own += own
        self.ticks[0] += busy[0]
        self.ticks[1] += busy[1]
        self.ticks[77] += elsewhere
        after = self.read()
        return self.probe.between(replace(before, wall_ns=0), replace(after, wall_ns=10**9))


def test_background_elsewhere_on_a_large_server_is_no_tag(tmp_path: Path) -> None:
    evidence = Server(tmp_path).second(elsewhere=30)  # 0.3 core
    assert evidence.foreign_cpu_s == pytest.approx(0.3)
    assert evidence.foreign_watched_s == 0.0
    assert evidence.elsewhere_share == pytest.approx(0.3 / 126)
    assert tags(replace(evidence, load_1m=None)) == ()
    busy = Server(tmp_path / "busy").second(elsewhere=1300)
    assert tags(replace(busy, load_1m=None)) == ("busy-elsewhere",)  # told, and not graded
    assert grade([replace(busy, load_1m=None, involuntary_switches=0)]).reasons == ()


def test_a_process_on_a_pinned_core_is_noise(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.read()
    evidence = server.second(own=100)  # both cores busy, one of them with another process
    assert evidence.foreign_watched_s == pytest.approx(1.0)
    assert tags(replace(evidence, load_1m=None)) == ("foreign-cpu",)


def test_waiting_is_counted_by_thread(tmp_path: Path) -> None:
    server = Server(tmp_path)
    before = server.read()
    server.delays_ns = [10_000_000, 30_000_000]
    evidence = server.probe.between(replace(before, wall_ns=0), replace(server.read(), wall_ns=10**9))
    assert (evidence.run_delay_s, evidence.worst_delay_s) == (pytest.approx(0.04), pytest.approx(0.03))
    assert lost_share(evidence) == pytest.approx(0.02)
    assert tags(replace(evidence, load_1m=None)) == ("core-shared",)


def test_cpu_time_of_replicas_is_counted_to_the_nanosecond_and_the_first_process_only_hands_out(
    tmp_path: Path,
) -> None:
    def write(pid: int, ran_ns: int, waited_ns: int) -> None:
        task = tmp_path / str(pid) / "task" / str(pid)
        task.mkdir(parents=True, exist_ok=True)
        (task / "schedstat").write_text(f"{ran_ns} {waited_ns} 3\n")
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (x) R 1 7 7 0 -1 0 0 0 0 0 9 0 0 0 20 0 2 0 1\n")

    probe = Probe([7, 8, 9], [0, 1], proc=str(tmp_path))
    for pid in (7, 8, 9):
        write(pid, 10**9, 10**9)
    before = probe.read()
    write(7, 10**9 + 60_000_000, 10**9 + 50_000_000)
    write(8, 10**9 + 95_500_000, 10**9 + 1_000_000)
    write(9, 10**9 + 4_000_000, 10**9)
    after = probe.read()
    evidence = probe.between(before, after)
    assert evidence.cpu_s == pytest.approx(0.1595)
    assert (evidence.run_delay_s, evidence.worst_delay_s) == (pytest.approx(0.051), pytest.approx(0.001))
    assert probe.threads_used(before, after, 0.1) == 1  # 4 of 100 ms are too few, and the first is none


def test_without_proc_the_own_process_is_still_counted_and_the_rest_is_unknown(tmp_path: Path) -> None:
    probe = Probe(proc=str(tmp_path), system=str(tmp_path))
    before = probe.read()
    sum(range(100_000))
    evidence = probe.between(before, probe.read())

    assert evidence.cpu_s is not None and evidence.involuntary_switches is not None
    assert evidence.steal_s is evidence.throttled_s is evidence.run_delay_s is evidence.freq_mhz_start is None
    assert evidence.swap_in_pages is None
    assert set(tags(evidence)) <= {rule.tag for rule in RULES}


def test_a_process_that_died_leaves_its_figures_unknown() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    probe = Probe([child.pid])
    child.wait()
    reading = probe.read()
    assert reading.counters["cpu_s"] is None
    assert probe.between(reading, reading).cpu_s is None


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_replicas_count_with_their_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in procfs.descendants(os.getpid())
        assert child.pid in {pid for pid, _ in Probe([os.getpid(), child.pid]).read().threads}
        child.communicate(b"\n")


V1_CGROUP = "4:memory:/job/a\n3:cpuset:/\n1:cpu,cpuacct:/job\n0::/\n"
V1_MOUNTS = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
V2_MOUNTS = "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate\n"


@pytest.mark.parametrize(
    ("cgroup", "mounts", "controller", "expected"),
    [
        (V1_CGROUP, V1_MOUNTS, "cpu", ("cpu,cpuacct/job", "cpu,cpuacct")),
        (V1_CGROUP, V1_MOUNTS, "memory", ("memory/job/a", "memory/job", "memory")),
        ("0::/docker/abc/x\n", V2_MOUNTS, "cpu", ("x", "")),
        ("0::/elsewhere\n", V2_MOUNTS, "cpu", ("",)),
        (None, None, "cpu", None),
    ],
)
def test_cgroups_are_found_from_the_processs_own_upwards(cgroup, mounts, controller, expected) -> None:
    folders = tuple(f"/sys/fs/cgroup/{name}".rstrip("/") for name in expected) if expected is not None else ()
    assert procfs.cgroup_dirs(cgroup, mounts, controller) == folders


def test_throttling_is_read_in_both_versions_of_cgroups() -> None:
    assert procfs.throttled_s(["throttled_usec 1500000\n", None]) == 1.5
    assert procfs.throttled_s(["nr_throttled 1\nthrottled_time 2000000000\n"]) == 2.0
    assert procfs.throttled_s(["usage_usec 5\n"]) is None

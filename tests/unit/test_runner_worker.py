"""A measuring worker's Trial, in this process with a Session of its own: odd machines, odd clocks."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from clocks import FakeClock
from nvml import MIB, FakeNvml

from harness.artifacts.artifact import Artifact
from harness.devices import cuda
from harness.formats.target import Target
from harness.formats.tensors import TensorSpec
from harness.measure import procfs
from harness.measure.clock import ClockError
from harness.runner.workers import measure as module
from harness.runner.workers.evaluation_data import EvaluationData
from harness.runner.workers.evaluation_truth import write_evaluation_data
from harness.runner.workers.measure import Trial
from harness.runtimes.registry import RUNTIMES, Runtime, RuntimeConfig, Session
from harness.zoo.registry import Data

SAMPLES = 64
WEIGHTS = np.random.default_rng(3).standard_normal((8, 4)).astype(np.float32)


class Product(Session):
    """Multiplies, by numpy."""

    def bind(self, inputs: Sequence[np.ndarray]) -> Callable[[], tuple[np.ndarray, ...]]:
        return lambda: (inputs[0] @ WEIGHTS,)


class Channel:
    """Keeps what the worker tells."""

    spawned_ns = 0

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def emit(self, event: str, **content: Any) -> None:
        self.told.append({"event": event, **content})

    def last(self, event: str) -> dict[str, Any]:
        return [one for one in self.told if one["event"] == event][-1]


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    RUNTIMES.names()  # load the real ones first
    runtime = Runtime("fake", RuntimeConfig, lambda *_: Product(), ("any",), "", (), ())
    monkeypatch.setitem(RUNTIMES._items, "fake", runtime)
    monkeypatch.setattr(module, "set_aside_garbage", lambda: None)  # it would freeze pytest's own
    data, built = tmp_path / "data", tmp_path / "built"
    data.mkdir()
    built.mkdir()
    rng = np.random.default_rng(0)
    inputs = (rng.standard_normal((SAMPLES, 8)).astype(np.float32),)
    labels = (inputs[0] @ WEIGHTS).argmax(1)
    source = Artifact("s", "any", built)
    write_evaluation_data(data, source, (TensorSpec(shape=(8,)),), Data(inputs, labels), "top-1", 0)
    source.write_manifest()
    spec = {
        "runtime": "fake", "runtime_config": {}, "deployment": None, "deployment_config": None,
        "artifact": str(built), "data": str(data), "target": Target(batch=4).to_dict(),
        "workload": {"scenario": "single-stream", "batch": 4}, "timeout_s": 9.0, "seed": [0, 1],
        "slowdown": 0.0,
    }  # fmt: skip
    return Trial(Channel(), spec)  # type: ignore[arg-type]


def run(trial: Trial, blocks: int = 2) -> Channel:
    """A Trial from beginning to end."""
    trial.ready()
    trial.load({})
    trial.warm({"block_s": 0.01, "cap_s": 0.02})
    for _ in range(blocks):
        trial.block({})
    trial.memory({})
    trial.evaluation({"beat_s": 5.0})
    channel: Any = trial.channel
    return channel


def test_a_whole_trial_tells_of_every_phase(trial: Trial) -> None:
    told = run(trial)
    assert [one["event"] for one in told.told if one["event"] != "alive"] == [
        "ready", "loaded", "warm", "block", "block", "memory", "evaluation",
    ]  # fmt: skip
    audits = {one["audit"]: one["state"] for one in told.last("evaluation")["audits"]}
    assert audits == {"constant-output": "passed", "repeated-input": "passed", "same-outputs": "passed"}
    assert (told.last("memory")["threads_set"], told.last("memory")["cores_outside"]) == (None, [])
    assert told.last("block")["samples"] > 0
    evidence = told.last("block")["evidence"]
    assert (evidence["threads"], evidence["device"]) == (1, None)
    assert told.last("memory")["steady"]["device_source"] is None


def test_a_block_collects_garbage_first_and_reads_its_counters_between_untimed_calls(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.ready()
    trial.load({})
    happened: list[str] = []
    trial.calls = [lambda call=call: (happened.append("call"), call())[1] for call in trial.calls]  # type: ignore[misc]
    trial.warm({"block_s": 0.01, "cap_s": 0.02})
    read, collect = trial.probe.read, module.gc.collect
    monkeypatch.setattr(trial.probe, "read", lambda: (happened.append("counters"), read())[1])
    monkeypatch.setattr(module.gc, "collect", lambda: (happened.append("garbage"), collect())[1])
    happened.clear()
    trial.block({})
    told: Any = trial.channel
    timed = told.last("block")["samples"] // 4
    first, second = (i for i, what in enumerate(happened) if what == "counters")
    assert happened[0] == "garbage" and happened.count("garbage") == 1
    assert happened[1:first].count("call") >= 1
    assert happened[first + 1 : second].count("call") > timed
    assert happened[-1] == "counters"


def test_a_block_starts_when_waking_ends_and_threads_are_judged_from_the_counters_on(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.ready()
    trial.load({})
    clock = FakeClock()
    trial.clock = clock  # type: ignore[assignment]
    trial.calls = [lambda: clock.advance(500_000)]
    trial.session = SimpleNamespace(bind=lambda inputs: None, close=lambda: None)  # type: ignore[assignment]
    trial.warm({"block_s": 0.01, "cap_s": 0.02})
    read = trial.probe.read
    monkeypatch.setattr(trial.probe, "read", lambda: replace(read(), wall_ns=clock.time_ns))
    seen: list[float] = []
    monkeypatch.setattr(trial.probe, "threads_used", lambda _before, _after, wall_s: seen.append(wall_s))
    before_ns = clock.time_ns
    trial.block({})
    told: Any = trial.channel
    block = told.last("block")
    assert block["start_ns"] == before_ns + 5_000_000
    assert block["duration_ns"] == 10_000_000
    assert seen == [0.011]  # the Block, and the last millisecond of waking
    assert block["evidence"]["wall_s"] == 0.011


def test_a_process_that_an_import_started_is_no_part_of_the_session(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO's telemetry, which workers do without, ended a second after its import."""
    children = iter([(1, 77), (1, 77, 88)])
    watched: list[list[int]] = []
    monkeypatch.setattr(module, "family_pids", lambda: next(children))
    monkeypatch.setattr(module, "with_children", lambda phase, pids: phase)
    meter = module.PhaseMeter
    monkeypatch.setattr(module, "PhaseMeter", lambda pids, device: (watched.append(list(pids)), meter())[1])
    trial.ready()
    trial.load({})
    assert watched == [[1, 88]]
    assert trial.probe.pids == (1, 88)


def test_threads_are_waited_for_once_after_warm_up_and_not_after_a_block(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    monkeypatch.setattr(module, "rests", lambda *_: bool(waits.append(1)))
    told = run(trial)
    assert waits == [1]
    found = [(one["event"], one["rested"]) for one in told.told if "rested" in one]
    assert found == [("warm", False)]


def test_fetching_the_inputs_is_no_part_of_the_start(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(tick_ns=1)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter_ns=clock.now_ns))
    fetch = EvaluationData.pool

    def slow(data: EvaluationData, size: int) -> list[tuple[Any, ...]]:
        clock.advance(10**10)
        return fetch(data, size)

    monkeypatch.setattr(EvaluationData, "pool", slow)
    trial.ready()
    told: Any = trial.channel
    assert told.last("ready")["import_s"] < 1
    assert (len(trial.pool), clock.time_ns > 10**10) == (16, True)


def test_a_machine_without_proc_measures_with_less_evidence(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS: nothing to read under /proc and /sys, and no peaks to reset."""
    monkeypatch.setattr(procfs, "read", lambda path: None)
    monkeypatch.setattr(procfs, "names", lambda path: [])
    monkeypatch.setattr("harness.measure.memory.reset_peak", lambda pid, proc="": False)
    told = run(trial)
    block = told.last("block")
    assert block["threads_used"] is None
    assert block["evidence"]["steal_s"] is None and block["evidence"]["run_delay_s"] is None
    assert block["evidence"]["wall_s"] > 0
    steady = told.last("memory")["steady"]
    assert (steady["exact"], steady["pss_bytes"]) == (False, None)
    assert steady["peak_rss_bytes"] > 0
    assert told.last("evaluation")["audits"]


def test_a_trial_on_a_gpu_reads_it_around_each_block_and_never_within_a_call(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watched(FakeNvml):
        calling = False

        def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
            assert not self.calling
            return super().nvmlDeviceGetMemoryInfo(handle)

    nvml = Watched(reasons=0x40, pids=(os.getpid(),))

    class OnGpu(Product):
        def bind(self, inputs: Sequence[np.ndarray]) -> Callable[[], tuple[np.ndarray, ...]]:
            inner = super().bind(inputs)

            def call() -> tuple[np.ndarray, ...]:
                nvml.calling = True
                nvml.memory[os.getpid()] = 500 * MIB
                output = inner()
                nvml.calling = False
                return output

            return call

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fake = replace(RUNTIMES.get("fake"), open_session=lambda *_: OnGpu())
    monkeypatch.setitem(RUNTIMES._items, "fake", fake)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # type: ignore[arg-type]
    cuda._loaded.cache_clear()
    told = run(Trial(trial.channel, {**trial.spec, "target": Target(4, "cuda").to_dict()}))
    cuda._loaded.cache_clear()
    blocks = [one for one in told.told if one["event"] == "block"]
    for block in blocks:
        after = block["evidence"]["device"]["after"]
        assert (after["clock_mhz"], after["slowdowns"]) == (1980, ("thermal-hardware",))
        assert "gpu-throttled" in block["tags"]
    assert len(blocks) == 2
    loaded = told.last("loaded")
    assert told.last("ready")["device_empty_bytes"] == loaded["load"]["device_bytes"] == 7 * MIB
    assert loaded["first_call"]["device_bytes"] == told.last("memory")["steady"]["device_bytes"] == 500 * MIB
    assert told.last("memory")["steady"]["device_source"] == "driver"


def test_a_clock_that_goes_backwards_ends_the_trial_in_words(trial: Trial) -> None:
    trial.ready()
    trial.load({})
    clock = FakeClock(tick_ns=-1_000)
    trial.clock = clock  # type: ignore[assignment]
    with pytest.raises(ClockError, match="the clock went backwards by 1000 ns"):
        trial.warm({"block_s": 0.01, "cap_s": 0.02})


def test_calls_longer_than_all_the_time_there_is_are_timed_all_the_same(trial: Trial) -> None:
    trial.ready()
    trial.load({})
    clock = FakeClock(tick_ns=10)
    slow = lambda: clock.advance(10**10)  # noqa: E731 (ten seconds, of no real time)
    trial.clock = clock  # type: ignore[assignment]
    trial.calls = [slow]  # type: ignore[list-item]
    trial.session = SimpleNamespace(bind=lambda inputs: slow, close=lambda: None)  # type: ignore[assignment]
    trial.warm({"block_s": 0.01, "cap_s": 0.02})
    trial.block({})
    told: Any = trial.channel
    assert told.last("warm")["block_calls"] == 1
    assert told.last("block")["duration_ns"] >= 10**10

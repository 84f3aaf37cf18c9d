"""Build times: of the step itself, in whatever order a suite names its techniques."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from clocks import FakeClock

from harness.artifacts.artifact import Artifact
from harness.formats.registry import FORMATS, Format
from harness.runner.workers import build as module
from harness.techniques.registry import StepConfig
from harness.zoo.registry import Data


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A clock by which importing `heavy_library` takes ten seconds."""
    clock = FakeClock()
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock.now_ns() / 1e9))
    (tmp_path / "heavy_library.py").write_text("import builtins; builtins._heavy_clock.advance(10**10)")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("builtins._heavy_clock", clock, raising=False)
    monkeypatch.delitem(sys.modules, "heavy_library", raising=False)
    return clock


def test_the_first_step_that_needs_a_library_or_a_compiler_does_not_pay_for_loading_it(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare() -> None:
        clock.advance(10**10)
        raise OSError("no compiler")

    monkeypatch.setitem(FORMATS._items, "compiled", Format("compiled", "", prepare=prepare))

    def build(*_: object) -> dict[str, Any]:
        import heavy_library  # noqa: F401

        clock.advance(10**9)
        return {"kept": 3}

    packages = ("heavy-library", "no-such-library")
    step: Any = SimpleNamespace(name="fake", packages=packages, build=build, yields="compiled")
    context: Any = SimpleNamespace(seed=0, warnings=["few samples"])
    source = Artifact("s", "any", tmp_path)
    first, second = (module._take_step(step, StepConfig(), source, tmp_path, context) for _ in range(2))
    assert clock.time_ns == 32 * 10**9
    assert (first["build_s"], second["build_s"]) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (first["step"], first["details"]) == ("fake", {"kept": 3})
    assert first["warnings"] == ["few samples"]
    assert first["build_peak_rss_bytes"] > 0


@pytest.mark.parametrize(
    ("dataset", "warnings"), [("my_data:data", 1), (None, 1), ("mnist", 0), ("random-tokens", 0)]
)
def test_test_samples_of_a_users_dataset_are_looked_for_in_the_training_split(
    dataset: str | None, warnings: int
) -> None:
    data, asked = Data((np.zeros((3, 2)),)), []

    def load(_config: object, _folder: Path, split: str) -> Data:
        asked.append(split)
        return data

    source = SimpleNamespace(dataset=lambda _: dataset, data=load)
    model: Any = SimpleNamespace(source=source, config=None, folder=Path())
    assert len(module._shared_samples(model, data)) == warnings
    assert asked == ["train"] * warnings


def test_what_is_wrong_with_training_data_is_told_with_the_step(tmp_path: Path) -> None:
    data = Data((np.zeros((3, 2)),), notes=("converted",), warnings=("read the first 9 samples",))
    model: Any = SimpleNamespace(source=SimpleNamespace(data=lambda *_: data), config=None, folder=tmp_path)
    context = module.Context.__new__(module.Context)
    context._model, context.warnings = model, []
    for _ in range(2):  # a step may ask twice
        assert context.training_data() is data
    assert context.warnings == ["training data: read the first 9 samples"]

"""The build worker: turns jobs into Artifacts, one after the other, in a process that measures nothing.

run/builds.py starts it. It may import any library that a step needs.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifacts.artifact import Artifact
from harness.artifacts.cache import Cache
from harness.errors import BuildError
from harness.formats.outputs import OutputSpec
from harness.formats.registry import FORMATS, count_statistics
from harness.formats.target import Target
from harness.formats.tensors import TensorSpec, check_arrays, completed
from harness.measure.memory import PhaseMeter
from harness.packages import module_of
from harness.runner.workers.channel import Message, WorkerSide, located
from harness.runner.workers.evaluation_truth import asked_of, write_evaluation_data
from harness.techniques.registry import CONVERSIONS, TRANSFORMS, StepConfig, Transform
from harness.zoo.registry import DATASETS, Data
from harness.zoo.source import SOURCES, Source
from harness.zoo.splits import overlap

INPUTS, OUTPUTS = "inputs.json", "outputs.json"


class Model:
    """The model that this worker builds."""

    def __init__(self, message: Message) -> None:
        self.source: Source = SOURCES.get(message["source"])
        self.config = self.source.config.model_validate(message["config"])
        self.folder = Path(message["folder"])


class Context:
    """What a step may use (techniques/registry.py, BuildContext)."""

    def __init__(self, model: Model, message: Message, inputs: tuple[TensorSpec, ...]) -> None:
        self.seed = int(message["seed"])
        self.target = Target.from_dict(message["target"])
        self.inputs = inputs
        self.cpu_features = frozenset(message["cpu_features"])
        self.warnings: list[str] = []
        self._model = model

    def training_data(self) -> Data:
        """Return the training data. Raises BuildError when the model has none, or it is empty."""
        model = self._model
        data = model.source.data(model.config, model.folder, "train")
        if data is None or len(data) == 0:
            raise BuildError("there is no training data: give the model a dataset")
        for note in data.notes:
            self.say(f"training data: {note}")
        for warning in data.warnings:
            self.warn(f"training data: {warning}")
        return replace(data, inputs=completed(data.inputs, self.inputs))

    def say(self, text: str) -> None:
        """Write a line into the build log."""
        sys.stderr.write(f"{text}\n")

    def warn(self, text: str) -> None:
        """Add a warning to the Artifact's report, once."""
        if text not in self.warnings:
            self.warnings.append(text)


def main() -> None:
    """Build one job after the other until the manager closes the pipe.

    What stores Artifacts is imported first, so that no step's peak memory depends on those before it.
    """
    importlib.import_module("pyarrow")
    channel = WorkerSide()
    model: Model | None = None
    for message in channel:
        if message["do"] == "model":
            model = Model(message)
            continue
        try:
            if model is None:
                raise BuildError("a job arrived before its model")
            artifact = _build(model, message)
            channel.emit("built", key=artifact.key)
        except (Exception, SystemExit) as error:  # what a step or a user's code raises ends this job only
            traceback.print_exc()
            channel.emit("failed", key=message["key"], reason=located(error))
        gc.collect()


def _build(model: Model, message: Message) -> Artifact:
    cache = Cache(Path(message["cache"]))
    found = cache.get(message["key"])
    if found is not None:  # another Run has built it
        return found
    build: Callable[[Cache, Model, Message], Artifact] = {
        "source": _build_source,
        "data": _build_data,
        "step": _build_step,
    }[message["kind"]]
    return build(cache, model, message)


def _build_source(cache: Cache, model: Model, message: Message) -> Artifact:
    with cache.staging() as staged:
        inputs = model.source.build(model.config, model.folder, staged)
        examined = FORMATS.get(model.source.format).examine(staged, inputs)
        statistics = count_statistics(model.source.format, staged, inputs)
        (staged / INPUTS).write_text(json.dumps([spec.model_dump() for spec in inputs]))
        (staged / OUTPUTS).write_text(json.dumps([asdict(spec) for spec in examined.outputs]))
        return cache.put(
            message["key"], model.source.format, staged, [], statistics, warnings=examined.warnings
        )


def _build_data(cache: Cache, model: Model, message: Message) -> Artifact:
    source = _parent(cache, message["parents"][0])
    inputs = read_inputs(source)
    data = model.source.data(model.config, model.folder, "test")
    if data is not None:
        data = replace(data, inputs=completed(data.inputs, inputs))
        if faults := check_arrays(data.inputs, inputs, "evaluation data"):
            raise BuildError("; ".join(faults))
        data = replace(data, warnings=(*data.warnings, *_shared_samples(model, data)))
    asked = replace(asked_of(model.source, model.config), folder=model.folder, outputs=read_outputs(source))
    with cache.staging() as staged:
        write_evaluation_data(staged, source, inputs, data, asked, int(message["seed"]))
        return cache.put(message["key"], "data", staged, [], {})


def _shared_samples(model: Model, test: Data) -> tuple[str, ...]:
    """Say how many test samples of a user's dataset are training samples; the harness's own have none."""
    dataset = model.source.dataset(model.config)
    if isinstance(dataset, str) and dataset in DATASETS:
        return ()
    return overlap(test, lambda: model.source.data(model.config, model.folder, "train"))


def _build_step(cache: Cache, model: Model, message: Message) -> Artifact:
    parent = _parent(cache, message["parents"][0])
    inputs = read_inputs(_parent(cache, message["source_key"]))
    registry = TRANSFORMS if message["step"] in TRANSFORMS else CONVERSIONS
    step = registry.get(message["step"])
    config = step.config.model_validate(message["config"])
    context = Context(model, message, inputs)
    with cache.staging() as staged:
        context.say(f"[{model.source.key}] {step.name} {config}")
        record = _take_step(step, config, parent, staged, context)
        if not any(staged.iterdir()):
            raise BuildError(f"{step.name} wrote no file")
        counted = count_statistics(step.yields, staged, inputs)
        statistics = {**counted, **{n: parent.statistics[n] for n in step.keeps if n in parent.statistics}}
        steps = [*parent.steps, record]
        return cache.put(message["key"], step.yields, staged, steps, statistics, warnings=parent.warnings)


def _take_step(
    step: Transform, config: StepConfig, parent: Artifact, out: Path, context: Context
) -> dict[str, Any]:
    """Take one step and return its record: its time, its peak memory, its own details.

    Its libraries are imported, and its format's compiler is prepared, before the time starts. Otherwise the
    first step that needs them would pay for that, and build times would depend on the order of the suite.
    """
    for package in step.packages:
        with contextlib.suppress(ImportError):  # the step reports a missing one
            importlib.import_module(module_of(package))
    with contextlib.suppress(Exception):  # the step itself tells what does not work
        FORMATS.get(step.yields).prepare()
    _seed_everything(context.seed)
    meter = PhaseMeter()
    meter.begin("build")
    start = time.perf_counter()
    details = step.build(config, parent, out, context)
    seconds = time.perf_counter() - start
    return {
        "step": step.name,
        "build_s": seconds,
        "build_peak_rss_bytes": meter.end().peak_rss_bytes,
        "details": details,
        "warnings": context.warnings,
    }


def read_inputs(source: Artifact) -> tuple[TensorSpec, ...]:
    """Return the model's inputs from its source Artifact."""
    return tuple(TensorSpec.model_validate(spec) for spec in json.loads(source.file(INPUTS).read_text()))


def read_outputs(source: Artifact) -> tuple[OutputSpec, ...]:
    """Return the model's outputs from its source Artifact; nothing where they are not known."""
    with contextlib.suppress(OSError):
        return tuple(map(OutputSpec.from_dict, json.loads(source.file(OUTPUTS).read_text())))
    return ()


def _parent(cache: Cache, key: str) -> Artifact:
    artifact = cache.get(key)
    if artifact is None:
        raise BuildError("an earlier step's Artifact is gone from the cache; run again")
    return artifact


def _seed_everything(seed: int) -> None:
    np.random.seed(seed)  # a step's libraries may use the global generator
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


if __name__ == "__main__":
    main()

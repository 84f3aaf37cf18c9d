"""The export worker: opens an Artifact as its Trials did, and saves one batch of inputs with its outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifacts.artifact import Artifact, read_artifact
from harness.errors import HarnessError
from harness.formats.target import Target
from harness.runner.workers.build import read_inputs
from harness.runner.workers.channel import Message, WorkerSide, serve
from harness.runner.workers.evaluation_data import read_evaluation_data
from harness.runtimes.registry import RUNTIMES

OUTPUTS = "outputs.json"


def export(channel: WorkerSide, spec: Message) -> None:
    """Run the first batch that timed calls took; save it as `input_0` …, its outputs as `output_0` …."""
    source, target = read_artifact(Path(spec["source"])), Target.from_dict(spec["target"])
    runtime = RUNTIMES.get(spec["runtime"])
    inputs = read_evaluation_data(Path(spec["data"])).pool(target.batch)[0]
    config = runtime.config.model_validate(spec["runtime_config"])
    session = runtime.open_session(config, read_artifact(Path(spec["artifact"])), target)
    outputs = [np.array(part) for part in session.run(inputs)]
    session.close()
    if not all(array.dtype.kind in "biufc" for array in (*inputs, *outputs)):
        raise HarnessError("inputs and outputs that are no numbers cannot be saved as an example")
    arrays: dict[str, Any] = {f"input_{i}": array for i, array in enumerate(inputs)}
    arrays |= {f"output_{i}": array for i, array in enumerate(outputs)}
    np.savez(spec["out"], **arrays)
    channel.emit(
        "exported",
        inputs=_described([one.name for one in read_inputs(source)], inputs),
        outputs=_described(_output_names(source, len(outputs)), outputs),
    )


def _output_names(source: Artifact, count: int) -> list[str]:
    """Return the outputs' names as the model's source knows them; else their positions."""
    place = source.file(OUTPUTS)
    known = [one["name"] for one in json.loads(place.read_text())] if place.is_file() else []
    return known if len(known) == count else [f"output {i}" for i in range(count)]


def _described(names: list[str], arrays: Any) -> list[dict[str, Any]]:
    """Return name, shape and dtype of each array."""
    return [
        {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in zip(names, arrays, strict=True)
    ]


if __name__ == "__main__":
    serve(export)

"""The inspection worker: looks into models with their libraries, so that planning can know about them.

The manager imports no ML library. It asks this worker, run as a module, and keeps the facts in the cache's
folder by the model's identity. A worker is started only for a model whose source can be inspected (`inspect`
in zoo/source.py) and whose facts are not known yet.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import traceback
from pathlib import Path
from typing import Any

from harness.artifacts.cache import digest
from harness.artifacts.code import code_of
from harness.errors import DataError, WorkerError, describe
from harness.files import replace_file
from harness.packages import versions_of
from harness.runner.workers.channel import WorkerSide
from harness.runner.workers.launch import Code, Worker
from harness.suite.validation import Model
from harness.zoo.source import SOURCES

TIMEOUT_S = 300.0
"""Longest time that one inspection may take; a large file is read from disk."""
PACKAGES = ("onnx", "torch", "safetensors")
"""Distributions whose version can change the facts, beside those that a source needs itself."""
Facts = dict[str, Any]


class Inspector:
    """The manager's side. Use it in a ``with`` statement, which ends the worker."""

    def __init__(self, cache: Path, folder: Path) -> None:
        self._cache, self._folder = cache / "inspections", folder
        self._worker: Worker | None = None
        self._log: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Inspector:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.close()
        if self._log is not None:
            self._log.cleanup()

    def facts(self, model: Model) -> Facts | None:
        """Return the facts about a model; None where it cannot be inspected or the worker failed.

        Raises DataError when the model cannot be used as the suite has it. A worker that fails is no error
        here: building the model will say what is wrong.
        """
        if model.source.inspect is None:
            return None
        place = self._cache / f"{self._key(model)}.json"
        with contextlib.suppress(OSError, ValueError):
            known: Facts = json.loads(place.read_text())
            return known
        with contextlib.suppress(WorkerError):
            facts = self._ask(model)
            with contextlib.suppress(OSError):  # a cache that cannot be written
                place.parent.mkdir(parents=True, exist_ok=True)
                replace_file(place, json.dumps(facts).encode())
            return facts
        return None

    def _key(self, model: Model) -> str:
        packages = (*PACKAGES, *model.source.needs(model.config)[0])
        identity = [model.identity.code, model.identity.weights, versions_of(packages)]
        return digest([model.content(), identity, code_of(model.source.inspect)])

    def _ask(self, model: Model) -> Facts:
        if self._worker is None:
            self._log = tempfile.TemporaryDirectory(prefix="harness-inspect-")
            log = Path(self._log.name) / "log"
            self._worker = Worker("harness.runner.workers.inspect", log, code=Code.here(self._folder))
        config = model.config.model_dump(mode="json")
        self._worker.send("inspect", source=model.source.key, config=config, folder=str(self._folder))
        message = self._worker.receive(TIMEOUT_S)
        if message["event"] == "refused":
            raise DataError(message["reason"])
        if message["event"] != "facts":
            raise WorkerError(message.get("reason", message["event"]))
        facts: Facts = message["facts"]
        return facts


def main() -> None:
    """Serve the manager until it closes the pipe."""
    channel = WorkerSide()
    for message in channel:
        try:
            source = SOURCES.get(message["source"])
            if source.inspect is None:
                raise WorkerError(f"{source.key} cannot be inspected")
            config = source.config.model_validate(message["config"])
            channel.emit("facts", facts=source.inspect(config, Path(message["folder"])))
        except DataError as error:
            channel.emit("refused", reason=str(error))
        except (Exception, SystemExit) as error:  # a library may fail in any way
            traceback.print_exc()
            channel.emit("failed", reason=describe(error))


if __name__ == "__main__":
    main()

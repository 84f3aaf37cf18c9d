"""The inspection worker: looks into models with their libraries, so that planning can know about them.

The manager imports no ML library. It asks this worker, run as a module, and keeps each result in the cache's
folder by the model's identity. A worker is started only for a model whose source can be inspected (`inspect`
in zoo/source.py) and whose inspection is not known yet.
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
from harness.errors import DataError, WorkerError
from harness.files import replace_file
from harness.packages import versions_of
from harness.runner.addresses import SOURCE_PACKAGES
from harness.runner.workers.channel import WorkerSide, located
from harness.runner.workers.launch import Code, Worker
from harness.suite.validation import Model
from harness.zoo.source import SOURCES

TIMEOUT_S = 60.0
"""Longest time that one inspection may take. A model that takes longer is planned without."""
Inspection = dict[str, Any]


class Inspector(contextlib.ExitStack):
    """The manager's side. Use it in a ``with`` statement, which ends the worker."""

    def __init__(self, cache: Path, folder: Path) -> None:
        super().__init__()
        self._cache, self._folder = cache / "inspections", folder
        self._worker: Worker | None = None

    def inspect(self, model: Model) -> Inspection:
        """Return what is known of a model; nothing where it cannot be inspected or the worker failed.

        Raises DataError when the model cannot be used as the suite has it. A worker that fails is no error
        here: building the model will say what is wrong.
        """
        if model.source.inspect is None:
            return {}
        place = self._cache / f"{self._key(model)}.json"
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(place.read_text())
            if isinstance(known, dict):
                return known
        with contextlib.suppress(WorkerError):
            found = self._ask(model)
            with contextlib.suppress(OSError):  # a cache that cannot be written
                place.parent.mkdir(parents=True, exist_ok=True)
                replace_file(place, json.dumps(found).encode())
            return found
        return {}

    def _key(self, model: Model) -> str:
        packages = (*SOURCE_PACKAGES, *model.source.needs(model.config)[0])
        made_of = (model.identity.code, model.identity.weights, model.identity.libraries)
        return digest([model.content(), made_of, versions_of(packages), code_of(model.source.inspect)])

    def _ask(self, model: Model) -> Inspection:
        if self._worker is None:
            log = Path(self.enter_context(tempfile.TemporaryDirectory(prefix="harness-inspect-"))) / "log"
            self._worker = Worker("harness.runner.workers.inspect", log, code=Code.here(self._folder))
            self.callback(self._worker.close)
        config = model.config.model_dump(mode="json", exclude_unset=True)
        try:
            self._worker.send("inspect", source=model.source.key, config=config, folder=str(self._folder))
            message = self._worker.receive(TIMEOUT_S)
        except WorkerError:  # it has ended: the next model gets a new one
            self._worker = None
            raise
        if message["event"] == "refused":
            raise DataError(message["reason"])
        if message["event"] != "inspected":
            raise WorkerError(message.get("reason", message["event"]))
        found: Inspection = message["found"]
        return found


def main() -> None:
    """Serve the manager until it closes the pipe."""
    channel = WorkerSide()
    for message in channel:
        try:
            source = SOURCES.get(message["source"])
            if source.inspect is None:
                raise WorkerError(f"{source.key} cannot be inspected")
            config = source.config.model_validate(message["config"])
            channel.emit("inspected", found=source.inspect(config, Path(message["folder"])))
        except DataError as error:
            channel.emit("refused", reason=located(error))
        except (Exception, SystemExit) as error:  # a library may fail in any way
            traceback.print_exc()
            channel.emit("failed", reason=located(error))


if __name__ == "__main__":
    main()

"""``{jsonl: texts.jsonl, pad: 0}``: one JSON mapping a line, ``{"input_ids": [5, 8], "label": 1}``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from harness.errors import DataError
from harness.zoo.data_sources.registry import DATA_SOURCES, DataConfig, DataSource, Inputs
from harness.zoo.registry import Split
from harness.zoo.splits import place_of


class JsonLinesConfig(DataConfig):
    """One sample a line: a mapping with the values of each input, and `labels` or `label`."""

    jsonl: str = Field(min_length=1, description="a file, relative to the suite; {split} is train or test")


class Lines:
    """The samples of a file by number. Only the places of the lines are kept in memory."""

    def __init__(self, path: Path) -> None:
        self.path, self.starts = path, []
        with path.open("rb") as file:
            start = 0
            for number, line in enumerate(file, 1):
                if line.strip():
                    self.starts.append((number, start))
                start += len(line)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        number, start = self.starts[index]
        with self.path.open("rb") as file:
            file.seek(start)
            line = file.readline()
        try:
            found = json.loads(line)
        except ValueError as error:
            raise DataError(f"{self.path.name}:{number} is no JSON: {error}") from error
        if not isinstance(found, dict):
            raise DataError(
                f'{self.path.name}:{number} is no mapping such as {{"input_ids": [5, 8], "label": 1}}'
            )
        return found


def load(config: JsonLinesConfig, folder: Path, split: Split, _: Inputs) -> Lines:
    """Return the file's samples by number."""
    return Lines(place_of(config.jsonl, folder, split))


DATA_SOURCES.add(
    "jsonl",
    DataSource(
        "jsonl",
        JsonLinesConfig,
        "JSON lines: a mapping with the values of each input, and label",
        lambda text: text.endswith((".jsonl", ".ndjson")),
        load,
        files=lambda config: (config.jsonl,),
    ),
)

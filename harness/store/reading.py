"""Reading Runs of this schema version and older ones; damaged Runs are reported and left out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.errors import StoreError
from harness.store import version1
from harness.store.info import RunInfo
from harness.store.record import Record
from harness.store.schema import SCHEMA_VERSION, TABLES, arrow_schema, columns, record_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A Run on disk; its tables are read when first asked for (columns: store/record.py)."""

    folder: Path
    info: RunInfo

    @cached_property
    def records(self) -> list[Record]:
        """One Record per arm of a Cell; control arms are Records of their own (``arm == "control"``).

        Numbers that are NaN or infinite are None.
        """
        floats = [column.name for column in columns(Record) if column.kind == "float"]
        rows: list[dict[str, Any]] = _arrow_table(self.folder, "cells", self.info.schema_version).to_pylist()
        for row in rows:
            for name in floats:
                if row[name] is not None and not math.isfinite(row[name]):
                    row[name] = None
        return [record_of(row) for row in rows]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The Records as a frame."""
        return read_table(self.folder, "cells", self.info.schema_version)

    @cached_property
    def blocks(self) -> pd.DataFrame:
        """One Block a row."""
        return read_table(self.folder, "blocks", self.info.schema_version)

    @cached_property
    def calls(self) -> pd.DataFrame:
        """One timed call a row."""
        return read_table(self.folder, "calls", self.info.schema_version)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One sample of the evaluation a row."""
        return read_table(self.folder, "scores", self.info.schema_version)


def read_table(folder: Path, name: str, version: int = SCHEMA_VERSION) -> pd.DataFrame:
    """Read one table; columns that an older Run lacks are null. Raises StoreError."""
    frame: pd.DataFrame = _arrow_table(folder, name, version).to_pandas()
    return frame


def _arrow_table(folder: Path, name: str, version: int) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(TABLES[name])
    with _file(folder, name, version) as path:
        table = pq.read_table(path, partitioning=None)  # a folder may be called a=b
        if version == 1:
            table = version1.table(name, table)
        required = [column.name for column in columns(TABLES[name]) if column.required]
        if lacking := [key for key in required if key not in table.column_names]:
            raise StoreError(f"{path} is damaged: no table of {name}, as it lacks {', '.join(lacking)}")
        for field in schema:
            if field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        return table.select([field.name for field in schema]).cast(schema)


@contextmanager
def _file(folder: Path, name: str, version: int) -> Iterator[Path]:
    """Yield the file of a table; what fails while it is read is raised as StoreError."""
    import pyarrow as pa

    stem = version1.FILES.get(name, name) if version == 1 else name
    path = folder / f"{stem}.parquet"
    if path.is_dir():  # pyarrow would read all files in it
        raise StoreError(f"{path} is damaged: it is a folder")
    try:
        yield path
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing") from error
    except (OSError, KeyError, pa.ArrowException) as error:
        raise StoreError(f"{path} is damaged: {str(error).splitlines()[0]}") from error


def read_calls(run: Run) -> dict[tuple[str, str], list[NDArray[np.int64]]]:
    """Read the timed calls alone: by (cell_id, arm) one array of nanoseconds per Trial, in order.

    Takes much less memory than the whole table of calls: names are kept once, not once per call. Raises
    StoreError.
    """
    import pyarrow.parquet as pq

    names = ["cell_id", "arm"]
    with _file(run.folder, "calls", run.info.schema_version) as path:
        wanted = [*names, "trial", "call_ns"]
        table = pq.read_table(path, columns=wanted, read_dictionary=names, partitioning=None)
        table = table.combine_chunks().unify_dictionaries()
        trials, calls = (table.column(name).to_numpy() for name in ("trial", "call_ns"))
        cell, arm = (_codes(table.column(name)) for name in names)
    if not len(calls):
        return {}
    keys = cell[0].astype(np.int64) * (len(arm[1]) + 1) + arm[0]
    keys = keys * (int(trials.max()) + 1) + trials
    order = np.argsort(keys, kind="stable")
    cuts = np.flatnonzero(np.diff(keys[order])) + 1
    found: dict[tuple[str, str], list[NDArray[np.int64]]] = {}
    for part in np.split(order, cuts):
        kind = arm[1][arm[0][part[0]]]
        kind = version1.value("arm", kind) if run.info.schema_version == 1 else kind
        found.setdefault((cell[1][cell[0][part[0]]], kind), []).append(calls[part])
    return found


def _codes(column: Any) -> tuple[NDArray[np.int64], list[str]]:
    """Return the codes and names of a dictionary column."""
    whole = column.combine_chunks()
    whole = whole if hasattr(whole, "indices") else whole.chunk(0)
    return whole.indices.to_numpy(zero_copy_only=False), [str(name) for name in whole.dictionary.to_pylist()]


def read_info(folder: Path) -> RunInfo:
    """Read `run.json`. Raises StoreError when it is missing, damaged or of a newer version."""
    path = folder / "run.json"
    try:
        content = json.loads(path.read_bytes())
        version = content.get("schema_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:  # first, as anything may have changed
            raise StoreError(
                f"{path} has schema version {version}; this harness reads up to {SCHEMA_VERSION}: update it"
            )
        return RunInfo.model_validate(version1.info(content) if version == 1 else content)
    except FileNotFoundError as error:
        raise StoreError(f"{folder} has no run.json: it is not a Run") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise StoreError(f"{path} is damaged: {where}{first['msg']}") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}") from error


def load(folder: Path) -> Run:
    """Open a Run and check that its Records can be read. Raises StoreError."""
    run = Run(folder, read_info(folder))
    _ = run.records
    return run


def glance(folder: Path) -> Run:
    """Open a Run; check only the ends of its tables, read nothing of them. Raises StoreError."""
    import pyarrow.parquet as pq

    run = Run(folder, read_info(folder))
    for name in TABLES:
        with _file(folder, name, run.info.schema_version) as path:
            pq.read_metadata(path)
    return run


def find(root: Path) -> tuple[list[Run], list[str]]:
    """Return the Runs below `root`, oldest first, and a sentence for each that cannot be read.

    Their tables are not read yet: of hundreds of Runs a report reads only a few. Damage inside a table raises
    StoreError when it is read.
    """
    runs, faults = [], []
    for path in sorted(root.rglob("run.json")):
        if any(part.endswith(".partial") for part in path.relative_to(root).parts):
            continue
        try:
            runs.append(glance(path.parent))
        except StoreError as error:
            faults.append(str(error))
    runs.sort(key=lambda run: run.info.started_at)
    return runs, faults

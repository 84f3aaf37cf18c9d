"""Reading Runs of any schema version up to this one; a damaged one is named and left out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.errors import StoreError
from harness.store.info import RunInfo
from harness.store.schema import KEYS, SCHEMA_VERSION, TABLES, arrow_schema

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A Run on disk; its tables are read when first asked for (columns: store/schema.py)."""

    folder: Path
    info: RunInfo

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One Record a row; shadow arms are rows of their own (``arm == "shadow"``)."""
        return read_table(self.folder, "cells")

    @cached_property
    def blocks(self) -> pd.DataFrame:
        """One Block a row."""
        return read_table(self.folder, "blocks")

    @cached_property
    def calls(self) -> pd.DataFrame:
        """One timed call a row."""
        return read_table(self.folder, "calls")

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One item of the quality set a row."""
        return read_table(self.folder, "scores")


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """Read one table; columns that an older version lacks come as nulls. Raises StoreError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / f"{name}.parquet"
    schema = arrow_schema(TABLES[name])
    try:
        _refuse_folder(path)
        table = pq.read_table(path, partitioning=None)  # a folder may be called a=b
        if lacking := [key for key in KEYS[name] if key not in table.column_names]:
            raise StoreError(f"{path} is damaged: no table of {name}, as it lacks {', '.join(lacking)}")
        for field in schema:
            if field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        known = table.select([field.name for field in schema]).cast(schema)
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing") from error
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    frame: pd.DataFrame = known.to_pandas()
    return frame


def _refuse_folder(path: Path) -> None:
    """Of a folder pyarrow would read all the files that are in it."""
    if path.is_dir():
        raise StoreError(f"{path} is damaged: it is a folder")


def read_calls(folder: Path) -> dict[tuple[str, str], list[NDArray[np.int64]]]:
    """Read the timed calls alone: by (cell_id, arm) one array of nanoseconds a Trial, in order.

    Much lighter than the whole table of Samples: names are kept once, not once a call. Raises StoreError.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, names = folder / "calls.parquet", ["cell_id", "arm"]
    try:
        _refuse_folder(path)
        wanted = [*names, "trial", "call_ns"]
        table = pq.read_table(path, columns=wanted, read_dictionary=names, partitioning=None)
        table = table.combine_chunks().unify_dictionaries()
        trials, calls = (table.column(name).to_numpy() for name in ("trial", "call_ns"))
        cell, arm = (_codes(table.column(name)) for name in names)
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing") from error
    except (OSError, KeyError, pa.ArrowException) as error:
        raise StoreError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    if not len(calls):
        return {}
    keys = cell[0].astype(np.int64) * (len(arm[1]) + 1) + arm[0]
    keys = keys * (int(trials.max()) + 1) + trials
    order = np.argsort(keys, kind="stable")
    cuts = np.flatnonzero(np.diff(keys[order])) + 1
    found: dict[tuple[str, str], list[NDArray[np.int64]]] = {}
    for part in np.split(order, cuts):
        found.setdefault((cell[1][cell[0][part[0]]], arm[1][arm[0][part[0]]]), []).append(calls[part])
    return found


def _codes(column: Any) -> tuple[NDArray[np.int64], list[str]]:
    """A dictionary column as codes and names."""
    whole = column.combine_chunks()
    whole = whole if hasattr(whole, "indices") else whole.chunk(0)
    return whole.indices.to_numpy(zero_copy_only=False), [str(name) for name in whole.dictionary.to_pylist()]


def read_info(folder: Path) -> RunInfo:
    """Read `run.json`. Raises StoreError when it is missing, damaged or of a newer version."""
    path = folder / "run.json"
    try:
        content = path.read_bytes()
        _refuse_newer(path, content)
        return RunInfo.model_validate_json(content)
    except FileNotFoundError as error:
        raise StoreError(f"{folder} holds no run.json: it is no Run") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise StoreError(f"{path} is damaged: {where}{first['msg']}") from error


def _refuse_newer(path: Path, content: bytes) -> None:
    """A newer version may have changed anything, so its number is looked at before all else."""
    try:
        version = json.loads(content)["schema_version"]
    except (ValueError, KeyError, TypeError):
        return
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {version}; this harness reads up to {SCHEMA_VERSION}: update it"
        )


def load(folder: Path) -> Run:
    """Open a Run and check that its Records can be read. Raises StoreError."""
    run = Run(folder, read_info(folder))
    _ = run.cells
    return run


def glance(folder: Path) -> Run:
    """Open a Run; of its tables only the ends are checked, nothing is read. Raises StoreError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    run = Run(folder, read_info(folder))
    for name in TABLES:
        path = folder / f"{name}.parquet"
        try:
            pq.read_metadata(path)
        except FileNotFoundError as error:
            raise StoreError(f"{path} is missing") from error
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    return run


def find(root: Path) -> tuple[list[Run], list[str]]:
    """Return the Runs below `root`, oldest first, and a sentence for each that cannot be read.

    Their tables are not read yet: of hundreds of Runs a report reads a few, and damage inside a table is told
    by the StoreError that comes with reading it.
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

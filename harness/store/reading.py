"""Reading Runs of this schema version and older ones; damaged Runs are reported and left out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
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
        return self._with_sittings(read_table(self.folder, "blocks", self.info.schema_version))

    @cached_property
    def calls(self) -> pd.DataFrame:
        """One timed call a row."""
        return self._with_sittings(read_table(self.folder, "calls", self.info.schema_version))

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One sample of the evaluation a row."""
        return read_table(self.folder, "scores", self.info.schema_version)

    def _with_sittings(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Fill in the sittings of an older Run, which does not name them: it had one for each Group."""
        if rows["sitting"].isna().any():
            groups = {record.cell_id: f"{self.info.run_id}/{record.group_id}" for record in self.records}
            rows["sitting"] = rows["sitting"].fillna(rows["cell_id"].map(groups))
        return rows


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


class Calls(Mapping[tuple[str, str], list[NDArray[np.int64]]]):
    """The timed calls of a Run, by (cell_id, arm): one array of nanoseconds per Trial, in order.

    An arm's calls are read when they are asked for, so that a Run may be larger than the memory; those of the
    last two arms are kept. Raises StoreError, also when an arm is read.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._recent = lru_cache(maxsize=2)(self._read)
        self._places: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
        names = ["cell_id", "arm"]
        with self._open(names) as file:
            for number in range(file.num_row_groups):
                table = file.read_row_group(number, columns=names).unify_dictionaries()
                if not table.num_rows:
                    continue
                cell, arm = (_codes(table.column(name)) for name in names)
                changes = np.flatnonzero(np.diff(cell[0]) | np.diff(arm[0])) + 1
                for start, end in pairwise([0, *changes.tolist(), table.num_rows]):
                    self._add((cell[1][cell[0][start]], arm[1][arm[0][start]]), (number, start, end))

    def _add(self, key: tuple[str, str], place: tuple[int, int, int]) -> None:
        """Note consecutive rows of an arm: their row group, the first row, and the row after the last."""
        kind = version1.value("arm", key[1]) if self._run.info.schema_version == 1 else key[1]
        self._places.setdefault((key[0], kind), []).append(place)

    def __getitem__(self, key: tuple[str, str]) -> list[NDArray[np.int64]]:
        """Return the calls of an arm."""
        return self._recent(key)

    def _read(self, key: tuple[str, str]) -> list[NDArray[np.int64]]:
        import pyarrow as pa

        places = self._places[key]
        with self._open([]) as file:
            trial = [name for name in ("sitting", "trial") if name in file.schema_arrow.names]
            parts = [
                file.read_row_group(number, columns=[*trial, "call_ns"]).slice(start, end - start)
                for number, start, end in places
            ]
            calls = pa.concat_tables(parts).to_pandas().groupby(trial, dropna=False)["call_ns"]
            return [part.to_numpy() for _, part in calls]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Return the arms."""
        return iter(self._places)

    def __len__(self) -> int:
        """Return the number of arms."""
        return len(self._places)

    @contextmanager
    def _open(self, names: list[str]) -> Iterator[Any]:
        """Open the table; columns in `names` are read as codes."""
        import pyarrow.parquet as pq

        with (
            _file(self._run.folder, "calls", self._run.info.schema_version) as path,
            pq.ParquetFile(path, read_dictionary=names) as file,
        ):
            yield file


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

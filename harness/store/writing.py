"""Writing a Run: its folder is renamed when it is complete, so that a reader never sees half a Run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.files import replace_file, replacing
from harness.store.info import RunInfo
from harness.store.record import Record
from harness.store.schema import TABLES, arrow_schema, values

Columns = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any] | Record] | Columns | Iterator[Columns]


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` whole or not at all (files.py). Raises StoreError."""
    try:
        replace_file(path, data)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def write_table(folder: Path, name: str, rows: Rows) -> None:
    """Write a table of the Run as Parquet (zstd), whole or not at all. Raises StoreError.

    `rows`: Records or dicts, or one dict of columns, or an iterator of such dicts: each is written before the
    next one is made, so that a table may be larger than the memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, schema = folder / f"{name}.parquet", arrow_schema(TABLES[name])
    options = {"compression": "zstd", "compression_level": 9}
    try:
        with replacing(path) as file, pq.ParquetWriter(file, schema, **options) as writer:
            for part in rows if isinstance(rows, Iterator) else [rows]:
                writer.write_table(_table(part, schema))
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error


def _table(rows: Rows, schema: Any) -> Any:
    import pyarrow as pa

    if isinstance(rows, Mapping):
        arrays = {field.name: pa.array(rows[field.name], field.type) for field in schema}
        return pa.table(arrays, schema=schema)
    plain = [values(row) if isinstance(row, Record) else dict(row) for row in rows]
    return pa.Table.from_pylist(plain, schema=schema)


def write_run(folder: Path, info: RunInfo, tables: Mapping[str, Rows]) -> None:
    """Write all tables and, last, `run.json` into `folder`, which exists. Raises StoreError."""
    for left in folder.glob(".*.parquet.*.tmp"):  # a process was killed while it wrote
        left.unlink()
    for name in TABLES:
        write_table(folder, name, tables.get(name, ()))
    write_atomic(folder / "run.json", info.model_dump_json(indent=1).encode())


def publish(partial: Path, final: Path) -> None:
    """Give a complete Run its final name. Raises StoreError when that name exists."""
    if final.exists():
        raise StoreError(f"{final} exists already")
    try:
        partial.rename(final)
    except OSError as error:
        raise StoreError(f"cannot rename {partial} to {final}: {error.strerror or error}") from error


def remove_empty_files(folder: Path) -> None:
    """Remove empty files (logs of workers that printed nothing)."""
    for path in folder.glob("*"):
        if path.is_file() and path.stat().st_size == 0:
            path.unlink()

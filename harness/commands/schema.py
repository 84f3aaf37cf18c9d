"""`harness schema`: write the JSON schema of suite files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.commands import new_app
from harness.errors import ExitCode
from harness.store.writing import write_atomic
from harness.suite.json_schema import schema_text

app = new_app()


@app.command()
def write_schema(
    out: Annotated[Path, typer.Argument(help="File to write.")] = Path("suites/suite.schema.json"),
) -> ExitCode:
    """Write the JSON schema of suite files, which editors use to complete and check them."""
    write_atomic(out, schema_text().encode())
    sys.stdout.write(f"{out}\n")
    return ExitCode.OK

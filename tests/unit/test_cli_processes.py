"""The command line as a process: pipes, statuses, and what must not be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import make_run

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["torch", "onnx", "onnxruntime", "pandas", "matplotlib", "scipy", "torch_pruning", "pyarrow"]


CLI = [sys.executable, "-m", "harness.cli"]


def start(*arguments, **options):
    environment = {**os.environ, **options.pop("environment", {})}
    return subprocess.Popen(
        [*CLI, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment,
        **options,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out.decode(), err.decode()


def test_an_error_reaches_the_shell_as_one_line_and_a_status():
    assert finish(start("run", "no.yaml")) == (2, "", "error: no.yaml: no such suite file\n")
    code, out, err = finish(start("lst"))
    assert (code, out) == (2, "")
    assert "No such command 'lst'" in err


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list"], ["list", "--json"], ["cache"], ["run", "--dry-run", "suites/digits.yaml"]],
)
def test_a_reader_that_goes_away_is_no_traceback_and_no_regression(arguments):
    """As in `harness list | head -1`. Status 141 is what a shell gives to a tool that SIGPIPE ended."""
    process = start(*arguments)
    process.stdout.close()
    err = process.stderr.read().decode()
    assert (process.wait(300), err) == (141, "")
    process.stderr.close()


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["run", "--dry-run", "suites/digits.yaml"]])
def test_output_that_has_no_room_is_one_error(arguments):
    """As in `harness list > file` on a full disk."""
    if not Path("/dev/full").is_char_device():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*CLI, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
        )
    assert (done.returncode, done.stderr) == (2, "error: cannot use the output: No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "closed", "code"), [("list", "1", 0), ("list", "1 2 0", 0), ("run no.yaml", "2", 2)]
)
def test_a_shell_may_close_the_streams(arguments, closed, code):
    closing = " ".join(f"{number}>&-" for number in closed.split())
    done = subprocess.run(
        ["sh", "-c", f'"$@" {arguments} {closing}', "sh", *CLI], capture_output=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


def test_errors_that_nobody_reads_are_no_regression():
    process = start("run", "no.yaml")
    process.stderr.close()
    process.stdout.close()
    assert process.wait(60) == 141


def test_a_terminal_without_a_character_gets_another_in_its_place():
    process = start("run", "--dry-run", "suites/digits.yaml", environment={"PYTHONIOENCODING": "ascii"})
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    assert "export-onnx ? quantize" in out


def test_a_terminal_without_a_size_is_written_to_all_the_same():
    """Some job runners set COLUMNS=0."""
    process = start("run", "--dry-run", "suites/digits.yaml", environment={"COLUMNS": "0"})
    assert "Cells to run" in finish(process)[1]


def test_a_library_that_is_missing_is_one_error(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pandas'] = None\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    make_run(tmp_path / "digits" / "machine" / "run")
    asked = ("report", "digits", "--markdown", "--results", str(tmp_path))
    code, out, err = finish(start(*asked, environment={"PYTHONPATH": path}))
    assert (code, out) == (2, "")
    assert err.startswith("error: a required package is missing or broken: import of pandas halted")
    assert err.count("\n") == 1


def test_a_fault_of_the_harness_is_no_regression(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['harness.commands.list'] = None\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    code, _, err = finish(start("list", environment={"PYTHONPATH": path}))
    assert code == 70
    assert "Traceback" in err
    assert err.endswith("error: this is a bug in harness, not a fault of your input\n")


IMPORTS = """
import sys
{what}
heavy = sorted(set({heavy!r}) & set(sys.modules))
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    "what",
    [
        "import harness.cli",
        "from harness.commands.list import KINDS\nassert all(names() for names in KINDS.values())",
        "from pathlib import Path\n"
        "from harness.suite.validation import read_suite\n"
        "from harness.runner.run.run import plan_here\n"
        "plan, _ = plan_here(read_suite(Path('suites/digits.yaml')))\n"
        "assert plan.cells",
        "from harness.suite.json_schema import schema_text\nassert schema_text()",
        "from harness.devices.doctor import examine\nassert examine()",
        "from harness.artifacts.cache import Cache\nCache().entries()",
    ],
    ids=["cli", "list", "plan", "schema", "doctor", "cache"],
)
def test_the_manager_needs_no_heavy_library(what):
    code = IMPORTS.format(what=what, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


def test_help_imports_no_verb_and_no_library_that_it_does_not_need():
    code = (
        "import harness.cli, sys\n"
        "sys.argv = ['harness', '--help']\n"
        "try: harness.cli.main()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "found = {'numpy', 'pydantic', 'rich', 'yaml', 'harness.commands'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert "Commands:" in done.stdout


@pytest.mark.parametrize("name", ["torch-eager", "torch-compile", "onnxruntime"])
def test_a_worker_that_imports_one_runtimes_modules_has_not_the_others(name):
    """What `imports` of a runtime brings must not bring another runtime's library."""
    from harness.runtimes.registry import RUNTIMES

    own = {module.partition(".")[0] for module in RUNTIMES.get(name).imports}
    others = {"torch", "onnxruntime", "onnx"} - own
    code = (
        "import importlib, sys\n"
        "from harness.runtimes.registry import RUNTIMES\n"
        f"for module in RUNTIMES.get({name!r}).imports: importlib.import_module(module)\n"
        f"assert not ({others!r} & set(sys.modules)), {others!r} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]

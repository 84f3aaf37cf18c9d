"""Errors are for the person who reads them: where, what, what is allowed, the nearest name."""

from __future__ import annotations

import pytest

from harness.errors import (
    BuildError,
    DataError,
    ExitCode,
    HarnessError,
    MissingPackageError,
    Problem,
    StoreError,
    SuiteError,
    UnknownNameError,
    WorkerError,
    nearest,
    unknown,
)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("s.yaml", 3, "models.m", "is odd"), "s.yaml:3: models.m: is odd"),
        (Problem("s.yaml", None, "models.m", "is odd"), "s.yaml: models.m: is odd"),
        (Problem("s.yaml", 3, "", "is odd"), "s.yaml:3: is odd"),
        (Problem("s.yaml", None, "", "is odd"), "s.yaml: is odd"),
    ],
)
def test_a_problem_says_where_and_what(problem, text):
    assert str(problem) == text


def test_a_suite_error_carries_every_problem_on_a_line_of_its_own():
    problems = [Problem("s.yaml", i, "", f"fault {i}") for i in (1, 2)]
    error = SuiteError(problems)
    assert error.problems == tuple(problems)
    assert str(error) == "s.yaml:1: fault 1\ns.yaml:2: fault 2"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (HarnessError, ExitCode.USAGE),
        (DataError, ExitCode.USAGE),
        (StoreError, ExitCode.USAGE),
        (BuildError, ExitCode.SOME_FAILED),
        (WorkerError, ExitCode.SOME_FAILED),
    ],
)
def test_each_error_has_its_exit_code(kind, code):
    assert kind("x").exit_code == code


def test_the_exit_codes_are_those_of_the_manual():
    named = {code.name: code.value for code in ExitCode}
    assert named == {
        "OK": 0,
        "REGRESSION": 1,
        "USAGE": 2,
        "INCONCLUSIVE": 3,
        "SOME_FAILED": 4,
        "NOTHING_MEASURED": 5,
        "FAULT": 70,
        "INTERRUPTED": 130,
        "BROKEN_PIPE": 141,
    }


def test_the_nearest_name_is_offered_only_when_it_is_near():
    assert nearest("onnxruntme", ["onnxruntime", "torch-eager"]) == "onnxruntime"
    assert nearest("zzz", ["onnxruntime", "torch-eager"]) is None
    assert nearest("x", []) is None


def test_an_unknown_name_tells_the_nearest_and_all_that_there_are():
    assert unknown("runtime", "b1", ["b2", "a"]) == "unknown runtime 'b1'; did you mean 'b2'? Known: a, b2"
    assert unknown("runtime", "zzz", ["b2", "a"]) == "unknown runtime 'zzz'. Known: a, b2"
    assert unknown("runtime", "zzz", []) == "unknown runtime 'zzz'. Known: none"


def test_an_unknown_name_tells_which_plug_ins_could_not_be_loaded():
    error = UnknownNameError("model", "mine", ["other"], {"my-zoo": "my.zoo: ImportError: no weights"})
    assert error.known == ("other",)
    assert str(error).endswith("; plug-in 'my-zoo' could not be loaded: my.zoo: ImportError: no weights")


def test_a_missing_package_names_the_extra_or_the_package():
    assert str(MissingPackageError("nncf", "openvino")) == (
        "nncf is not installed: pip install 'accel-harness[openvino]'"
    )
    assert str(MissingPackageError("onnx", None)) == "onnx is not installed: pip install onnx"

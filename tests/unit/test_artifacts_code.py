"""Which code a step uses: its import closure in the harness, without documentation."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.artifacts import code as module
from harness.artifacts.code import HARNESS, HarnessCode, code_of, harness_code, parse_code
from harness.techniques.registry import CONVERSIONS, TRANSFORMS

BEFORE = '''"""A module."""
import os  # of the system
from a.b import c

TEXT = """first

# not a comment
"""
"""What it means."""


def f(x):
    """Return x."""
    # because
    return f"{x!r} # kept"
'''


def changed(old: str, new: str) -> bool:
    assert BEFORE.count(old) == 1
    return parse_code(BEFORE.encode()).digest != parse_code(BEFORE.replace(old, new).encode()).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""\n', ""),
        ('"""A module."""', '"""Größe.\n\nMore.\n"""'),
        ("  # of the system", ""),
        ("# because", "# because of this"),
        ("    # because\n", ""),
        ('    """Return x."""\n', '    """Return\n    x."""\n\n'),
        ('"""What it means."""\n', ""),
        ("\n\n\ndef", "\ndef"),
        ("import os ", "import os      "),
    ],
)
def test_documentation_and_blank_lines_do_not_count(old: str, new: str) -> None:
    assert not changed(old, new)


def test_line_ends_of_another_system_do_not_count() -> None:
    assert parse_code(BEFORE.encode()) == parse_code(BEFORE.replace("\n", "\r\n").encode())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("first\n\n", "first\n"),
        ("# not a comment", "# no comment"),
        ("# kept", "# lost"),
        ("import os", "import io"),
        ("def f(x)", "def f(y)"),
        ("TEXT =", "OTHER ="),
        ("    return", "    if x: return"),
        ("# because", "1 # because"),
        ('"""A module."""', '"""A module."""; x = 1'),
    ],
)
def test_statements_and_other_strings_count(old: str, new: str) -> None:
    assert changed(old, new)


def test_docstrings_count_where_the_code_reads_them() -> None:
    one, two = (f'"""{text}"""\nprint(__doc__)\n'.encode() for text in ("a", "b"))
    assert parse_code(one).digest != parse_code(two).digest


def test_what_cannot_be_parsed_or_is_in_another_encoding_counts_byte_by_byte() -> None:
    for text in ("def f(:  # {}\n", "# coding: latin-1\n'é'  # {}\n"):
        one, two = (text.format(word).encode("latin-1") for word in ("a", "b"))
        assert parse_code(one).digest != parse_code(two).digest


def test_imports_inside_functions_count_and_those_for_type_checkers_do_not() -> None:
    text = (
        b"from typing import TYPE_CHECKING\nimport typing\n"
        b"if TYPE_CHECKING:\n    import torch\nelse:\n    import numpy\n"
        b"if typing.TYPE_CHECKING:\n    import onnx\n"
        b"def f():\n    from ..x import y\n    from . import z\n"
    )
    assert set(parse_code(text).imports) == {
        (0, "typing.TYPE_CHECKING"),
        (0, "typing"),
        (0, "numpy"),
        (2, "x.y"),
        (1, "z"),
    }


# ------------------------------------------------------------------ the harness's steps


def path_of(step: str) -> Path:
    entry = (TRANSFORMS if step in TRANSFORMS else CONVERSIONS).get(step)
    return Path(*entry.build.__module__.split(".")[1:]).with_suffix(".py")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the harness's Python files."""
    folder = tmp_path_factory.mktemp("copy") / "harness"
    shutil.copytree(HARNESS, folder, ignore=lambda at, names: [n for n in names if n == "__pycache__"])
    return folder


STEPS = ("quantize/static", "quantize/qat/onnx", "prune/channel", "compile-aoti", "quantize/qat-weights")


@pytest.mark.parametrize("step", STEPS)
def test_an_edit_of_each_helper_changes_the_digest_and_documentation_does_not(tree: Path, step: str) -> None:
    start = [tree / path_of(step)]
    before = HarnessCode(tree).digest(start)
    assert before == harness_code().digest([HARNESS / path_of(step)])
    helpers = HarnessCode(tree).closure(start)
    for file in helpers:
        text = file.read_text()
        file.write_text(f"{text}CHANGED = 1\n")
        assert HarnessCode(tree).digest(start) != before, file
        file.write_text(f"{text}# more\n")
        assert HarnessCode(tree).digest(start) == before, file
        file.write_text(text)


@pytest.mark.parametrize("step", STEPS)
def test_an_edit_of_another_module_does_not_change_the_digest(tree: Path, step: str) -> None:
    start = [tree / path_of(step)]
    used = HarnessCode(tree).closure(start)
    before = HarnessCode(tree).digest(start)
    others = [file for file in tree.rglob("*.py") if file not in used]
    assert {"errors.py", "cli.py"} <= {file.name for file in others}
    assert not [file for file in used if file.name in ("registry.py", "artifact.py", "target.py")]
    texts = {file: file.read_text() for file in others}
    for file, text in texts.items():
        file.write_text(f"{text}CHANGED = 1\n")
    try:
        assert HarnessCode(tree).digest(start) == before
    finally:
        for file, text in texts.items():
            file.write_text(text)


@pytest.mark.parametrize(
    ("step", "helpers"),
    [
        ("quantize/static", ("quantize/static_graph", "quantize/calibration", "quantize/ranges")),
        ("prune/channel", ("finetuning", "../zoo/fitting", "../zoo/augment", "../formats/torch/module")),
        ("quantize/qat/onnx", ("quantize/ort_static", "quantize/static_graph", "convert/export")),
        ("quantize/qat/pt2e", ("quantize/pt2e_static", "quantize/qat_training")),
        ("quantize/qat-weights", ("quantize/ort_weight_only", "convert/export", "finetuning")),
        ("export-onnx", ("../formats/onnx/rewriting", "../formats/onnx/flops", "../formats/torch/export")),
    ],
)
def test_the_helpers_and_the_steps_inside_a_step_are_found(step: str, helpers: tuple[str, ...]) -> None:
    files = harness_code().closure([HARNESS / path_of(step)])
    for helper in helpers:
        assert (HARNESS / "techniques" / f"{helper}.py").resolve() in files


def test_a_steps_code_covers_what_counts_the_statistics_of_its_format() -> None:
    step = TRANSFORMS.get("layout/channels-last")
    assert replace(step, yields="onnx").code != step.code


def test_a_plug_ins_package_counts_and_not_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plug").mkdir()
    (tmp_path / "plug" / "__init__.py").write_text("")
    (tmp_path / "plug" / "step.py").write_text(
        "from . import helper\nimport beside\nfrom harness.techniques import finetuning\ndef build(): ...\n"
    )
    (tmp_path / "plug" / "helper.py").write_text("x = 1\n")
    (tmp_path / "beside.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import plug.step  # type: ignore[import-not-found]

    def digest() -> str:
        module._code_of.cache_clear()
        module.harness_code.cache_clear()
        return code_of(plug.step.build)

    before = digest()
    (tmp_path / "beside.py").write_text("x = 2\n")
    assert digest() == before
    (tmp_path / "plug" / "helper.py").write_text("x = 2\n")
    assert digest() != before
    finetuning = (HARNESS / "techniques/finetuning.py").resolve()
    assert finetuning in HarnessCode(plugin=tmp_path / "plug").closure([tmp_path / "plug" / "step.py"])


def test_a_function_without_a_file_has_no_code() -> None:
    assert code_of(len, None) == ""

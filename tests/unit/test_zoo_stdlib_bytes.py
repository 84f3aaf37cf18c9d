"""The text that language models are judged by is one and the same, and no part of what they learn from."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.errors import DataError
from harness.zoo.datasets import stdlib_bytes
from harness.zoo.registry import DATASETS

DATA = Path(__file__).resolve().parents[2] / "suites" / "data"


def test_each_window_is_labeled_with_the_byte_after_each():
    data = stdlib_bytes.windows(bytes(range(256)) * 3)
    assert data.inputs[0].shape == data.labels.shape == (2, 256)
    assert data.inputs[0].dtype == data.labels.dtype == np.int64
    np.testing.assert_array_equal(data.labels, (data.inputs[0] + 1) % 256)


def test_the_shipped_excerpt_is_whole_and_made_of_the_files_it_names():
    text = stdlib_bytes.read_excerpt(DATA / "stdlib-bytes")
    assert 100_000 < len(text) < 300_000
    assert text.count(b"\0") == len(stdlib_bytes.HELD_OUT)
    data = DATASETS.get("stdlib-bytes").load("test", DATA)
    assert len(data) == (len(text) - 1) // 256
    assert data.inputs[0].astype(np.uint8).tobytes() == text[: 256 * len(data)]


def test_training_text_holds_no_file_of_the_excerpt_nor_this_machines_settings():
    training = stdlib_bytes.training_text()
    assert len(training) > 1_000_000
    for source in stdlib_bytes.read_excerpt(DATA / "stdlib-bytes").split(b"\0")[1:]:
        assert source[:300] not in training
        assert source[len(source) // 2 :][:300] not in training
    assert b"build_time_vars = {" not in training


def test_lines_end_the_same_everywhere(tmp_path):
    (tmp_path / "a.py").write_bytes(b"a\r\nb\n")
    assert stdlib_bytes.join([tmp_path / "a.py"]) == b"\0a\nb\n"


def test_an_excerpt_that_is_missing_damaged_or_another_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"held-out\.bin\.gz is missing"):
        stdlib_bytes.load("test", tmp_path)
    folder = tmp_path / "stdlib-bytes"
    shutil.copytree(DATA / "stdlib-bytes", folder)
    path = folder / stdlib_bytes.EXCERPT
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(DataError, match="cannot be unpacked"):
        stdlib_bytes.load("test", tmp_path)
    path.write_bytes(gzip.compress(gzip.decompress(whole) + b" "))
    with pytest.raises(DataError, match=r"has md5 [0-9a-f]{32} unpacked instead of"):
        stdlib_bytes.load("test", tmp_path)


def test_an_interpreter_without_sources_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(stdlib_bytes.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(DataError, match="no sources of the standard library"):
        stdlib_bytes.load("train", tmp_path)


def test_provenance_names_python_and_the_text():
    told = stdlib_bytes.provenance()
    assert set(told) == {"python", "text_bytes", "text_sha256"}

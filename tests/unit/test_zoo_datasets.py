"""MNIST is read strictly: what is missing, damaged or of another kind is refused with what to do."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from harness.errors import DataError
from harness.zoo.datasets import mnist
from harness.zoo.registry import DATASETS

SUITES = Path(__file__).resolve().parents[2] / "suites"
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes((0, 0, kind, array.ndim)) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write an IDX file below tmp_path/mnist and make its sum the published one."""
    (tmp_path / "mnist").mkdir()

    def put(name: str, raw: bytes) -> Path:
        monkeypatch.setitem(mnist.MD5, name, hashlib.md5(raw).hexdigest())
        path = tmp_path / "mnist" / f"{name}.gz"
        path.write_bytes(gzip.compress(raw))
        return path

    return put


def test_the_shipped_test_split_is_whole_and_normalized():
    data = DATASETS.get("mnist").load("test", SUITES / "data")
    (images,) = data.inputs
    assert images.shape == (10_000, 1, 28, 28)
    assert images.dtype == np.float32
    assert images.flags.c_contiguous
    assert data.labels.shape == (10_000,)
    assert data.labels.dtype == np.int64
    assert list(data.labels[:5]) == [7, 2, 1, 0, 4]
    assert images.min() == pytest.approx((0 - 0.1307) / 0.3081, rel=1e-5)
    assert images.max() == pytest.approx((1 - 0.1307) / 0.3081, rel=1e-5)


def test_pixels_and_labels_come_out_as_they_were_written(tmp_path, write):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    write(IMAGES, idx(pixels))
    write(LABELS, idx(np.arange(5)))
    data = mnist.load("test", tmp_path)
    np.testing.assert_allclose(data.inputs[0][:, 0], (pixels / 255 - 0.1307) / 0.3081, rtol=1e-5, atol=1e-6)
    assert list(data.labels) == [0, 1, 2, 3, 4]


def test_a_missing_file_is_named_with_its_sum_and_the_remedy(tmp_path):
    with pytest.raises(DataError) as caught:
        mnist.load("test", tmp_path)
    for part in (f"{IMAGES}.gz is missing", mnist.MD5[IMAGES], "README.md"):
        assert part in str(caught.value)


def test_other_content_is_refused_with_both_sums(tmp_path, write, monkeypatch):
    raw = idx(np.zeros((5, 28, 28)))
    write(IMAGES, raw)
    monkeypatch.setitem(mnist.MD5, IMAGES, "0" * 32)
    with pytest.raises(DataError) as caught:
        mnist.load("test", tmp_path)
    for part in (IMAGES, "0" * 32, hashlib.md5(raw).hexdigest(), "README.md"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:100],
        lambda packed: packed[:-4],
        lambda packed: b"",
        lambda packed: b"not gzip at all",
        lambda packed: packed[:40] + b"\xff" * 40 + packed[80:],
    ],
    ids=["cut", "cut-trailer", "empty", "no-gzip", "overwritten"],
)
def test_a_damaged_archive_is_refused(tmp_path, write, damage):
    noise = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    path = write(IMAGES, idx(noise))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=IMAGES) as caught:
        mnist.load("test", tmp_path)
    assert mnist.MD5[IMAGES] in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (idx(np.zeros((2, 28, 28)), kind=9), "00000903, not 00000803"),
        (idx(np.zeros(5)), "00000801, not 00000803"),
        (b"", "begins with , not"),
        (bytes((0, 0, 8, 3)) + b"\0\0\0\2", "8 bytes of 16"),
        (idx(np.zeros((2, 28, 28)))[:-1], "1583 bytes"),
        (idx(np.zeros((2, 28, 28))) + b"\0", "1585 bytes"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12, "16 bytes"),
    ],
    ids=["type", "rank", "empty", "header", "short", "long", "absurd-sizes"],
)
def test_an_idx_file_of_another_kind_or_length_is_refused(raw, complaint):
    with pytest.raises(DataError, match=complaint):
        mnist.parse_idx(raw, 3, "digits")


@pytest.mark.parametrize(("images", "labels"), [((3, 28, 28), 2), ((2, 27, 28), 2)])
def test_images_and_labels_must_belong_together(tmp_path, write, images, labels):
    write(IMAGES, idx(np.zeros(images)))
    write(LABELS, idx(np.zeros(labels)))
    with pytest.raises(DataError, match="do not belong together"):
        mnist.load("test", tmp_path)

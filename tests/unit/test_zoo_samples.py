"""What a user's data may be: each form gives the same samples; what cannot be read is told in a line."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest

from harness.errors import DataError
from harness.formats.tensors import TensorSpec
from harness.zoo import samples as module
from harness.zoo.data_sources.registry import DataConfig
from harness.zoo.samples import as_data

X = np.arange(12, dtype=np.float32).reshape(4, 3)
IDS = np.arange(20).reshape(4, 5)
MASK = np.ones((4, 5), np.int64)
LABELS = np.array([3, 1, 2, 0])
ONE = (TensorSpec(name="x", shape=(3,)),)
TWO = (
    TensorSpec(name="ids", shape=(5,), dtype="int64", high=100),
    TensorSpec(name="mask", shape=(5,), dtype="int64"),
)


class MapStyle:
    """A dataset as torch has them: a length and samples by number, no iterator, no IndexError."""

    def __init__(self, samples):
        self.samples = list(samples)

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index % len(self.samples)]


class Batches:
    """A loader of batches: an iterator with a length."""

    def __init__(self, *arrays, size=3, kind=list):
        self.arrays, self.size, self.kind = arrays, size, kind

    def __len__(self):
        return (len(self.arrays[0]) + self.size - 1) // self.size

    def __iter__(self):
        for i in range(0, len(self.arrays[0]), self.size):
            parts = self.kind(array[i : i + self.size] for array in self.arrays)
            yield parts if len(self.arrays) > 1 else parts[0]


class Tensor:
    """What a tensor of torch has, without torch."""

    def __init__(self, array, dtype="torch.float32"):
        self.array, self.dtype, self.shape = array, dtype, array.shape

    def detach(self):
        return self

    def cpu(self):
        return self

    def float(self):
        return Tensor(self.array)

    def numpy(self):
        assert not self.dtype.endswith("bfloat16"), "numpy has no such dtype"
        return self.array


def same(data, inputs, labels=None):
    assert len(data.inputs) == len(inputs)
    for found, wanted in zip(data.inputs, inputs, strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype
    if labels is None:
        assert data.labels is None
    else:
        np.testing.assert_array_equal(data.labels, labels)


ONE_INPUT = {
    "an array": X,
    "a tuple of one": (X,),
    "a list of one array": [X],
    "nested lists": X.tolist(),
    "a list of samples": list(X),
    "a mapping": {"x": X},
    "a pair without labels": (X, None),
    "a mapping in a pair without labels": ({"x": X}, None),
    "a tensor": Tensor(X),
    "a tensor in bfloat16": Tensor(X, "torch.bfloat16"),
    "a dataset": MapStyle(X),
    "a dataset of mappings": MapStyle({"x": row} for row in X),
    "a generator": (row for row in X),
    "a generator of lists of numbers": (row.tolist() for row in X),
    "batches": Batches(X),
}


@pytest.mark.parametrize("form", ONE_INPUT)
def test_the_samples_of_one_input_are_the_same_in_each_form(form):
    same(as_data(ONE_INPUT[form], "d", ONE), [X])


WITH_LABELS = {
    "a pair": (X, LABELS),
    "a pair of lists": (X.tolist(), LABELS.tolist()),
    "a list of two arrays": [X, LABELS],
    "a tuple in a pair": ((X,), LABELS),
    "a list in a pair": ([X], LABELS),
    "a mapping in a pair": ({"x": X}, LABELS),
    "a mapping with labels": {"x": X, "labels": LABELS},
    "a mapping with label": {"x": X, "label": LABELS},
    "tensors": (Tensor(X), Tensor(LABELS)),
    "a dataset of pairs": MapStyle(zip(X, LABELS, strict=True)),
    "a dataset of lists": MapStyle([x, int(y)] for x, y in zip(X, LABELS, strict=True)),
    "a list of pairs": list(zip(X, LABELS, strict=True)),
    "a generator of mappings": ({"x": x, "label": y} for x, y in zip(X, LABELS, strict=True)),
    "batches": Batches(X, LABELS),
    "batches in tuples": Batches(X, LABELS, kind=tuple),
}


@pytest.mark.parametrize("form", WITH_LABELS)
def test_labels_are_told_apart_in_each_form(form):
    same(as_data(WITH_LABELS[form], "d", ONE), [X], LABELS)


Pair = collections.namedtuple("Pair", ["ids", "mask"])
TWO_INPUTS = {
    "a tuple": (IDS, MASK),
    "a list": [IDS, MASK],
    "lists": [IDS.tolist(), MASK.tolist()],
    "a named tuple": Pair(IDS, MASK),
    "a pair without labels": ((IDS, MASK), None),
    "a mapping in another order": {"mask": MASK, "ids": IDS},
    "tensors": [Tensor(IDS), Tensor(MASK)],
    "a dataset of tuples": MapStyle(zip(IDS, MASK, strict=True)),
    "a dataset of mappings": MapStyle({"ids": i, "mask": m} for i, m in zip(IDS, MASK, strict=True)),
    "batches": Batches(IDS, MASK),
}


@pytest.mark.parametrize("form", TWO_INPUTS)
def test_two_arrays_for_two_inputs_are_the_inputs_and_no_labels(form):
    same(as_data(TWO_INPUTS[form], "d", TWO), [IDS, MASK])


TWO_WITH_LABELS = {
    "three arrays": (IDS, MASK, LABELS),
    "a tuple in a pair": ((IDS, MASK), LABELS),
    "a list in a pair": ([IDS, MASK], LABELS),
    "a mapping in a pair": ({"ids": IDS, "mask": MASK}, LABELS),
    "a mapping with labels": {"ids": IDS, "mask": MASK, "labels": LABELS},
    "a dataset of triples": MapStyle(zip(IDS, MASK, LABELS, strict=True)),
    "a dataset of pairs": MapStyle(((i, m), y) for i, m, y in zip(IDS, MASK, LABELS, strict=True)),
    "batches": Batches(IDS, MASK, LABELS),
}


@pytest.mark.parametrize("form", TWO_WITH_LABELS)
def test_two_inputs_with_labels(form):
    same(as_data(TWO_WITH_LABELS[form], "d", TWO), [IDS, MASK], LABELS)


def test_tables_are_read_by_column_or_as_the_only_input():
    import pandas as pd
    import pyarrow as pa

    table = pd.DataFrame(X, columns=["a", "b", "c"]).assign(label=LABELS)
    same(as_data(table, "d", ONE), [X], LABELS)
    same(as_data(pa.Table.from_pandas(table), "d", ONE), [X], LABELS)
    rows = pd.DataFrame({"mask": list(MASK), "ids": list(IDS), "text": ["a"] * 4, "labels": LABELS})
    same(as_data(rows, "d", TWO), [IDS, MASK], LABELS)


def test_real_datasets_and_loaders_of_torch_are_read():
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(LABELS))
    same(as_data(dataset, "d", ONE), [X], LABELS)
    same(as_data(torch.utils.data.DataLoader(dataset, batch_size=3), "d", ONE), [X], LABELS)
    same(as_data(torch.utils.data.Subset(dataset, [2, 0]), "d", ONE), [X[[2, 0]]], LABELS[[2, 0]])
    two = torch.utils.data.TensorDataset(*map(torch.from_numpy, (IDS, MASK, LABELS)))
    same(as_data(torch.utils.data.DataLoader(two, batch_size=3), "d", TWO), [IDS, MASK], LABELS)


@pytest.mark.parametrize("shape", [(4, 1), (4, 2, 2), (4, 5, 4)])
def test_labels_may_have_any_shape(shape):
    labels = np.random.default_rng(0).random(shape)
    np.testing.assert_array_equal(as_data((X, labels), "d", ONE).labels, labels)
    np.testing.assert_array_equal(as_data(MapStyle(zip(X, labels, strict=True)), "d", ONE).labels, labels)


def test_an_input_that_is_called_labels_is_an_input():
    specs = (ONE[0], TensorSpec(name="labels", shape=(2,)))
    given = np.ones((4, 2), np.float32)
    same(as_data({"x": X, "labels": given, "label": LABELS}, "d", specs), [X, given], LABELS)


@pytest.mark.parametrize(
    ("value", "specs", "says"),
    [
        (None, ONE, "d is None: there are no samples"),
        (5, ONE, "d is of type int; allowed: x, or (x, labels), or a mapping"),
        ("text", ONE, "d is of type str"),
        (
            X,
            TWO,
            "d has one array for 2 inputs; allowed: (ids, mask), or ((ids, mask), labels), or a mapping",
        ),
        ((X, X, X, X), TWO, "d has 4 parts for 2 inputs"),
        ({"y": X}, ONE, "d has no x; it has y; allowed: x"),
        ({"mask": MASK}, TWO, "d has no ids; it has mask; allowed: (ids, mask)"),
        ([X, X + 1], ONE, "d is a list of two arrays, which may be inputs and labels, or two batches"),
        ([[[1] * 5, [1] * 5]] * 2, TWO, "d is a list of lists of 2, which may be samples or inputs"),
        ((X, [1, 2]), ONE, "d has 4 samples and 2 labels"),
        ((X, 1), ONE, "d has one label for all samples"),
        ((X, ["cat"] * 4), ONE, "labels that are no numbers, such as np.str_('cat'); number the classes"),
        ((X, [[1], [1, 2], [1], [1]]), ONE, "d has labels of different shapes"),
        ((X, [0.5, np.nan, 1, 1]), ONE, "d has labels that are NaN"),
        ([["a"], ["b"]], ONE, "input 'x' has samples that are no arrays of numbers"),
        (iter([]), ONE, "d has no samples"),
        (X[:, :2], ONE, "input 'x' has samples of shape (2,), not (3,). Shorter ones are filled up if"),
        (X[:, :2].T, ONE, "input 'x' has samples of shape (4,), not (3,)"),
        (X.astype(np.uint8), ONE, "has dtype uint8, not float32; scale the pixels as the model expects"),
        (X + 1j, ONE, "has dtype complex64, not float32"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(value, specs, says):
    with pytest.raises(DataError) as told:
        as_data(value, "d", specs)
    assert says in str(told.value)
    assert "\n" not in str(told.value)


def test_an_error_of_an_iterable_names_the_sample():
    def broken():
        yield X[0]
        raise OSError("disk")

    with pytest.raises(DataError, match="d raised OSError: disk at sample"):
        as_data(broken(), "d", ONE)


# ------------------------------------------------------------------ shapes and dtypes

RAGGED = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10, 11]]
FILLED = [[1, 2, 3, 0, 0], [4, 0, 0, 0, 0], [5, 6, 0, 0, 0], [7, 8, 9, 10, 11]]


@pytest.mark.parametrize(
    "value",
    [{"ids": RAGGED, "mask": MASK}, [{"ids": i, "mask": m} for i, m in zip(RAGGED, MASK, strict=True)]],
)
def test_ragged_samples_are_filled_up_only_if_the_suite_says_with_what(value):
    for pad in (0, {"ids": 0}):
        data = as_data(value, "d", TWO, DataConfig(pad=pad))
        same(data, [np.array(FILLED), MASK])
        assert "ids: shorter samples filled up with 0" in data.notes
    with pytest.raises(DataError, match=r"input 'ids' has samples of .*shape.*\(3,\).*pad: \{ids: 0\}"):
        as_data(value, "d", TWO)


def test_two_of_the_different_shapes_are_named():
    with pytest.raises(DataError, match=r"different shapes, \(3,\) and \(1,\); the model takes \(5,\)"):
        as_data([RAGGED, MASK.tolist()], "d", TWO)


def test_a_sample_longer_than_the_model_takes_is_never_cut():
    with pytest.raises(DataError, match=r"input 'ids' has samples of shape \(6,\), not \(5,\)$"):
        as_data({"ids": [[1] * 6, [1]], "mask": MASK[:2]}, "d", TWO, DataConfig(pad=0))


def test_a_mask_that_is_left_out_is_zero_where_ids_were_filled_up():
    for value in ({"ids": RAGGED}, [{"ids": row} for row in RAGGED]):
        data = as_data(value, "d", TWO, DataConfig(pad=0))
        np.testing.assert_array_equal(data.inputs[1].sum(axis=1), [3, 1, 2, 5])
        np.testing.assert_array_equal(data.inputs[1][1], [1, 0, 0, 0, 0])
        assert "mask: ones (not in the data)" in data.notes


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        (np.array([[1], [300]], np.int64), "int32", True),
        (np.array([[1], [2**40]], np.int64), "int32", False),
        (np.array([[1], [300]], np.int64), "uint8", False),
        (np.array([[-1], [3]], np.int64), "uint8", False),
        (np.array([[0], [1]], np.int64), "bool", True),
        (np.array([[0], [2]], np.int64), "bool", False),
        (np.array([[True], [False]]), "float32", True),
        (np.array([[0.1], [0.7]], np.float64), "float32", True),
        (np.array([[0.1], [1e300]], np.float64), "float32", False),
        (np.array([[1.0], [2.0]], np.float64), "int64", True),
        (np.array([[1.5], [2.0]], np.float64), "int64", False),
        (np.array([[3], [2**24 + 1]], np.int64), "float32", False),
    ],
)
def test_a_dtype_is_converted_where_no_value_is_lost_and_said(given, wanted, fits):
    spec = (TensorSpec(name="v", shape=(1,), dtype=wanted),)
    if not fits:
        with pytest.raises(
            DataError, match=f"'v' has dtype {given.dtype}, not {wanted}, and has values that"
        ):
            as_data(given, "d", spec)
        return
    data = as_data(given, "d", spec)
    np.testing.assert_array_equal(data.inputs[0], given.astype(wanted))
    assert data.inputs[0].dtype == wanted
    assert data.notes == (f"v: {given.dtype} converted to {wanted}",)


# ------------------------------------------------------------------ how many


def test_an_endless_iterable_ends_with_a_warning(monkeypatch):
    monkeypatch.setattr(module, "MAX_SAMPLES", 6)
    data = as_data(itertools.cycle(X), "d", ONE)
    assert len(data) == 6
    (warning,) = data.warnings
    assert warning.startswith("read the first 6 samples; `samples`")
    batches = itertools.repeat((X, LABELS))
    assert len(as_data(batches, "d", ONE)) == 6
    assert as_data(iter(X), "d", ONE).warnings == ()


def test_of_a_dataset_with_too_many_samples_evenly_spaced_ones_are_read():
    rows = np.arange(300, dtype=np.float32).reshape(100, 3)
    data = as_data(MapStyle(zip(rows, range(100), strict=True)), "d", ONE, DataConfig(samples=5))
    np.testing.assert_array_equal(data.labels, [0, 20, 40, 60, 80])
    np.testing.assert_array_equal(data.inputs[0], rows[::20])
    assert data.notes == ("read 5 of 100 samples, evenly spaced",)
    np.testing.assert_array_equal(
        as_data((rows, np.arange(100)), "d", ONE, DataConfig(samples=5)).labels, [0, 20, 40, 60, 80]
    )


def test_large_samples_are_fewer(monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 24)
    assert len(as_data(MapStyle(X), "d", ONE)) == 2


def test_samples_that_are_read_one_by_one_are_kept_in_a_file():
    assert isinstance(as_data(MapStyle(X), "d", ONE).inputs[0], np.memmap)

"""Inputs of a model: example values, and what is wrong with given ones."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from harness.formats.target import Target
from harness.formats.tensors import DTYPES, TensorSpec, check_arrays

SPECS = (TensorSpec(name="image", shape=(2, 3)), TensorSpec(name="ids", shape=(4,), dtype="int64", high=10))


@pytest.mark.parametrize("dtype", DTYPES)
def test_example_values_have_the_shape_and_type_and_follow_the_seed(dtype):
    spec = TensorSpec(shape=(3, 2), dtype=dtype, high=5)
    value = spec.random(40, np.random.default_rng(0))
    assert value.shape == (40, 3, 2)
    assert value.dtype == np.dtype(dtype)
    assert spec.sample_bytes() * 40 == value.nbytes
    np.testing.assert_array_equal(value, spec.random(40, np.random.default_rng(0)))
    if not dtype.startswith("float"):
        assert set(np.unique(value)) == ({False, True} if dtype == "bool" else {0, 1, 2, 3, 4})


def test_a_sample_may_be_a_single_number():
    spec = TensorSpec(shape=())
    assert spec.random(3, np.random.default_rng(0)).shape == (3,)
    assert spec.sample_bytes() == 4


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"shape": (2,), "batch_axis": 2}, "batch_axis: 2 is no dimension of 2"),
        ({"shape": (-1, 2)}, "greater than or equal to 0"),
        ({"shape": (), "value": 0.5, "dtype": "int64"}, "value: 0.5 is no int64"),
        ({"shape": (), "value": 1, "fill": "ones"}, "value and fill: give one of them"),
        ({"shape": (2,), "dtype": "float3"}, "unknown dtype 'float3'; did you mean 'float32'"),
        ({"shape": (2,), "dtype": "string"}, "unknown dtype 'string'"),
        ({"shape": (2,), "high": 0}, "greater than or equal to 1"),
        ({}, "Field required"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(fields, says):
    with pytest.raises(ValidationError, match=says):
        TensorSpec(**fields)


def good():
    return [np.zeros((5, 2, 3), np.float32), np.zeros((5, 4), np.int64)]


def test_arrays_that_fit_have_no_fault():
    assert check_arrays(good(), SPECS, "data") == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda a: [a[0]], "data: 1 arrays for 2 inputs (image, ids)"),
        (lambda a: [a[0][..., 0], a[1]], "data: input 'image' has samples of shape (2,), not (2, 3)"),
        (lambda a: [a[0].astype(np.float64), a[1]], "data: input 'image' has dtype float64, not float32"),
        (lambda a: [a[0], a[1].astype(np.int32)], "data: input 'ids' has dtype int32, not int64"),
        (lambda a: [a[0][:0], a[1][:0]], "data: input 'image' has no samples"),
        (lambda a: [a[0] + np.nan, a[1]], "data: input 'image' contains NaN or infinity"),
        (lambda a: [a[0] + np.inf, a[1]], "data: input 'image' contains NaN or infinity"),
        (lambda a: [a[0], a[1][:3]], "data: inputs have different numbers of samples: [5, 3]"),
    ],
)
def test_arrays_that_do_not_fit_are_told_in_words(change, fault):
    assert fault in check_arrays(change(good()), SPECS, "data")


def test_all_faults_are_told_at_once():
    assert len(check_arrays([np.zeros((5, 2)), np.zeros((4, 4), np.int8)], SPECS, "data")) == 4


def test_a_target_survives_json():
    target = Target(8, "cuda", 2, (0, 3))
    import json

    assert Target.from_dict(json.loads(json.dumps(target.to_dict()))) == target
    assert Target.from_dict({"batch": 1}) == Target(1)


def test_integers_to_avoid_are_left_out_and_the_others_are_as_likely():
    spec = TensorSpec(shape=(5000,), dtype="int64", high=6, avoid=(0, 3, 3, 99, -1))
    values, counts = np.unique(spec.random(2, np.random.default_rng(0)), return_counts=True)
    assert values.tolist() == [1, 2, 4, 5]
    assert counts.min() > 2300
    free = TensorSpec(shape=(40,), dtype="int64", high=6)
    np.testing.assert_array_equal(
        free.random(2, np.random.default_rng(0)), np.random.default_rng(0).integers(0, 6, (2, 40))
    )
    with pytest.raises(ValidationError, match="leaves none of the integers below 2"):
        TensorSpec(shape=(1,), dtype="int64", high=2, avoid=(0, 1))

"""Random inputs look like what their name, dtype and shape say, or what the suite states."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from harness.formats.likely import describe, kind
from harness.formats.onnx.embeddings import table_rows
from harness.formats.onnx.graph import input_specs
from harness.formats.tensors import TensorSpec, describe_random, random_arrays


def spec(name, shape, dtype="float32", **fields):
    return TensorSpec(name=name, shape=shape, dtype=dtype, **fields)


def random(one, count=16, seed=0):
    return one.random(count, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "wanted"),
    [
        ("image", (3, 224, 224), "float32", "image"),
        ("input.1", (3, 32, 48), "float32", "image"),
        ("x", (64, 64, 3), "uint8", "image"),
        ("x", (1, 28, 28), "float16", "image"),
        ("x", (1, 80, 3000), "float32", "normal"),  # a spectrogram
        ("pixels", (1, 20, 100), "float32", "image"),
        ("mel", (1, 80, 100), "float32", "normal"),
        ("past_key_0", (3, 64, 64), "float32", "normal"),
        ("latents", (4, 64, 64), "float32", "normal"),
        ("x", (3, 8, 8), "float32", "normal"),
        ("x", (10,), "float32", "normal"),
        ("input_ids", (128,), "int64", "tokens"),
        ("inputIds", (128,), "int32", "tokens"),
        ("tokens", (128,), "int32", "tokens"),
        ("attention_mask", (128,), "int64", "mask"),
        ("attention_mask", (128,), "float32", "mask"),
        ("mask", (1, 128, 128), "bool", "mask"),
        ("mask", (1, 256, 256), "float32", "image"),
        ("src_key_padding_mask", (128,), "bool", "zeros"),
        ("token_type_ids", (128,), "int64", "zeros"),
        ("segment_ids", (128,), "int64", "zeros"),
        ("node_type", (128,), "int64", "integers"),
        ("pos_tag", (128,), "int64", "integers"),
        ("position_ids", (128,), "int64", "positions"),
        ("lengths", (), "int64", "integers"),
        ("unmasked", (10,), "int64", "integers"),
    ],
)
def test_an_input_is_recognized_by_name_dtype_and_shape(name, shape, dtype, wanted):
    assert kind(spec(name, shape, dtype)) == wanted


def test_the_suite_can_state_what_an_input_is():
    assert kind(spec("image", (3, 32, 32), like="normal")) == "normal"
    assert kind(spec("x", (9,), "int64", high=50, like="tokens")) == "tokens"
    assert random(spec("x", (9,), "int64", like="mask")).tolist() == [[1] * 9] * 16
    assert random(spec("x", (5, 16, 16), like="image")).shape == (16, 5, 16, 16)
    with pytest.raises(ValidationError, match="an image has at least two dimensions"):
        spec("x", (9,), like="image")
    with pytest.raises(ValidationError, match="tokens are integers, not float32"):
        spec("x", (9,), like="tokens")


def neighbours(images):
    """Correlation of each pixel with the one to its right."""
    return np.corrcoef(images[..., 1:].ravel(), images[..., :-1].ravel())[0, 1]


@pytest.mark.parametrize("shape", [(3, 64, 48), (1, 28, 28)])
def test_images_are_smooth_and_normalized_and_differ(shape):
    images = random(spec("image", shape), 64).astype(np.float64)
    assert neighbours(images) > 0.8
    assert abs(images.mean()) < 0.2
    assert 0.7 < images.std() < 1.3
    assert images.mean(axis=(1, 2, 3)).std() > 0.2  # bright and dark ones
    if shape[0] == 3:
        assert np.corrcoef(images[:, 0].ravel(), images[:, 1].ravel())[0, 1] > 0.7


def test_pixels_of_integers_use_the_range_of_their_dtype():
    pixels = random(spec("image", (64, 48, 3), "uint8"), 64)
    assert pixels.shape == (64, 64, 48, 3)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert neighbours(np.moveaxis(pixels, -1, 1).astype(float)) > 0.8
    np.testing.assert_allclose(pixels.mean(axis=(0, 1, 2)) / 255, [0.485, 0.456, 0.406], atol=0.05)


def test_token_ids_have_the_frequencies_of_words_and_stay_in_range():
    ids = random(spec("ids", (1000,), "int64", high=500, avoid=(0, 7)), 50)
    values, counts = np.unique(ids, return_counts=True)
    assert values.min() > 0
    assert values.max() < 500
    assert 7 not in values
    ordered = np.sort(counts)[::-1] / counts.sum()
    weights = 1 / (np.arange(1, 499) + 2.7)
    np.testing.assert_allclose(ordered[:20], (weights / weights.sum())[:20], rtol=0.15)
    assert len(values) > 450  # rare ones too


def test_the_most_frequent_id_is_not_always_the_first_of_the_vocabulary():
    ids = random(spec("ids", (1000,), "int64", high=500), 50)
    values, counts = np.unique(ids, return_counts=True)
    assert values[counts.argmax()] != 0


def test_ids_of_a_huge_range_are_uniform():
    ids = random(spec("ids", (1000,), "int64", high=2**40))
    assert ids.max() > 2**38


def test_masks_types_and_positions():
    assert (random(spec("attention_mask", (6,), "int64")) == 1).all()
    assert (random(spec("token_type_ids", (6,), "int64")) == 0).all()
    assert not random(spec("src_key_padding_mask", (6,), "bool")).any()
    np.testing.assert_array_equal(random(spec("position_ids", (6,), "int64"), 2), [range(6)] * 2)
    short = spec("position_ids", (6,), "int64", high=4)  # a table of four rows
    np.testing.assert_array_equal(random(short, 1), [[0, 1, 2, 3, 0, 1]])


def test_inputs_that_would_all_be_constant_are_random_numbers():
    mask = spec("mask", (40,), "int64", high=9)
    (values,) = random_arrays([mask], 30, np.random.default_rng(0))
    assert len(np.unique(values, axis=0)) == 30
    assert describe_random([mask]) == ("mask: uniform integers below 9",)
    ids = spec("ids", (40,), "int64", high=9)
    assert (random_arrays([ids, mask], 30, np.random.default_rng(0))[1] == 1).all()


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (spec("image", (3, 32, 32)), "image: smooth random images, as after ImageNet's normalization"),
        (spec("image", (3, 32, 32), "uint8"), "image: smooth random images, pixels from 0 to 255"),
        (spec("ids", (8,), "int64", high=30522), "ids: random token ids below 30,522 with the frequencies"),
        (spec("x", (8,)), "x: standard normal numbers"),
        (spec("x", (8,), "bool"), "x: true or false"),
    ],
)
def test_it_is_said_what_the_values_are(one, says):
    assert describe(one).startswith(says)


def graph(*nodes, inputs, tables):
    values = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", 4]) for name in inputs]
    weights = [
        numpy_helper.from_array(np.zeros((rows, 2), np.float32), name) for name, rows in tables.items()
    ]
    return helper.make_model(helper.make_graph(nodes, "g", values, [], weights))


def test_the_range_of_ids_is_found_from_the_tables_that_they_select_from():
    model = graph(
        helper.make_node("Cast", ["ids"], ["cast"], to=TensorProto.INT32),
        helper.make_node("Gather", ["words", "cast"], ["a"]),
        helper.make_node("Identity", ["words"], ["copy"]),
        helper.make_node("Gather", ["copy", "kinds"], ["b"], axis=0),
        helper.make_node("Gather", ["small", "kinds"], ["c"]),
        helper.make_node("Gather", ["small", "columns"], ["d"], axis=1),
        helper.make_node("Add", ["free", "free"], ["sum"]),
        helper.make_node("Gather", ["small", "sum"], ["e"]),
        inputs=["ids", "kinds", "columns", "free"],
        tables={"words": 900, "small": 3},
    )
    assert table_rows(model) == {"ids": 900, "kinds": 3}
    assert [one.high for one in input_specs(model)] == [900, 3, 2, 2]

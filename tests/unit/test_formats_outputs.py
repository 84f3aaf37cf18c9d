"""Outputs as trees: one order, one name each; and what an ONNX graph says of its outputs."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import NamedTuple

import pytest

from harness.errors import DataError
from harness.formats.outputs import OutputSpec, flatten, leaves, map_leaves, unique_names


class Point(NamedTuple):
    x: object
    y: object


@dataclasses.dataclass(frozen=True)
class Box:
    corner: Point
    label: object = None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, [("output", 5)]),
        (None, []),
        ((1, None, 2), [("output.0", 1), ("output.2", 2)]),
        ([1, [2, (3,)]], [("output.0", 1), ("output.1.0", 2), ("output.1.1.0", 3)]),
        ({"z": 1, "a": [2]}, [("z", 1), ("a.0", 2)]),
        (Point(1, {"k": 2}), [("x", 1), ("y.k", 2)]),
        ([Point(1, 2)], [("output.0.x", 1), ("output.0.y", 2)]),
        (Box(Point(1, 2)), [("corner.x", 1), ("corner.y", 2)]),
        ({}, []),
    ],
)
def test_leaves_have_the_order_of_the_tree_and_names_by_place(value, expected):
    assert list(flatten(value)) == expected
    assert leaves(value) == [leaf for _, leaf in expected]


@pytest.mark.parametrize(
    "value", [5, None, (1, None, [2]), {"a": Point(1, 2)}, OrderedDict(b=1, a=2), Box(Point(1, 2), 3)]
)
def test_changed_leaves_stay_in_containers_of_the_same_kinds(value):
    changed = map_leaves(value, lambda leaf: leaf + 10)
    assert type(changed) is type(value)
    assert flatten(changed) == tuple((name, leaf + 10) for name, leaf in flatten(value))


def test_no_two_outputs_and_no_output_and_input_have_one_name():
    assert unique_names(["x", "a", "a"], ["x"]) == ["x.2", "a", "a.2"]


def test_outputs_of_an_onnx_graph_are_read_without_the_batch():
    onnx = pytest.importorskip("onnx")
    from harness.formats.onnx.outputs import output_specs

    def model(*outputs):
        graph = onnx.helper.make_graph([], "g", [], list(outputs))
        return onnx.helper.make_model(graph)

    tensor, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
    found = output_specs(
        model(
            tensor("free", kinds.FLOAT, ["n", 3]),
            tensor("whole", kinds.INT64, [7]),
            tensor("long", kinds.FLOAT, [None, "t", 3]),
            tensor("any", kinds.FLOAT16, None),
        ),
        None,
    )
    assert found == (
        OutputSpec("free", (3,), "float32", 0),
        OutputSpec("whole", (7,), "int64", None),
        OutputSpec("long", None, "float32", 0),
        OutputSpec("any", None, "float16", 0),
    )
    assert output_specs(model(tensor("fixed", kinds.FLOAT, [4, 3])), 4)[0].shape == (3,)
    with pytest.raises(
        DataError, match="ONNX output 'name' holds strings; outputs must be tensors of numbers"
    ):
        output_specs(model(tensor("name", kinds.STRING, ["n"])), None)
    maps = onnx.helper.make_sequence_type_proto(onnx.helper.make_tensor_type_proto(kinds.FLOAT, [2]))
    with pytest.raises(DataError, match=r"'p' holds a sequence; .*zipmap=False"):
        output_specs(model(onnx.helper.make_value_info("p", maps)), None)

"""Label placement: whatever the points, no label covers another, a point, or the edge."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report.drawing.labels import inside, nearest_edge, overlap, place

BOUNDS = (0.0, 0.0, 400.0, 300.0)
POINT = st.tuples(st.floats(0, 400), st.floats(0, 300))
SIZE = st.tuples(st.floats(10, 150), st.just(12.0))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(POINT, SIZE), max_size=14))
def test_no_label_covers_another_or_a_point_or_the_edge(samples):
    points, sizes = [p for p, _ in samples], [s for _, s in samples]
    found = place(points, sizes, BOUNDS, radius=5)
    boxes = [spot.box for spot in found if spot]
    for index, box in enumerate(boxes):
        assert inside(box, BOUNDS)
        assert not any(overlap(box, other) for other in boxes[index + 1 :])
        assert not any(overlap(box, (x - 5, y - 5, x + 5, y + 5)) for x, y in points)


def test_a_lone_point_has_its_label_beside_it():
    (spot,) = place([(100, 100)], [(50, 12)], BOUNDS)
    assert spot is not None
    assert not spot.leads
    assert spot.box[0] > 100
    assert spot.center[1] == 100


def test_twelve_points_in_a_crowded_row_all_get_a_label():
    points = [(130 + 13 * i, 150 + 4 * (i % 3)) for i in range(12)]
    assert all(place(points, [(60, 12)] * 12, BOUNDS, radius=4))


def test_what_is_taken_stays_free():
    taken = (100.0, 80.0, 400.0, 120.0)
    (spot,) = place([(95, 100)], [(50, 12)], BOUNDS, taken=[taken])
    assert spot is not None
    assert not overlap(spot.box, taken)


def test_without_room_there_is_no_label():
    assert place([(5, 5)], [(500, 12)], BOUNDS) == [None]


def test_the_same_points_give_the_same_places():
    points, sizes = [(10, 10), (14, 12), (200, 90)], [(40, 12)] * 3
    assert place(points, sizes, BOUNDS) == place(points, sizes, BOUNDS)


def test_nearest_edge_is_on_the_box():
    assert nearest_edge((0, 5), (10, 0, 20, 10)) == (10, 5)


def test_a_label_that_lies_as_near_to_another_point_has_a_line_to_its_own():
    """What is free lies beside the upper point only."""
    points = [(100, 100), (100, 114)]
    taken = [(0, 0, 400, 94), (0, 94, 94, 106), (106, 94, 400, 106)]
    spot, _ = place(points, [(50, 12), (1, 1)], BOUNDS, taken, radius=5)
    near, far = (math.dist(point, nearest_edge(point, spot.box)) for point in points)
    assert spot.leads or near < far


def test_out_of_a_crowd_at_the_edge_a_line_leads_to_the_first_point():
    """The places of a real Group's points, the winner first, whose name found no room."""
    points = [(395, 325), (390, 349), (337, 317), (395, 109), (390, 317), (380, 329), (378, 325), (312, 317)]
    sizes = [(92, 12), (43, 11), (72, 11), (69, 11), (55, 11), (77, 11), (80, 12), (52, 11)]
    found = place(points, sizes, (50, 40, 446, 398), radius=7)
    assert all(found)
    assert found[0].leads

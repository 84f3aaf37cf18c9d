"""Place labels beside points, without overlaps: a greedy, deterministic search in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

Box = tuple[float, float, float, float]  # left, bottom, right, top
Line = tuple[float, float, float, float]  # from x, y to x, y

RINGS = (7.0, 12.0, 20.0, 32.0, 46.0, 62.0, 80.0, 100.0)
"""Distances from the point that are tried, pixels."""

DIRECTIONS = (0, 180, 90, 270, 35, 325, 145, 215, 60, 300, 120, 240, 75, 285, 105, 255)
"""Directions that are tried, degrees: right, left, above, below, then diagonals."""

SLIDES = (0.0, -0.4, 0.4, -0.8, 0.8)
"""Sideways shifts of a label above or below its point, in halves of its width, for points at an edge."""

TRIES, MAX_TRIES = 8, 24
"""How often all labels are placed again: usually, and as long as a label has no place."""

GAP = 2.0
"""Free space around a label, pixels."""

DETOUR = 14.0
"""Cost of covering a box of `avoid`, in pixels of distance."""

DOUBT = 9.0
"""Cost of being as near to another point, in pixels of distance; doubled without a leader line."""

NO_ROOM = 1000.0
"""Cost of a missing label."""


@dataclass(frozen=True)
class Placed:
    """A label's place: its box, its cost in pixels, and whether it needs a leader line to the point."""

    box: Box
    cost: float
    leads: bool

    @property
    def center(self) -> tuple[float, float]:
        """Return the middle of the box."""
        return _middle(self.box)


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    bounds: Box,
    taken: Sequence[Box] = (),
    avoid: Sequence[Box] = (),
    radius: float = 5.0,
) -> list[Placed | None]:
    """Return a place for each label, or None if there is no room; earlier points choose first.

    `points` and `sizes` (width, height) are in pixels. Labels stay inside `bounds` and never cover `taken`.
    They cover `avoid` only if other places are far. Then the label with the worst place chooses first, and
    all are placed again, a few times. The arrangement with the lowest total cost is returned.
    """
    marks = [(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    spots = []
    for point, size in zip(points, sizes, strict=True):
        fitting = [spot for spot in _candidates(point, size) if _may_be(spot.box, bounds, (*taken, *marks))]
        clear = [way for spot in fitting for way in _with_leaders(spot, point, points)]
        spots.append(sorted(clear, key=lambda spot: spot.cost))
    order = list(range(len(points)))
    best: list[Placed | None] = []
    least = math.inf
    for attempt in range(MAX_TRIES):
        found = _placed_in_order(order, points, spots, (taken, avoid), marks)
        costs = [NO_ROOM if spot is None else spot.cost for spot in found]
        if found and found[0] is None:
            costs[0] += NO_ROOM  # the first label matters most
        if sum(costs) < least:
            best, least = found, sum(costs)
        if not costs or max(costs) <= RINGS[1] or (attempt + 1 >= TRIES and least < NO_ROOM):
            break
        worst = costs.index(max(costs))
        if order[0] == worst:
            break
        order = [worst, *(index for index in order if index != worst)]
    return best


def _placed_in_order(
    order: Sequence[int],
    points: Sequence[tuple[float, float]],
    spots: Sequence[Sequence[Placed]],
    busy: tuple[Sequence[Box], Sequence[Box]],
    marks: Sequence[Box],
) -> list[Placed | None]:
    """Give each label, in this order, its best free place."""
    occupied: list[Box] = []
    result: list[Placed | None] = [None] * len(points)
    leaders: list[Line] = []
    for index in order:
        point = points[index]
        spot: Placed | None = None
        for candidate in spots[index]:
            if spot is not None and candidate.cost >= spot.cost:
                break
            if _free(candidate, point, (busy[0], occupied, marks), leaders):
                covered = sum(overlap(candidate.box, other) for other in busy[1])
                cost = candidate.cost + DETOUR * covered
                if spot is None or cost < spot.cost:
                    spot = replace(candidate, cost=cost)
        if spot is None:
            continue
        result[index] = spot
        occupied.append(spot.box)
        if spot.leads:
            leaders.append((*point, *nearest_edge(point, spot.box)))
    return result


def _may_be(box: Box, bounds: Box, fixed: Sequence[Box]) -> bool:
    """Whether a label may be there: inside the bounds, and not over a fixed box."""
    room = grown(box)
    return inside(box, bounds) and not any(overlap(room, other) for other in fixed)


def _free(
    spot: Placed,
    point: tuple[float, float],
    busy: tuple[Sequence[Box], Sequence[Box], Sequence[Box]],
    leaders: Sequence[Line],
) -> bool:
    """Whether a place is free; `busy` holds the taken boxes, the placed labels and the points' marks."""
    taken, occupied, marks = busy
    room = grown(spot.box)
    return (
        not any(overlap(room, other) for other in occupied)
        and not any(_crosses(line, spot.box) for line in leaders)
        and not (spot.leads and _leader_blocked(point, spot, marks, (*taken, *occupied)))
    )


def inside(box: Box, bounds: Box) -> bool:
    """Whether a box lies within the bounds."""
    return box[0] >= bounds[0] and box[1] >= bounds[1] and box[2] <= bounds[2] and box[3] <= bounds[3]


def overlap(first: Box, second: Box) -> bool:
    """Whether two boxes share area."""
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def grown(box: Box, by: float = GAP) -> Box:
    """Return the box with a margin."""
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def nearest_edge(point: tuple[float, float], box: Box) -> tuple[float, float]:
    """Return the point of the box that is nearest to `point`."""
    return min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])


def _candidates(point: tuple[float, float], size: tuple[float, float]) -> list[Placed]:
    """Return all places of one label: near before far, beside before above."""
    found = []
    for ring in RINGS:
        for degrees in DIRECTIONS:
            dx, dy = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            # The label's nearest edge or corner touches the ring; steep directions center it.
            shift_x, shift_y = max(-1.0, min(1.0, 1.6 * dx)), max(-1.0, min(1.0, 1.6 * dy))
            y = point[1] + ring * dy + shift_y * size[1] / 2
            for slide in SLIDES if degrees in (90, 270) else (0.0,):
                x = point[0] + ring * dx + (shift_x + slide) * size[0] / 2
                box = (x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2)
                found.append(Placed(box, ring + 2 * abs(slide), ring > 16))
    return found


def _with_leaders(
    spot: Placed, own: tuple[float, float], points: Sequence[tuple[float, float]]
) -> list[Placed]:
    """Raise the cost of a label that is as near to another point; a leader line raises it less."""
    mine = math.dist(own, nearest_edge(own, spot.box)) + GAP
    if not any(point != own and math.dist(point, nearest_edge(point, spot.box)) <= mine for point in points):
        return [spot]
    led = replace(spot, cost=spot.cost + DOUBT, leads=True)
    return [led] if spot.leads else [led, replace(spot, cost=spot.cost + 2 * DOUBT)]


def _leader_blocked(
    point: tuple[float, float], spot: Placed, marks: Sequence[Box], occupied: Sequence[Box]
) -> bool:
    line = (*point, *nearest_edge(point, spot.box))
    # Close neighbors do not count, because a line out of a crowd must cross them.
    others = [mark for mark in marks if math.dist(point, _middle(mark)) > 1.5 * (mark[2] - mark[0])]
    return any(_crosses(line, box) for box in (*others, *occupied))


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _crosses(line: Line, box: Box) -> bool:
    """Whether a line passes through the inside of a box (Liang and Barsky's clipping, 1984)."""
    x0, y0, x1, y1 = line
    if (x0 <= box[0] and x1 <= box[0]) or (x0 >= box[2] and x1 >= box[2]):
        return False  # most boxes are beside the line, and there may be a million of them
    dx, dy = x1 - x0, y1 - y0
    enter, leave = 0.0, 1.0
    for step, room in ((-dx, x0 - box[0]), (dx, box[2] - x0), (-dy, y0 - box[1]), (dy, box[3] - y0)):
        if step == 0:
            if room <= 0:
                return False
        elif step < 0:
            enter = max(enter, room / step)
        else:
            leave = min(leave, room / step)
    return enter < leave

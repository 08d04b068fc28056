"""Where the boxes of a network's drawing stand; no Qt.

Boxes are put in rows by how many are before them on the longest way from the image.
Ways side by side get columns of their own, and ways around others get a narrow lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["ENTRY", "EXIT", "Arranged", "arrange"]

#: What stands for the place where everything comes in, or goes out.
ENTRY = -1
EXIT = -2


@dataclass
class Arranged:
    """Places of boxes and of lines between them.

    Attributes
    ----------
    places : (x, y) of each box's upper left corner.
    lines : (from, to, points): boxes, or `ENTRY` and `EXIT`, and the corners between.
    width, height : of all.
    """

    places: list[tuple[float, float]] = field(default_factory=list)
    lines: list[tuple[int, int, list[tuple[float, float]]]] = field(
        default_factory=list
    )
    width: float = 0.0
    height: float = 0.0


def arrange(
    sizes: Sequence[tuple[float, float]],
    inputs: Sequence[Sequence[int]],
    gap: float,
    lane: float,
) -> Arranged:
    """Place boxes below one another and side by side, and draw lines between them.

    Parameters
    ----------
    sizes
        (width, height) of each box, in an order in which they run.
    inputs
        What feeds each: boxes before it, or `ENTRY`.
    gap
        Room between rows; columns have half of it.
    lane
        Room for a line that goes around boxes.
    """
    n = len(sizes)
    if not n:
        return Arranged()
    fed = [[place for place in dict.fromkeys(row)] or [ENTRY] for row in inputs]
    ranks: list[int] = []
    for row in fed:
        ranks.append(1 + max(-1 if p == ENTRY else ranks[p] for p in row))
    columns, order, lanes = _columns(fed, ranks)
    outputs = _outputs(fed, lanes)
    widths = {
        column: max(
            (sizes[i][0] for i in range(n) if columns[i] == column), default=lane
        )
        for column in order
    }
    middles, left = {}, 0.0
    for column in order:
        middles[column] = left + widths[column] / 2
        left += widths[column] + gap / 2
    xs = _centred(fed, outputs, lanes, [middles[columns[i]] for i in range(n)])
    low = min(xs[i] - sizes[i][0] / 2 for i in range(n))
    low = min([low, *(middles[c] - lane / 2 for c in lanes.values())])
    high = max(xs[i] + sizes[i][0] / 2 for i in range(n))
    high = max([high, *(middles[c] + lane / 2 for c in lanes.values())])
    # lanes are at the right: as much room at the left keeps the boxes in the middle
    low = min(low, low - (high - max(xs[i] + sizes[i][0] / 2 for i in range(n))))
    xs = [x - low for x in xs]
    middles = {column: x - low for column, x in middles.items()}
    heights = [0.0] * (max(ranks) + 1)
    for i, rank in enumerate(ranks):
        heights[rank] = max(heights[rank], sizes[i][1])
    tops = [gap * (rank + 1) + sum(heights[:rank]) for rank in range(len(heights))]
    result = Arranged(width=high - low, height=tops[-1] + heights[-1] + gap)
    for i, (width, height) in enumerate(sizes):
        top = tops[ranks[i]] + (heights[ranks[i]] - height) / 2
        result.places.append((xs[i] - width / 2, top))
    centre = result.width / 2
    has_next = {p for row in fed for p in row}
    for i, row in enumerate(fed):
        for p in row:
            start = (centre, 0.0) if p == ENTRY else _bottom(result, sizes, xs, p)
            end = (xs[i], result.places[i][1])
            way = middles[lanes[p, i]] if (p, i) in lanes else None
            if p != ENTRY and way is None:
                start, end = _straightened(start, end, sizes[p][0], sizes[i][0])
            result.lines.append((p, i, _corners(start, end, gap, way)))
        if i not in has_next:
            start, end = _bottom(result, sizes, xs, i), (centre, result.height)
            result.lines.append((i, EXIT, _corners(start, end, gap, None)))
    return result


def _columns(
    fed: list[list[int]], ranks: list[int]
) -> tuple[list[int], list[int], dict[tuple[int, int], int]]:
    """Return each box's column, columns from left to right, and lanes of lines."""
    columns: list[int] = []
    order: list[int] = []
    sprung_from: dict[int, int] = {}  # columns by column
    continued: set[int] = set()
    last_child: dict[int, int] = {}

    def behind(column: int) -> int:
        """Return the place right of a column and of all that sprang from it."""
        place = order.index(column) + 1
        while place < len(order):
            other = order[place]
            while other in sprung_from and other != column:
                other = sprung_from[other]
            if other != column:
                break
            place += 1
        return place

    for row in fed:
        before = [p for p in row if p != ENTRY and p not in continued]
        if before:
            continued.add(before[0])
            columns.append(columns[before[0]])
            continue
        column, parent = len(order), row[0]
        place = len(order)
        if parent in last_child and parent != ENTRY:
            place = behind(last_child[parent])
        elif parent != ENTRY:
            place = order.index(columns[parent]) + 1
        order.insert(place, column)
        if parent != ENTRY:
            sprung_from[column] = columns[parent]
        last_child[parent] = column
        columns.append(column)
    lanes = {}
    taken = {(columns[i], ranks[i]) for i in range(len(fed))}
    for i, row in enumerate(fed):
        for p in row:
            first = 0 if p == ENTRY else ranks[p] + 1
            between = range(first, ranks[i])
            if not between:
                continue
            if p != ENTRY and not any((columns[p], rank) in taken for rank in between):
                taken |= {(columns[p], rank) for rank in between}
                continue
            lanes[p, i] = len(order)
            order.append(lanes[p, i])
    return columns, order, lanes


def _outputs(
    fed: list[list[int]], lanes: dict[tuple[int, int], int]
) -> dict[int, list[int]]:
    outputs: dict[int, list[int]] = {i: [] for i in range(len(fed))}
    for i, row in enumerate(fed):
        for p in row:
            if p != ENTRY and (p, i) not in lanes:
                outputs[p].append(i)
    return outputs


def _centred(
    fed: list[list[int]],
    outputs: dict[int, list[int]],
    lanes: dict[tuple[int, int], int],
    xs: list[float],
) -> list[float]:
    """Return the middles of boxes: where ways meet or part, in the middle of them."""

    def direct(i: int) -> list[int]:
        return [p for p in fed[i] if p != ENTRY and (p, i) not in lanes]

    xs = list(xs)
    for i in range(len(xs)):
        before = direct(i)
        if len(before) > 1:
            ways = [xs[p] for p in before]
            xs[i] = (min(ways) + max(ways)) / 2
        elif before and len(outputs[before[0]]) == 1:
            xs[i] = xs[before[0]]
    for i in reversed(range(len(xs))):
        after = outputs[i]
        if len(after) > 1:
            ways = [xs[c] for c in after]
            xs[i] = (min(ways) + max(ways)) / 2
        elif after and len(direct(after[0])) == 1:
            xs[i] = xs[after[0]]
    return xs


def _bottom(
    arranged: Arranged, sizes: Sequence[tuple[float, float]], xs: list[float], i: int
) -> tuple[float, float]:
    return xs[i], arranged.places[i][1] + sizes[i][1]


def _straightened(
    start: tuple[float, float], end: tuple[float, float], above: float, below: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return a line's ends right below each other, if the boxes are so wide."""
    away = abs(start[0] - end[0])
    if away < 0.4 * below:
        return start, (start[0], end[1])
    if away < 0.4 * above:
        return (end[0], start[1]), end
    return start, end


def _corners(
    start: tuple[float, float],
    end: tuple[float, float],
    gap: float,
    lane: float | None,
) -> list[tuple[float, float]]:
    if lane is not None:
        high, low = start[1] + gap / 3, end[1] - gap / 2
        return [start, (start[0], high), (lane, high), (lane, low), (end[0], low), end]
    if abs(start[0] - end[0]) < 1:
        return [start, end]
    # ways part right below a box, and meet right above one
    low = end[1] - gap / 2
    return [start, (start[0], low), (end[0], low), end]

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import GridError, TaskCancelled
from orangecontrib.imagemining.tables import grid
from orangecontrib.imagemining.tables.grid import GridLayout, assign, grid_shape

Floats = NDArray[np.float64]


def clusters(n: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    means = rng.random((6, 2))
    return means[rng.integers(6, size=n)] + rng.normal(0, 0.04, (n, 2))


SETS: dict[str, Callable[[int], Floats]] = {
    "uniform": lambda n: np.random.default_rng(0).random((n, 2)),
    "clusters": clusters,
    "outliers": lambda n: np.random.default_rng(0).standard_t(2, (n, 2)),
    "a line": lambda n: np.repeat(np.random.default_rng(0).random((n, 1)), 2, axis=1),
    "two points": lambda n: np.arange(n)[:, None] % 2 * np.ones(2),
}


def check_cells(layout: GridLayout, n: int) -> None:
    """Each image is in a cell of the grid, and no two are in the same."""
    assert layout.cells.shape == (n, 2)
    assert layout.cells.min() >= 0
    assert layout.cells[:, 0].max() < layout.rows
    assert layout.cells[:, 1].max() < layout.columns
    assert len(set(map(tuple, layout.cells))) == n


def least_cost(positions: Floats, rows: int, columns: int) -> float:
    """Try all assignments."""
    points = grid._fitted(positions, rows, columns)
    cells = range(rows * columns)
    return min(
        grid._cost(points, np.array(choice), columns)
        for choice in itertools.permutations(cells, len(points))
    ) / len(points)


@pytest.mark.parametrize(
    ("n", "aspect", "shape"),
    [
        (0, 1.0, (0, 0)),
        (1, 1.0, (1, 1)),
        (2, 1.0, (1, 2)),
        (9, 1.0, (3, 3)),
        (10, 1.0, (3, 4)),
        (2500, 1.0, (50, 50)),
        (20_000, 1.0, (141, 142)),
        (7, 3.0, (2, 4)),
        (200, 2.0, (10, 20)),
        (200, 0.5, (20, 10)),
        (3, 1000.0, (1, 3)),
        (3, 0.001, (3, 1)),
    ],
)
def test_grid_shape(n: int, aspect: float, shape: tuple[int, int]) -> None:
    assert grid_shape(n, aspect) == shape


@pytest.mark.parametrize("aspect", [0.6, 1.0, 1.5])
def test_grid_shape_has_room_and_no_empty_line(aspect: float) -> None:
    for n in range(1, 200):
        rows, columns = grid_shape(n, aspect)
        assert (rows - 1) * columns < n <= rows * columns


@pytest.mark.parametrize("size", [(2, 3), (3, 2), (1, 6), (2, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_exact_cost_is_the_least(size: tuple[int, int], seed: int) -> None:
    positions = np.random.default_rng(seed).random((6, 2))
    layout = assign(positions, *size)
    check_cells(layout, 6)
    assert layout.exact
    assert layout.cost == pytest.approx(least_cost(positions, *size))


def test_a_grid_in_disorder_is_put_in_order() -> None:
    rows, columns = 5, 7
    cells = np.stack(np.divmod(np.arange(rows * columns), columns), axis=1)
    cells = np.random.default_rng(0).permutation(cells)
    # any unit, any origin; the second axis points up
    positions = np.column_stack([3.0 * cells[:, 1] - 50, -0.01 * cells[:, 0] + 8])
    layout = assign(positions, rows, columns)
    np.testing.assert_array_equal(layout.cells, cells)
    assert layout.cost == pytest.approx(0, abs=1e-9)


def test_the_approximation_puts_it_in_order_too() -> None:
    rows, columns = 30, 40
    cells = np.stack(np.divmod(np.arange(rows * columns), columns), axis=1)
    cells = np.random.default_rng(0).permutation(cells)
    positions = np.column_stack([cells[:, 1], -cells[:, 0]]).astype(float)
    layout = assign(positions, rows, columns, max_exact=0)
    assert not layout.exact
    np.testing.assert_array_equal(layout.cells, cells)


@pytest.mark.parametrize("size", [(25, 24), (25, 25), (20, 34), (40, 40)])
@pytest.mark.parametrize("name", SETS)
def test_approximation_is_close_to_the_exact_cost(
    name: str, size: tuple[int, int]
) -> None:
    positions = SETS[name](600)
    exact = assign(positions, *size)
    near = assign(positions, *size, max_exact=0)
    check_cells(exact, 600)
    check_cells(near, 600)
    assert exact.cost <= near.cost * (1 + 1e-9)
    assert near.cost <= 1.05 * exact.cost


@pytest.mark.parametrize("max_exact", [0, 2500])
@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (13, 77), (3, 334)])
def test_narrow_grids(size: tuple[int, int], max_exact: int) -> None:
    layout = assign(clusters(1000), *size, max_exact=max_exact)
    check_cells(layout, 1000)


def test_the_cost_is_that_of_the_cells() -> None:
    positions = clusters(700)
    for max_exact in (0, 2500):
        layout = assign(positions, 30, 30, max_exact=max_exact)
        points = grid._fitted(positions, 30, 30)
        centres = layout.cells[:, ::-1] + 0.5
        cost = ((points - centres) ** 2).sum(axis=1).mean()
        assert layout.cost == pytest.approx(cost)


@pytest.mark.parametrize("max_exact", [0, 2500])
def test_equal_positions(max_exact: int) -> None:
    layout = assign(np.ones((300, 2)), 20, 20, max_exact=max_exact)
    check_cells(layout, 300)
    # they sit together in the middle, none lies off
    centres = layout.cells - 9.5
    assert np.hypot(*centres.T).max() < 11


@pytest.mark.parametrize("max_exact", [0, 2500])
def test_it_is_the_same_each_time(max_exact: int) -> None:
    positions = clusters(500)
    first = assign(positions, 23, 23, max_exact=max_exact)
    second = assign(positions.copy(), 23, 23, max_exact=max_exact)
    np.testing.assert_array_equal(first.cells, second.cells)


def test_spare_cells_are_left_where_no_images_are() -> None:
    left = np.column_stack([np.zeros(8), np.arange(8)])
    positions = np.vstack([left, left + [10, 0]])
    layout = assign(positions, 8, 8)
    check_cells(layout, 16)
    # a mean of 3.5 and a standard deviation of 2.29, those of 0, 1, … 7
    assert sorted(set(layout.cells[:8, 1])) == [1]
    assert sorted(set(layout.cells[8:, 1])) == [6]


@pytest.mark.parametrize("max_exact", [0, 2500])
def test_images_without_a_position_are_left_out(max_exact: int) -> None:
    positions = clusters(300)
    positions[[3, 200]] = np.nan
    positions[7, 1] = np.inf
    layout = assign(positions, 17, 18, max_exact=max_exact)
    assert layout.left_out.tolist() == [3, 7, 200]
    assert (layout.cells[layout.left_out] == -1).all()
    taken = np.delete(layout.cells, layout.left_out, axis=0)
    assert len(set(map(tuple, taken))) == 297
    assert taken.min() >= 0


@pytest.mark.parametrize("positions", [np.empty((0, 2)), np.full((3, 2), np.nan)])
def test_nothing_to_place(positions: Floats) -> None:
    layout = assign(positions, *grid_shape(0))
    assert (layout.cells == -1).all()
    assert len(layout.cells) == len(positions)


def test_one_image() -> None:
    assert assign(np.array([[5.0, 7.0]]), 1, 1).cells.tolist() == [[0, 0]]
    assert assign(np.array([[5.0, 7.0]]), 3, 3).cells.tolist() == [[1, 1]]


def test_enormous_positions() -> None:
    layout = assign(clusters(50) * 1e300, 7, 8)
    np.testing.assert_array_equal(layout.cells, assign(clusters(50), 7, 8).cells)


def test_too_small_a_grid_says_what_is_needed() -> None:
    with pytest.raises(
        GridError, match=r"4 columns and 3 rows has 12 .* 13 are needed"
    ):
        assign(clusters(13), 3, 4)
    # those without a position need no cell
    positions = clusters(13)
    positions[0] = np.nan
    assign(positions, 3, 4)


def test_exact_up_to_2500() -> None:
    assert grid.MAX_EXACT == 2500
    positions = np.random.default_rng(0).random((101, 2))
    assert assign(positions[:100], 11, 11, max_exact=100).exact
    assert not assign(positions, 11, 11, max_exact=100).exact


@pytest.mark.parametrize("max_exact", [0, 2500])
def test_cancel(max_exact: int) -> None:
    def cancelled(fraction: float, status: str = "") -> None:
        raise TaskCancelled

    with pytest.raises(TaskCancelled):
        assign(clusters(600), 25, 25, cancelled, max_exact=max_exact)


def test_cancel_at_any_time() -> None:
    calls = 0

    def count(fraction: float, status: str = "") -> None:
        nonlocal calls
        calls += 1
        assert 0 <= fraction <= 1

    assign(clusters(600), 25, 25, count, max_exact=0)
    assert calls > 100
    for last in (10, calls // 2, calls - 2):
        left = last

        def stop(fraction: float, status: str = "") -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise TaskCancelled

        with pytest.raises(TaskCancelled):
            assign(clusters(600), 25, 25, stop, max_exact=0)


def test_what_goes_wrong_in_the_thread_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(grid, "_solve", fail)
    with pytest.raises(MemoryError):
        assign(clusters(20), 5, 5)

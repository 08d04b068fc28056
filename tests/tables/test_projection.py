from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
)
from scipy.spatial import procrustes
from scipy.spatial.distance import cdist

from orangecontrib.imagemining.exceptions import (
    GridError,
    TaskCancelled,
    UnknownNameError,
)
from orangecontrib.imagemining.tables import projection
from orangecontrib.imagemining.tables.projection import (
    PROJECTIONS,
    feature_vectors,
    project,
)

Floats = NDArray[np.float64]
every_method = pytest.mark.parametrize("method", PROJECTIONS)


def table_of(vectors: Floats) -> Table:
    names = [f"f{index}" for index in range(np.shape(vectors)[1])]
    domain = Domain([ContinuousVariable(name) for name in names])
    return Table.from_numpy(domain, np.asarray(vectors, float))


def groups(n: int = 60, size: int = 20) -> tuple[Floats, NDArray[np.intp]]:
    """Return vectors in three groups that lie far apart, and their groups."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    return rng.normal(0, 4, (3, size))[labels] + rng.normal(0, 0.5, (n, size)), labels


def share_of_own_group(positions: Floats, labels: NDArray[np.intp]) -> float:
    """Return how many of the five nearest neighbours are of the same group."""
    distances = cdist(positions, positions)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1)[:, :5]
    return float((labels[nearest] == labels[:, None]).mean())


@every_method
def test_groups_stay_together(method: str) -> None:
    vectors, labels = groups()
    positions = project(table_of(vectors), method)
    assert positions.shape == (60, 2)
    assert share_of_own_group(positions, labels) > 0.99


@every_method
def test_it_is_the_same_each_time(method: str) -> None:
    table = table_of(groups()[0])
    np.testing.assert_array_equal(project(table, method), project(table, method))


@every_method
def test_units_do_not_matter(method: str) -> None:
    vectors, _ = groups()
    scales = 10.0 ** np.arange(20)
    one = project(table_of(vectors), method)
    other = project(table_of(vectors * scales + 5 * scales), method)
    if method == "tsne":  # what is rounded away grows in its many steps
        assert share_of_own_group(other, groups()[1]) > 0.99
    else:
        np.testing.assert_allclose(one, other, atol=1e-2)


@every_method
def test_the_table_is_not_changed(method: str) -> None:
    vectors, _ = groups()
    vectors[0, 0] = np.nan
    table = table_of(vectors)
    project(table, method)
    np.testing.assert_array_equal(table.X, vectors)


@every_method
def test_rows_without_any_numbers_have_no_position(method: str) -> None:
    vectors, _ = groups()
    vectors[[4, 9]] = np.nan
    vectors[20, :19] = np.nan
    positions = project(table_of(vectors), method)
    missing = np.flatnonzero(np.isnan(positions).any(axis=1))
    assert missing.tolist() == [4, 9]


@every_method
@pytest.mark.parametrize("n", range(8))
def test_few_rows(method: str, n: int) -> None:
    positions = project(table_of(groups()[0][:n]), method)
    assert positions.shape == (n, 2)
    assert np.isfinite(positions).all()
    assert len(np.unique(positions.round(9), axis=0)) == n


@every_method
def test_one_column(method: str) -> None:
    positions = project(table_of(np.arange(30.0)[:, None]), method)
    assert np.isfinite(positions).all()
    if method != "tsne":
        order = np.argsort(positions[:, 0])
        assert order.tolist() in (list(range(30)), list(range(29, -1, -1)))


@every_method
@pytest.mark.parametrize("value", [0.0, 3.0, 1e300, np.nan])
def test_columns_without_differences(method: str, value: float) -> None:
    positions = project(table_of(np.full((10, 4), value)), method)
    assert np.isfinite(positions).all() == np.isfinite(value)
    vectors, labels = groups()
    constant = np.full((60, 2), value)
    positions = project(table_of(np.hstack([vectors, constant])), method)
    assert share_of_own_group(positions, labels) > 0.99


@every_method
def test_equal_rows(method: str) -> None:
    vectors, _ = groups()
    positions = project(table_of(np.repeat(vectors[:12], 5, axis=0)), method)
    assert np.isfinite(positions).all()


@every_method
def test_sparse_data(method: str) -> None:
    vectors, labels = groups()
    table = table_of(vectors)
    with table.unlocked():
        table.X = sp.csr_matrix(vectors)
    assert share_of_own_group(project(table, method), labels) > 0.99


def test_only_numeric_features_count() -> None:
    vectors, _ = groups()
    kinds = DiscreteVariable("kind", ("a", "b"))
    domain = Domain(
        [*(ContinuousVariable(f"f{i}") for i in range(20)), kinds],
        None,
        [ContinuousVariable("size"), StringVariable("name")],
    )
    codes = np.arange(60)[:, None] % 2
    metas = np.empty((60, 2), object)
    metas[:, 0] = np.arange(60.0) ** 3
    metas[:, 1] = "x"
    table = Table.from_numpy(domain, np.hstack([vectors, codes]), None, metas)
    np.testing.assert_array_equal(
        project(table, "pca"), project(table_of(vectors), "pca")
    )


@pytest.mark.parametrize("attributes", [[], [DiscreteVariable("kind", ("a", "b"))]])
def test_without_numbers(attributes: list[DiscreteVariable]) -> None:
    domain = Domain(attributes, None, [ContinuousVariable("width")])
    features = np.zeros((3, len(attributes)))
    table = Table.from_numpy(domain, features, None, np.ones((3, 1)))
    with pytest.raises(GridError, match="Use Image Embedding first"):
        project(table, "pca")


def test_unknown_method() -> None:
    with pytest.raises(UnknownNameError, match="'umap'.*tsne, mds, pca"):
        project(table_of(groups()[0]), "umap")


def test_vectors_are_standardised() -> None:
    huge = 1.5e308
    raw = np.array([[1.0, 7, -huge, 2], [3, 7, huge, np.nan], [5, 7, 0, 4]])
    vectors, known = feature_vectors(table_of(raw))
    assert known.all()
    # without the constant column; nor that whose extent is more than a number holds
    np.testing.assert_allclose(
        vectors,
        [[-1.224745, -1.224745], [0, 0], [1.224745, 1.224745]],
        rtol=1e-5,
    )


def test_pca_finds_the_main_directions() -> None:
    rng = np.random.default_rng(0)
    plane = rng.normal(0, 1, (200, 2)) * [3, 1]
    turn = np.linalg.qr(rng.normal(size=(10, 10)))[0][:2]
    vectors = plane @ turn
    positions = project(table_of(vectors), "pca")
    standard = (vectors - vectors.mean(0)) / vectors.std(0)
    # all differences between the rows lie in two directions, and none is lost
    np.testing.assert_allclose(
        cdist(positions, positions), cdist(standard, standard), atol=1e-3
    )


def test_mds_keeps_the_distances_of_a_plane() -> None:
    plane = np.random.default_rng(0).random((80, 2)) * [2, 1]
    positions = project(table_of(plane), "mds")
    standard = plane / plane.std(0)
    np.testing.assert_allclose(
        cdist(positions, positions), cdist(standard, standard), atol=1e-3
    )


def test_landmarks_give_the_same_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = np.random.default_rng(0).random((300, 2))
    monkeypatch.setattr(projection, "MAX_LANDMARKS", 40)
    monkeypatch.setattr(projection, "_PLACED_AT_ONCE", 100)
    positions = project(table_of(plane), "mds")
    standard = plane / plane.std(0)
    _, _, difference = procrustes(standard, positions)
    assert difference < 1e-4


def test_landmarks_come_close_to_all_distances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, labels = groups(300)
    table = table_of(vectors)
    distances = cdist(*[feature_vectors(table)[0]] * 2)
    whole = projection._stress(distances, project(table, "mds"))
    monkeypatch.setattr(projection, "MAX_LANDMARKS", 60)
    marked = project(table, "mds")
    assert projection._stress(distances, marked) < 1.1 * whole
    assert share_of_own_group(marked, labels) > 0.99


def test_tsne_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    # all that is done otherwise with many rows
    monkeypatch.setattr(projection, "_MANY", 100)
    monkeypatch.setattr(projection, "_FAST", 100)
    monkeypatch.setattr(projection, "_EXACT_NEIGHBOURS", 100)
    vectors, labels = groups(150)
    positions = project(table_of(vectors), "tsne")
    assert share_of_own_group(positions, labels) > 0.99


@every_method
def test_progress_and_cancel(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "MAX_LANDMARKS", 30)
    monkeypatch.setattr(projection, "_PLACED_AT_ONCE", 10)
    table = table_of(groups()[0])
    fractions: list[float] = []
    project(table, method, lambda fraction, status="": fractions.append(fraction))
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == 1
    for last in range(0, len(fractions), 10):
        left = last

        def stop(fraction: float, status: str = "") -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise TaskCancelled

        with pytest.raises(TaskCancelled):
            project(table, method, stop)

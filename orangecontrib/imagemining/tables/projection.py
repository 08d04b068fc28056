"""Vectors to positions in the plane: images that are alike lie close together."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from Orange.data import ContinuousVariable, Domain, Table
from Orange.misc import DistMatrix
from Orange.projection import MDS, PCA, TSNE
from sklearn.metrics import euclidean_distances

from orangecontrib.imagemining.exceptions import GridError, UnknownNameError
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["MAX_LANDMARKS", "PROJECTIONS", "feature_vectors", "project"]

#: Names of the projections, as settings store them, and as people know them.
PROJECTIONS = {"tsne": "t-SNE", "mds": "MDS", "pca": "PCA"}

#: MDS works on all pairs of at most so many images: it takes seconds then.
MAX_LANDMARKS = 1000

_SEED = 0
# openTSNE's threads wait for each other at every step, awake: on a computer that has
# other work too, two of them take many times as long as one
_N_JOBS = 1

_TSNE_COMPONENTS = 50  # of PCA: what comes after is mostly noise
_PERPLEXITY = 30.0
_EXACT_NEIGHBOURS = 30_000  # images up to which neighbours are found without error
_EXAGGERATED = 250  # steps in which the groups form
_STEPS = 500  # steps after these
_MANY = 1_000  # images beyond which half of these must do
_STEPS_MANY = 250
_FAST = 3_000  # images beyond which the method is used that grows linearly
_SLICE = 10  # steps between two reports of progress

_MDS_STEPS = 300
_MDS_SLICE = 20
_MDS_GAIN = 1e-3  # relative fall of the stress in a slice at which MDS has arrived
_PLACING_STEPS = 60
_PLACING_STEP = 5e-4  # of the picture's width; who moves less has arrived
_PLACED_AT_ONCE = 2000  # images; distances to all landmarks are in memory


def project(
    table: Table, method: str, progress: Progress = no_progress
) -> NDArray[np.float64]:
    """Place each row of a table in the plane by its numeric features.

    All features are brought to the same spread first, since they may be of different
    units; nothing is left to chance, so that the same table gives the same picture.

    - ``"pca"``: the two directions in which the rows differ most.
    - ``"mds"``: distances in the plane come close to those between the vectors. The
      work grows with the square of the rows: of more than `MAX_LANDMARKS`, so many
      are drawn and placed, and each other row goes where its distances to these fit
      best.
    - ``"tsne"``: near neighbours stay together; of PCA's 50 first components. Beyond
      1,000 rows 500 steps are made in place of 750, beyond 3,000 by interpolation
      (FIt-SNE), whose time grows with the rows and not faster.

    Parameters
    ----------
    table
        Any; its numeric features are used, categorical ones and metas are not.
    method
        A key of `PROJECTIONS`.

    Returns
    -------
    (rows, 2); missing where all features of a row are. Single missing values count as
    the mean of their column.

    Raises
    ------
    GridError
        If there are no numeric features.
    UnknownNameError
        If there is no such method.
    """
    if method not in PROJECTIONS:
        raise UnknownNameError(
            f"There is no projection '{method}'; there are {', '.join(PROJECTIONS)}"
        )
    progress(0, "Reading the numbers")
    vectors, known = feature_vectors(table)
    positions = np.full((len(table), 2), np.nan)
    if known.any():
        compute = {"tsne": _tsne, "mds": _mds, "pca": _pca}[method]
        # with fewer there is nothing to choose from
        positions[known] = (
            _spread_out(len(vectors))
            if len(vectors) < 3 or not vectors.shape[1]
            else compute(vectors, progress)
        )
    progress(1.0)
    return positions


def feature_vectors(
    table: Table,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the numeric features, standardised, and which rows have any.

    Columns without differences are left out: there may be none left.

    Returns
    -------
    vectors : (known rows, columns), without missing values.
    known : (rows,)

    Raises
    ------
    GridError
        If there are no numeric features.
    """
    numeric = [
        index
        for index, variable in enumerate(table.domain.attributes)
        if variable.is_continuous
    ]
    if not numeric:
        raise GridError(
            "The data have no numbers that describe the images. Use Image Embedding"
            " first."
        )
    features = table.X[:, numeric]
    if sp.issparse(features):
        features = features.toarray()
    # a copy of our own, in which infinite values are missing too
    features = np.array(features, dtype=np.float64)
    features[~np.isfinite(features)] = np.nan
    known = ~np.isnan(features).all(axis=1)
    features = features[known]
    features = features[:, ~np.isnan(features).all(axis=0)]
    if not features.size:
        return np.zeros((int(known.sum()), 0), np.float32), known
    # first to 0–1: squares of huge numbers would overflow
    low, high = np.nanmin(features, axis=0), np.nanmax(features, axis=0)
    with np.errstate(over="ignore"):
        extent = high - low
    differ = (extent > 0) & np.isfinite(extent)
    features = features[:, differ]
    features -= low[differ]
    features /= extent[differ]
    features -= np.nanmean(features, axis=0)
    features[np.isnan(features)] = 0
    spread = features.std(axis=0)
    features /= np.where(spread > 0, spread, 1)
    return features.astype(np.float32), known


def _spread_out(n: int) -> NDArray[np.float64]:
    return np.column_stack([np.arange(n, dtype=float), np.zeros(n)])


def _components(vectors: NDArray[np.float32], n: int) -> NDArray[np.float64]:
    """Return the first principal components, as many as there are."""
    n = min(n, *vectors.shape)
    names = [str(index) for index in range(vectors.shape[1])]
    domain = Domain([ContinuousVariable(name) for name in names])
    # exact where that is quick; the default changes its mind between versions
    solver = "full" if min(vectors.shape) <= 500 and len(vectors) <= 2000 else None
    pca = PCA(n, svd_solver=solver or "randomized", random_state=_SEED)
    # an empty list would stand for the default preprocessors; there is nothing to do
    model = pca(Table.from_numpy(domain, vectors))
    components: NDArray[np.float64] = np.asarray(model.transform(vectors), np.float64)
    return components


def _pca(vectors: NDArray[np.float32], progress: Progress) -> NDArray[np.float64]:
    progress(0.1, "PCA")
    components = _components(vectors, 2)
    if components.shape[1] < 2:
        components = np.column_stack([components, np.zeros(len(components))])
    return components


def _tsne(vectors: NDArray[np.float32], progress: Progress) -> NDArray[np.float64]:
    n = len(vectors)
    if n < 6:
        # too few for neighbours of neighbours
        return _pca(vectors, progress)
    progress(0.02, "PCA")
    components = _components(vectors, _TSNE_COMPONENTS)
    # so that the distances do not depend on the number of columns
    spread = components[:, 0].std()
    components /= spread if spread > 0 else 1.0
    tsne = TSNE(
        # fewer neighbours than images
        perplexity=min(_PERPLEXITY, (n - 1) / 3),
        neighbors="exact" if n <= _EXACT_NEIGHBOURS else "approx",
        negative_gradient_method="fft" if n > _FAST else "bh",
        n_jobs=_N_JOBS,
        random_state=_SEED,
    )
    progress(0.05, "t-SNE: looking for neighbours")
    affinities = tsne.compute_affinities(components)
    start = components[:, :2]
    if start.shape[1] < 2:
        start = np.column_stack([start, np.zeros(n)])
    # openTSNE begins with a small picture, and moves equal points apart
    start = start * (1e-4 / max(float(start[:, 0].std()), 1e-12))
    start += np.random.default_rng(_SEED).normal(0, 1e-6, start.shape)
    embedding = tsne.prepare_embedding(affinities, start)
    phases = [
        (_EXAGGERATED, tsne.early_exaggeration),
        (_STEPS_MANY if n > _MANY else _STEPS, None),
    ]
    total = sum(steps for steps, _ in phases)
    done = 0
    for steps, exaggeration in phases:
        for _ in range(0, steps, _SLICE):
            progress(0.2 + 0.8 * done / total, f"t-SNE: step {done} of {total}")
            embedding.optimize(
                n_iter=_SLICE,
                exaggeration=exaggeration,
                momentum=0.8,
                inplace=True,
                propagate_exception=True,
            )
            done += _SLICE
    return np.array(embedding, dtype=np.float64)


def _mds(vectors: NDArray[np.float32], progress: Progress) -> NDArray[np.float64]:
    n = len(vectors)
    order = np.random.default_rng(_SEED).permutation(n)
    marks = np.sort(order[:MAX_LANDMARKS])
    progress(0, "MDS: measuring distances")
    landmarks = _place_all(_distances(vectors[marks], vectors[marks]), progress)
    if n <= MAX_LANDMARKS:
        return landmarks
    positions = np.empty((n, 2))
    positions[marks] = landmarks
    others = np.sort(order[MAX_LANDMARKS:])
    for start in range(0, len(others), _PLACED_AT_ONCE):
        progress(
            0.5 + 0.5 * start / len(others), f"MDS: {start} of {len(others)} placed"
        )
        rows = others[start : start + _PLACED_AT_ONCE]
        distances = _distances(vectors[rows], vectors[marks])
        positions[rows] = _place_by_landmarks(distances, landmarks)
    return positions


def _distances(
    one: NDArray[np.float32], other: NDArray[np.float32]
) -> NDArray[np.float64]:
    # in double precision: differences of equal vectors are to be nothing
    distances = euclidean_distances(one.astype(np.float64), other.astype(np.float64))
    return np.asarray(distances)


def _place_all(
    distances: NDArray[np.float64], progress: Progress
) -> NDArray[np.float64]:
    """Return (n, 2) by stress majorization, begun from Torgerson's solution."""
    with warnings.catch_warnings():
        # of arguments that Orange passes to scikit-learn, and of eigenvalues a
        # little below zero
        warnings.simplefilter("ignore")
        positions = _torgerson(distances)
        matrix, before = DistMatrix(distances), np.inf
        for done in range(0, _MDS_STEPS, _MDS_SLICE):
            progress(0.05 + 0.45 * done / _MDS_STEPS, "MDS")
            model = MDS(
                dissimilarity="precomputed",
                n_init=1,
                init_data=positions,
                max_iter=_MDS_SLICE,
                eps=1e-9,
                random_state=_SEED,
            )(matrix)
            positions = np.asarray(model.embedding_, np.float64)
            # not the model's own: what it means depends on scikit-learn's version
            stress = _stress(distances, positions)
            if stress <= 1e-12 or before - stress < _MDS_GAIN * before:
                break
            before = stress
    return positions


def _torgerson(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (n, 2) of classical scaling, where MDS begins.

    Orange's own is by SciPy, which lets nobody else run for half a second.
    """
    squares = distances**2
    means = squares.mean(axis=0)
    products = -0.5 * (squares - means - means[:, None] + means.mean())
    values, vectors = np.linalg.eigh(products)
    largest = [-1, -2]
    return vectors[:, largest] * np.sqrt(np.maximum(values[largest], 0))


def _stress(distances: NDArray[np.float64], positions: NDArray[np.float64]) -> float:
    """Return the share of the squared distances that the positions miss."""
    missed = distances - euclidean_distances(positions)
    return float((missed**2).sum() / max(float((distances**2).sum()), 1e-300))


def _place_by_landmarks(
    distances: NDArray[np.float64], landmarks: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return where distances to the landmarks come closest to those given.

    Each begins between its nearest landmarks, and the squared misses are then made
    smaller by majorization, as among the landmarks, which stay where they are.

    Parameters
    ----------
    distances : (n, landmarks).
    landmarks : (landmarks, 2).
    """
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :5]
    positions: NDArray[np.float64] = landmarks[nearest].mean(axis=1)
    centre = landmarks.mean(axis=0)
    enough = _PLACING_STEP * max(float(np.ptp(landmarks, axis=0).max()), 1e-12)
    moving = np.arange(len(positions))
    for _ in range(_PLACING_STEPS):
        here = positions[moving]
        away = euclidean_distances(here, landmarks)
        ratio = distances[moving] / np.maximum(away, 1e-12)
        ratio[away <= 1e-12] = 0  # which way is open: no landmark pushes
        pushed = ratio.sum(axis=1, keepdims=True) * here - ratio @ landmarks
        there = centre + pushed / len(landmarks)
        positions[moving] = there
        moving = moving[np.abs(there - here).max(axis=1) > enough]
        if not len(moving):
            break
    return positions

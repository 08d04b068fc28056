"""The article's four kinds of analyses, of one table of numbers for images.

Clustering (its Fig. 1 b), a map and what lies beside what (Fig. 1 d and 3 e),
classification in cross-validation (Fig. 3), and predicting images that the model has
not seen (its Supplementary Note 6). What has a setting is as in Orange's widgets.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from Orange.base import Learner
from Orange.clustering.hierarchical import WARD, dist_matrix_linkage
from Orange.data import ContinuousVariable, Domain, Table
from Orange.evaluation import CrossValidation, scoring
from scipy.cluster.hierarchy import fcluster
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import train_test_split

from orangecontrib.imagemining.report.evaluate import (
    Evaluation,
    most_confused,
)
from orangecontrib.imagemining.tables.placing import place_images

__all__ = [
    "FOLDS",
    "NEIGHBOURS",
    "SEEDS",
    "chance_of_same",
    "classify",
    "cluster",
    "compact",
    "grid_neighbours",
    "nearest_of_same",
    "predict_new",
]

Floats = NDArray[np.float64]

FOLDS = 10
#: Of how the images are dealt out to folds; the first is the one of Test and Score.
SEEDS = (42, 0, 1)
#: How many of an image's nearest are looked at.
NEIGHBOURS = 5

_SCORES = {"AUC": scoring.AUC, "CA": scoring.CA, "F1": scoring.F1}


def compact(table: Table) -> Table:
    """Return the same points in as many coordinates as there are rows, if fewer.

    Turning all of space changes neither distances nor angles, and so neither what
    logistic regression predicts (its penalty, too, is the same in all directions). It
    is several times as fast. No row tells another anything by it.
    """
    if table.X.shape[1] <= len(table):
        return table
    turned = table.X @ np.linalg.svd(table.X, full_matrices=False)[2].T
    columns = [ContinuousVariable(f"x{i}") for i in range(turned.shape[1])]
    domain = Domain(columns, table.domain.class_vars, table.domain.metas)
    return Table.from_numpy(domain, turned, table.Y, table.metas)


def classify(
    table: Table, method: Learner, seeds: Sequence[int] | None = None
) -> dict[str, Any]:
    """Test a learner in stratified ten folds, as Test and Score does.

    Parameters
    ----------
    table
        With a class; at least `FOLDS` images of each category.
    method
        The learner. Whatever it prepares, it prepares in each fold anew.
    seeds
        Of the folds; everything is done once for each. By default `SEEDS`.

    Returns
    -------
    ``scores``: name -> value for each seed, averaged over categories by their size;
    ``confusion``: (actual, predicted) for the first seed; ``worst``: its pair of
    categories that are most often taken for each other, None without mistakes.
    """
    scores: dict[str, list[float]] = {name: [] for name in _SCORES}
    confusion: list[list[int]] = []
    values = table.domain.class_var.values
    worst = None
    for seed in SEEDS if seeds is None else seeds:
        sampler = CrossValidation(k=FOLDS, random_state=seed, stratified=True)
        # scikit-learn warns of arguments that Orange passes it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = sampler(table, [method])
            if results.failed[0]:
                raise results.failed[0]
            for name, scorer in _SCORES.items():
                more = {"average": "weighted"} if scorer.is_binary else {}
                scores[name].append(round(float(scorer(results, **more)[0]), 5))
        if not confusion:
            counts = np.zeros((len(values),) * 2, np.int64)
            pairs = results.actual.astype(int), results.predicted[0].astype(int)
            np.add.at(counts, pairs, 1)
            confusion = counts.tolist()
            pair = most_confused(Evaluation({}, tuple(values), counts, True, ()))
            if pair is not None:
                worst = {
                    "first": pair.first,
                    "second": pair.second,
                    "mistakes": pair.mistakes,
                    "images": pair.images,
                }
    return {"scores": scores, "confusion": confusion, "worst": worst}


def cluster(distances: Floats, labels: NDArray[np.intp]) -> dict[str, float]:
    """Cut Ward's tree into as many clusters as there are categories, and compare.

    Parameters
    ----------
    distances
        (n, n).
    labels
        (n,), categories; the clustering does not see them.

    Returns
    -------
    ``adjusted_rand``: 1 if clusters and categories are the same, about 0 if they have
    nothing to do with each other; ``purity``: the share of images that are of the
    commonest category of their cluster; ``largest``: the largest category's share,
    which purity cannot be below.
    """
    tree = dist_matrix_linkage(distances, linkage=WARD)
    n = len(np.unique(labels))
    found = fcluster(tree, n, "maxclust")
    right = sum(np.bincount(labels[found == each]).max() for each in np.unique(found))
    return {
        "adjusted_rand": round(float(adjusted_rand_score(labels, found)), 5),
        "purity": round(right / len(labels), 5),
        "largest": round(np.bincount(labels).max() / len(labels), 5),
    }


def nearest_of_same(distances: Floats, labels: NDArray[np.intp]) -> float:
    """Return the share of each image's `NEIGHBOURS` nearest that are of its category.

    Parameters
    ----------
    distances
        (n, n); n is larger than `NEIGHBOURS`.
    labels
        (n,), categories.
    """
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    nearest = np.argsort(others, axis=1, kind="stable")[:, :NEIGHBOURS]
    return round(float((labels[nearest] == labels[:, None]).mean()), 5)


def chance_of_same(labels: NDArray[np.intp]) -> float:
    """Return how often two different images drawn at random are of one category."""
    sizes = np.bincount(labels).astype(float)
    n = len(labels)
    return round(float((sizes * (sizes - 1)).sum() / (n * (n - 1))), 5)


def grid_neighbours(table: Table, labels: NDArray[np.intp]) -> float:
    """Return the share of cells that touch on the grid with one category in both.

    The grid is that of the widget Image Grid by t-SNE; cells touch at a side.
    """
    layout = place_images(table, table.domain["image"], "tsne").layout
    cells = np.full((layout.rows, layout.columns), -1)
    shown = layout.cells[:, 0] >= 0
    cells[layout.cells[shown, 0], layout.cells[shown, 1]] = labels[shown]
    pairs = np.concatenate(
        [
            np.stack([cells[:-1].ravel(), cells[1:].ravel()]),
            np.stack([cells[:, :-1].ravel(), cells[:, 1:].ravel()]),
        ],
        axis=1,
    )
    pairs = pairs[:, (pairs >= 0).all(axis=0)]
    return round(float((pairs[0] == pairs[1]).mean()), 5)


def predict_new(embedded: Table, raw: Table, method: Learner) -> dict[str, Any]:
    """Learn from half of the images, and let the model read the others itself.

    Parameters
    ----------
    embedded
        Images with vectors.
    raw
        The same rows without the vectors: paths, and what they are.
    method
        The learner.

    Returns
    -------
    ``trained_on`` and ``predicted``: numbers of images; ``CA``: share of the predicted
    that are right; ``same``: how many predictions are those that the vectors in
    `embedded` lead to.
    """
    rows = np.arange(len(embedded))
    train, new = train_test_split(
        rows, test_size=0.5, random_state=SEEDS[0], stratify=embedded.Y
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = method(embedded[np.sort(train)])
        unseen = raw[np.sort(new)]
        # nothing but the path: neither vectors nor the category
        bare = unseen.transform(Domain([], None, unseen.domain.metas))
        by_itself = model(bare)
        by_vectors = model(embedded[np.sort(new)])
    return {
        "trained_on": len(train),
        "predicted": len(new),
        "CA": round(float((by_itself == unseen.Y).mean()), 5),
        "same": int((by_itself == by_vectors).sum()),
    }

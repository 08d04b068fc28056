"""A map on which images that are alike lie close together."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from Orange.misc import DistMatrix
from Orange.projection import MDS
from Orange.projection.manifold import torgerson

from orangecontrib.imagemining.report.console import count
from orangecontrib.imagemining.report.gallery import Gallery
from orangecontrib.imagemining.report.page import Page

__all__ = ["draw_map", "place"]

_SIDE = 9.0  # inches of the map
_LEAST_HEIGHT = 4.5
_MARGIN = 0.3
_TITLE = 0.75
_LEGEND = 2.5
_SEED = 0


def place(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points (n, 2) whose distances come close to those given.

    Multidimensional scaling, begun as Orange's widget does from Torgerson's solution:
    nothing is left to chance.
    """
    if len(distances) < 3 or np.allclose(distances, 0):
        # too few to optimise; two points lie on a line, equal ones in one place
        line = distances[0]
        return np.column_stack([line, np.zeros_like(line)])
    with warnings.catch_warnings():
        # about arguments that Orange passes to scikit-learn, and negative eigenvalues,
        # which cosine distances bring with them
        warnings.simplefilter("ignore")
        model = MDS(
            dissimilarity="precomputed",
            n_init=1,
            init_data=torgerson(distances),
            # the default stops scikit-learn's newer versions after a few steps
            eps=1e-6,
        )(DistMatrix(distances))
    points: NDArray[np.float64] = np.asarray(model.embedding_)
    return points


def draw_map(gallery: Gallery) -> bytes:
    """Return the map as a PNG file: thumbnails in frames of their category's colour."""
    points = place(gallery.distances)
    points = points - points.min(axis=0)
    extent = points.max(axis=0)
    side = float(np.clip(np.sqrt(0.4 * _SIDE**2 / len(gallery)), 0.36, 0.8))
    room = _SIDE - side
    scale = room / max(float(extent.max()), 1e-9)
    height = max(float(extent[1]) * scale + side, _LEAST_HEIGHT)
    # in the middle of the map where it does not fill it
    inches = points * scale + (np.array([_SIDE, height]) - extent * scale) / 2

    legend = _LEGEND if gallery.categories else 0.0
    page = Page(_SIDE + 2 * _MARGIN + legend, height + 2 * _MARGIN + _TITLE)
    page.text(
        _MARGIN,
        page.height - 0.3,
        f"MDS map of {count(len(gallery), 'image')}: the closer, the more alike",
        size=13,
    )
    page.text(
        _MARGIN,
        page.height - 0.58,
        f"Cosine distances between embeddings. {gallery.note}",
    )
    # rows are sorted by category: drawn in that order, the last would cover the others
    order = np.random.default_rng(_SEED).permutation(len(gallery))
    for z, i in enumerate(order):
        x, y = inches[i] + _MARGIN
        page.picture(x, y, side, gallery.pictures[i], gallery.colors[i], z + 1)
    page.legend(
        _SIDE + 2 * _MARGIN,
        page.height - _TITLE - _MARGIN,
        gallery.categories,
        gallery.category_colors,
    )
    return page.png()

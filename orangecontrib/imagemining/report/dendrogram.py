"""A tree that joins the images that are most alike first."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from Orange.clustering.hierarchical import WARD, dist_matrix_linkage
from scipy.cluster.hierarchy import dendrogram

from orangecontrib.imagemining.report.console import count, shorten
from orangecontrib.imagemining.report.gallery import Gallery
from orangecontrib.imagemining.report.page import INK, Page

__all__ = ["draw_dendrogram"]

_MANY = 60  # leaves above which they are drawn closer, without names
_TREE = 5.5  # inches
_BAR = 0.22
_MARGIN = 0.3
_TITLE = 0.95
_GAP = 0.12
_NAMES = 2.2
_LEGEND = 2.5


def draw_dendrogram(gallery: Gallery) -> bytes:
    """Return the dendrogram as a PNG file.

    Ward's linkage of cosine distances, as Orange's widget computes it. The root is on
    the left. Up to 60 leaves have their names beside them; beyond that they have their
    category's colour and thumbnails, staggered over several columns.
    """
    n = len(gallery)
    many = n > _MANY
    pitch, side, columns = (0.075, 0.45, 6) if many else (0.3, 0.3, 1)
    linkage = dist_matrix_linkage(gallery.distances, linkage=WARD)
    tree = dendrogram(linkage, no_plot=True)
    highest = max(float(linkage[-1, 2]), 1e-9)

    legend = _LEGEND if gallery.categories else 0.0
    names = 0.0 if many else _NAMES
    pictures = _MARGIN + _TREE + _BAR + 2 * _GAP
    body = max(n * pitch + side, 0.21 * min(len(gallery.categories) + 1, 31))
    page = Page(
        pictures + columns * side + _GAP + names + legend + _MARGIN,
        _TITLE + body + 2 * _MARGIN,
    )
    top = page.height - _TITLE - _MARGIN - side / 2
    _draw_head(page, gallery)
    _draw_scale(page, highest, top + side / 2, top - n * pitch)
    # scipy puts the leaves at 5, 15, 25, ...
    across = _MARGIN + _TREE * (1 - np.array(tree["dcoord"]) / highest)
    down = top - np.array(tree["icoord"]) / 10 * pitch
    _draw_tree(page, across, down)
    for place, leaf in enumerate(tree["leaves"]):
        y = top - (place + 0.5) * pitch
        color = gallery.colors[leaf]
        if gallery.categories:
            page.block(_MARGIN + _TREE + _GAP, y - pitch / 2, _BAR, pitch, color)
        x = pictures + (place % columns + 0.5) * side
        page.picture(x, y, side * 0.94, gallery.pictures[leaf], color, place + 3)
        if not many:
            x = pictures + side + _GAP
            page.text(x, y, shorten(gallery.names[leaf], 28))
    page.legend(
        page.width - legend - _MARGIN + 0.2,
        page.height - _TITLE - _MARGIN,
        gallery.categories,
        gallery.category_colors,
    )
    return page.png()


def _draw_head(page: Page, gallery: Gallery) -> None:
    page.text(
        _MARGIN,
        page.height - 0.3,
        f"Hierarchical clustering of {count(len(gallery), 'image')}",
        size=13,
    )
    page.text(
        _MARGIN,
        page.height - 0.58,
        f"Ward linkage, cosine distances between embeddings. {gallery.note}",
    )


def _draw_scale(page: Page, highest: float, top: float, bottom: float) -> None:
    """Draw the heights of the tree above it, with faint lines through it."""
    ticks = [tick for tick in MaxNLocator(5).tick_values(0, highest) if tick <= highest]
    for tick in ticks:
        x = _MARGIN + _TREE * (1 - tick / highest)
        page.axes.plot([x, x], [bottom, top], color="0.9", linewidth=0.8, zorder=0)
        page.text(x, top + 0.12, f"{tick:g}", size=8, ha="center")


def _draw_tree(
    page: Page, across: NDArray[np.float64], down: NDArray[np.float64]
) -> None:
    segments = list(np.stack([across, down], axis=-1))
    page.axes.add_collection(LineCollection(segments, colors=[INK], linewidths=0.9))

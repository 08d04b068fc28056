"""The confusion matrix, on the screen, as a picture and as a table."""

from __future__ import annotations

import csv
import io

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.report.console import shorten
from orangecontrib.imagemining.report.evaluate import FOLDS, Evaluation
from orangecontrib.imagemining.report.page import INK, Page

__all__ = ["MAX_PRINTED", "draw_matrix", "matrix_as_csv", "matrix_as_text"]

#: Categories up to which the matrix is printed.
MAX_PRINTED = 12

_ABOUT_COLORS = "Blue: right, red: wrong; the darker, the larger the share of the row"
_ABOUT_PALE = f"Pale rows: fewer than {FOLDS} images, too few to go by"

_SCREEN = 80  # letters in a line
_MARGIN = 0.35  # inches, as those below
_TITLE = 0.75
_LINE = 0.24  # of those below the title
_LABEL = 0.3  # for "actual" and "predicted"
_LARGEST = 0.75  # cell
_WITH_NUMBERS = 0.28  # cells at least so large have room for them
_WITH_NAMES = 0.1

_PALE = 0.2  # strength of the colours where a row has too few images to go by
_RIGHT = np.array([0.13, 0.4, 0.67])
_WRONG = np.array([0.75, 0.2, 0.17])


def matrix_as_text(evaluation: Evaluation) -> list[str]:
    """Return the lines of a table, not wider than a screen if that can be had."""
    names = [shorten(name, 20) for name in evaluation.categories]
    heads = [shorten(name, 12) for name in names]
    cells = [[str(images) for images in row] for row in evaluation.confusion]
    left = max(map(len, names))
    if left + _column_width(heads, cells) * len(heads) > _SCREEN:
        # columns are numbered where their names are too wide
        heads = [str(i + 1) for i in range(len(names))]
        names = [f"{i:>2} {name}" for i, name in zip(heads, names, strict=True)]
        left += 3
    width = _column_width(heads, cells)
    lines = [" " * left + "".join(f"{head:>{width}}" for head in heads)]
    for name, row in zip(names, cells, strict=True):
        lines.append(f"{name:<{left}}" + "".join(f"{cell:>{width}}" for cell in row))
    return lines


def matrix_as_csv(evaluation: Evaluation) -> bytes:
    """Return the matrix as a table, actual categories in rows."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(["actual \\ predicted", *evaluation.categories])
    for name, row in zip(evaluation.categories, evaluation.confusion, strict=True):
        writer.writerow([name, *row.tolist()])
    # with its mark at the beginning, which spreadsheets know UTF-8 by
    return stream.getvalue().encode("utf-8-sig", "replace")


def draw_matrix(evaluation: Evaluation, title: str) -> bytes:
    """Return the matrix as a PNG file; the darker, the larger the share of its row.

    Rows of fewer images than there are folds are pale, whatever the shares.

    Many categories get smaller cells, so that they stay on one page: first the numbers
    go, then the names.
    """
    n = len(evaluation.categories)
    cell = min(_LARGEST, max(_WITH_NUMBERS, 9 / n), 16 / n)
    with_names = cell >= _WITH_NAMES
    names = [shorten(name, 24) if with_names else "" for name in evaluation.categories]
    sizes = evaluation.confusion.sum(axis=1)
    pale = (sizes > 0) & (sizes < FOLDS)
    rows = [
        f"{name} ({images:,})" if name else ""
        for name, images in zip(names, sizes, strict=True)
    ]
    size = min(10.0, max(5.0, 16 * cell))
    beside, above = _name_length(rows, size), _name_length(names, size)
    side = n * cell
    lines = [title, _ABOUT_COLORS, *([_ABOUT_PALE] if pale.any() else [])]
    page = Page(
        max(2 * _MARGIN + _LABEL + beside + side, 6.0),
        2 * _MARGIN + _TITLE + _LINE * (len(lines) - 1) + _LABEL + above + side,
    )
    left, bottom = _MARGIN + _LABEL + beside, _MARGIN
    top = bottom + side
    page.text(_MARGIN, page.height - 0.3, "Confusion matrix", size=13)
    for i, line in enumerate(lines):
        page.text(_MARGIN, page.height - 0.58 - i * _LINE, line)
    page.text(left + side / 2, top + above + 0.15, "predicted", ha="center")
    page.text(_MARGIN, bottom + side / 2, "actual", ha="center", rotation=90)
    shares = _shares(evaluation.confusion)
    page.axes.imshow(
        _shades(shares, pale),
        extent=(left, left + side, bottom, top),
        aspect="auto",
        interpolation="nearest",
    )
    for i in range(1, n):
        # white lines between the cells
        for xs, ys in (
            ([left, left + side], [top - i * cell] * 2),
            ([left + i * cell] * 2, [bottom, top]),
        ):
            page.axes.plot(xs, ys, color="white", linewidth=0.7)
    for i, name in enumerate(names):
        middle = (i + 0.5) * cell
        page.text(left - 0.1, top - middle, rows[i], size, ha="right")
        page.text(
            left + middle, top + 0.1, name, size, ha="center", va="bottom", rotation=90
        )
    if cell >= _WITH_NUMBERS:
        for row, column in zip(*np.nonzero(evaluation.confusion), strict=True):
            page.text(
                left + (column + 0.5) * cell,
                top - (row + 0.5) * cell,
                str(evaluation.confusion[row, column]),
                size,
                ha="center",
                color="white" if shares[row, column] > 0.5 and not pale[row] else INK,
            )
    return page.png()


def _column_width(heads: list[str], cells: list[list[str]]) -> int:
    return max(len(text) for row in (heads, *cells) for text in row) + 2


def _name_length(names: list[str], size: float) -> float:
    """Return an upper bound of the names' lengths in inches."""
    return 0.0088 * size * max(map(len, names)) + 0.15


def _shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each cell's share of its row's images."""
    sizes = confusion.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = confusion / np.maximum(sizes, 1)
    return shares


def _shades(
    shares: NDArray[np.float64], pale: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return (n, n, 3) colours: blue what is right, red what is wrong.

    `shares` are (n, n), `pale` (n,) tells of each row whether its colours are.
    """
    right = np.eye(len(shares), dtype=bool)[:, :, np.newaxis]
    full = np.where(right, _RIGHT, _WRONG)
    # small shares are to be seen too
    strength = (shares**0.6)[:, :, np.newaxis]
    strength = np.where(pale[:, np.newaxis, np.newaxis], _PALE * strength, strength)
    shades: NDArray[np.float64] = 1 - strength * (1 - full)
    # nothing is shaded so little as to look like the page
    return np.minimum(shades, 0.97)

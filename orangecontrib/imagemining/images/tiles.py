"""Tiles of a slide: where its tissue is, in squares of a size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import ImageError, ImageTooLargeError
from orangecontrib.imagemining.images.formats._base import ImageFile, Series
from orangecontrib.imagemining.images.open import ImageReader
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["TISSUE", "tiles_of", "tissue_mask"]

#: Share of a tile that has to be tissue, unless said otherwise.
TISSUE = 0.1

_OVERVIEW = 1024  # pixels of the picture's longer side in which tissue is looked for
_BLOCK = 2048  # side of what is read at once of an image too large to be read whole
_EMPTY = 0.005  # share of pixels that makes white glass, or black, the background
_FAINT = 12  # of 255: what differs less from the background is noise or dust
_DEEP = 40  # of 255: what differs more is tissue for sure, however dark other is
_TWO_KINDS = (
    0.7  # share of the variance that two kinds of pixels explain; of noise 0.64
)

_Box = tuple[int, int, int, int]


def tiles_of(
    image: ImageFile | str,
    side: int,
    tissue: float = TISSUE,
    *,
    series: int | None = None,
    overlap: int = 0,
    step: float = 1.0,
    whole_edges: bool = True,
    progress: Progress = no_progress,
) -> list[_Box]:
    """Cover an image with square tiles; those of background are left out.

    What is background is judged in a small picture of the whole (see `tissue_mask`).
    An image without background gives all tiles, empty glass none. Of a stack the first
    plane is looked at, in all channels.

    Parameters
    ----------
    image
        An opened file, or a source.
    side
        Of a tile, in pixels.
    tissue
        Share of a tile, 0 to 1, that has to be tissue; 0: all tiles.
    series
        Which of the file's, from 0; by default the one that the source names, or the
        first.
    overlap
        Pixels that a tile shares with the next.
    step
        `side` and `overlap` count pixels of an image that is so many times smaller:
        with 2, tiles of a slide scanned at 40× are as large as they would be at 20×.
    whole_edges
        The last tiles of rows and columns are moved inwards so that they are within
        the image, all of it is covered, and they overlap more than others. Otherwise
        tiles that would stick out are left out. An image smaller than a tile is one
        tile, cut to its size.
    progress
        Called now and then with the fraction done; stops this if it raises.

    Returns
    -------
    Left, top, width and height of each tile, in pixels of the whole image; row by row.

    Raises
    ------
    ImageError
        If the image cannot be read.
    ValueError
        If the tiles have no size, or do not move on.
    """
    if side < 1 or not 0 <= overlap < side or not (math.isfinite(step) and step >= 1):
        raise ValueError("a tile needs a side, and an overlap below it")
    if not 0 <= tissue <= 1:
        raise ValueError("tissue is a share, from 0 to 1")
    if isinstance(image, str):
        with _opened(image) as (file, named):
            chosen = series if series is not None else named
            return tiles_of(
                file,
                side,
                tissue,
                series=chosen,
                overlap=overlap,
                step=step,
                whole_edges=whole_edges,
                progress=progress,
            )
    series = series or 0
    if series >= len(image.series):
        raise ImageError(f"The file has no series {series + 1}")
    about = image.series[series]
    large, stride = round(side * step), max(1, round((side - overlap) * step))
    lefts = _places(about.width, large, stride, whole_edges)
    tops = _places(about.height, large, stride, whole_edges)
    width, height = min(large, about.width), min(large, about.height)
    keep = np.ones((len(tops), len(lefts)), bool)
    if tissue > 0:
        mask = tissue_mask(image, series, progress)
        shares = _shares(mask, about, lefts, tops, (width, height))
        # what is counted in a smaller picture is not exact to the last digit
        keep = shares >= tissue - 1e-9
    progress(1.0)
    rows, columns = np.nonzero(keep)
    return [
        (lefts[column], tops[row], width, height)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


def tissue_mask(
    image: ImageFile, series: int = 0, progress: Progress = no_progress
) -> NDArray[np.bool_]:
    """Tell in a small picture of an image's first plane what is not background.

    Of photographs, background is white or black, whichever there is more of; of
    brightness alone, what most pixels are. Tissue differs from it in colour or
    brightness by more than a threshold that parts the pixels into two kinds (Otsu's).
    Where there is no background, or no two kinds of pixels, all is tissue.

    Parameters
    ----------
    image
        An opened file.
    series
        Which of its series.
    progress
        Called with the fraction done, where reading takes long.

    Returns
    -------
    (height, width) bool; the whole image in any size.
    """
    about = image.series[series]
    if about.samples == 3:
        return _differs_in_colour(_to_bytes(_overview(image, series, progress)))
    channels = [_overview(image, series, progress)]
    channels += [
        _shrunk(image.plane(series, 0, 0, c, near=_near(about)))
        for c in range(1, len(about.channels))
        if about.width * about.height <= _BLOCK * _BLOCK or len(about.levels) > 1
    ]
    masks = [_differs_in_brightness(_to_bytes(channel)) for channel in channels]
    shape = masks[0].shape
    same = [mask for mask in masks if mask.shape == shape]
    result: NDArray[np.bool_] = np.logical_or.reduce(same)
    return result


@contextmanager
def _opened(source: str) -> Iterator[tuple[ImageFile, int]]:
    with ImageReader() as reader, reader._file(source, reader.limits) as (file, asked):
        yield file, asked.part.series or 0


def _places(whole: int, large: int, stride: int, whole_edges: bool) -> list[int]:
    """Return where tiles begin along a side."""
    if whole <= large:
        return [0]
    places = list(range(0, whole - large + 1, stride))
    if whole_edges and places[-1] + large < whole:
        places.append(whole - large)
    return places


def _near(about: Series) -> int:
    """Return how small the smaller side of the overview may be."""
    factor = min(1.0, _OVERVIEW / max(about.width, about.height))
    return max(1, math.floor(min(about.width, about.height) * factor))


def _overview(image: ImageFile, series: int, progress: Progress) -> NDArray[np.generic]:
    about = image.series[series]
    progress(0.0)
    try:
        return _shrunk(image.plane(series, 0, 0, 0, near=_near(about)))
    except ImageTooLargeError:
        return _pieced_together(image, series, progress)


def _pieced_together(
    image: ImageFile, series: int, progress: Progress
) -> NDArray[np.generic]:
    """Return the overview of an image that cannot be read at once."""
    about = image.series[series]
    by = max(1, math.ceil(max(about.width, about.height) / _OVERVIEW))
    block = max(1, _BLOCK // by) * by
    rows = []
    tops = range(0, about.height, block)
    for number, top in enumerate(tops):
        row = []
        for left in range(0, about.width, block):
            progress((number + left / about.width) / len(tops))
            width = min(block, about.width - left)
            height = min(block, about.height - top)
            piece = image.region(series, (left, top, width, height))
            row.append(_binned(piece, by))
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)


def _shrunk(plane: NDArray[np.generic]) -> NDArray[np.generic]:
    return _binned(plane, max(1, math.ceil(max(plane.shape[:2]) / (2 * _OVERVIEW))))


def _binned(plane: NDArray[np.generic], by: int) -> NDArray[np.generic]:
    """Return means of `by` × `by` pixels, at the edge of fewer."""
    if by == 1:
        return plane
    height, width = plane.shape[:2]
    starts = np.arange(0, width, by)
    counts = np.diff(np.append(starts, width)).reshape(-1, *[1] * (plane.ndim - 2))
    means = []
    for top in range(0, height, by):
        rows = plane[top : top + by]
        sums = np.add.reduceat(rows, starts, axis=1, dtype=np.float64).sum(0)
        means.append(sums / (counts * len(rows)))
    return np.stack(means)


def _to_bytes(plane: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return numbers of any kind as 0 to 255; colours of 8 bits as they are."""
    known: NDArray[Any] = plane
    if plane.dtype.kind == "f":
        known = plane[np.isfinite(plane)]
    if known.size == 0:
        return np.zeros(plane.shape, np.uint8)
    if plane.ndim == 3:  # white stays white
        low, high = 0.0, max(255.0, float(np.percentile(known, 99.9)))
    else:
        low, high = (float(number) for number in np.percentile(known, (0.1, 99.9)))
    if high <= low:
        low, high = float(known.min()), float(known.max())
    if high <= low:
        return np.zeros(plane.shape, np.uint8)
    scaled = (np.nan_to_num(plane.astype(np.float64)) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _differs_in_colour(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    least, most = rgb.min(-1), rgb.max(-1)
    # glass is seldom quite white, but has no colour
    white = (least >= 200) & (most - least <= 25)
    black = most <= 30
    if max(white.mean(), black.mean()) < _EMPTY:
        return np.ones(least.shape, bool)
    if white.mean() >= black.mean():
        # grows with darkness and with colour alike
        return _above(255 - least, white)
    return _above(most, black)


def _differs_in_brightness(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    if grey.min() == grey.max():
        return np.zeros(grey.shape, bool)
    counts = np.bincount(grey.ravel(), minlength=256)
    commonest = int(np.convolve(counts, np.ones(9), "same").argmax())
    measure = grey if commonest < 128 else 255 - grey
    threshold, explained = _otsu(measure)
    if explained < _TWO_KINDS:
        return np.ones(grey.shape, bool)
    return measure > threshold


def _above(
    measure: NDArray[np.uint8], background: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    usual = float(np.median(measure[background]))
    # very dark ink must not make pale tissue background
    threshold, _ = _otsu(np.minimum(measure, min(usual + _DEEP, 255)).astype(np.uint8))
    return measure > max(threshold, usual + _FAINT)


def _otsu(values: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the number that parts values best into two kinds (Otsu's method).

    Returns
    -------
    The largest of the lower kind; the share of the variance that the parting explains,
    0 to 1.
    """
    counts = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    numbers = np.arange(256)
    n, total = counts.sum(), (counts * numbers).sum()
    below, sum_below = np.cumsum(counts), np.cumsum(counts * numbers)
    above = n - below
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = sum_below / below - (total - sum_below) / above
        between = np.nan_to_num(below * above * apart**2 / n**2, posinf=0, neginf=0)
    variance = (counts * (numbers - total / n) ** 2).sum() / n
    best = between.max()
    # in a gap between the kinds all numbers part as well: the middle one
    middle = float(np.flatnonzero(between >= best * (1 - 1e-9)).mean())
    return middle, float(best / variance) if variance > 0 else 0.0


def _shares(
    mask: NDArray[np.bool_],
    about: Series,
    lefts: list[int],
    tops: list[int],
    size: tuple[int, int],
) -> NDArray[np.float64]:
    """Return the share of tissue of each tile: (tops, lefts)."""
    area = mask.astype(np.float64)
    for axis, places, length, whole in (
        (0, tops, size[1], about.height),
        (1, lefts, size[0], about.width),
    ):
        n = mask.shape[axis]
        sums = np.insert(area.cumsum(axis), 0, 0, axis)
        begins = np.array(places) * (n / whole)
        ends = (np.array(places) + length) * (n / whole)
        inside = _between(sums, ends, axis) - _between(sums, begins, axis)
        area = inside / (length * n / whole)
    return area


def _between(
    sums: NDArray[np.float64], places: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    """Return what sums would be between two pixels."""
    first = np.clip(places.astype(int), 0, sums.shape[axis] - 2)
    rest = np.expand_dims(places - first, 1 - axis)
    low, high = np.take(sums, first, axis), np.take(sums, first + 1, axis)
    result: NDArray[np.float64] = low + (high - low) * rest
    return result

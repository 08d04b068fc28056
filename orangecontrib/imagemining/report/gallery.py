"""The images to draw: their pictures, names and colours, and how far apart they are."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from Orange.data import StringVariable, Table
from Orange.distance import Cosine
from PIL import Image

from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.report.page import NO_CATEGORY, Color, category_colors
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.tables import image_columns, image_sources

__all__ = ["Gallery", "cosine_distances", "open_gallery"]

_CHUNK = 16  # pictures read between two reports of progress


@dataclass(frozen=True)
class Gallery:
    """Images, and all that is needed to draw them; lists have an entry an image.

    Attributes
    ----------
    pictures : (height, width, 3) uint8, small.
    names : of the images.
    colors : of their categories.
    distances : (n, n).
    categories, category_colors : of all that have images, for the legend.
    note : which images these are, if they are not all.
    """

    pictures: list[NDArray[np.uint8]]
    names: list[str]
    colors: list[Color]
    distances: NDArray[np.float64]
    categories: list[str]
    category_colors: list[Color]
    note: str

    def __len__(self) -> int:
        return len(self.pictures)


def open_gallery(
    table: Table, side: int, note: str = "", progress: Progress = no_progress
) -> Gallery:
    """Read the images of an embedded table again, as small pictures.

    Parameters
    ----------
    table
        Embedded images.
    side
        Largest width and height in pixels.
    note
        Which images these are.
    progress
        Told how many images are read.
    """
    column = image_columns(table.domain)[0]
    sources = [source or "" for source in image_sources(table, column)]
    name = next(v for v in table.domain.metas if isinstance(v, StringVariable))
    colors = [NO_CATEGORY] * len(table)
    categories: list[str] = []
    of_categories: list[Color] = []
    if table.domain.class_var is not None:
        values = table.domain.class_var.values
        palette = category_colors(len(values))
        colors = [palette[int(y)] if y == y else NO_CATEGORY for y in table.Y]
        present = [int(y) for y in np.unique(table.Y) if y == y]
        categories = [values[i] for i in present]
        of_categories = [palette[i] for i in present]
        if np.isnan(table.Y).any():
            categories.append("(no category)")
            of_categories.append(NO_CATEGORY)
    return Gallery(
        _read(sources, side, progress),
        [str(value) for value in table.get_column(name)],
        colors,
        cosine_distances(table),
        categories,
        of_categories,
        note,
    )


def cosine_distances(table: Table) -> NDArray[np.float64]:
    """Return 1 - cosine of the angle between any two rows, as Orange computes it."""
    with warnings.catch_warnings():
        # a vector of zeros has no direction: 0 / 0
        warnings.simplefilter("ignore", RuntimeWarning)
        distances: NDArray[np.float64] = np.array(Cosine(table), float)
    distances[np.isnan(distances)] = 1
    np.fill_diagonal(distances, 0)
    return distances


def _read(sources: list[str], side: int, progress: Progress) -> list[NDArray[np.uint8]]:
    def one(source: str) -> NDArray[np.uint8]:
        picture = reader.read(source).convert("RGB")
        # very long ones would become lines
        scale = side / max(picture.size)
        size = tuple(max(round(length * scale), side // 4) for length in picture.size)
        resized = picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
        pixels: NDArray[np.uint8] = np.asarray(resized)
        return pixels

    pictures: list[NDArray[np.uint8]] = []
    with ImageReader() as reader, ThreadPoolExecutor(4) as pool:
        for start in range(0, len(sources), _CHUNK):
            pictures += pool.map(one, sources[start : start + _CHUNK])
            progress(len(pictures) / len(sources), f"{len(pictures)} thumbnails")
    return pictures

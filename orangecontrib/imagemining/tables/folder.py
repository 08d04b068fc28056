"""A folder of images as a table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
)

from orangecontrib.imagemining.exceptions import FolderError, ImageError
from orangecontrib.imagemining.images import (
    FindResult,
    FoundImage,
    ImageReader,
    find_images,
)
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["FolderTable", "table_from_folder"]

_CHUNK = 256  # files measured between two reports of progress


@dataclass
class FolderTable:
    """A table of a folder's images.

    Attributes
    ----------
    table : one row an image; class ``category`` if there are sub-folders; metas
        ``image name``, ``image``, ``size`` (bytes), ``width`` and ``height`` (pixels).
    found : what else lies in the folder.
    """

    table: Table
    found: FindResult

    @property
    def n_categories(self) -> int:
        """Number of categories, 0 if there are none."""
        variable = self.table.domain.class_var
        return len(variable.values) if variable else 0


def table_from_folder(
    folder: str | os.PathLike[str], progress: Progress = no_progress
) -> FolderTable:
    """List the images below `folder`; their categories are the folders at its top.

    Images that cannot be read are listed too, with width and height missing: whoever
    opens them says why.

    Raises
    ------
    FolderError
        If the folder is not there, may not be listed, or has no images.
    """
    root = os.path.abspath(folder)
    found = find_images(root, progress)
    if not found.images:
        others = f"; it has {found.describe_others()}" if found.n_others else ""
        if found.unreadable:
            others += (
                f"; {len(found.unreadable)} of its sub-folders may not be read, the"
                f" first is {found.unreadable[0]}"
            )
        raise FolderError(f"There are no images in {root}{others}")
    categories = list(
        dict.fromkeys(image.category for image in found.images if image.category)
    )
    image = StringVariable("image")
    image.attributes = {"type": "image", "origin": root}
    sizes = [
        ContinuousVariable(name, number_of_decimals=0)
        for name in ("size", "width", "height")
    ]
    domain = Domain(
        [],
        [DiscreteVariable("category", categories)] if categories else [],
        [StringVariable("image name"), image, *sizes],
    )
    metas = np.empty((len(found.images), 5), object)
    metas[:, 0] = [PurePosixPath(found.path).stem for found in found.images]
    metas[:, 1] = [found.path for found in found.images]
    metas[:, 2:] = _measure(root, found.images, progress)
    index = {name: float(number) for number, name in enumerate(categories)}
    classes = [index.get(image.category, np.nan) for image in found.images]
    table = Table.from_numpy(
        domain,
        np.empty((len(found.images), 0)),
        np.array(classes, float).reshape(-1, 1) if categories else None,
        metas,
    )
    table.name = os.path.basename(root) or root
    return FolderTable(table, found)


def _measure(
    root: str, images: Sequence[FoundImage], progress: Progress
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return (n, 3): bytes, width and height, NaN where the header cannot be read."""

    def one(image: FoundImage) -> tuple[float, float, float]:
        path = os.path.join(root, image.path)
        try:
            size = float(os.path.getsize(path))
        except OSError:
            return np.nan, np.nan, np.nan
        try:
            width, height = reader.size(path)
        except ImageError:
            return size, np.nan, np.nan
        return size, width, height

    measures = np.empty((len(images), 3))
    with ImageReader() as reader, ThreadPoolExecutor(4) as pool:
        for rows in _chunks(len(images)):
            measures[rows] = list(pool.map(one, images[rows]))
            progress(rows.stop / len(images), f"{rows.stop} of {len(images)} images")
    return measures


def _chunks(n: int) -> Iterator[slice]:
    for start in range(0, n, _CHUNK):
        yield slice(start, min(start + _CHUNK, n))

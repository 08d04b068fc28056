"""What Import Images does in a thread."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from Orange.data import Table, Variable
from Orange.widgets.utils.concurrent import TaskState

from orangecontrib.imagemining.exceptions import FolderNotFoundError, ImageError
from orangecontrib.imagemining.images import Measures
from orangecontrib.imagemining.specs import Progress
from orangecontrib.imagemining.tables.columns import RENDERING, image_sources
from orangecontrib.imagemining.tables.contrast import set_ranges
from orangecontrib.imagemining.tables.folder import (
    FolderMemory,
    FolderOptions,
    FolderTable,
    table_from_folder,
)
from orangecontrib.imagemining.tables.listing import ListedTable, table_with_images
from orangecontrib.imagemining.tables.reading import Reading
from orangecontrib.imagemining.widgets.utils.folders import moved_folder
from orangecontrib.imagemining.widgets.utils.strip import N_SHOWN
from orangecontrib.imagemining.widgets.utils.tasks import progress_of

__all__ = [
    "FolderJob",
    "FolderResult",
    "SetRange",
    "TableJob",
    "TableResult",
    "run_folder",
    "run_table",
]

_LISTING = 0.3  # share of the time, where a range is computed, too


@dataclass(frozen=True)
class SetRange:
    """One range for all images, as far as it was asked for.

    Attributes
    ----------
    ranges : name of a channel, black and white; those that were known or are new.
    is_new : whether they were computed.
    images : a text that stands for the images of the table, and the stacks they are
        made of.
    n_images, n_unreadable : of which they were computed, and that could not be read.
    failure : why they could not be computed.
    """

    ranges: tuple[tuple[str, float, float], ...] = ()
    is_new: bool = False
    images: str = ""
    n_images: int = 0
    n_unreadable: int = 0
    failure: str = ""


@dataclass
class FolderJob:
    """A folder to be listed.

    Attributes
    ----------
    folder : as the user chose it, or as a workflow has it.
    workflow_folder : where a folder may lie that is not where the workflow says.
    options : which images.
    memory : what is known of the folder.
    again : whether to look at it again.
    """

    folder: str
    workflow_folder: str
    options: FolderOptions
    memory: FolderMemory
    again: bool


@dataclass
class FolderResult:
    """What was found, and where; how the images are read, and some of them."""

    folder: str
    listed: FolderTable
    range: SetRange = field(default_factory=SetRange)
    some: Sequence[str | None] = ()


@dataclass
class TableJob:
    """A table whose images are to be looked at.

    Attributes
    ----------
    data, column, base, camera_notes, reading : as for `table_with_images`.
    measures : what is known of the images.
    again : whether to look at them again.
    """

    data: Table
    column: Variable
    base: str
    camera_notes: bool
    measures: Measures
    again: bool
    reading: Reading = field(default_factory=Reading)


@dataclass
class TableResult:
    """The table with its images; how they are read, and some of them."""

    listed: ListedTable
    range: SetRange = field(default_factory=SetRange)
    some: Sequence[str | None] = ()


def run_folder(job: FolderJob, state: TaskState) -> FolderResult:
    folder = job.folder
    if not os.path.isdir(folder):
        folder = moved_folder(folder, job.workflow_folder) or folder
    if not os.path.isabs(folder):  # of another system, or of a workflow without a place
        raise FolderNotFoundError(f"There is no folder {folder}")
    if job.again:
        job.memory.renew()
    listing, computing = _shares(job.options.reading, progress_of(state))
    listed = table_from_folder(folder, listing, job.options, job.memory)
    column = listed.table.domain["image"]
    ranges = _put_range(listed, column, job.options.reading, computing)
    return FolderResult(folder, listed, ranges, _some(listed.table, column))


def run_table(job: TableJob, state: TaskState) -> TableResult:
    if job.again:
        job.measures.renew()
    listing, computing = _shares(job.reading, progress_of(state))
    listed = table_with_images(
        job.data,
        job.column,
        job.base,
        job.camera_notes,
        listing,
        job.measures,
        job.reading,
    )
    ranges = _put_range(listed, listed.column, job.reading, computing)
    return TableResult(listed, ranges, _some(listed.table, listed.column))


def _some(table: Table, column: Variable) -> Sequence[str | None]:
    """Return the sources of a few images, evenly spread."""
    rows = np.unique(np.linspace(0, max(0, len(table) - 1), N_SHOWN).astype(int))
    return image_sources(table[rows[: len(table)]], column)


def _shares(reading: Reading, progress: Progress) -> tuple[Progress, Progress]:
    share = _LISTING if reading.contrast == "range" else 1.0

    def listing(done: float, status: str = "") -> None:
        progress(share * done, status)

    def computing(done: float, status: str = "") -> None:
        progress(share + (1 - share) * done, status)

    return listing, computing


def _put_range(
    listed: FolderTable | ListedTable,
    column: Variable,
    reading: Reading,
    progress: Progress,
) -> SetRange:
    """See to it that a range for all images is known, and that the column has it."""
    if reading.contrast != "range":
        return SetRange()
    table, numbers = listed.table, listed.inside.channels
    digest = hashlib.blake2b(reading.stack.encode(), digest_size=8)
    for cell in table.get_column(column):
        digest.update(f"\0{cell}".encode("utf8", "surrogateescape"))
    images = digest.hexdigest()
    if reading.knows_ranges(numbers):
        return SetRange(reading.ranges, images=images)
    rendering = reading.rendering(numbers)
    try:
        found = set_ranges(
            image_sources(table, column, ""), rendering, reading.percentiles, progress
        )
    except ImageError as ex:
        return SetRange(images=images, failure=str(ex))
    names = reading.layers(numbers)
    pairs = found.ranges[: len(names)] or ((0.0, 1.0),)
    # channels that no image has
    pairs += pairs[-1:] * (len(names) - len(pairs))
    # what is known of other channels stays: the user may have typed it
    known = {name: pair for name, *pair in reading.ranges}
    ranges = tuple(
        (name, *known.get(name, pair)) for name, pair in zip(names, pairs, strict=True)
    )
    reading = replace(reading, ranges=ranges)
    # nobody else has this column yet
    column.attributes[RENDERING] = str(reading.rendering(numbers))
    return SetRange(ranges, True, images, found.n_images, found.n_unreadable)

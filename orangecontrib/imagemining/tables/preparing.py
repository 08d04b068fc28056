"""From a table to images that can be trained on: read, checked, split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from Orange.data import Table

from orangecontrib.imagemining.specs import Progress
from orangecontrib.imagemining.tables.columns import rendering_of
from orangecontrib.imagemining.tables.labelled import (
    LabelledImages,
    labelled_images,
    without_unreadable,
)
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.weights.image_network import ImageNetwork

__all__ = ["Prepared", "Work", "prepare", "validation_images"]

_READING = 0.05  # share of the progress bar

_Images = TypeVar("_Images")


@dataclass
class Prepared:
    """What a training is about to begin with; all images have been read.

    Attributes
    ----------
    classes : in the order of the network's outputs.
    training, validation : the images, as sources, in the order in which the training
        counts them: `history.Mistake.row` is a place in `validation`.
    training_labels : classes of the images that are trained on, as numbers.
    training_rows, validation_rows : which rows of the data they are; those for
        validation of the table for validation, if one was given.
    left_out, notes : as for `TableTraining`, so far.
    """

    classes: tuple[str, ...]
    training: list[str]
    validation: list[str]
    training_labels: list[int]
    training_rows: list[int]
    validation_rows: list[int]
    left_out: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Work:
    """A training to be done, once the table has been looked through.

    Attributes
    ----------
    plan : all that decides.
    given : the network to begin with, if the plan's start is "given".
    images : to train on.
    validation : a table of images for validation, or None.
    title : of the network.
    listener : told what is trained on, or None.
    progress : told how far it is.
    """

    plan: Plan
    given: ImageNetwork | None
    images: LabelledImages
    validation: Table | None
    title: str
    listener: Callable[[Prepared], None] | None
    progress: Progress

    @property
    def about(self) -> dict[str, str]:
        """What the network's card is to say of the images."""
        n, name = len(self.images.sources), self.images.name
        return {
            "rendering": rendering_of(self.images.column),
            "trained_on": f"{n:,} images of {name}",
        }

    def tell(self, ready: Prepared) -> None:
        """Tell what is trained on."""
        if self.listener is not None:
            self.listener(ready)

    def reading(self, fraction: float, status: str = "") -> None:
        """Report how far reading is."""
        self.progress(_READING * fraction, status)

    def training(self, fraction: float, status: str = "") -> None:
        """Report how far training is."""
        self.progress(_READING + (1 - _READING) * fraction, status)


def validation_images(
    data: Table, images: LabelledImages, classes: tuple[str, ...] | None = None
) -> LabelledImages:
    """Return the images of a table for validation, read as those to train on.

    Parameters
    ----------
    data
        The table.
    images
        To train on.
    classes
        What labels are numbers of, by default those of `images`.

    Raises
    ------
    TableError
        If it has no rows, images or class.
    """
    name = images.column.name
    there = {variable.name for variable in data.domain.metas + data.domain.variables}
    return labelled_images(
        data,
        name if name in there else "",
        classes or images.classes,
        rendering_of(images.column),
    )


def prepare(
    work: Work,
    read: Callable[[LabelledImages, Progress], tuple[_Images, list[str | None]]],
    take: Callable[[_Images, NDArray[np.int64], NDArray[np.int64]], _Images],
) -> tuple[_Images, _Images, Prepared]:
    """Read all images, leave out what cannot be read, and split the rest.

    Parameters
    ----------
    work
        What is to be done.
    read
        Returns what can be read, and for each image None or the reason why it cannot.
    take
        Returns some of what was read, by numbers, with these labels.

    Returns
    -------
    Images to train on, images for validation, of which there may be none, and which
    they are.

    Raises
    ------
    TableError
        If too few images can be read.
    """
    from orangecontrib.imagemining.training.data import split

    some, reasons = read(work.images, work.reading)
    images = without_unreadable(work.images, reasons)
    notes = list(images.notes)
    if work.validation is None:
        rows, kept = split(images.labels, work.plan.validation, work.plan.seed)
        judge, judged = images.only(kept), take(some, kept, images.labels[kept])
    else:
        others = validation_images(work.validation, images)
        more, reasons = read(others, work.reading)
        rows = np.arange(len(images.labels))
        judge = without_unreadable(others, reasons, fixed=True)
        judged = take(more, np.arange(len(judge.labels)), judge.labels)
        notes += [f"Validation: {note}" for note in judge.notes]
    learn = images.only(rows)
    ready = Prepared(
        images.classes,
        learn.sources,
        judge.sources,
        learn.labels.tolist(),
        learn.rows.tolist(),
        judge.rows.tolist(),
        images.left_out,
        notes,
    )
    return take(some, rows, learn.labels), judged, ready

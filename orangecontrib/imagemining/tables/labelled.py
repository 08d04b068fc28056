"""Tables of images with classes, as training takes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from Orange.data import DiscreteVariable, Domain, Table, Variable

from orangecontrib.imagemining.exceptions import TableError
from orangecontrib.imagemining.tables.columns import image_columns, image_sources

__all__ = [
    "LabelledImages",
    "class_of",
    "image_column_of",
    "labelled_images",
    "names_of",
    "without_unreadable",
]

_NAMED = 5  # classes that a sentence names


@dataclass
class LabelledImages:
    """The rows of a table that have an image and a class.

    Attributes
    ----------
    column : the image column.
    class_var : the class.
    classes : its values that occur, in the variable's order.
    rows : (n,) int64, numbers of the table's rows.
    sources : the n images.
    labels : (n,) int64, positions in `classes`.
    left_out : the other rows, with the reason in words.
    notes : what the user should know, in sentences.
    name : of the table.
    """

    column: Variable
    class_var: DiscreteVariable
    classes: tuple[str, ...]
    rows: NDArray[np.int64]
    sources: list[str]
    labels: NDArray[np.int64]
    left_out: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    name: str = ""

    def only(self, places: NDArray[np.integer]) -> LabelledImages:
        """Return some of the images, by their places."""
        return replace(
            self,
            rows=self.rows[places],
            sources=[self.sources[place] for place in places],
            labels=self.labels[places],
        )


def labelled_images(
    data: Table,
    column: str = "",
    classes: Sequence[str] | None = None,
    rendering: str | None = None,
) -> LabelledImages:
    """Find images and classes of a table; no image is read.

    Parameters
    ----------
    data
        Any table with an image column and a class.
    column
        Name of the image column to take; "" for the first.
    classes
        Those that labels are numbers of, where they are given already: rows of other
        classes are left out. None: those that occur.
    rendering
        How to read the images, whatever the column says; None for as it says.

    Raises
    ------
    TableError
        If there are no rows, images or classes, if the class is a number or there are
        several, or if there is but one class with images (where `classes` are not
        given). The message says what to do.
    """
    if not len(data):
        raise TableError("The data have no rows; load images of two classes or more")
    images = image_column_of(data.domain, column)
    class_var = class_of(data.domain)
    sources = image_sources(data, images, rendering)
    values = data.get_column(class_var)
    left_out: list[tuple[int, str]] = []
    good: list[int] = []
    for row, (source, value) in enumerate(zip(sources, values, strict=True)):
        if not np.isfinite(value):
            left_out.append((row, "It has no class"))
        elif not source:
            left_out.append((row, "No image is given in this row"))
        else:
            good.append(row)
    notes = []
    if unlabelled := int(np.isnan(values).sum()):
        notes.append(
            f"{_count(unlabelled, 'row')} without a class {_are(unlabelled)} left out"
        )
    names = [class_var.values[int(values[row])] for row in good]
    if classes is None:
        occurring = set(names)
        classes = [value for value in class_var.values if value in occurring]
        _check_classes(classes, class_var, bool(good))
    else:
        known = set(classes)
        strange = sorted({name for name in names if name not in known})
        for row, name in zip(good, names, strict=True):
            if name not in known:
                left_out.append((row, f"Nothing is learned of its class, {name}"))
        good = [r for r, name in zip(good, names, strict=True) if name in known]
        names = [name for name in names if name in known]
        if strange:
            notes.append(
                f"Images of classes not learned are left out: {names_of(strange)}"
            )
    number = {name: index for index, name in enumerate(classes)}
    return LabelledImages(
        images,
        class_var,
        tuple(classes),
        np.array(good, np.int64),
        [sources[row] or "" for row in good],
        np.array([number[name] for name in names], np.int64),
        sorted(left_out),
        notes,
        data.name,
    )


def without_unreadable(
    images: LabelledImages, reasons: Sequence[str | None], fixed: bool = False
) -> LabelledImages:
    """Leave out the images that have a reason why they cannot be used.

    Parameters
    ----------
    images
        Images of a table.
    reasons
        For each of them None, or why it cannot be read.
    fixed
        Whether the classes stay as they are, whatever is left of them.

    Raises
    ------
    TableError
        If there is nothing left, or but one class (where `fixed` is not set).
    """
    good = np.array([reason is None for reason in reasons], bool)
    names = [images.classes[label] for label in images.labels[good]]
    classes = images.classes
    notes = list(images.notes)
    bad = int((~good).sum())
    if bad:
        first = next(reason for reason in reasons if reason is not None)
        notes.append(
            f"{_count(bad, 'image')} cannot be used and {_are(bad)} left out: {first}"
            + ", …" * (bad > 1)
        )
    if not good.any() and not fixed:
        raise TableError(f"No image can be read: {reasons[0]}")
    if not fixed:
        present = set(names)
        classes = tuple(name for name in classes if name in present)
        _check_classes(classes, images.class_var, True)
        counts = Counter(names)
        single = [name for name in classes if counts[name] == 1]
        if len(single) == 1:
            notes.append(
                f"There is but one image of {single[0]}: it is learned from, and"
                " whether others of its kind are recognized is not known"
            )
        elif single:
            notes.append(
                f"There is but one image of each of {len(single)} classes"
                f" ({names_of(single)}): they are learned from, and whether others of"
                " their kind are recognized is not known"
            )
    number = {name: index for index, name in enumerate(classes)}
    left_out = [
        (int(row), reason)
        for row, reason in zip(images.rows, reasons, strict=True)
        if reason is not None
    ]
    return replace(
        images,
        classes=classes,
        rows=images.rows[good],
        sources=[images.sources[place] for place in np.flatnonzero(good)],
        labels=np.array([number[name] for name in names], np.int64),
        left_out=sorted([*images.left_out, *left_out]),
        notes=notes,
    )


def image_column_of(domain: Domain, name: str = "") -> Variable:
    """Return the image column of this name, or the first one.

    Raises
    ------
    TableError
        If there is none.
    """
    columns = image_columns(domain, name)
    for column in columns:
        if column.name == name:
            return column
    if name:
        raise TableError(f"The data have no image column '{name}'; choose another")
    if not columns:
        raise TableError(
            "The data have no column of images; load them with Import Images"
        )
    return columns[0]


def class_of(domain: Domain) -> DiscreteVariable:
    """Return the class.

    Raises
    ------
    TableError
        If there is none, if there are several, or if it is a number.
    """
    variables = domain.class_vars
    if not variables:
        raise TableError(
            "The data have no class to be learned; put images of each class into a"
            " folder of their own, or choose a target with Select Columns"
        )
    if len(variables) > 1:
        raise TableError(
            f"The data have several classes ({names_of([v.name for v in variables])});"
            " leave one of them as the target in Select Columns"
        )
    if not variables[0].is_discrete:
        raise TableError(
            f"The class {variables[0].name} is a number; only categories can be"
            " learned. Discretize makes categories of numbers"
        )
    return variables[0]


def _check_classes(
    classes: Sequence[str], class_var: DiscreteVariable, any_images: bool
) -> None:
    if not any_images:
        raise TableError("No row of the data has both an image and a class")
    if len(classes) < 2:
        raise TableError(
            f"All images are of one class, {classes[0]}; there is nothing to tell"
            f" apart. Add images of another {class_var.name}"
        )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def names_of(names: Sequence[str]) -> str:
    """Return names in a row, the first few of many."""
    return ", ".join(names[:_NAMED]) + ", …" * (len(names) > _NAMED)

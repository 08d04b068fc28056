"""What is measured of images, as columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timezone

import numpy as np
from numpy.typing import NDArray
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    StringVariable,
    TimeVariable,
    Variable,
)

from orangecontrib.imagemining.images import Measure
from orangecontrib.imagemining.images.exif import ORIENTATIONS, CameraNotes

__all__ = ["CAMERA_COLUMNS", "SIZE_COLUMNS", "measure_columns", "measure_values"]

#: Names of the columns of every table of images.
SIZE_COLUMNS = ("size", "width", "height")
#: Names of those that are filled from what the camera noted.
CAMERA_COLUMNS = ("date taken", "camera", "latitude", "longitude", "orientation")

_ROWS_AT_ONCE = 1000


def measure_columns(with_notes: bool, names: Sequence[str] = ()) -> list[Variable]:
    """Return new columns for `measure_values`.

    Parameters
    ----------
    with_notes
        With those for what the camera noted.
    names
        What to call them; by default `SIZE_COLUMNS` and `CAMERA_COLUMNS`.
    """
    size, width, height, date, camera, latitude, longitude, orientation = (
        *names,
        *(*SIZE_COLUMNS, *CAMERA_COLUMNS)[len(names) :],
    )
    columns: list[Variable] = [
        ContinuousVariable(name, number_of_decimals=0) for name in (size, width, height)
    ]
    if with_notes:
        columns += [
            TimeVariable(date, have_date=True, have_time=True),
            StringVariable(camera),
            ContinuousVariable(latitude, number_of_decimals=6),
            ContinuousVariable(longitude, number_of_decimals=6),
            DiscreteVariable(orientation, ORIENTATIONS),
        ]
    return columns


def measure_values(
    measures: Sequence[Measure], with_notes: bool
) -> NDArray[np.object_]:
    """Return (images, columns) for the metas of a table."""
    values = np.empty((len(measures), 8 if with_notes else 3), object)
    # in parts: one long call would keep all other threads waiting
    for start in range(0, len(measures), _ROWS_AT_ONCE):
        part = measures[start : start + _ROWS_AT_ONCE]
        rows = values[start : start + _ROWS_AT_ONCE]
        sizes, _, widths, heights, all_notes = zip(*part, strict=True)
        rows[:, 0] = sizes
        rows[:, 1] = [float(width) for width in widths]
        rows[:, 2] = [float(height) for height in heights]
        if with_notes:
            notes = [one or CameraNotes() for one in all_notes]
            rows[:, 3] = [_seconds(one) for one in notes]
            rows[:, 4] = [one.camera for one in notes]
            rows[:, 5] = [_number(one.latitude) for one in notes]
            rows[:, 6] = [_number(one.longitude) for one in notes]
            rows[:, 7] = [_number(one.orientation) - 1 for one in notes]
    return values


def _seconds(notes: CameraNotes) -> float:
    if notes.taken is None:
        return float("nan")
    # Orange shows times as in Greenwich: the clock is to be seen as the camera had it
    return notes.taken.replace(tzinfo=timezone.utc).timestamp()


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)

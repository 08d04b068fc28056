"""Files that hold many pictures, as rows: one a file, series, plane or tile."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from Orange.data import ContinuousVariable, DiscreteVariable, StringVariable, Variable

from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images.formats._base import Series
from orangecontrib.imagemining.images.pace import paced
from orangecontrib.imagemining.images.sources import (
    Part,
    join_source,
    parse_source,
)
from orangecontrib.imagemining.images.tiles import tiles_of
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.tables.contents import (
    AllSeries,
    channel_name,
    is_slide,
    series_names,
)
from orangecontrib.imagemining.tables.reading import Reading

__all__ = ["PLANE_COLUMNS", "Rows", "list_rows"]

_NAN = float("nan")

#: Names of the columns that tell planes, tiles and what the metadata say of them.
PLANE_COLUMNS = (
    "series",
    "time",
    "z",
    "channel",
    "x",
    "y",
    "pixel size",
    "pixel height",
    "channels",
)


@dataclass
class Rows:
    """The rows that files become.

    Attributes
    ----------
    files : number of the file that each row is of; in order.
    cells : each row's path, with the words of its part.
    names : what to add to the file's name, to tell its rows from each other.
    columns : those of `PLANE_COLUMNS` that say something.
    values : (rows, columns).
    sizes : width and height of each row's image; None as the file was measured.
    reasons : why slides did not become tiles, and how many for each.
    """

    files: NDArray[np.intp]
    cells: list[str]
    names: list[str]
    columns: list[Variable]
    values: NDArray[np.object_]
    sizes: list[tuple[int, int] | None]
    reasons: Counter[str] = field(default_factory=Counter)

    def put_sizes(self, widths_and_heights: NDArray[np.object_]) -> None:
        """Overwrite the sizes of files by those of their parts, where they are known.

        Parameters
        ----------
        widths_and_heights
            (rows, 2)
        """
        for row, size in enumerate(self.sizes):
            if size is not None:
                widths_and_heights[row] = [float(side) for side in size]

    @property
    def is_one_each(self) -> bool:
        """Whether each file has one row."""
        n = len(self.files)
        return bool((self.files == np.arange(n)).all())


def list_rows(
    cells: Sequence[str],
    inside: Sequence[AllSeries],
    reading: Reading,
    root: str = "",
    progress: Progress = no_progress,
) -> Rows:
    """Make rows of files.

    Parameters
    ----------
    cells
        Sources of the files as a table has them, their names `escaped`. They may have
        the words of a part, which stays as it is.
    inside
        As `contents.look` returns it, for each.
    reading
        What becomes a row.
    root
        Folder that the cells are relative to, to look for tissue in slides.
    progress
        Told the fraction of the files.
    """
    n = len(cells)
    if not any(inside):  # ordinary pictures, of which there may be very many
        nothing = np.empty((n, 0), object)
        return Rows(np.arange(n), list(cells), [""] * n, [], nothing, [None] * n)
    lister = _Lister(reading, root)
    pace = paced(progress)
    for number, (cell, series) in enumerate(zip(cells, inside, strict=True)):
        pace(number / n, f"{number:,} of {n:,} files listed")
        lister.add(number, cell, series, pace)
    return lister.rows()


@dataclass(frozen=True)
class _Row:
    """What `_Lister` puts into a row besides its file."""

    part: Part = Part()
    series: Series | None = None
    name: str = ""


class _Lister:
    """Collects the columns of `Rows`, in plain lists: there may be many planes."""

    def __init__(self, reading: Reading, root: str) -> None:
        self._reading, self._root = reading, root
        self._files: list[int] = []
        self._cells: list[str] = []
        self._names: list[str] = []
        self._sizes: list[tuple[int, int] | None] = []
        self._values: dict[str, list[object]] = {name: [] for name in PLANE_COLUMNS}
        self._channels: dict[str, int] = {}
        self._told: set[str] = set()
        self._reasons: Counter[str] = Counter()

    def add(self, file: int, cell: str, inside: AllSeries, pace: Progress) -> None:
        if not inside:
            self._add_row(file, cell, _Row())
            return
        own = parse_source(cell).part
        names = series_names(inside) if len(inside) > 1 else []
        for row in self._rows_of(cell, own, inside, names, pace):
            self._add_row(file, join_source(cell, str(row.part)), row, own, names)

    def rows(self) -> Rows:
        columns = [
            _variable(name, list(self._channels))
            for name in PLANE_COLUMNS
            if name in self._told
        ]
        values = np.empty((len(self._cells), len(columns)), object)
        for place, column in enumerate(columns):
            values[:, place] = self._values[column.name]
        return Rows(
            np.array(self._files, np.intp),
            self._cells,
            self._names,
            columns,
            values,
            self._sizes,
            self._reasons,
        )

    def _rows_of(
        self,
        cell: str,
        own: Part,
        inside: AllSeries,
        names: Sequence[str],
        pace: Progress,
    ) -> Iterator[_Row]:
        reading = self._reading
        every = reading.all_series or reading.by_planes
        if own.series is not None:
            numbers: Iterable[int] = [own.series]
        else:
            numbers = range(len(inside)) if every and len(inside) > 1 else [0]
        for number in numbers:
            if number >= len(inside):
                yield _Row()  # it is not there, which those tell who open it
                continue
            series = inside[number]
            part, name = Part(), ""
            if own.series is None and every and len(inside) > 1:
                part = Part(series=number)
                name = f" {names[number] or f'series {number + 1}'}"
                self._told.add("series")
            if reading.tile and is_slide(series) and own.xywh is None:
                yield from self._tiles(cell, number, _Row(part, series, name), pace)
            elif reading.by_planes:
                yield from self._planes(own, _Row(part, series, name))
            else:
                yield _Row(part, series, name)

    def _planes(self, own: Part, row: _Row) -> Iterator[_Row]:
        series = row.series
        assert series is not None
        by_channel = self._reading.stack == "channels"
        times = _places(own.t, series.n_times)
        depths = _places(own.z, series.n_depths)
        channels = _places(own.c, len(series.channels) if by_channel else 1)
        chosen = self._reading.channels
        if by_channel and not isinstance(chosen, str):
            names = {name for name, _ in chosen}
            some = [
                c
                for c in channels
                if c is not None and channel_name(series, c) in names
            ]
            channels = some or channels  # a file without them is not left out
        self._told |= {
            name for name, places in (("time", times), ("z", depths)) if len(places) > 1
        }
        if by_channel and len(series.channels) > 1:
            self._told.add("channel")
        for t in times:
            for z in depths:
                for c in channels:
                    name = row.name
                    if z is not None:
                        name += f" z={z + 1}"
                    if t is not None:
                        name += f" t={t + 1}"
                    if c is not None:
                        name += f" {channel_name(series, c)}"
                    yield replace(row, part=replace(row.part, t=t, z=z, c=c), name=name)

    def _tiles(
        self, cell: str, number: int, row: _Row, pace: Progress
    ) -> Iterator[_Row]:
        reading = self._reading
        source = join_source(os.path.join(self._root, cell), str(row.part))
        self._told |= {"x", "y"}
        try:
            tiles = tiles_of(
                source,
                reading.tile,
                reading.tissue,
                series=number,
                progress=lambda done, status="": pace(0, f"Looking for tissue: {cell}"),
            )
        except ImageError as ex:
            self._reasons[str(ex)] += 1
            tiles = []
        for xywh in tiles:
            name = f"{row.name} x={xywh[0]} y={xywh[1]}"
            yield replace(row, part=replace(row.part, xywh=xywh), name=name)
        if not tiles:
            yield row

    def _add_row(
        self,
        file: int,
        cell: str,
        row: _Row,
        own: Part | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self._files.append(file)
        self._cells.append(cell)
        self._names.append(row.name)
        series, part = row.series, row.part
        values: dict[str, object] = dict.fromkeys(PLANE_COLUMNS, _NAN)
        values["series"] = values["channels"] = ""
        size = None
        if series is not None and own is not None:
            xywh = part.xywh or own.xywh
            size = (series.width, series.height) if xywh is None else xywh[2:]
            number = (part.series if own.series is None else own.series) or 0
            if names:
                values["series"] = names[number] or str(number + 1)
            values["time"] = _from_1(part.t, own.t, series.n_times)
            values["z"] = _from_1(part.z, own.z, series.n_depths)
            values["channel"] = self._channel(
                series, part.c if own.c is None else own.c
            )
            if part.xywh is not None:
                values["x"], values["y"] = map(float, part.xywh[:2])
            self._tell_metadata(series, values)
        self._sizes.append(size)
        for name, column in self._values.items():
            column.append(values[name])

    def _channel(self, series: Series, number: int | None) -> float:
        if number is None:
            if len(series.channels) > 1 or not series.channels[0].name:
                return _NAN
            number = 0
        if number >= len(series.channels):
            return _NAN
        name = channel_name(series, number)
        return float(self._channels.setdefault(name, len(self._channels)))

    def _tell_metadata(self, series: Series, values: dict[str, object]) -> None:
        if series.pixel_size is not None:
            width, height = series.pixel_size
            values["pixel size"], values["pixel height"] = width, height
            self._told.add("pixel size")
            if abs(width - height) > 1e-6 * max(abs(width), abs(height)):
                self._told.add("pixel height")
        if any(channel.name for channel in series.channels):
            names = range(len(series.channels))
            values["channels"] = ", ".join(channel_name(series, c) for c in names)
            self._told.add("channels")


def _places(own: int | None, n: int) -> Sequence[int | None]:
    """Return what to go through: None alone where there is nothing to choose."""
    return range(n) if own is None and n > 1 else (None,)


def _from_1(number: int | None, own: int | None, n: int) -> float:
    """Return the number as people count; of a projection there is none."""
    number = own if own is not None else number
    if number is None:
        return 1.0 if n == 1 else _NAN
    return number + 1.0


def _variable(name: str, channels: Sequence[str]) -> Variable:
    if name in ("series", "channels"):
        return StringVariable(name)
    if name == "channel":
        return DiscreteVariable(name, channels)
    decimals = 4 if name.startswith("pixel") else 0
    return ContinuousVariable(name, number_of_decimals=decimals)

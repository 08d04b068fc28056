"""What the files hold that many pictures can be in: stacks, series, slides."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from orangecontrib.imagemining.images import Measures
from orangecontrib.imagemining.images.formats._base import Series
from orangecontrib.imagemining.images.measure import Inside
from orangecontrib.imagemining.images.sources import COLOURS, split_source

__all__ = [
    "AllSeries",
    "Found",
    "channel_name",
    "is_slide",
    "look",
    "series_names",
    "summed_up",
]

_LARGE = 100_000_000  # pixels
_NAMED = 5  # channels that a summary names

#: The series of a file; () for plain pictures, and for what cannot be read.
AllSeries = tuple[Series, ...]


def channel_name(series: Series, number: int) -> str:
    """Return a channel's name; by its number, from 1, if the file has none for it."""
    return series.channels[number].name or _unnamed(number)


def _unnamed(number: int) -> str:
    return f"channel {number + 1}"


def series_names(inside: AllSeries) -> list[str]:
    """Return what tells a file's series from each other; "" of those without a name.

    Names that several have get the number, from 1, behind them.
    """
    counts = Counter(series.name for series in inside)
    return [
        f"{series.name} ({number})"
        if series.name and counts[series.name] > 1
        else series.name
        for number, series in enumerate(inside, 1)
    ]


def is_slide(series: Series) -> bool:
    """Tell whether a picture is a slide: very large, or stored in several sizes."""
    if series.n_planes > 1:
        return False
    return len(series.levels) > 1 or series.width * series.height > _LARGE


@dataclass
class Found:
    """What files hold besides one ordinary picture.

    Attributes
    ----------
    n_files : files that were asked for.
    n_stacks : those with several planes.
    n_series : those with several series.
    n_slides : those that can become tiles.
    n_deep : those whose numbers have more than 8 bits.
    times, depths, series : smallest and largest number of them in a stack (file).
    channels : the channels' numbers by their names, in the order of the files.
    colours : by the channels' names, those of `COLOURS` nearest to what the files want.
    n_other_order : files whose channels of these names have other numbers.
    unreadable : name of the first file that could not be looked into; "" if none.
    reasons : why files could not be looked into, and how many for each.
    """

    n_files: int = 0
    n_stacks: int = 0
    n_series: int = 0
    n_slides: int = 0
    n_deep: int = 0
    times: tuple[int, int] = (1, 1)
    depths: tuple[int, int] = (1, 1)
    series: tuple[int, int] = (1, 1)
    channels: dict[str, int] = field(default_factory=dict)
    colours: dict[str, str] = field(default_factory=dict)
    n_other_order: int = 0
    unreadable: str = ""
    reasons: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(
            self.n_stacks
            or self.n_series
            or self.n_slides
            or self.n_deep
            or self.channels
        )

    def describe(self) -> str:
        """Say in one line what there is; "" for plain pictures."""
        parts = []
        if self.n_stacks:
            named = [name for name, n in self.channels.items() if name != _unnamed(n)]
            what = [
                f"{name} {_span(*span)}"
                for name, span in (("t", self.times), ("z", self.depths))
                if span[1] > 1
            ]
            if len(self.channels) > 1 and not named:
                what.append(f"{len(self.channels):,} channels")
            elif len(self.channels) > 1:
                more = ", …" * (len(named) > _NAMED or len(named) < len(self.channels))
                what.append(f"channels {', '.join(named[:_NAMED])}{more}")
            detail = f" ({', '.join(what)})" if what else ""
            parts.append(f"{_files(self.n_stacks, 'a stack', 'stacks')}{detail}")
        if self.n_slides:
            parts.append(_files(self.n_slides, "a whole slide", "whole slides"))
        if self.n_series:
            n = f"{self.n_series:,} file{'s' * (self.n_series != 1)}"
            verb = "has" if self.n_series == 1 else "have"
            parts.append(f"{n} {verb} {_span(*self.series)} series")
        if self.n_deep and not parts:
            n = f"{self.n_deep:,} file{'s' * (self.n_deep != 1)}"
            verb = "has" if self.n_deep == 1 else "have"
            parts.append(f"{n} {verb} more than 8 bits")
        return "; ".join(parts)


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _files(n: int, one: str, many: str) -> str:
    return f"1 file is {one}" if n == 1 else f"{n:,} files are {many}"


def look(measures: Measures, paths: Sequence[str]) -> tuple[list[AllSeries], Found]:
    """Return the series of files that were measured, and all of them summed up.

    Parameters
    ----------
    measures
        Has measured the files.
    paths
        Theirs, as they were given to `measures`.
    """
    inside = [measures.inside(path) for path in paths]
    found = summed_up(inside)
    bad = (path for path, (_, why) in zip(paths, inside, strict=True) if why)
    found.unreadable = os.path.basename(split_source(next(bad, ""))[0])
    return [series for series, _ in inside], found


def summed_up(inside: Sequence[Inside]) -> Found:
    """Return what files hold together."""
    found = Found(len(inside))
    # equal ones are one object: few are looked at
    counts = Counter(id(series) for series, _ in inside)
    for series in {id(series): series for series, _ in inside}.values():
        _count(found, series, counts[id(series)])
    found.reasons.update(reason for _, reason in inside if reason)
    return found


def _count(found: Found, inside: AllSeries, n: int) -> None:
    if not inside:
        return
    is_first = not found.n_series
    if len(inside) > 1:
        found.n_series += n
        found.series = _wider(found.series, len(inside), is_first)
    stacks = [series for series in inside if series.n_planes > 1]
    if stacks:
        is_first = not found.n_stacks
        found.n_stacks += n
        for series in stacks:
            found.times = _wider(found.times, series.n_times, is_first)
            found.depths = _wider(found.depths, series.n_depths, is_first)
            is_first = False
    found.n_slides += n * any(map(is_slide, inside))
    found.n_deep += n * any(series.dtype not in ("uint8", "bool") for series in inside)
    other_order = False
    for series in inside:
        if len(series.channels) > 1 or series.channels[0].name:
            for number in range(len(series.channels)):
                name = channel_name(series, number)
                other_order |= found.channels.setdefault(name, number) != number
                colour = series.channels[number].colour
                if colour and any(colour) and name not in found.colours:
                    found.colours[name] = _nearest(colour)
    found.n_other_order += n * other_order


def _nearest(colour: tuple[int, int, int]) -> str:
    def distance(name: str) -> float:
        pairs = zip(COLOURS[name], colour, strict=True)
        return sum((255 * part - wanted) ** 2 for part, wanted in pairs)

    return min(COLOURS, key=distance)


def _wider(span: tuple[int, int], n: int, is_first: bool) -> tuple[int, int]:
    return (n, n) if is_first else (min(span[0], n), max(span[1], n))

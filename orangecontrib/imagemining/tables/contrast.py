"""One range of brightness for a whole set of images, so that they stay comparable."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.images.pace import paced
from orangecontrib.imagemining.images.sources import (
    Rendering,
    escaped,
    join_source,
    parse_source,
    split_source,
)
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["SetRanges", "set_ranges"]

_THREADS = 4
_NUMBERS = 8_000_000  # kept of each channel, of all images together
_FEWEST = 500  # of an image, however many there are

_Samples = Sequence[NDArray[np.generic]]


@dataclass(frozen=True)
class SetRanges:
    """The range of a set of images.

    Attributes
    ----------
    ranges : black and white of each channel that is shown, in the images' own numbers,
        in the order of `Rendering.ranges`.
    n_images : that were read.
    n_unreadable : that could not be read, and are left out.
    """

    ranges: tuple[tuple[float, float], ...]
    n_images: int
    n_unreadable: int


def set_ranges(
    sources: Sequence[str | None],
    rendering: Rendering,
    percentiles: tuple[float, float] = (0.1, 99.9),
    progress: Progress = no_progress,
) -> SetRanges:
    """Return the percentiles of all images together, for each channel.

    Every image counts the same, whatever its size: of each at most 100,000 numbers of
    a channel are taken, evenly spread over it, and fewer if the images are many. The
    same images give the same range on every computer.

    Parameters
    ----------
    sources
        The images, with their parts; None is left out.
    rendering
        How stacks become images, and which channels are shown: a projection has
        another range than a plane. What it says of contrast is not used.
    percentiles
        Per cent of the numbers below black, and not above white.
    progress
        May raise, to stop.

    Raises
    ------
    ImageError
        If none of the images can be read; the reason is that of the first.
    """
    words = str(Rendering(rendering.stack, rendering.channels))
    wanted = [_with_words(source, words) for source in dict.fromkeys(sources) if source]
    most = max(_FEWEST, _NUMBERS // max(1, len(wanted)))
    kept: list[list[NDArray[np.generic]]] = []
    failures: list[ImageError] = []
    for source, samples in zip(wanted, _all_samples(wanted, progress), strict=True):
        if isinstance(samples, ImageError):
            failures.append(samples)
            continue
        for place, numbers in enumerate(samples, _first_place(source)):
            kept += [[] for _ in range(place + 1 - len(kept))]
            step = -(-len(numbers) // most)
            kept[place].append(numbers[:: max(1, step)].copy())
    known = [_range(numbers, percentiles) if numbers else None for numbers in kept]
    spare = next((pair for pair in known if pair), (0.0, 1.0))
    ranges = tuple(pair or spare for pair in known)
    if failures and len(failures) == len(wanted):
        raise failures[0]
    return SetRanges(ranges, len(wanted) - len(failures), len(failures))


def _with_words(source: str, words: str) -> str:
    """Return a source with no other words of a rendering than these."""
    place, part = split_source(source)[0], str(parse_source(source).part)
    return join_source(escaped(place), part, words)


def _first_place(source: str) -> int:
    """Return which of the ranges is the first that the source needs."""
    asked = parse_source(source)
    channels, c = asked.rendering.channels, asked.part.c
    if c is None:
        return 0
    if isinstance(channels, str):
        return c
    numbers = [number for number, _ in channels]
    return numbers.index(c) if c in numbers else 0


def _all_samples(
    sources: Sequence[str], progress: Progress
) -> Iterator[_Samples | ImageError]:
    """Yield what is in the images, in their order, whichever is read first."""
    stopped = threading.Event()

    def read(source: str) -> _Samples | ImageError:
        if stopped.is_set():
            return []
        try:
            return reader.samples(source)
        except ImageError as ex:
            return ex

    n = len(sources)
    pace = paced(progress)
    at_work: deque[Future[_Samples | ImageError]] = deque()
    with ImageReader() as reader, ThreadPoolExecutor(_THREADS) as pool:
        try:
            for number in range(n + _THREADS):
                if number < n:
                    at_work.append(pool.submit(read, sources[number]))
                if at_work and (number >= n or len(at_work) > _THREADS):
                    done = max(0, number - _THREADS)
                    pace(done / n, f"Range: {done:,} of {n:,} images read")
                    yield at_work.popleft().result()
        finally:
            stopped.set()
    if n:
        progress(1, f"Range: {n:,} of {n:,} images read")


def _range(
    numbers: Sequence[NDArray[np.generic]], percentiles: tuple[float, float]
) -> tuple[float, float]:
    together = np.concatenate(numbers)
    if together.dtype.kind == "f":
        together = together[np.isfinite(together)]
    if not together.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(together, percentiles))
    if low == high:  # nearly all pixels alike: the few others are the picture
        low, high = float(together.min()), float(together.max())
    return (low, high) if low < high else (low, low + 1)

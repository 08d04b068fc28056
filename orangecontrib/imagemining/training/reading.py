"""Reads and decodes images for training, by threads, in order."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import ImageReader, is_url, prepare
from orangecontrib.imagemining.images.crops import enough_for
from orangecontrib.imagemining.images.quick import MARGIN
from orangecontrib.imagemining.images.resize import (
    centre_of,
    enlarged_size,
    ordered,
    resized,
    scaled_to_cover,
)
from orangecontrib.imagemining.specs import Preprocess, Progress
from orangecontrib.imagemining.training.plan import Augmentation, Plan

__all__ = ["Picture", "n_cores", "pictures", "whole_scale"]

_AT_ONCE = 16  # images that a thread reads before it reports
_POLL = 0.2  # seconds after which a waiting run looks whether it is to stop
_URL_THREADS = 16  # these wait for servers, not for the processor
_LONGEST = 8  # times as long as wide: only the centre of what is longer is kept


@dataclass(frozen=True)
class Picture:
    """What is kept of an image.

    Attributes
    ----------
    prepared : (height, width, 3) of the network's size.
    whole : larger; None if it is not needed, or is the same.
    size : (height, width) of the image.
    """

    prepared: NDArray[np.uint8]
    whole: NDArray[np.uint8] | None
    size: tuple[int, int]


def pictures(
    todo: Sequence[tuple[int, str]],
    reader: ImageReader,
    plan: Plan,
    preprocess: Preprocess,
    scale: float,
    progress: Progress,
) -> Generator[tuple[int, Picture | str], None, None]:
    """Yield rows, in order, with what was read, or the reason why nothing was.

    Parameters
    ----------
    todo
        Rows with their sources.
    reader
        Opens them, from several threads.
    plan
        Its fit counts.
    preprocess
        What images go through for the network.
    scale
        How much larger than the network's size images are wanted; 1: no larger.
    progress
        Told how far it is; what it raises ends the reading.
    """

    def read(part: list[tuple[int, str]]) -> list[tuple[int, Picture | str]]:
        return [
            (row, _read_one(source, reader, plan.fit, preprocess, scale))
            for row, source in part
        ]

    def report() -> None:
        progress(n_done / len(todo), f"{n_done} of {len(todo)} images read")

    fetched = any(is_url(source) for _, source in todo)
    n_threads = _URL_THREADS if fetched else n_cores()
    workers = ThreadPoolExecutor(n_threads, "read-training-images")
    under_way: deque[Future[list[tuple[int, Picture | str]]]] = deque()
    n_done = 0
    left = iter(todo)
    try:
        while True:
            while len(under_way) < n_threads + 2:
                part = list(islice(left, 1 if fetched else _AT_ONCE))
                if not part:
                    break
                under_way.append(workers.submit(read, part))
            if not under_way:
                return
            report()
            first = under_way.popleft()
            while not wait([first], timeout=_POLL).done:
                report()
            outcomes = first.result()
            n_done += len(outcomes)
            yield from outcomes
    finally:
        # what waits for a server is not waited for
        workers.shutdown(wait=not fetched, cancel_futures=True)


def _read_one(
    source: str, reader: ImageReader, fit: str, preprocess: Preprocess, scale: float
) -> Picture | str:
    try:
        # as embedders.local, so that training sees what prediction will
        if preprocess.as_stored:
            image = reader.read(source, as_stored=True)
        else:
            image = reader.read_at_least(source, enough_for(preprocess, 1))
        whole = _whole(image, preprocess, fit, scale) if scale > 1 else None
        return Picture(
            prepare(image, preprocess, fit), whole, (image.height, image.width)
        )
    except ImageError as ex:
        return str(ex)


def _whole(
    image: Image.Image, preprocess: Preprocess, fit: str, scale: float
) -> NDArray[np.uint8] | None:
    """Return the image in its own shape, only as large as needed."""
    height, width = (round(side * scale) for side in preprocess.size)
    if image.width > _LONGEST * image.height:
        image = centre_of(image, image.height, _LONGEST * image.height)
    elif image.height > _LONGEST * image.width:
        image = centre_of(image, _LONGEST * image.width, image.width)
    if image.width > width and image.height > height:
        image = resized(image, scaled_to_cover(image, height, width), preprocess)
    cut = fit == "crop" and enlarged_size(preprocess) != preprocess.size
    if (image.height, image.width) == preprocess.size and not cut:
        return None
    return ordered(image, replace(preprocess, swapped_columns=None))


def whole_scale(augmentation: Augmentation) -> float:
    """Return how much larger than the network's size images are kept for this."""
    if augmentation.crop == "jitter":
        return min(max(*augmentation.sides, 1.0), MARGIN)
    if augmentation.crop == "area":
        # the smallest parts have as many pixels as the network wants
        return min(1 / math.sqrt(max(min(augmentation.area), 0.01)), MARGIN)
    return 1.0


def n_cores() -> int:
    """Return how many threads work on images at once, 16 at most."""
    if hasattr(os, "sched_getaffinity"):
        return min(16, len(os.sched_getaffinity(0)) or 1)
    return min(16, os.cpu_count() or 2)

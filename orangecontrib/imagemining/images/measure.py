"""Sizes of many images, of which each is looked at once."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

from PIL import Image

from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images.exif import CameraNotes, camera_notes, tags_of
from orangecontrib.imagemining.images.formats import PREFIX, family_of
from orangecontrib.imagemining.images.formats._base import Series
from orangecontrib.imagemining.images.formats._pillow import FORMATS, identify
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.names import PLAIN_SUFFIXES, ending_of
from orangecontrib.imagemining.images.open import open_file
from orangecontrib.imagemining.images.pace import paced
from orangecontrib.imagemining.images.rendering import size_of
from orangecontrib.imagemining.images.sources import Part, parse_source, split_source
from orangecontrib.imagemining.images.stream import (
    DECODER_ERRORS,
    Stream,
    open_path,
)
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["Measure", "Measures", "is_there"]

_THREADS = 4  # waiting for a network drive takes longer than reading a header
_AT_ONCE = (
    16  # files that a thread takes; giving them one by one costs more than reading
)
_NAN = float("nan")
_NO_NOTES = CameraNotes()


#: Length of a file in bytes, NaN if there is none; time of its last change in
#: nanoseconds; width and height of the upright image in pixels, NaN if it cannot be
#: read; what the camera noted, None if that was not asked for. A bare tuple: hundreds
#: of thousands of richer objects make Python pause to look for garbage among them.
Measure = tuple[float, int, float, float, CameraNotes | None]

#: The series of a file that can hold more than one ordinary picture, () for others and
#: for what cannot be read; why it cannot be, "" for ordinary pictures.
Inside = tuple[tuple[Series, ...], str]

# Of a file of which parts are asked for: its length and time, what it holds, notes.
_Looked = tuple[float, int, tuple[Series, ...], CameraNotes | None]

_NOT_THERE: Measure = (_NAN, 0, _NAN, _NAN, _NO_NOTES)


def is_there(measure: Measure) -> bool:
    """Tell whether there is a file."""
    return measure[0] == measure[0]


class Measures:
    """Measures images, and remembers.

    Parameters
    ----------
    root
        Folder that paths are relative to; absolute ones need none.

    Attributes
    ----------
    changed : images that were another file the last time.
    """

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.changed: set[str] = set()
        self._known: dict[str, Measure] = {}
        self._old: dict[str, Measure] = {}
        self._looked: dict[str, _Looked] = {}
        self._inside: dict[str, Inside] = {}
        # thousands of files of one microscope say the same
        self._equal: dict[tuple[Series, ...], tuple[Series, ...]] = {}
        self._limits = Limits.from_environment()

    def renew(self) -> None:
        """Look at the files again from now on: those that did not change by time."""
        self._old = {**self._old, **self._known}
        self._known = {}
        self.changed = set()

    def measure(
        self,
        paths: Sequence[str],
        with_notes: bool = False,
        progress: Progress = no_progress,
    ) -> list[Measure]:
        """Return what is known of each image; those not known yet are read.

        Parameters
        ----------
        paths
            Relative to the root, or absolute; with or without words behind ``#``
            (see `images.sources`): the size is that of the plane or tile.
        with_notes
            Read what the camera noted, too.
        progress
            May raise, to stop; what was measured until then is remembered.
        """
        unknown = [path for path in paths if not self._is_known(path, with_notes)]
        if unknown:
            self._look_at_all(unknown, with_notes, len(paths), progress)
        return [self._known[path] for path in paths]

    def inside(self, path: str) -> Inside:
        """Return what a file holds, of which `measure` was asked before, or why not."""
        return self._inside.get(path, ((), ""))

    def _is_known(self, path: str, with_notes: bool) -> bool:
        known = self._known.get(path)
        return known is not None and not (with_notes and known[4] is None)

    def _look_at_all(
        self, paths: Sequence[str], with_notes: bool, n_all: int, progress: Progress
    ) -> None:
        stopped = threading.Event()

        def look_at_some(start: int) -> None:
            for path in paths[start : start + _AT_ONCE]:
                if stopped.is_set():
                    return
                self._known[path] = self._look_at(path, with_notes)

        n_known = n_all - len(paths)
        pace = paced(progress)
        at_work: deque[Future[None]] = deque()
        with ThreadPoolExecutor(_THREADS) as pool:
            try:
                for start in range(0, len(paths), _AT_ONCE):
                    at_work.append(pool.submit(look_at_some, start))
                    if len(at_work) > 2 * _THREADS:
                        at_work.popleft().result()
                    done = n_known + max(0, start - 2 * _THREADS * _AT_ONCE)
                    pace(done / n_all, f"{done:,} of {n_all:,} images measured")
                for future in at_work:
                    future.result()
            finally:
                stopped.set()
        progress(1, f"{n_all:,} of {n_all:,} images measured")

    def _look_at(self, path: str, with_notes: bool) -> Measure:
        bare, words = split_source(path)
        place = os.path.join(self.root, bare)
        try:
            status = os.stat(place)
        except (OSError, ValueError):  # a zero byte in the name
            return _NOT_THERE
        if not stat.S_ISREG(status.st_mode):
            return _NOT_THERE  # a folder is no image
        size, modified = float(status.st_size), status.st_mtime_ns
        old = self._known.get(path) or self._old.get(path)
        if old is not None:
            if old[:2] != (size, modified):
                self.changed.add(path)
            elif not with_notes or old[4] is not None:
                return old
        if not words:
            measure, (series, reason) = _read(place, with_notes, self._limits)
            self._inside.pop(path, None)
            if series or reason:  # of ordinary pictures there are too many
                series = self._equal.setdefault(series, series)
                self._inside[path] = series, reason
            return size, modified, *measure
        # the many parts of one file are all told by one look at it
        looked = self._looked.get(place)
        if (
            looked is None
            or looked[:2] != (size, modified)
            or (with_notes and looked[3] is None)
        ):
            try:
                found = _look_into(place, with_notes, self._limits)
            except (OSError, ImageError, MemoryError):
                found = (), _NO_NOTES
            looked = self._looked[place] = (size, modified, *found)
        try:
            width, height = size_of(looked[2], parse_source(path).part)
        except ImageError:
            return size, modified, _NAN, _NAN, _NO_NOTES
        return size, modified, width, height, looked[3]


def _read(
    place: str, with_notes: bool, limits: Limits
) -> tuple[tuple[float, float, CameraNotes | None], Inside]:
    """Return width, height and notes from a file's beginning, and what it holds."""
    is_ordinary = ending_of(place) in PLAIN_SUFFIXES
    try:
        with open(place, "rb") as file, Stream(file) as stream:
            if family_of(stream.read(PREFIX), place) is not None:
                is_ordinary = False
                contents, notes = _look_into(place, with_notes, limits)
                return (*size_of(contents, Part()), notes), (contents, "")
            stream.seek(0)
            image = identify(stream, limits)
            width, height = image.size
            tags = tags_of(image, file.raw)  # type: ignore[arg-type]
            turned = tags.get(0x0112) in (5, 6, 7, 8)
            notes = _notes(tags) if with_notes else None
    except (OSError, ImageError, MemoryError) as ex:
        return (_NAN, _NAN, _NO_NOTES), ((), "" if is_ordinary else str(ex))
    if turned:
        width, height = height, width
    return (width, height, notes), ((), "")


def _look_into(
    place: str, with_notes: bool, limits: Limits
) -> tuple[tuple[Series, ...], CameraNotes | None]:
    """Return what a file of any family holds, and notes.

    Raises
    ------
    ImageError, OSError
        If it cannot be opened.
    """
    with (
        open_path(place) as stream,
        closing(open_file(stream, place, limits)) as file,
    ):
        contents, kind = file.series, file.format
        exif = getattr(file, "exif", b"")
    if not with_notes:
        return contents, None
    if exif:
        tags = Image.Exif()
        try:
            tags.load(exif)
            return contents, _notes(tags)
        except (*DECODER_ERRORS, Warning):
            return contents, _NO_NOTES
    if kind not in FORMATS:
        return contents, _NO_NOTES
    # Pillow knows where these keep what the camera noted
    with open(place, "rb") as raw, Stream(raw) as stream:
        try:
            image = identify(stream, replace(limits, max_pixels=sys.maxsize))
        except ImageError:
            return contents, _NO_NOTES
        return contents, _notes(tags_of(image, raw.raw))  # type: ignore[arg-type]


def _notes(tags: Image.Exif) -> CameraNotes:
    return camera_notes(tags) if tags else _NO_NOTES

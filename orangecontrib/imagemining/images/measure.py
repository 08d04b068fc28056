"""Sizes of many images, of which each is looked at once."""

from __future__ import annotations

import os
import stat
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from PIL.TiffImagePlugin import TiffImageFile

from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images.exif import CameraNotes, camera_notes, tags_of
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.open import _identify, _Stream
from orangecontrib.imagemining.images.pace import paced
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
            Relative to the root, or absolute.
        with_notes
            Read what the camera noted, too.
        progress
            May raise, to stop; what was measured until then is remembered.
        """
        unknown = [path for path in paths if not self._is_known(path, with_notes)]
        if unknown:
            self._look_at_all(unknown, with_notes, len(paths), progress)
        return [self._known[path] for path in paths]

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
        place = os.path.join(self.root, path)
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
        return size, modified, *_read(place, with_notes, self._limits)


def _read(
    place: str, with_notes: bool, limits: Limits
) -> tuple[float, float, CameraNotes | None]:
    """Return width, height and notes from the beginning of a file."""
    try:
        with open(place, "rb") as file, _Stream(file) as stream:
            image = _identify(stream, limits)
            width, height = image.size
            tags = tags_of(image, file.raw)  # type: ignore[arg-type]
            notes = None
            if with_notes:
                notes = camera_notes(tags) if tags else _NO_NOTES
            turned = tags.get(0x0112) in (5, 6, 7, 8)
            if isinstance(image, TiffImageFile):
                # Pillow turns these itself, and gives their size as turned already
                turned &= image.size == (image.tag_v2.get(256), image.tag_v2.get(257))
    except (OSError, ImageError):
        return _NAN, _NAN, _NO_NOTES
    return (height, width, notes) if turned else (width, height, notes)

"""Thumbnails made off the GUI thread, those nearest to the view first."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from AnyQt.QtCore import QObject, QSize, Qt
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtGui import QImage
from PIL import Image

from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import (
    STORED_SIDE,
    ImageReader,
    ThumbnailStore,
    local_path,
)
from orangecontrib.imagemining.images.sources import parse_source

__all__ = ["ImageLoader", "shared_store", "to_qimage"]

_log = logging.getLogger(__name__)

_N_THREADS = max(2, min(4, (os.cpu_count() or 2) - 1))
_MAX_WAITING = 3000  # more than fit on a screen: older ones have been scrolled away
_MAX_BYTES = 96 * 2**20  # of finished images in memory


@cache
def shared_store() -> ThumbnailStore:
    """Return the store of this program, which all its loaders share."""
    return ThumbnailStore()


def to_qimage(image: Image.Image) -> QImage:
    """Convert an image of mode L or RGB, with pixels of its own.

    The result has the format that Qt draws without converting.
    """
    grey = image.mode == "L"
    kind = QImage.Format.Format_Grayscale8 if grey else QImage.Format.Format_RGB888
    width, height = image.size
    line = width * (1 if grey else 3)
    made = QImage(image.tobytes(), width, height, line, kind)
    return made.convertToFormat(QImage.Format.Format_RGB32)


class _Fit(NamedTuple):
    """The space that an image is scaled to fit."""

    width: int
    height: int
    enlarge: bool  # whether smaller images are scaled up

    def scale(self, image: Image.Image) -> Image.Image:
        factor = min(self.width / image.width, self.height / image.height)
        if factor < 1:
            image.thumbnail((self.width, self.height), reducing_gap=2.0)
        elif factor > 1 and self.enlarge:
            size = [max(1, round(side * factor)) for side in image.size]
            return image.resize((size[0], size[1]), Image.Resampling.BICUBIC)
        return image


@dataclass(frozen=True)
class _Loaded:
    image: QImage
    fit: _Fit
    original: QSize | None  # None where only a stored thumbnail was read


class ImageLoader(QObject):
    """Reads images in threads and keeps the latest.

    All methods belong to the GUI thread.

    Parameters
    ----------
    parent
        As for all of Qt's objects.
    store
        Keeps thumbnails of large images on disk. Without one they are made anew in
        each run.

    Signals
    -------
    loaded(row)
        `image` or `reason` now has an answer for this row.
    """

    loaded = Signal(int)
    _done = Signal(int, int, object)  # generation, row, _Loaded or str

    def __init__(
        self, parent: QObject | None = None, store: ThumbnailStore | None = None
    ) -> None:
        super().__init__(parent)
        self._sources: Sequence[str | None] = []
        self._fit = _Fit(1, 1, False)
        self._generation = 0
        self._images: OrderedDict[int, _Loaded] = OrderedDict()
        self._reasons: dict[int, str] = {}
        self._bytes = 0
        self._waiting: OrderedDict[int, _Fit] = OrderedDict()
        self._busy: dict[tuple[int, int], _Fit] = {}
        self._ready = threading.Condition()
        self._closed = False
        self._reader = ImageReader()
        self._store = store
        self._threads: list[threading.Thread] = []
        self._done.connect(self._on_done, Qt.ConnectionType.QueuedConnection)

    def set_sources(self, sources: Sequence[str | None], size: QSize) -> None:
        """Forget all images; from now on these, scaled down to fit `size`."""
        with self._ready:
            self._sources = sources
            self._fit = _Fit(size.width(), size.height(), False)
            self._generation += 1
            self._waiting.clear()
        self._images.clear()
        self._reasons.clear()
        self._bytes = 0

    def reason(self, row: int) -> str | None:
        """Return why there is no image, None as long as there may be one."""
        if not self._sources[row]:
            return "No image is given in this row"
        return self._reasons.get(row)

    def image(self, row: int, side: int | None = None) -> QImage | None:
        """Return the best image there is at once; ask for what is missing.

        Parameters
        ----------
        row
            Place in the sources.
        side
            Side of the square that the image is scaled to fit, down or up, in device
            pixels; by default it is scaled down to the size given with the sources.
            Until it has been made, one of another size is returned.
        """
        known = self._images.get(row)
        fit = self._fit if side is None else _Fit(side, side, True)
        if known is not None:
            self._images.move_to_end(row)
        if self._is_wanted(row, fit):
            self._request(row, fit)
        return None if known is None else known.image

    def look_at(self, rows: Sequence[int], side: int) -> None:
        """Make these first, in this order, and forget what else was asked for."""
        fit = _Fit(side, side, True)
        wanted = [row for row in rows if self._is_wanted(row, fit)]
        with self._ready:
            self._waiting.clear()
            for row in reversed(wanted[:_MAX_WAITING]):
                if self._busy.get((self._generation, row)) != fit:
                    self._waiting[row] = fit
            if self._waiting:
                self._start()
                self._ready.notify_all()

    def original_size(self, row: int) -> QSize | None:
        """Return the size in pixels of the whole image, if it has been read."""
        known = self._images.get(row)
        return None if known is None else known.original

    def close(self) -> None:
        """Stop the threads, without waiting for the images they are at."""
        with self._ready:
            self._closed = True
            self._waiting.clear()
            self._ready.notify_all()
        self._reader.close()

    def _is_wanted(self, row: int, fit: _Fit) -> bool:
        known = self._images.get(row)
        if known is None:
            return self.reason(row) is None
        return known.fit != fit

    def _request(self, row: int, fit: _Fit) -> None:
        with self._ready:
            self._start()
            if self._busy.get((self._generation, row)) == fit:
                return
            self._waiting[row] = fit
            self._waiting.move_to_end(row)
            while len(self._waiting) > _MAX_WAITING:
                self._waiting.popitem(last=False)
            self._ready.notify()

    def _start(self) -> None:
        if self._threads or self._closed:
            return
        self._threads = [
            threading.Thread(target=self._work, name="thumbnails", daemon=True)
            for _ in range(_N_THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                row, fit = self._waiting.popitem(last=True)
                generation = self._generation
                source = self._sources[row] or ""
                self._busy[generation, row] = fit
            result = self._load(source, fit)
            try:
                self._done.emit(generation, row, result)
            except RuntimeError:
                return  # the window, and with it this object's Qt half, is gone

    def _load(self, source: str, fit: _Fit) -> _Loaded | str:
        try:
            image, original = self._read(source, max(fit.width, fit.height))
            return _Loaded(to_qimage(fit.scale(image)), fit, original)
        except ImageError as ex:
            return str(ex)
        except MemoryError:
            return "Too large for this computer's memory"
        except Exception as ex:  # noqa: BLE001  the thread must live for the others
            if not self._closed:
                _log.exception("%s cannot be shown", source)
            return f"Cannot be shown ({ex or type(ex).__name__})"

    def _read(self, source: str, side: int) -> tuple[Image.Image, QSize | None]:
        """Return an image of `side` pixels at least, if it has so many."""
        # what lies at an address may change unseen, so it is not kept
        store = self._store
        if local_path(source) is None or store is None or side > STORED_SIDE:
            image, whole = self._reader.read_near(source, side)
            return image, QSize(*whole)
        if (stored := store.get(source)) is not None:
            return stored, None
        image, whole = self._reader.read_near(source, STORED_SIDE)
        # small images are read as quickly from their own files; not those that many
        # planes are read for
        is_slow = parse_source(source).rendering.stack in ("max", "mean")
        if is_slow or whole[0] * whole[1] > 2 * STORED_SIDE**2:
            image.thumbnail((STORED_SIDE, STORED_SIDE), reducing_gap=2.0)
            store.put(source, image)
        return image, QSize(*whole)

    def _on_done(self, generation: int, row: int, result: _Loaded | str) -> None:
        with self._ready:
            self._busy.pop((generation, row), None)
        if generation != self._generation:
            return
        known = self._images.pop(row, None)
        if known is not None:
            self._bytes -= known.image.sizeInBytes()
        if isinstance(result, str):
            self._reasons[row] = result
        else:
            self._images[row] = result
            self._bytes += result.image.sizeInBytes()
            while self._bytes > _MAX_BYTES and len(self._images) > 1:
                _, oldest = self._images.popitem(last=False)
                self._bytes -= oldest.image.sizeInBytes()
        self.loaded.emit(row)

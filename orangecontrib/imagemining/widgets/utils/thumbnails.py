"""Thumbnails made off the GUI thread, what was asked for last first."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence

from AnyQt.QtCore import QObject, QSize, Qt
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtGui import QImage
from PIL import Image

from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import ImageReader

__all__ = ["ImageLoader", "to_qimage"]

_log = logging.getLogger(__name__)

_N_THREADS = 2
_MAX_WAITING = 3000  # more than fit on a screen: older ones have been scrolled away
_MAX_BYTES = 96 * 2**20  # of finished images in memory


def to_qimage(image: Image.Image) -> QImage:
    """Convert an image of mode L or RGB, with pixels of its own."""
    grey = image.mode == "L"
    kind = QImage.Format.Format_Grayscale8 if grey else QImage.Format.Format_RGB888
    width, height = image.size
    line = width * (1 if grey else 3)
    return QImage(image.tobytes(), width, height, line, kind).copy()


class ImageLoader(QObject):
    """Reads images in threads and keeps the latest.

    All methods belong to the GUI thread.

    Signals
    -------
    loaded(row)
        `image` or `reason` now has an answer for this row.
    """

    loaded = Signal(int)
    _done = Signal(int, int, object)  # generation, row, QImage or str

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._sources: Sequence[str | None] = []
        self._size = QSize()
        self._generation = 0
        self._images: OrderedDict[int, QImage] = OrderedDict()
        self._reasons: dict[int, str] = {}
        self._bytes = 0
        self._waiting: OrderedDict[int, None] = OrderedDict()
        self._busy: set[tuple[int, int]] = set()
        self._ready = threading.Condition()
        self._closed = False
        self._reader = ImageReader()
        self._threads: list[threading.Thread] = []
        self._done.connect(self._on_done, Qt.ConnectionType.QueuedConnection)

    def set_sources(self, sources: Sequence[str | None], size: QSize) -> None:
        """Forget all images; from now on these, scaled down to fit `size`."""
        with self._ready:
            self._sources = sources
            self._size = size
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

    def image(self, row: int) -> QImage | None:
        """Return the image if it is there; otherwise ask for it."""
        image = self._images.get(row)
        if image is not None:
            self._images.move_to_end(row)
        elif self.reason(row) is None:
            self._request(row)
        return image

    def close(self) -> None:
        """Stop the threads, without waiting for the images they are at."""
        with self._ready:
            self._closed = True
            self._waiting.clear()
            self._ready.notify_all()
        self._reader.close()

    def _request(self, row: int) -> None:
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._work, name="thumbnails", daemon=True)
                for _ in range(_N_THREADS)
            ]
            for thread in self._threads:
                thread.start()
        with self._ready:
            if (self._generation, row) in self._busy:
                return
            self._waiting[row] = None
            self._waiting.move_to_end(row)
            while len(self._waiting) > _MAX_WAITING:
                self._waiting.popitem(last=False)
            self._ready.notify()

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                row, _ = self._waiting.popitem(last=True)
                generation, size = self._generation, self._size
                source = self._sources[row] or ""
                self._busy.add((generation, row))
            result = self._load(source, size)
            try:
                self._done.emit(generation, row, result)
            except RuntimeError:
                return  # the window, and with it this object's Qt half, is gone

    def _load(self, source: str, size: QSize) -> QImage | str:
        try:
            image = self._reader.read(source)
            image.thumbnail((size.width(), size.height()), reducing_gap=2.0)
            return to_qimage(image)
        except ImageError as ex:
            return str(ex)
        except MemoryError:
            return "Too large for this computer's memory"
        except Exception as ex:  # noqa: BLE001  the thread must live for the others
            if not self._closed:
                _log.exception("%s cannot be shown", source)
            return f"Cannot be shown ({ex or type(ex).__name__})"

    def _on_done(self, generation: int, row: int, result: QImage | str) -> None:
        with self._ready:
            self._busy.discard((generation, row))
        if generation != self._generation:
            return
        if isinstance(result, str):
            self._reasons[row] = result
        else:
            self._images[row] = result
            self._bytes += result.sizeInBytes()
            while self._bytes > _MAX_BYTES and len(self._images) > 1:
                self._bytes -= self._images.popitem(last=False)[1].sizeInBytes()
        self.loaded.emit(row)

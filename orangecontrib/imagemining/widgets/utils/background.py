"""Small questions that may take a moment, asked in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from AnyQt.QtCore import QObject, Qt
from AnyQt.QtCore import pyqtSignal as Signal

__all__ = ["Background"]

_PATIENCE = 0.3  # seconds that closing a window may wait


class Background(QObject):
    """Asks in a thread, and tells in that of the screen.

    Of several questions only the last is answered.

    Parameters
    ----------
    parent
        Ends with it.
    """

    _answered = Signal(int, object)  # number of the question, future

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._executor = ThreadPoolExecutor(1, "background")
        self._number = 0
        self._then: Callable[[Any], None] | None = None
        self._last: Future[Any] | None = None
        self._has_ended = False
        # held while an answer is handed over: nobody ends in between
        self._lock = threading.Lock()
        # also where the answer was there before anybody could wait for it
        self._answered.connect(self._tell, Qt.ConnectionType.QueuedConnection)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._then is not None

    def ask(self, question: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Call `question` in the thread, and `then` with what it returns."""
        if self._has_ended:
            return  # a timer of a widget that is closed may still come
        self._number += 1
        self._then = then
        number = self._number

        def done(future: Future[Any]) -> None:
            with self._lock:
                if self._has_ended:
                    return
                try:
                    self._answered.emit(number, future)
                except RuntimeError:
                    pass  # the widget is gone

        self._last = self._executor.submit(question)
        self._last.add_done_callback(done)

    def stop(self) -> None:
        """Give no more answers; what takes longer comes to its end by itself."""
        with self._lock:
            self._has_ended = True
        self._number += 1
        self._then = None
        self._executor.shutdown(wait=False, cancel_futures=True)
        # a cache that is made smaller takes seconds, for which no window is to wait
        if self._last is not None:
            wait([self._last], timeout=_PATIENCE)

    def _tell(self, number: int, future: Future[Any]) -> None:
        if number != self._number or self._then is None or future.cancelled():
            return
        then, self._then = self._then, None
        then(future.result())

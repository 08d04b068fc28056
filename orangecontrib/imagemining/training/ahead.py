"""Loading what training needs while the user still chooses: PyTorch takes seconds.

Without torch at import.
"""

from __future__ import annotations

import threading

from orangecontrib.imagemining.training.plan import Plan

__all__ = ["load_ahead"]

_LOCK = threading.Lock()
_threads: list[threading.Thread] = []


def load_ahead() -> threading.Thread:
    """Have a thread load PyTorch and what of it is loaded by training only.

    Done once in a process. The thread need not be waited for: whoever needs a module
    earlier waits for it by importing it.
    """
    with _LOCK:
        if not _threads:
            _threads.append(threading.Thread(target=_load, name="load PyTorch"))
            _threads[0].start()
        return _threads[0]


def _load() -> None:
    # loads the compiler that torch's optimizers ask for, too
    from orangecontrib.imagemining.training.starting import parts_of
    from orangecontrib.imagemining.training.trainer import Trainer  # noqa: F401

    parts_of(Plan(start="nothing"), n_classes=2)

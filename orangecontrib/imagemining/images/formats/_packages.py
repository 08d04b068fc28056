"""Packages that only some formats need: imported late, and kept quiet."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from orangecontrib.imagemining.exceptions import DamagedImageError, ImageError

__all__ = ["guarded", "muted", "needed", "quiet"]

# warnings are switched off for the whole program: two threads that did so at once
# would leave them off for ever
_LOCK = threading.RLock()
_HERE = threading.local()


def needed(
    module: str,
    what: str,
    extra: str,
    first: tuple[int, int] = (3, 0),
    last: tuple[int, int] = (3, 99),
) -> ModuleType:
    """Import a package of one of this project's extras.

    Parameters
    ----------
    module
        Name to import.
    what
        Kind of files that need it, for the message.
    extra
        The extra that has it.
    first, last
        Versions of Python that the package is there for.

    Raises
    ------
    ImageError
        If it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as ex:  # OSError: a library it comes with is missing
        if not first <= sys.version_info[:2] <= last:
            raise ImageError(
                f"{what} files need a part that is not there for Python"
                f" {sys.version_info[0]}.{sys.version_info[1]}; convert them to TIFF"
            ) from ex
        raise ImageError(
            f"{what} files need a part that is not installed; install it with"
            f' pip install "Orange3-ImageMining[{extra}]"'
        ) from ex


class _Mute(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_HERE, "muted", 0)


_MUTE = _Mute()


@contextmanager
def muted(*loggers: str) -> Iterator[None]:
    """Keep what this thread logs to ourselves.

    What packages say of a file may quote it, patients' names included.

    Parameters
    ----------
    loggers
        Names of those that are to be silent.
    """
    for name in loggers:
        logging.getLogger(name).addFilter(_MUTE)
    _HERE.muted = getattr(_HERE, "muted", 0) + 1
    try:
        yield
    finally:
        _HERE.muted -= 1


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Keep warnings to ourselves, too; for one thread at a time."""
    with muted(*loggers), _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def guarded(reason: str) -> Iterator[None]:
    """Turn whatever a package raises into a `DamagedImageError` of this reason."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    # packages raise what they like on files that contradict themselves, and no list of
    # it would stay complete
    except Exception as ex:
        raise DamagedImageError(reason) from ex

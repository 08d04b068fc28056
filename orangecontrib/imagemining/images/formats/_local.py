"""Content as a file on disk, for packages that open nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from typing import BinaryIO

__all__ = ["OnDisk"]


class OnDisk:
    """A file's path; of content that was fetched, a temporary copy's.

    Parameters
    ----------
    stream
        The content.
    path
        Where it is already, or None.
    ending
        Of the temporary file's name.

    Attributes
    ----------
    path : where it is, until `close`.
    """

    def __init__(self, stream: BinaryIO, path: str | None, ending: str = "") -> None:
        if path is not None:
            self.path = path
            self._remove = None
            return
        handle, self.path = tempfile.mkstemp(ending, "imagemining-")
        # also if nobody ever closes it
        self._remove = weakref.finalize(self, _remove, self.path)
        try:
            with open(handle, "wb") as file:
                stream.seek(0)
                shutil.copyfileobj(stream, file, 2**20)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the copy, if it is one."""
        if self._remove is not None:
            self._remove()


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)

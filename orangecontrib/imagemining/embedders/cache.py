"""Vectors computed in this program run, so that no image is computed twice.

A model that is applied converts its table several times, and each time would embed
every image anew.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.images import local_path
from orangecontrib.imagemining.images.sources import split_source
from orangecontrib.imagemining.specs import EmbedderSpec

__all__ = ["VectorCache", "key_of"]

_SECONDS_AT_ADDRESS = 600


def key_of(
    spec: EmbedderSpec, source: str, version: Hashable = None
) -> tuple[Hashable, ...] | None:
    """Return what `source`, as it is now, and `spec` are remembered under.

    Parameters
    ----------
    spec
        The embedder; the key begins with it.
    source
        Path or address of the image.
    version
        What else tells whether the network is still the same.

    Returns
    -------
    None if there is nothing at that place.
    """
    path = local_path(source)
    if path is None:
        # what lies at an address may change unseen: it is looked at anew now and then
        digest = hashlib.sha256(source.encode("utf8", "replace")).digest()
        return (spec, version, digest, int(time.monotonic() // _SECONDS_AT_ADDRESS))
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return (
        spec,
        version,
        os.path.abspath(path),
        split_source(source)[1],
        status.st_mtime_ns,
        status.st_size,
    )


class VectorCache:
    """A bounded store; what was used longest ago goes first.

    Parameters
    ----------
    max_bytes
        Bound on the vectors' size together.
    """

    def __init__(self, max_bytes: int = 256 * 2**20) -> None:
        self.max_bytes = max_bytes
        self._vectors: OrderedDict[Hashable, NDArray[np.float32]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable | None) -> NDArray[np.float32] | None:
        """Return the vector kept under `key`."""
        with self._lock:
            vector = self._vectors.get(key)
            if vector is not None:
                self._vectors.move_to_end(key)
            return vector

    def put(self, key: Hashable | None, vector: NDArray[np.float32]) -> None:
        """Keep a copy of `vector`, unless `key` is None."""
        if key is None:
            return
        with self._lock:
            old = self._vectors.pop(key, None)
            self._bytes += vector.nbytes - (0 if old is None else old.nbytes)
            self._vectors[key] = vector.copy()
            while self._bytes > self.max_bytes:
                self._bytes -= self._vectors.popitem(last=False)[1].nbytes

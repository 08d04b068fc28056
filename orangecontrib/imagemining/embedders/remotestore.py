"""Keeps what a server computed beside what this computer computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.base import check_spec
from orangecontrib.imagemining.embedders.cache import (
    Row,
    Stamp,
    VectorStore,
    content_of,
    content_of_file,
    shared_store,
    spec_key,
    stamp_of,
)
from orangecontrib.imagemining.images import local_path
from orangecontrib.imagemining.specs import EmbedderSpec

__all__ = ["StoredVectors"]


class StoredVectors:
    """The store of vectors, as `RemoteEmbedder` uses it.

    A vector is the same wherever it was computed, so what a server computed is found
    by `LocalEmbedder`, and the other way round.

    Parameters
    ----------
    spec
        Of which vectors.
    store
        By default that of the user, on disk.
    """

    def __init__(self, spec: EmbedderSpec, store: VectorStore | None = None) -> None:
        self._store = shared_store() if store is None else store
        self._size = check_spec(spec).size
        self._key = spec_key(spec)
        self._stamps: dict[str, Stamp | None] = {}

    def lookup(
        self, images: Sequence[str | None]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return (n, size) vectors, and which of them are known."""
        # a file that changes from now on counts as changed
        self._stamps = {image: stamp_of(image) for image in images if image}
        return self._store.lookup(images, self._key, self._size)

    def keep(self, images: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep vectors of images that were just embedded."""
        rows = []
        for image, vector in zip(images, vectors, strict=True):
            stamp = self._stamps.get(image)
            try:
                content = _content(image, stamp)
            except OSError:
                continue  # gone meanwhile
            rows.append(Row(image, stamp, content, {self._key: vector}))
        self._store.put_many(rows)


def _content(image: str, stamp: Stamp | None) -> bytes:
    path = local_path(image)
    if path is None:
        # what was fetched is not here any more: found by its address only
        return content_of(f"{image} {stamp}".encode("utf8", "surrogatepass"))
    return content_of_file(path)

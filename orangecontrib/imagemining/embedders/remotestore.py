"""Keeps what a server computed beside what this computer computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.base import check_spec
from orangecontrib.imagemining.embedders.cache import (
    Row,
    VectorStore,
    shared_store,
    spec_key,
)
from orangecontrib.imagemining.embedders.pipeline import FileContent
from orangecontrib.imagemining.specs import EmbedderSpec, Progress, no_progress

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

    Raises
    ------
    UnknownNameError
        If `spec` names what does not exist.
    """

    def __init__(self, spec: EmbedderSpec, store: VectorStore | None = None) -> None:
        self._store = shared_store() if store is None else store
        self._spec = spec
        self._size = check_spec(spec).size
        self._keys = {spec.layer: spec_key(spec)}

    def lookup(
        self, images: Sequence[str | None], progress: Progress = no_progress
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return (n, size) vectors, and which of them are known; reads no image."""
        key = self._key(self._spec.layer)
        return self._store.lookup(images, key, self._size, progress)

    def find(
        self, file: FileContent, layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Return what is known of a file's content, wherever it lies, by layer."""
        if not file.digest:
            return {}
        keys = {self._key(layer): layer for layer in layers}
        found = self._store.find(file.source, file.digest, list(keys))
        return {
            layer: found[key]
            for key, layer in keys.items()
            if key in found and found[key].shape == (self._size_of(layer),)
        }

    def keep(
        self,
        files: Sequence[FileContent],
        vectors: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Keep vectors of images that were just embedded, (n, size) by layer."""
        self._store.put_many(
            Row(
                file.source,
                file.stamp,
                file.digest,
                {self._key(layer): rows[place] for layer, rows in vectors.items()},
            )
            for place, file in enumerate(files)
            # without one, the file changed while it was read
            if file.digest
        )

    def _size_of(self, layer: str) -> int:
        return check_spec(replace(self._spec, layer=layer)).size

    def _key(self, layer: str) -> bytes:
        if layer not in self._keys:
            self._keys[layer] = spec_key(replace(self._spec, layer=layer))
        return self._keys[layer]

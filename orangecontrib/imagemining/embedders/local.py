"""Embeds images on this computer."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.base import Embeddings, check_spec
from orangecontrib.imagemining.embedders.cache import VectorCache, key_of
from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import (
    ImageReader,
    Limits,
    is_url,
    prepare,
    turned,
)
from orangecontrib.imagemining.specs import EmbedderSpec, Progress, no_progress
from orangecontrib.imagemining.weights import weights_of

__all__ = ["LocalEmbedder"]

_BATCH = 16
_CHUNK = 4 * _BATCH  # images decoded before they are embedded: bounds the memory
_POLL = 0.2  # seconds after which a waiting run looks whether it is to stop
_URL_THREADS = 16  # these wait for servers, not for the processor

# shared by all embedders of the program: what one widget computed, a model need not
_CACHE = VectorCache()


@dataclass(frozen=True)
class _Item:
    """An image on its way: its row, and what its vector is kept under."""

    row: int
    key: Hashable | None
    pixels: Future[NDArray[np.uint8]]


class LocalEmbedder:
    """Reads images in threads of its own and runs them through a network in batches.

    Parameters
    ----------
    spec
        Which vector to compute.
    limits
        What an image may cost; by default as the environment says.
    cache
        Store of vectors known already; by default one for the whole program.

    Raises
    ------
    UnknownNameError
        If `spec` names what does not exist.
    """

    def __init__(
        self,
        spec: EmbedderSpec,
        limits: Limits | None = None,
        cache: VectorCache | None = None,
    ) -> None:
        self._layer = check_spec(spec)
        self.spec = spec
        self._preprocess = weights_of(spec.network).preprocess
        self._limits = limits
        self._cache = _CACHE if cache is None else cache

    @property
    def size(self) -> int:
        """Length of a vector."""
        return self._layer.size

    def __call__(
        self, images: Sequence[str | None], progress: Progress = no_progress
    ) -> Embeddings:
        """Embed the images at these paths or addresses (None: there is no image).

        Raises
        ------
        WeightsError
            If the network's weights are not to be had. Nothing is embedded by another
            network instead.
        """
        vectors = np.full((len(images), self.size), np.nan, np.float32)
        result = Embeddings(vectors, [None] * len(images))
        todo = self._look_up(images, result)
        if todo:
            progress(0, "Loading the network")
            self._load_engine()
            with ImageReader(self._limits) as reader:
                self._compute(images, todo, reader, result, progress)
        progress(1, f"{len(images)} of {len(images)} images")
        return result

    def _look_up(
        self, images: Sequence[str | None], result: Embeddings
    ) -> list[tuple[int, Hashable | None]]:
        """Fill in what is known; return rows and keys of what is not."""
        todo = []
        for row, source in enumerate(images):
            if not source:
                result.reasons[row] = "No image is given in this row"
                continue
            key = key_of(self.spec, source)
            known = self._cache.get(key)
            if known is None:
                todo.append((row, key))
            else:
                result.vectors[row] = known
        return todo

    def _load_engine(self) -> None:
        # torch takes a second to import, so it is loaded when there is work for it
        from orangecontrib.imagemining.embedders.engines.pytorch import engine_for

        self._engine = engine_for(self.spec.network)

    def _compute(
        self,
        images: Sequence[str | None],
        todo: list[tuple[int, Hashable | None]],
        reader: ImageReader,
        result: Embeddings,
        progress: Progress,
    ) -> None:
        def submit(start: int) -> list[_Item]:
            return [
                _Item(row, key, pool.submit(self._read, reader, images[row] or ""))
                for row, key in todo[start : start + _CHUNK]
            ]

        def report() -> None:
            done = len(images) - len(todo) + n_done
            progress(n_done / len(todo), f"{done} of {len(images)} images")

        # Files are read and embedded in turns: decoding beside torch's threads makes
        # these wait for each other, and costs more than it gains. Addresses are read
        # ahead, since their threads mostly wait.
        remote = any(is_url(images[row] or "") for row, _ in todo)
        n_threads = _URL_THREADS if remote else min(8, os.cpu_count() or 2)
        pool = ThreadPoolExecutor(n_threads, thread_name_prefix="read-images")
        n_done = 0
        try:
            report()
            ahead = submit(0)
            for start in range(0, len(todo), _CHUNK):
                items, ahead = ahead, submit(start + _CHUNK) if remote else []
                good = []
                for item in items:
                    while not _is_done(item.pixels):
                        report()
                    try:
                        good.append((item, item.pixels.result()))
                    except ImageError as ex:
                        result.reasons[item.row] = str(ex)
                        n_done += 1
                for first in range(0, len(good), _BATCH):
                    batch = good[first : first + _BATCH]
                    self._embed(batch, result)
                    n_done += len(batch)
                    report()
                if not remote:
                    ahead = submit(start + _CHUNK)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, reader: ImageReader, source: str) -> NDArray[np.uint8]:
        return prepare(reader.read(source), self._preprocess)

    def _embed(
        self, batch: list[tuple[_Item, NDArray[np.uint8]]], result: Embeddings
    ) -> None:
        pixels = np.stack([pixels for _, pixels in batch])
        layer = self.spec.layer
        vectors = sum(
            self._engine.run(turned(pixels, view) if view else pixels, [layer])[layer]
            for view in range(self.spec.views)
        )
        vectors = np.asarray(vectors / np.float32(self.spec.views), np.float32)
        for (item, _), vector in zip(batch, vectors, strict=True):
            result.vectors[item.row] = vector
            self._cache.put(item.key, vector)


def _is_done(future: Future[NDArray[np.uint8]]) -> bool:
    return bool(wait([future], timeout=_POLL).done)

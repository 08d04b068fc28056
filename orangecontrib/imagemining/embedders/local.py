"""Embeds images on this computer."""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

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

_BATCH = 8  # images that a thread reads, then embeds
_POLL = 0.2  # seconds after which a waiting run looks whether it is to stop
_MAX_THREADS = 16
_URL_THREADS = 16  # these wait for servers, not for the processor

# shared by all embedders of the program: what one widget computed, a model need not
_CACHE = VectorCache()

#: Row of an image, and what its vector is kept under.
_Todo = tuple[int, Hashable | None]
#: What became of an image: its vector, or the reason why it has none.
_Outcome = NDArray[np.float32] | str


class LocalEmbedder:
    """Reads images and runs them through a network, in threads of its own.

    Each thread reads a batch of images, then embeds them, on one core. That is as fast
    as embedding on all cores at once, and much faster when something else runs too:
    threads that share the work on one image wait for the one that was held up.

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

    def _look_up(self, images: Sequence[str | None], result: Embeddings) -> list[_Todo]:
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
        from orangecontrib.imagemining.embedders.engines.pytorch import (
            engine_for,
            use_one_core,
        )

        self._engine = engine_for(self.spec.network)
        self._use_one_core = use_one_core

    def _compute(
        self,
        images: Sequence[str | None],
        todo: list[_Todo],
        reader: ImageReader,
        result: Embeddings,
        progress: Progress,
    ) -> None:
        def report() -> None:
            done = len(images) - len(todo) + n_done
            progress(n_done / len(todo), f"{done} of {len(images)} images")

        n_done = 0
        stop = threading.Event()
        sources = [images[row] or "" for row, _ in todo]
        pool = ThreadPoolExecutor(
            _n_threads(sources), "embed-images", initializer=self._use_one_core
        )
        try:
            report()
            batches = [
                pool.submit(self._embed, sources[start : start + _BATCH], reader, stop)
                for start in range(0, len(todo), _BATCH)
            ]
            for batch in batches:
                while not _is_done(batch):
                    report()
                for outcome in batch.result():
                    row, key = todo[n_done]
                    if isinstance(outcome, str):
                        result.reasons[row] = outcome
                    else:
                        result.vectors[row] = outcome
                        self._cache.put(key, outcome)
                    n_done += 1
                report()
        finally:
            # what is being read ends by itself, with its image at the latest
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _embed(
        self, sources: list[str], reader: ImageReader, stop: threading.Event
    ) -> list[_Outcome]:
        """Read and embed a batch of images, in one of the threads."""
        outcomes: dict[int, _Outcome] = {}
        pixels: dict[int, NDArray[np.uint8]] = {}
        for place, source in enumerate(sources):
            if stop.is_set():
                return []
            try:
                image = reader.read(source, self._preprocess.as_stored)
                pixels[place] = prepare(image, self._preprocess)
            except ImageError as ex:
                outcomes[place] = str(ex)
        if pixels:
            vectors = self._mean_over_views(np.stack(list(pixels.values())), stop)
            outcomes.update(zip(pixels, vectors, strict=True))
        return [outcomes[place] for place in range(len(sources))]

    def _mean_over_views(
        self, pixels: NDArray[np.uint8], stop: threading.Event
    ) -> NDArray[np.float32]:
        layer = self.spec.layer
        total = np.zeros((len(pixels), self.size), np.float32)
        for view in range(self.spec.views):
            if stop.is_set():
                break
            batch = turned(pixels, view) if view else pixels
            total += self._engine.run(batch, [layer])[layer]
        return total / np.float32(self.spec.views)


def _n_threads(sources: Sequence[str]) -> int:
    if any(map(is_url, sources)):
        return _URL_THREADS
    return min(_MAX_THREADS, os.cpu_count() or 2)


def _is_done(future: Future[list[_Outcome]]) -> bool:
    return bool(wait([future], timeout=_POLL).done)

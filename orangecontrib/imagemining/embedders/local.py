"""Embeds images on this computer."""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.embedders.base import Embeddings, check_spec
from orangecontrib.imagemining.embedders.cache import VectorCache, key_of
from orangecontrib.imagemining.embedders.catalog import (
    card_of,
    engine_for,
    version_of,
)
from orangecontrib.imagemining.embedders.classes import softmax
from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import (
    CROPS,
    ImageReader,
    Limits,
    crops_of,
    dense_images,
    is_url,
    prepare,
    turned,
)
from orangecontrib.imagemining.specs import (
    DENSE_VIEWS,
    PROBABILITIES,
    EmbedderSpec,
    Progress,
    no_progress,
)

__all__ = ["LocalEmbedder"]

_BATCH = 8  # images that a thread reads, then embeds
_POLL = 0.2  # seconds after which a waiting run looks whether it is to stop
_MAX_THREADS = 16
# views as `images.turned` numbers them, of those that are all of the image
_TURNS: dict[int | str, tuple[int, ...]] = {1: (0,), 2: (0, 4), 8: tuple(range(8))}
_URL_THREADS = 16  # these wait for servers, not for the processor

# shared by all embedders of the program: what one widget computed, a model need not
_CACHE = VectorCache()

#: Row of an image, and what its vector is kept under.
_Todo = tuple[int, tuple[Hashable, ...] | None]
#: Vectors by layer.
_Vectors = dict[str, NDArray[np.float32]]
#: What became of an image: its vectors, or the reason why it has none.
_Outcome = _Vectors | str


class LocalEmbedder:
    """Reads images and runs them through a network, in threads of its own.

    Each thread reads a batch of images, then embeds them, on one core. That is as fast
    as embedding on all cores at once, and much faster when something else runs too:
    threads that share the work on one image wait for the one that was held up.

    The vectors of several views are averaged: probabilities, as those of crops in
    section 7 of GoogLeNet's paper (Szegedy et al. 2014); features, as in appendix B of
    VGG's (Simonyan and Zisserman 2015). As there, those of dense views have length 1.

    Parameters
    ----------
    spec
        Which vector to compute.
    limits
        What an image may cost; by default as the environment says.
    cache
        Store of vectors known already; by default one for the whole program.
    also
        Layers computed in the same go for embedders to come, which find them in the
        store.

    Raises
    ------
    UnknownNameError
        If `spec` or `also` names what does not exist.
    """

    def __init__(
        self,
        spec: EmbedderSpec,
        limits: Limits | None = None,
        cache: VectorCache | None = None,
        also: Sequence[str] = (),
    ) -> None:
        self._layer = check_spec(spec)
        names = dict.fromkeys([spec.layer, *also])
        self._specs = [replace(spec, layer=name) for name in names]
        self._sizes = {each.layer: check_spec(each).size for each in self._specs}
        self.spec = spec
        # these are many an image, or each of a size of its own
        self._takes_parts = spec.views in CROPS or spec.views in DENSE_VIEWS
        self._preprocess = card_of(spec.network).preprocess
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
        todo: list[_Todo] = []
        version = version_of(self.spec.network)
        for row, source in enumerate(images):
            if not source:
                result.reasons[row] = "No image is given in this row"
                continue
            key = key_of(self.spec, source, version)
            known = self._cache.get(key)
            if known is None:
                todo.append((row, key))
            else:
                result.vectors[row] = known
        return todo

    def _load_engine(self) -> None:
        # torch takes a second to import, so it is loaded when there is work for it
        from orangecontrib.imagemining.embedders.engines.pytorch import (
            dense_engine_for,
            use_one_core,
        )

        dense = self.spec.views in DENSE_VIEWS
        self._engine = (dense_engine_for if dense else engine_for)(self.spec.network)
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
        size = 1 if self._takes_parts else _BATCH
        pool = ThreadPoolExecutor(
            _n_threads(sources), "embed-images", initializer=self._use_one_core
        )
        try:
            report()
            batches = [
                pool.submit(self._embed, sources[start : start + size], reader, stop)
                for start in range(0, len(todo), size)
            ]
            for batch in batches:
                while not _is_done(batch):
                    report()
                for outcome in batch.result():
                    row, key = todo[n_done]
                    if isinstance(outcome, str):
                        result.reasons[row] = outcome
                    else:
                        result.vectors[row] = outcome[self.spec.layer]
                        self._keep(key, outcome)
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
                if self._takes_parts:
                    outcomes[place] = self._embed_parts(image, stop)
                else:
                    pixels[place] = prepare(image, self._preprocess, self.spec.fit)
            except ImageError as ex:
                outcomes[place] = str(ex)
        if pixels:
            vectors = self._mean_over_views(np.stack(list(pixels.values())), stop)
            for row, place in enumerate(pixels):
                outcomes[place] = {layer: v[row] for layer, v in vectors.items()}
        return [outcomes[place] for place in range(len(sources))]

    def _mean_over_views(
        self, pixels: NDArray[np.uint8], stop: threading.Event
    ) -> _Vectors:
        """Embed images of the network's size, turned and mirrored as asked for."""
        views = _TURNS[self.spec.views]
        totals = {
            layer: np.zeros((len(pixels), size), np.float32)
            for layer, size in self._sizes.items()
        }
        for view in views:
            if stop.is_set():
                break
            for layer, vectors in self._run(
                turned(pixels, view) if view else pixels
            ).items():
                totals[layer] += vectors
        return {
            layer: total / np.float32(len(views)) for layer, total in totals.items()
        }

    def _embed_parts(self, image: Image.Image, stop: threading.Event) -> _Vectors:
        """Embed crops of an image, or all its places."""
        views = self.spec.views
        totals = {
            layer: np.zeros(size, np.float32) for layer, size in self._sizes.items()
        }
        n = 0
        for batch in self._parts(image):
            if stop.is_set():
                break
            for layer, vectors in self._run(batch).items():
                totals[layer] += vectors.sum(axis=0)
            n += len(batch)
        means = {
            layer: total / np.float32(max(n, 1)) for layer, total in totals.items()
        }
        if views in DENSE_VIEWS:
            for layer in means.keys() - {"logits", PROBABILITIES}:
                means[layer] /= max(np.linalg.norm(means[layer]), np.float32(1e-12))
        return means

    def _parts(self, image: Image.Image) -> Iterator[NDArray[np.uint8]]:
        views = self.spec.views
        if isinstance(views, str):
            yield from dense_images(image, self._preprocess, views)
            return
        crops = crops_of(image, self._preprocess, views, self.spec.fit)
        while batch := list(islice(crops, _BATCH)):
            yield np.stack(batch)

    def _run(self, pixels: NDArray[np.uint8]) -> _Vectors:
        asked = {name: _source_of(name) for name in self._sizes}
        vectors = self._engine.run(pixels, list(dict.fromkeys(asked.values())))
        return {
            name: softmax(vectors[source]) if name != source else vectors[source]
            for name, source in asked.items()
        }

    def _keep(self, key: tuple[Hashable, ...] | None, vectors: _Vectors) -> None:
        if key is None:
            return
        for spec in self._specs:
            # keys begin with the spec
            self._cache.put((spec, *key[1:]), vectors[spec.layer])


def _source_of(layer: str) -> str:
    return "logits" if layer == PROBABILITIES else layer


def _n_threads(sources: Sequence[str]) -> int:
    if any(map(is_url, sources)):
        return _URL_THREADS
    return min(_MAX_THREADS, os.cpu_count() or 2)


def _is_done(future: Future[list[_Outcome]]) -> bool:
    return bool(wait([future], timeout=_POLL).done)

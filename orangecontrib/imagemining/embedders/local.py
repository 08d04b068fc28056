"""Embeds images on this computer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.embedders.base import Embeddings, check_spec
from orangecontrib.imagemining.embedders.cache import (
    Row,
    VectorStore,
    shared_store,
    spec_key,
)
from orangecontrib.imagemining.embedders.catalog import card_of, engine_and_choice
from orangecontrib.imagemining.embedders.classes import softmax
from orangecontrib.imagemining.embedders.engines.choice import (
    AUTO,
    EngineChoice,
    choose_engine,
)
from orangecontrib.imagemining.embedders.pipeline import (
    Contents,
    FileContent,
    in_batches,
)
from orangecontrib.imagemining.embedders.trained import lent_network
from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import (
    CROPS,
    ImageReader,
    Limits,
    crops_of,
    dense_images,
    prepare,
    turned,
)
from orangecontrib.imagemining.images.crops import enough_for
from orangecontrib.imagemining.specs import (
    DENSE_VIEWS,
    PROBABILITIES,
    EmbedderSpec,
    Progress,
    no_progress,
)

__all__ = ["LocalEmbedder"]

# images that a core works on at a time, and that a graphics processor gets at once
_BATCH, _BATCH_GPU = 8, 32
# views as `images.turned` numbers them, of those that are all of the image
_TURNS: dict[int | str, tuple[int, ...]] = {1: (0,), 2: (0, 4), 8: tuple(range(8))}
_LOOKING_UP = 0.02  # share of the progress bar

#: Vectors by layer.
_Vectors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class _Outcome:
    """What became of an image: its vectors, or the reason why it has none.

    Attributes
    ----------
    file : what was read.
    vectors : of all layers asked for.
    reason : why there are none.
    is_new : whether they were computed now, not found by the file's content.
    """

    file: FileContent
    vectors: _Vectors = field(default_factory=dict)
    reason: str | None = None
    is_new: bool = False


class LocalEmbedder:
    """Reads images and runs them through a network, in threads of its own.

    What has been computed before, for the same content and the same `spec`, is found in
    the store and not computed again. The others are read and embedded on all cores at
    once (see `embedders.pipeline`), and stored batch by batch: what is cancelled goes
    on from there the next time.

    The vectors of several views are averaged: probabilities, as those of crops in
    section 7 of GoogLeNet's paper (Szegedy et al. 2014); features, as in appendix B of
    VGG's (Simonyan and Zisserman 2015). As there, those of dense views have length 1.

    An image's vector does not depend on the images beside it, nor on the number of
    cores.

    Parameters
    ----------
    spec
        Which vector to compute.
    limits
        What an image may cost; by default as the environment says.
    cache
        Store of vectors known already; by default that of the user, on disk.
    also
        Layers computed in the same go for embedders to come, which find them in the
        store.
    engine
        What runs the network: "auto", or one of `engines.choice.ENGINES`.

    Attributes
    ----------
    choice : the engine that is to run the network, and why; after a run, that which
        did.

    Raises
    ------
    UnknownNameError
        If `spec`, `also` or `engine` names what does not exist.
    """

    def __init__(
        self,
        spec: EmbedderSpec,
        limits: Limits | None = None,
        cache: VectorStore | None = None,
        also: Sequence[str] = (),
        engine: str = AUTO,
    ) -> None:
        self._layer = check_spec(spec)
        names = dict.fromkeys([spec.layer, *also])
        self._specs = [replace(spec, layer=name) for name in names]
        self._sizes = {each.layer: check_spec(each).size for each in self._specs}
        self.spec = spec
        # these are many an image, or each of a size of its own
        self._takes_parts = spec.views in CROPS or spec.views in DENSE_VIEWS
        self._preprocess = card_of(spec.network).preprocess
        # who lent a trained network may let go of it meanwhile
        self._lent = lent_network(spec.network)
        self._limits = limits
        self._store = shared_store() if cache is None else cache
        self._wanted = engine
        self.choice: EngineChoice = choose_engine(
            spec.network, engine, spec.precision, spec.views
        )

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
        vectors, found = self._store.lookup(
            images,
            self._keys()[self.spec.layer],
            self.size,
            lambda fraction: progress(_LOOKING_UP * fraction),
        )
        result = Embeddings(vectors, [None] * len(images), int(found.sum()))
        todo = []
        for row, source in enumerate(images):
            if not source:
                result.reasons[row] = "No image is given in this row"
            elif not found[row]:
                todo.append(row)
        if todo:
            progress(_LOOKING_UP, "Loading the network")
            self._load_engine()
            with ImageReader(self._limits) as reader:
                self._compute(images, todo, reader, result, progress)
        progress(1, f"{len(images)} of {len(images)} images")
        return result

    def _keys(self) -> dict[str, bytes]:
        """Return what the layers' vectors are stored under."""
        exact = self.choice.precision == "float32"
        arithmetic = "" if exact else f"{self.choice.name} {self.choice.precision}"
        return {each.layer: spec_key(each, arithmetic) for each in self._specs}

    def _load_engine(self) -> None:
        spec = self.spec
        self._engine, self.choice = engine_and_choice(
            spec.network, self._wanted, spec.precision, spec.views
        )

    def _begin_thread(self) -> None:
        if self.choice.name == "torch" and self.choice.device == "cpu":
            from orangecontrib.imagemining.embedders.engines.pytorch import use_one_core

            use_one_core()

    def _compute(
        self,
        images: Sequence[str | None],
        todo: list[int],
        reader: ImageReader,
        result: Embeddings,
        progress: Progress,
    ) -> None:
        def report() -> None:
            done = len(images) - len(todo) + n_done
            share = _LOOKING_UP + (1 - _LOOKING_UP) * n_done / len(todo)
            progress(share, f"{done} of {len(images)} images")

        def embed(files: list[FileContent], stop: threading.Event) -> list[_Outcome]:
            return self._embed(files, contents, keys, stop)

        n_done = 0
        keys = self._keys()  # the engine may be another than was foreseen
        contents = Contents(reader)
        size = _BATCH if self.choice.device == "cpu" else _BATCH_GPU
        batches = in_batches(
            [images[row] or "" for row in todo],
            contents.read,
            embed,
            1 if self._takes_parts else size,
            report,
            self._begin_thread,
        )
        report()
        # what ends the work ends the threads at once, and not when somebody lets go of
        # the exception
        with closing(batches):
            for outcomes in batches:
                for outcome in outcomes:
                    row = todo[n_done]
                    result.reasons[row] = outcome.reason
                    if outcome.vectors:
                        result.vectors[row] = outcome.vectors[self.spec.layer]
                        result.n_known += not outcome.is_new
                    n_done += 1
                self._keep(outcomes, keys)
                report()

    def _keep(self, outcomes: list[_Outcome], keys: dict[str, bytes]) -> None:
        self._store.put_many(
            Row(
                outcome.file.source,
                outcome.file.stamp,
                outcome.file.digest,
                {keys[name]: vector for name, vector in outcome.vectors.items()}
                if outcome.is_new
                else {},
            )
            for outcome in outcomes
            if outcome.vectors and outcome.file.digest
        )

    def _embed(
        self,
        files: list[FileContent],
        contents: Contents,
        keys: dict[str, bytes],
        stop: threading.Event,
    ) -> list[_Outcome]:
        """Decode and embed a batch of images, in one of the threads."""
        outcomes: dict[int, _Outcome] = {}
        pixels: dict[int, NDArray[np.uint8]] = {}
        for place, file in enumerate(files):
            if stop.is_set():
                return []
            file = contents.complete(file)
            # the pixels are what is needed from here on
            files[place] = replace(file, data=None)
            if file.reason:
                outcomes[place] = _Outcome(files[place], reason=file.reason)
                continue
            known = self._known(file, keys)
            if known:
                outcomes[place] = _Outcome(files[place], known)
                continue
            try:
                image = self._open(contents.reader, file)
                files[place] = replace(contents.after_reading(file), data=None)
                if self._takes_parts:
                    vectors = self._embed_parts(image, stop)
                    outcomes[place] = _Outcome(files[place], vectors, is_new=True)
                else:
                    pixels[place] = prepare(image, self._preprocess, self.spec.fit)
            except ImageError as ex:
                outcomes[place] = _Outcome(files[place], reason=str(ex))
        if pixels:
            together = self._mean_over_views(np.stack(list(pixels.values())), stop)
            for row, place in enumerate(pixels):
                vectors = {layer: v[row] for layer, v in together.items()}
                outcomes[place] = _Outcome(files[place], vectors, is_new=True)
        if stop.is_set():
            return []  # what was broken off is no vector
        return [outcomes[place] for place in range(len(files))]

    def _known(self, file: FileContent, keys: dict[str, bytes]) -> _Vectors:
        """Return what the store has of this content, wherever it lies, or nothing."""
        if not file.digest:
            return {}
        found = self._store.find(file.source, file.digest, list(keys.values()))
        return {
            name: found[key]
            for name, key in keys.items()
            if key in found and found[key].shape == (self._sizes[name],)
            if len(found) == len(keys)
        }

    def _open(self, reader: ImageReader, file: FileContent) -> Image.Image:
        if self._preprocess.as_stored:
            return reader.read(file.source, True, file.data)
        enough = enough_for(self._preprocess, self.spec.views)
        return reader.read_at_least(file.source, enough, file.data)

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


def _source_of(layer: str) -> str:
    return "logits" if layer == PROBABILITIES else layer

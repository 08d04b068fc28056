"""Images to train with, decoded once and kept as pixels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.images import ImageReader, Limits
from orangecontrib.imagemining.images.thumbnail_store import cache_folder
from orangecontrib.imagemining.specs import Preprocess, Progress, no_progress
from orangecontrib.imagemining.training.pixels import Pixels, free_memory
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.training.reading import pictures, whole_scale

__all__ = ["ImageSet", "read_images", "split", "whole_scale"]

_DIGESTED = 1000  # images
_COLOURED = 1_000_000  # pixels


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of known class; `subset` shares their pixels.

    Attributes
    ----------
    labels : (n,) int64, number of the class.
    rows : (n,) int64, places among the sources that were read.
    sizes : (n, 2) int32, height and width of the images themselves, in pixels (JPEGs
        that are much larger than the network's size: as they were decoded).
    size : (height, width) of prepared images.
    """

    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    sizes: NDArray[np.int32]
    size: tuple[int, int]
    _prepared: Pixels = field(repr=False)
    _whole: Pixels | None = field(repr=False)
    # of each image: its place in _prepared; and in _whole, -1 where that is the same
    _places: NDArray[np.int64] = field(repr=False)
    _whole_places: NDArray[np.int64] = field(repr=False)

    @classmethod
    def from_arrays(
        cls, pixels: NDArray[np.uint8], labels: NDArray[np.integer]
    ) -> ImageSet:
        """Return a set of images, (n, height, width, 3), of the network's size."""
        n, height, width, _ = pixels.shape
        places = np.arange(n, dtype=np.int64)
        return cls(
            np.asarray(labels, np.int64),
            places,
            np.full((n, 2), (height, width), np.int32),
            (height, width),
            Pixels.of(pixels),
            None,
            places,
            np.full(n, -1, np.int64),
        )

    @classmethod
    def joined(cls, sets: Sequence[ImageSet]) -> ImageSet:
        """Return the images of several sets that were read alike; pixels are shared.

        Parameters
        ----------
        sets
            One or more; `rows` keep the places among each set's own sources.
        """
        prepared, whole, n_prepared, n_whole = [], [], 0, 0
        places, whole_places = [], []
        for each in sets:
            places.append(each._places + n_prepared)
            there = each._whole_places >= 0
            whole_places.append(np.where(there, each._whole_places + n_whole, -1))
            prepared.append(each._prepared)
            n_prepared += len(each._prepared)
            if each._whole is not None:
                whole.append(each._whole)
                n_whole += len(each._whole)
        return cls(
            np.concatenate([each.labels for each in sets]),
            np.concatenate([each.rows for each in sets]),
            np.concatenate([each.sizes for each in sets]),
            sets[0].size,
            Pixels.joined(prepared),
            Pixels.joined(whole) if whole else None,
            np.concatenate(places),
            np.concatenate(whole_places),
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_bytes(self) -> int:
        """Memory (or disk) that all pixels take, shared ones too."""
        return sum(pixels.n_bytes for pixels in self._stores)

    @property
    def on_disk(self) -> bool:
        """Whether some pixels lie in a file."""
        return any(pixels.on_disk for pixels in self._stores)

    @property
    def _stores(self) -> list[Pixels]:
        return (
            [self._prepared] if self._whole is None else [self._prepared, self._whole]
        )

    def subset(self, rows: Sequence[int] | NDArray[np.integer]) -> ImageSet:
        """Return some of the images, in this order; their pixels are not copied."""
        at = np.asarray(rows, np.int64)
        return replace(
            self,
            labels=self.labels[at],
            rows=self.rows[at],
            sizes=self.sizes[at],
            _places=self._places[at],
            _whole_places=self._whole_places[at],
        )

    def prepared(self, rows: Sequence[int] | NDArray[np.integer]) -> NDArray[np.uint8]:
        """Return images exactly as prediction prepares them, (n, height, width, 3)."""
        batch = np.empty((len(rows), *self.size, 3), np.uint8)
        for pixels, place in zip(
            batch, self._places[np.asarray(rows, np.int64)], strict=True
        ):
            pixels[:] = self._prepared[place]
        return batch

    def whole(self, row: int) -> NDArray[np.uint8]:
        """Return an image as large as augmentation needs, (h, w, 3), not to be written.

        If it was not read for an augmentation that needs more, the prepared one.
        """
        place = self._whole_places[row]
        if self._whole is None or place < 0:
            return self._prepared[self._places[row]]
        return self._whole[place]

    def counts(self, n_classes: int) -> NDArray[np.int64]:
        """Return how many images each class has, (n_classes,)."""
        return np.bincount(self.labels, minlength=n_classes).astype(np.int64)

    def digest(self) -> str:
        """Return a checksum of labels and of the pixels of up to 1,000 images."""
        result = hashlib.sha256(repr((len(self), self.size)).encode())
        result.update(self.labels.tobytes())
        for row in _spread(len(self), _DIGESTED):
            result.update(np.ascontiguousarray(self.whole(row)).data)
        return result.hexdigest()

    @cached_property
    def colour_components(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The principal components of the pixels' colours, from a million of them.

        Colours are taken between 0 and 1, in the order that the network expects.

        Returns
        -------
        Variances along the components, (3,), ascending; and the components as columns,
        (3, 3).
        """
        if not len(self):
            return np.zeros(3), np.eye(3)
        rows = _spread(len(self), _DIGESTED)
        step = math.ceil(len(rows) * math.prod(self.size) / _COLOURED)
        colours = np.concatenate(
            [self.prepared([row]).reshape(-1, 3)[::step] for row in rows]
        )
        variances, components = np.linalg.eigh(np.cov(colours / 255, rowvar=False))
        return np.maximum(variances, 0), components


def read_images(
    sources: Sequence[str | None],
    labels: Sequence[int] | NDArray[np.integer],
    plan: Plan,
    preprocess: Preprocess,
    *,
    limits: Limits | None = None,
    memory: int | None = None,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> tuple[ImageSet, list[str | None]]:
    """Read images by threads, once for the whole training.

    They are kept in memory if they fit, otherwise in a temporary file, which is gone
    with them.

    Parameters
    ----------
    sources
        Paths or addresses, with or without words behind ``#``; None: there is none.
    labels
        Numbers of the classes, negative where the class is not known.
    plan
        Its fit and augmentation decide what is kept.
    preprocess
        What images go through for the network; its size counts.
    limits
        What an image may cost; by default as the environment says.
    memory
        Bytes that pixels may take in memory; by default half of what is free.
    folder
        Where the temporary file is made, by default the user's cache folder.
    progress
        Told how far it is; what it raises ends the reading.

    Returns
    -------
    The images that can be used, and for each source the reason why it was left out,
    None where it was not.

    Raises
    ------
    TrainingError
        If the pixels fit neither into memory nor onto the disk.
    """
    all_labels = np.asarray(labels, np.int64)
    reasons: list[str | None] = [None] * len(sources)
    todo: list[tuple[int, str]] = []
    for row, source in enumerate(sources):
        if not source:
            reasons[row] = "No image is given in this row"
        elif all_labels[row] < 0:
            reasons[row] = "Its class is not known"
        else:
            todo.append((row, source))
    folder = folder or cache_folder() / "training"
    if memory is None:
        memory = free_memory() // 2
    scale = whole_scale(plan.augmentation)
    # both have the share that they are expected to need
    share = 1 / (1 + scale**2) if scale > 1 else 1.0
    prepared = Pixels(int(memory * share), folder)
    whole = Pixels(int(memory * (1 - share)), folder) if scale > 1 else None
    rows: list[int] = []
    sizes: list[tuple[int, int]] = []
    whole_places: list[int] = []
    with (
        ImageReader(limits) as reader,
        prepared,
        nullcontext() if whole is None else whole,
    ):
        outcomes = pictures(todo, reader, plan, preprocess, scale, progress)
        # what ends the reading ends the threads at once
        with closing(outcomes):
            for row, outcome in outcomes:
                if isinstance(outcome, str):
                    reasons[row] = outcome
                    continue
                prepared.add(outcome.prepared)
                whole_places.append(-1)
                if whole is not None and outcome.whole is not None:
                    whole_places[-1] = len(whole)
                    whole.add(outcome.whole)
                rows.append(row)
                sizes.append(outcome.size)
    progress(1, f"{len(rows)} images read")
    return (
        ImageSet(
            all_labels[rows] if rows else np.empty(0, np.int64),
            np.array(rows, np.int64),
            np.array(sizes, np.int32).reshape(-1, 2),
            preprocess.size,
            prepared,
            whole,
            np.arange(len(rows), dtype=np.int64),
            np.array(whole_places, np.int64),
        ),
        reasons,
    )


def split(
    labels: NDArray[np.integer], share: float, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows for training and rows for validation, of each class alike.

    Of a class with n images, round(share · n) are for validation, at least one where
    there are two, and never all: a class with a single image is trained with.

    Parameters
    ----------
    labels
        (n,) numbers of classes.
    share
        Of the images that are for validation, 0–1; 0: none.
    seed
        Decides which.

    Returns
    -------
    Both ascending, int64; together all rows.
    """
    labels = np.asarray(labels)
    order = np.random.default_rng([seed, len(labels)]).permutation(len(labels))
    kept_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        wanted = max(round(share * len(members)), 1) if share > 0 else 0
        kept_out[members[: min(wanted, len(members) - 1)]] = True
    return np.flatnonzero(~kept_out), np.flatnonzero(kept_out)


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """Return all numbers below n, or `most` of them, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))

"""Decoded images that several trainings share, such as the folds of Test & Score."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.cache import stamp_of
from orangecontrib.imagemining.images import is_url
from orangecontrib.imagemining.specs import Preprocess, Progress, no_progress
from orangecontrib.imagemining.training.plan import Plan

if TYPE_CHECKING:
    from orangecontrib.imagemining.training.data import ImageSet

__all__ = ["DecodedImages"]

#: Bytes of pixels that are kept from one training to the next.
MOST = 2**30


class DecodedImages:
    """Reads images for training, each of them once; the pixels are shared.

    An image is read again if its file has changed, or if it is wanted in another size.
    What would take more than `most` bytes is not kept. May be used by several threads.

    Parameters
    ----------
    most
        Bytes of pixels that are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._wanted: Hashable = None
        self._images: ImageSet | None = None
        self._places: dict[Hashable, int] = {}
        self._reasons: dict[Hashable, str] = {}

    @property
    def n_bytes(self) -> int:
        """Memory, or disk, that is taken by what is kept."""
        images = self._images
        return 0 if images is None else images.n_bytes

    def read(
        self,
        sources: Sequence[str],
        labels: NDArray[np.int64],
        plan: Plan,
        preprocess: Preprocess,
        progress: Progress = no_progress,
    ) -> tuple[ImageSet, list[str | None]]:
        """Do as `training.data.read_images`, but read only what is not there yet.

        Parameters
        ----------
        sources, labels, plan, preprocess, progress
            As for `read_images`.
        """
        from orangecontrib.imagemining.training.data import (
            ImageSet,
            read_images,
            whole_scale,
        )

        with self._lock:
            wanted = (preprocess, plan.fit, whole_scale(plan.augmentation))
            if wanted != self._wanted:
                self.clear()
                self._wanted = wanted
            keys = [
                # what an address sends is taken to stay as it is
                (source, None if is_url(source) else stamp_of(source))
                for source in sources
            ]
            # one entry for an image that is in several rows
            todo = {
                key: source
                for key, source in zip(keys, sources, strict=True)
                if key not in self._places and key not in self._reasons
            }
            if todo:
                zeros = np.zeros(len(todo), np.int64)
                some, reasons = read_images(
                    list(todo.values()), zeros, plan, preprocess, progress=progress
                )
                begin = 0 if self._images is None else len(self._images)
                new = list(todo)
                for place, row in enumerate(some.rows, start=begin):
                    self._places[new[row]] = place
                for key, reason in zip(new, reasons, strict=True):
                    if reason is not None:
                        self._reasons[key] = reason
                known = [] if self._images is None else [self._images]
                self._images = ImageSet.joined([*known, some])
            assert self._images is not None
            rows = np.array(
                [row for row, key in enumerate(keys) if key in self._places], np.int64
            )
            places = [self._places[keys[row]] for row in rows]
            images = replace(
                self._images.subset(places), labels=labels[rows], rows=rows
            )
            found = [self._reasons.get(key) for key in keys]
            if self._images.n_bytes > self.most:
                self.clear()
            # what cannot be read now, perhaps can the next time
            self._reasons.clear()
            return images, found

    def __reduce__(self) -> tuple[type[DecodedImages], tuple[int]]:
        # pixels are not to travel with what holds them
        return DecodedImages, (self.most,)

    def clear(self) -> None:
        """Forget all; trainings that are under way keep theirs."""
        self._wanted = None
        self._images = None
        self._places.clear()
        self._reasons.clear()

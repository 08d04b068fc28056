"""Batches of images for the network, made ahead by threads.

A batch is decided by the plan's seed, the epoch and its number alone: neither the
number of threads nor what was done before changes it, so that a training that is
continued in the middle of an epoch sees what it would have seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.training.augment import Augmenter
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.training.reading import n_cores

__all__ = ["Batch", "Batches", "normalised"]

_MOST_THREADS = 8
# what random numbers are for, so that one purpose does not repeat another's
_ORDER, _CHANGES = 1, 2


class Batch(NamedTuple):
    """What a step sees.

    Attributes
    ----------
    pixels : (n, 3, height, width) float32, normalised, channels last in memory.
    labels : (n,) int64, on the same device.
    rows : (n,) int64, places in the `ImageSet` (whose `rows` tell those in the data).
    """

    pixels: Tensor
    labels: Tensor
    rows: NDArray[np.int64]


def normalised(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """Return what the network sees of pixels, exactly as in prediction.

    Parameters
    ----------
    pixels
        (n, height, width, 3) uint8, in the network's order of colours.
    preprocess
        Scale, mean and deviation.

    Returns
    -------
    (n, 3, height, width) float32, channels last in memory, on the same device.
    """
    shape = (1, 3, 1, 1)
    mean = torch.tensor(preprocess.mean, device=pixels.device).reshape(shape)
    std = torch.tensor(preprocess.std, device=pixels.device).reshape(shape)
    x = pixels.permute(0, 3, 1, 2).float()
    return x.mul_(preprocess.scale).sub_(mean).div_(std)


class Batches:
    """One epoch's batches, in order; to be used in a ``with`` statement.

    ::

        with Batches(images, plan, preprocess, training=True, epoch=3) as batches:
            for pixels, labels, rows in batches:
                ...

    At the end of the ``with`` no thread is left, however it is left. What goes wrong in
    a thread is raised where its batch would have come.

    Parameters
    ----------
    images
        What to show.
    plan
        Its batch, seed, augmentation and fit count.
    preprocess
        What images go through for the network.
    training
        True: in random order, changed as `plan.augmentation` says. False: in their
        order, exactly as prediction prepares them.
    epoch
        Number of the epoch, which decides about order and changes.
    start
        Number of the first batch; those before are passed over.
    batch
        Images in a batch, if not `plan.batch`. What remains at the end is a smaller
        batch; one image alone, which batch normalisation cannot do with, joins the
        batch before it (in training).
    device
        Where the tensors are wanted.
    n_threads
        That make batches; by default as many as the computer has cores, 8 at most.
    """

    def __init__(
        self,
        images: ImageSet,
        plan: Plan,
        preprocess: Preprocess,
        *,
        training: bool,
        epoch: int = 0,
        start: int = 0,
        batch: int | None = None,
        device: str | torch.device = "cpu",
        n_threads: int | None = None,
    ) -> None:
        self._images = images
        self._preprocess = preprocess
        self._device = torch.device(device)
        self._seed = (plan.seed % 2**64, epoch)
        self._start = start
        self._n_threads = n_threads or min(n_cores(), _MOST_THREADS)
        size = max(batch or plan.batch, 1)
        order = np.arange(len(images))
        self._augment: Augmenter | None = None
        if training:
            order = np.random.default_rng((*self._seed, _ORDER)).permutation(order)
            self._augment = Augmenter(plan.augmentation, preprocess, images)
        ends = list(range(size, len(order), size))
        if training and size > 1 and ends and len(order) - ends[-1] == 1:
            ends.pop()
        self._rows = np.split(order, ends) if len(order) else []
        self._running: list[Generator[Batch, None, None]] = []

    def __len__(self) -> int:
        """Return the number of batches of the whole epoch, whatever `start` is."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Batch]:
        running = self._run()
        self._running.append(running)
        return running

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads; nothing is left of them when it returns."""
        while self._running:
            self._running.pop().close()

    def _run(self) -> Generator[Batch, None, None]:
        workers = ThreadPoolExecutor(self._n_threads, "training-batches")
        under_way: deque[tuple[int, Future[Tensor]]] = deque()
        numbers = iter(range(self._start, len(self)))
        try:
            while True:
                while len(under_way) < self._n_threads + 2:
                    number = next(numbers, None)
                    if number is None:
                        break
                    under_way.append((number, workers.submit(self._make, number)))
                if not under_way:
                    return
                number, first = under_way.popleft()
                yield self._batch(number, first.result())
        finally:
            workers.shutdown(wait=True, cancel_futures=True)

    def _make(self, number: int) -> Tensor:
        """Return the pixels of a batch, (n, height, width, 3) uint8; in a thread."""
        rows = self._rows[number]
        if self._augment is None:
            pixels = self._images.prepared(rows)
        else:
            rng = np.random.default_rng((*self._seed, _CHANGES, number))
            pixels = self._augment(rows, rng)
        tensor = torch.from_numpy(pixels)
        return tensor.pin_memory() if self._device.type == "cuda" else tensor

    def _batch(self, number: int, pixels: Tensor) -> Batch:
        rows = self._rows[number]
        labels = torch.from_numpy(self._images.labels[rows])
        # a quarter of the bytes travel; what makes floats of them runs on all cores
        pixels = pixels.to(self._device, non_blocking=True)
        return Batch(
            normalised(pixels, self._preprocess), labels.to(self._device), rows
        )

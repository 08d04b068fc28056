"""What is to be learned: a task turns a batch into a loss.

Classification is one; imitating another network (distillation) is to be another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from orangecontrib.imagemining.networks import Network

__all__ = ["Classification", "Task", "class_weights"]


class Task(Protocol):
    """A goal of training.

    Called with the network in its training mode, it returns at least "loss", and
    "logits" (n, classes), from which accuracy is counted.
    """

    def __call__(
        self, network: Network, pixels: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Return "loss", a number that gradients can be had of, and "logits".

        The loss is the mean over the batch; nothing in it may depend on how images are
        divided into batches.
        """

    def to(self, device: str) -> Any:
        """Bring what the task holds to where the network computes."""


class Classification:
    """Tell classes apart: cross-entropy, of auxiliary classifiers too.

    Parameters
    ----------
    weights
        (k,) weight of each class, or None. Their mean over the images for training is
        to be 1, so that the rate need not change.
    smoothing
        Share of the truth that is spread over all classes (Inception-v3, section 7).
    auxiliary
        Weight of the losses of auxiliary classifiers; at 0 they are left alone.
    """

    def __init__(
        self,
        weights: Sequence[float] | None = None,
        smoothing: float = 0.0,
        auxiliary: float = 0.0,
    ) -> None:
        self.weights = None if weights is None else torch.tensor(weights)
        self.smoothing = smoothing
        self.auxiliary = auxiliary

    def to(self, device: str) -> Classification:
        """Bring the weights to a device."""
        if self.weights is not None:
            self.weights = self.weights.to(device)
        return self

    def __call__(
        self, network: Network, pixels: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Return "loss" and "logits" of a batch; see `Task`."""
        if self.auxiliary > 0:
            logits, *others = network.forward_training(pixels)
        else:
            logits, others = network(pixels), []
        loss = self.loss(logits, labels)
        for other in others:
            loss = loss + self.auxiliary * self.loss(other, labels)
        return {"loss": loss, "logits": logits.detach()}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of (n, k) logits, weighted and smoothed."""
        losses = functional.cross_entropy(
            logits.float(), labels, reduction="none", label_smoothing=self.smoothing
        )
        if self.weights is not None:
            # not divided by the batch's own weights: images count alike in any batch
            losses = losses * self.weights[labels]
        return losses.mean()


def class_weights(counts: NDArray[np.int64]) -> list[float]:
    """Return weights by which each class counts as much as any other.

    Parameters
    ----------
    counts
        (k,) numbers of images for training; classes without any get weight 0.

    Returns
    -------
    A weight a class; their mean over the images is 1.
    """
    there = counts > 0
    weights = np.zeros(len(counts))
    weights[there] = counts.sum() / (there.sum() * counts[there])
    return [float(weight) for weight in weights]

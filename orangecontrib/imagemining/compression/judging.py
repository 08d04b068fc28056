"""What a network on its way makes of images."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.compression.tuning import training_plan
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.training.arithmetic import Arithmetic
from orangecontrib.imagemining.training.batches import Batches
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.evaluation import Evaluation, judged
from orangecontrib.imagemining.weights.image_network import ImageNetwork

__all__ = ["answers", "judge", "logits_of", "no_images", "top5_of"]

_TOP = 5


def judge(
    working: Working,
    images: ImageSet,
    plan: CompressionPlan,
    progress: Progress = no_progress,
) -> tuple[Evaluation, float]:
    """Hold a network's answers against labels.

    Parameters
    ----------
    working, images, plan, progress
        As for `logits_of`.

    Returns
    -------
    How good they are, and the share of images whose class is among the five likeliest;
    NaN with fewer than six classes.
    """
    seen = logits_of(working, images, plan, progress)
    rows = np.arange(len(images))
    found = judged(seen, images.labels, rows, seen.shape[1])
    return found, top5_of(seen, images.labels)


def top5_of(logits: Tensor, labels: NDArray[np.int64]) -> float:
    """Return the share of images whose class is among the five likeliest.

    Parameters
    ----------
    logits
        (n, classes), n at least 1.
    labels
        (n,)

    Returns
    -------
    0–1; NaN with fewer than six classes.
    """
    if logits.shape[1] <= _TOP:
        return math.nan
    # of equally likely ones the first count, as in `tables.evaluating`
    best = logits.argsort(dim=1, descending=True, stable=True)[:, :_TOP]
    truth = torch.from_numpy(labels)[:, None]
    return float((best == truth).any(dim=1).double().mean())


def no_images(network: ImageNetwork) -> ImageSet:
    """Return an empty set of images for a network."""
    height, width = network.card.preprocess.size
    return ImageSet.from_arrays(
        np.zeros((0, height, width, 3), np.uint8), np.zeros(0, np.int64)
    )


def answers(
    working: Working,
    images: ImageSet,
    plan: CompressionPlan,
    progress: Progress = no_progress,
) -> ImageSet:
    """Return images with the answers of a network as their labels.

    Parameters
    ----------
    working, images, plan, progress
        As for `logits_of`; labels do not matter.
    """
    if not len(images):
        return images
    seen = logits_of(working, images, plan, progress)
    return replace(images, labels=seen.argmax(dim=1).numpy())


def logits_of(
    working: Working,
    images: ImageSet,
    plan: CompressionPlan,
    progress: Progress = no_progress,
) -> Tensor:
    """Return what a network says of images, looked at as in prediction.

    Parameters
    ----------
    working
        The network as it is.
    images
        One or more.
    plan
        Where, and in which batches, it computes.
    progress
        Told how far it is; what it raises ends the work.

    Returns
    -------
    (n, classes) float32, on the processor.
    """
    how = training_plan(working, plan, 1)
    arithmetic = Arithmetic(how)
    network: Any = working.network.eval()
    found = []
    try:
        network.to(arithmetic.device)
        with Batches(
            images,
            how,
            working.card.preprocess,
            training=False,
            device=arithmetic.device,
        ) as batches:
            for number, batch in enumerate(batches, start=1):
                with torch.inference_mode(), arithmetic.prediction():
                    found.append(network(batch.pixels).float().cpu())
                progress(number / len(batches), "Asking the network for its answers")
    finally:
        network.to("cpu")
    # what was made in inference mode cannot be used in training
    return torch.cat(found).clone()

"""Rounding that makes up for itself: each error is answered by the weights to come.

What a rounded weight changes in a layer's answers, those not rounded yet can mend, as
far as their inputs go together with its input. How inputs go together is seen on some
images, whose labels do not matter. Optimal brain quantisation (Frantar and Alistarh
2022), column by column for all filters at once as in GPTQ (Frantar et al. 2022), here
with the values of a codebook. Nothing is trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.compression.tuning import training_plan
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.training.batches import Batches
from orangecontrib.imagemining.training.data import ImageSet

__all__ = ["IMAGES", "compensated", "input_moments"]

#: So many images are looked at.
IMAGES = 128

_PLACES = 200  # of an image at which the inputs of a convolution are looked at
_MOST_INPUTS = 4608  # of a filter: larger ones are rounded to the nearest
_DAMPING = 0.01  # of the mean square, added to each: few images do not tell all

_Matrix = NDArray[np.float64]


def input_moments(
    working: Working,
    plan: CompressionPlan,
    images: ImageSet,
    progress: Progress = no_progress,
) -> dict[str, _Matrix]:
    """Return how the inputs of each layer's filters go together, on some images.

    Parameters
    ----------
    working
        Is left as it is.
    plan
        How images are prepared, and the seed for the places looked at.
    images
        Up to `IMAGES` of them, evenly spread, are looked at.
    progress
        Called after each batch; what it raises ends the work.

    Returns
    -------
    By layer, (n, n) float64: the means of products of each two of the n inputs of a
    filter, in the order of its weights. Layers in groups, of more than 4,608 inputs, or
    that nothing reached, are not in it.
    """
    layers = {name: each for name, each in working.layers.items() if _can(each)}
    sums: dict[str, Tensor] = {}
    counts = dict.fromkeys(layers, 0)
    generator = torch.Generator().manual_seed(plan.seed)
    rows = np.unique(np.linspace(0, len(images) - 1, min(IMAGES, len(images))))

    def watcher(name: str) -> Callable[..., None]:
        def watch(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen = _inputs(layer, inputs[0], generator)
            product = seen.T @ seen
            sums[name] = sums[name] + product if name in sums else product
            counts[name] += len(seen)

        return watch

    handles = [
        each.register_forward_pre_hook(watcher(name)) for name, each in layers.items()
    ]
    network = working.network.eval()
    try:
        with Batches(
            images.subset(rows.astype(np.int64)),
            training_plan(working, plan, 1),
            working.card.preprocess,
            training=False,
            device="cpu",
        ) as batches:
            for number, batch in enumerate(batches, start=1):
                with torch.inference_mode():
                    network(batch.pixels)
                progress(number / len(batches), "Looking at what layers are given")
    finally:
        for handle in handles:
            handle.remove()
    return {
        name: total.double().numpy() / max(counts[name], 1)
        for name, total in sums.items()
    }


def compensated(
    weight: NDArray[np.float32],
    moments: _Matrix,
    values: NDArray[np.float32],
    borders: NDArray[np.float64],
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Return which value each weight gets, errors made up for by weights that follow.

    Inputs that matter most are rounded first.

    Parameters
    ----------
    weight
        (filters, n).
    moments
        (n, n), by `input_moments`.
    values, borders
        Of a codebook; see `codebooks.Codebook`.
    mask
        (filters, n): others than these are 0 and stay it; None: all are free.

    Returns
    -------
    (filters, n) uint8; where the mask is not set, without meaning.
    """
    n = len(moments)
    order = np.argsort(-np.diag(moments), kind="stable")
    moments = moments[order][:, order]
    mean = float(np.trace(moments)) / n
    moments = moments + np.eye(n) * (_DAMPING * mean or 1.0)
    # what a column leaves to the next ones: rows of the inverse's upper root
    root = np.linalg.cholesky(np.linalg.inv(moments)).T
    left = weight[:, order].astype(np.float64)
    codes = np.empty(left.shape, np.uint8)
    for place in range(n):
        column = left[:, place]
        code = np.searchsorted(borders, column, "right")
        rounded = values[code].astype(np.float64)
        if mask is not None:
            rounded *= mask[:, order[place]]
        codes[:, order[place]] = code
        error = (column - rounded) / root[place, place]
        left[:, place + 1 :] -= np.outer(error, root[place, place + 1 :])
    return codes


def _can(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        n = math.prod(layer.kernel_size) * layer.in_channels
        return layer.groups == 1 and n <= _MOST_INPUTS and _is_plain(layer)
    return isinstance(layer, nn.Linear) and layer.in_features <= _MOST_INPUTS


def _is_plain(layer: nn.Conv2d) -> bool:
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _inputs(layer: Any, given: Tensor, generator: torch.Generator) -> Tensor:
    """Return what a layer's filters were given, at some places, (places, n)."""
    if isinstance(layer, nn.Linear):
        return given.reshape(-1, given.shape[-1]).float()
    patches = functional.unfold(
        given.float(), layer.kernel_size, layer.dilation, layer.padding, layer.stride
    )
    n_places = patches.shape[2]
    chosen = torch.randperm(n_places, generator=generator)[:_PLACES]
    return patches[:, :, chosen].transpose(1, 2).reshape(-1, patches.shape[1])

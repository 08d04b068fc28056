"""Takes matrices apart: two thin layers instead of a wide one, by singular values.

A fully connected layer or a 1×1 convolution with weights W of rank r or about it is two
such layers with r numbers between them. The best of each rank are given by the singular
value decomposition.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from orangecontrib.imagemining.compression.channels import replaceable
from orangecontrib.imagemining.compression.context import Context
from orangecontrib.imagemining.compression.plan import LowRank
from orangecontrib.imagemining.compression.reshaping import check_forms, rebuild_with
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.networks import Factorised, is_factorisable
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["factors", "run"]

_KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "linear": (nn.Linear,),
    "pointwise": (nn.Conv2d,),
    "both": (nn.Linear, nn.Conv2d),
}
_NAMED = 6  # layers that a note tells by name
_COLUMNS = 1024  # of a matrix that are multiplied at once


def run(step: LowRank, working: Working, context: Context) -> None:
    """Take layers apart where that leaves fewer numbers, and fine-tune.

    The classifier, which another training may replace, stays one layer, and so do those
    whose weights are pruned.

    Parameters
    ----------
    step
        What is wanted.
    working
        Is changed.
    context
        Images, and somebody to report to.

    Raises
    ------
    TrainingError
        If the energy is none, or weights are shared or rounded already.
    """
    if not 0 < step.energy <= 1:
        raise TrainingError("The share of energy that is kept is above 0, 1 at most")
    if step.layers not in _KINDS:
        raise TrainingError(
            f"Layers are {', '.join(_KINDS)}, not '{step.layers}', for low rank"
        )
    check_forms(working, "Low rank")
    layers = _candidates(step, working)
    pruned = [layer for layer in layers if working.mask(layer) is not None]
    if pruned:
        layers = [layer for layer in layers if layer not in pruned]
        context.note(
            f"Not taken apart, as pruned weights would not stay 0: {_named(pruned)};"
            " put this step before the one that prunes"
        )
    masks: dict[str, NDArray[np.bool_]] = {}
    for layer in working.layers:
        mask = working.mask(layer)
        if mask is not None:
            masks[layer] = mask.cpu().numpy()
    tensors = dict(working.image_network().tensors)
    told = []
    n_before = n_after = 0
    for number, layer in enumerate(layers):

        def report(part: float, _: str = "", done: int = number) -> None:
            context.report(
                (done + part) / len(layers),
                f"Taking apart layer {done + 1} of {len(layers)}",
            )

        report(0.0)
        weight = tensors[f"{layer}.weight"]
        found = factors(torch.from_numpy(weight).flatten(1), step.energy, report)
        if found is None:
            continue
        axes = weight.shape[2:]
        del tensors[f"{layer}.weight"]
        for place, factor in enumerate(found):
            shape = (*factor.shape, *axes)
            tensors[f"{layer}.{place}.weight"] = factor.numpy().reshape(shape)
        if f"{layer}.bias" in tensors:
            tensors[f"{layer}.1.bias"] = tensors.pop(f"{layer}.bias")
        n_before += weight.size
        n_after += sum(factor.numel() for factor in found)
        told.append(f"{layer} (rank {len(found[0])} of {min(weight.shape[:2])})")
    if not told:
        context.note(
            f"No layer becomes smaller by taking it apart with {step.energy:.1%} of the"
            " energy kept: nothing was changed"
        )
    else:
        rebuild_with(working, tensors, masks)
        context.note(
            f"Two layers instead of one: {_named(told)}; {n_before:,} numbers became"
            f" {n_after:,}"
        )
    context.report(1.0, "Low rank")
    context.tune(working, step.epochs, "Low rank")


def factors(
    matrix: Tensor, energy: float, progress: Progress = no_progress
) -> tuple[Tensor, Tensor] | None:
    """Return the two factors of a matrix, the first applied first.

    Parameters
    ----------
    matrix
        (outputs, inputs) float32.
    energy
        Share of the sum of squared singular values that is kept, 0–1.
    progress
        What it raises ends the work.

    Returns
    -------
    (rank, inputs) and (outputs, rank) float32, of the least rank that has the energy;
    None if they have as many numbers as the matrix or more.
    """
    outputs, inputs = matrix.shape
    is_wide = outputs <= inputs
    short = matrix if is_wide else matrix.T
    # singular vectors of the short side are eigenvectors of its products, and a matrix
    # of 4096 × 25088 is much smaller then
    products = torch.zeros(len(short), len(short), dtype=torch.float64)
    parts = torch.split(short, _COLUMNS, dim=1)
    for number, part in enumerate(parts):
        progress(number / len(parts))
        products += part.double() @ part.double().T
    squares, vectors = torch.linalg.eigh(products)
    squares, vectors = squares.flip(0).clamp(min=0), vectors.flip(1)
    sums = squares.cumsum(0)
    rank = 1 + int((sums < energy * sums[-1]).sum())
    rank = min(rank, len(short))
    if rank * (outputs + inputs) >= outputs * inputs:
        return None
    vectors = vectors[:, :rank]
    # both factors get the same share of the size, so that both learn alike
    root = squares[:rank].clamp(min=torch.finfo(torch.float64).tiny) ** 0.25
    other = torch.cat(
        [vectors.T @ part.double() for part in torch.split(short, _COLUMNS, dim=1)],
        dim=1,
    )
    near, far = vectors * root, other / root[:, None]
    if is_wide:
        return far.float().contiguous(), near.float().contiguous()
    return near.T.float().contiguous(), far.T.float().contiguous()


def _named(layers: list[str]) -> str:
    more = len(layers) - _NAMED
    return ", ".join(layers[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _candidates(step: LowRank, working: Working) -> list[str]:
    kept = replaceable(working.card)
    for name, module in working.network.named_modules():
        if isinstance(module, Factorised):  # once is enough
            kept |= {f"{name}.0", f"{name}.1"}
    return [
        layer
        for layer, module in working.layers.items()
        if layer not in kept
        and isinstance(module, _KINDS[step.layers])
        and is_factorisable(module)
    ]

"""Removes whole filters: networks become smaller and faster, and stay dense.

Which ones go is told by the sum of their absolute weights (Li et al. 2016,
arXiv:1608.08710, section 3.1), times what batch normalisation makes of it. With a
filter go its bias, its share of the normalisation, and the weights that see its output:
the network computes exactly what it would if the filter gave 0, until it is fine-tuned.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from orangecontrib.imagemining.compression.channels import (
    Channels,
    channels_of,
    replaceable,
)
from orangecontrib.imagemining.compression.context import Context
from orangecontrib.imagemining.compression.plan import PruneFilters
from orangecontrib.imagemining.compression.reshaping import check_forms, rebuild_with
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.networks import Factorised

__all__ = ["filter_norms", "filters_left", "prunable", "run", "without_filters"]

_WIDE, _AT_ONCE = 32, 8  # filters
_JUDGED = 200  # images that a layer is tried on, by sensitivity
_TRIED = (1.0, 0.75, 0.5, 0.25)  # parts of the share that are tried
_NAMED = 6  # layers that a note tells by name


def run(step: PruneFilters, working: Working, context: Context) -> None:
    """Remove filters in rounds, with fine-tuning after each.

    Layers whose outputs are added to others, as at the end of residual blocks, and the
    classifier keep theirs.

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
        If the share is none, weights are shared or rounded already, or there are no
        images to judge sensitivity by.
    """
    if not 0 <= step.share < 1 or step.rounds < 1:
        raise TrainingError(
            "The share of filters that go is from 0 to below 1, in one round or more"
        )
    if step.by not in ("layer", "sensitivity"):
        raise TrainingError(f"Filters are not pruned by '{step.by}'")
    check_forms(working, "Removing filters")
    before = prunable(working)
    if not before:
        context.note("No layer of this network can lose filters: nothing was removed")
        return
    _tell_fixed(working, context)
    shares = dict.fromkeys(before, step.share)
    if step.by == "sensitivity":
        shares = _bearable(step, working, context, before)
    for number in range(1, step.rounds + 1):
        now = prunable(working)
        removed = {}
        for layer, n in before.items():
            share = shares[layer] * number / step.rounds
            # two layers may have become one in the round before
            name = layer if layer in now else layer.removesuffix(".1")
            removed[name] = now[name] - filters_left(n, share)
        without_filters(working, _weakest(working, removed))
        status = f"Round {number} of {step.rounds}" if step.rounds > 1 else "Filters"
        context.report(number / step.rounds, status)
        context.tune(working, step.epochs, status)
        if number < step.rounds:
            left = sum(prunable(working).values()) / sum(before.values())
            context.offer(working, f"{1 - left:.0%} of the filters removed")
    left = sum(prunable(working).values())
    n_before = sum(before.values())
    context.note(
        f"{n_before - left:,} of the {n_before:,} filters that could go are gone"
    )


def filters_left(n: int, share: float) -> int:
    """Return how many of n filters are left when a share of them goes, at least 1.

    Of layers with 32 filters and more it is the nearest multiple of 8: processors work
    at so many at once, and odd numbers of them are slower than they look.
    """
    left = n - round(n * share)
    if n >= _WIDE and left < n:
        left = min(_AT_ONCE * max(1, round(left / _AT_ONCE)), n)
    return max(left, 1)


def prunable(working: Working) -> dict[str, int]:
    """Return the layers that can lose filters, with the number of those they have."""
    found = channels_of(working.card).removable()
    # of layers taken apart, what is between the two is not made of filters
    inner = {
        f"{name}.0"
        for name, module in working.network.named_modules()
        if isinstance(module, Factorised)
    }
    return {layer: n for layer, n in found.items() if layer not in inner}


def filter_norms(working: Working, layer: str) -> NDArray[np.float64]:
    """Return how much each filter of a layer gives: (filters,) float64.

    The sum of its absolute weights, times the factor of the batch normalisation that
    gets its output.
    """
    return _norms(working, channels_of(working.card), layer)


def _norms(working: Working, channels: Channels, layer: str) -> NDArray[np.float64]:
    weight = working.weight(layer).double().flatten(1).abs().sum(1).cpu()
    norms: NDArray[np.float64] = weight.numpy()
    made = channels.made[layer]
    for name, module in working.network.named_modules():
        if not isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            continue
        taken = channels.taken.get(name)
        if taken is None or not np.array_equal(taken, made):
            continue
        state: Any = {key: value.double() for key, value in module.state_dict().items()}
        factor = state["weight"].abs() / (state["running_var"] + module.eps).sqrt()
        norms = norms * factor.cpu().numpy()
    return norms


def without_filters(working: Working, removed: Mapping[str, Iterable[int]]) -> None:
    """Remove filters, with all that belongs to them; masks of pruned weights stay.

    Layers that became two of low rank are one again where that is smaller now.

    Parameters
    ----------
    working
        Is changed.
    removed
        Positions of filters, by layer.

    Raises
    ------
    ValueError
        If one of them cannot be removed, or a layer would lose all.
    """
    kept = channels_of(working.card).kept(removed)
    tensors = dict(working.image_network().tensors)
    masks = {}
    for layer in working.layers:
        mask = working.mask(layer)
        if mask is not None:
            masks[layer] = mask.cpu().numpy()
    for module, places in kept.items():
        if any(place is not None and not place.size for place in places):
            raise ValueError(f"nothing would be left of {module}")
        for key in ("weight", "bias", "running_mean", "running_var"):
            name = f"{module}.{key}"
            if name in tensors:
                tensors[name] = _cut(tensors[name], places)
        if module in masks:
            masks[module] = _cut(masks[module], places)
    for name, module in working.network.named_modules():
        if isinstance(module, Factorised) and masks.keys().isdisjoint(
            {f"{name}.0", f"{name}.1"}
        ):
            _join(name, tensors)
    rebuild_with(working, tensors, masks)


def _join(layer: str, tensors: dict[str, NDArray[Any]]) -> None:
    """Make two layers one again where what is left of them has more numbers than it."""
    first, second = (tensors[f"{layer}.{place}.weight"] for place in (0, 1))
    (rank, inputs), outputs = first.shape[:2], len(second)
    if rank * (inputs + outputs) < inputs * outputs:
        return
    product = second.reshape(outputs, rank).astype(float) @ first.reshape(rank, inputs)
    weight = product.astype(np.float32).reshape(outputs, inputs, *first.shape[2:])
    del tensors[f"{layer}.0.weight"], tensors[f"{layer}.1.weight"]
    tensors[f"{layer}.weight"] = weight
    if f"{layer}.1.bias" in tensors:
        tensors[f"{layer}.bias"] = tensors.pop(f"{layer}.1.bias")


def _cut(tensor: NDArray[Any], places: tuple[NDArray[Any] | None, ...]) -> NDArray[Any]:
    for axis, kept in enumerate(places[: tensor.ndim]):
        if kept is not None:
            tensor = tensor.take(kept, axis)
    return np.ascontiguousarray(tensor)


def _weakest(working: Working, counts: Mapping[str, int]) -> dict[str, list[int]]:
    """Return the positions of so many filters of each layer, those that give least."""
    channels = channels_of(working.card)
    return {
        layer: np.argsort(_norms(working, channels, layer), kind="stable")[
            :count
        ].tolist()
        for layer, count in counts.items()
        if count > 0
    }


def _bearable(
    step: PruneFilters, working: Working, context: Context, layers: Mapping[str, int]
) -> dict[str, float]:
    """Return the share of each layer that costs no more than is allowed, alone."""
    least = context.judge(working, _JUDGED).accuracy - step.tolerance
    shares = {}
    for number, (layer, n) in enumerate(layers.items()):
        context.report(0.0, f"Trying layer {number + 1} of {len(layers)}, {layer}")
        shares[layer] = 0.0
        for part in _TRIED:
            count = n - filters_left(n, step.share * part)
            if not count or context.time_is_up:
                break
            trial = copy.copy(working)  # gets a network of its own
            without_filters(trial, _weakest(trial, {layer: count}))
            if context.judge(trial, _JUDGED).accuracy >= least - 1e-9:
                shares[layer] = step.share * part
                break
    if context.time_is_up:
        context.note(
            "The time was over before all layers were tried; those that were not keep"
            " their filters"
        )
    return shares


def _tell_fixed(working: Working, context: Context) -> None:
    channels = channels_of(working.card)
    found = channels.removable()
    # nobody expects less of the classifier than a number a class
    last = replaceable(working.card)
    fixed = [layer for layer in channels.made if layer not in {*found, *last}]
    if fixed:
        named = ", ".join(fixed[:_NAMED])
        more = len(fixed) - _NAMED
        context.note(
            "These layers keep all filters, since what they give is added to others or"
            f" normalised together: {named}" + (f" and {more} more" if more > 0 else "")
        )

"""Batch normalisation made part of the convolutions before it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from orangecontrib.imagemining.networks import Network

__all__ = ["folded", "put"]

_MADE_BY = "_int8_made_by"


def folded(network: Network, size: tuple[int, int]) -> Network:
    """Return a network that predicts the same with fewer steps.

    Batch normalisation in prediction multiplies each channel and adds to it, which the
    convolution before it can do by its weights and biases.

    Parameters
    ----------
    network
        In evaluation mode, without forms; left as it is.
    size
        (height, width) of its images.
    """
    result = copy.deepcopy(network).eval()
    uses: dict[nn.Module, int] = {}
    found: dict[nn.Module, list[nn.Module | None]] = {}

    def made(module: nn.Module, args: Any, output: Tensor) -> None:
        uses[module] = uses.get(module, 0) + 1
        setattr(output, _MADE_BY, module)

    def met(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        maker = getattr(args[0], _MADE_BY, None)
        found.setdefault(module, []).append(maker)

    handles: list[Any] = []
    for module in result.modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(made))
        elif isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(met))
    try:
        with torch.no_grad():
            result(torch.zeros(1, 3, *size))
    finally:
        for handle in handles:
            handle.remove()
    for name, module in list(result.named_modules()):
        makers = found.get(module, [])
        maker = makers[0] if len(makers) == 1 else None
        if maker is not None and uses[maker] == 1:
            _fold(maker, module)
            put(result, name, nn.Identity())
    return result


def put(network: nn.Module, name: str, module: nn.Module) -> None:
    """Replace a module of a network, by its name."""
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)


def _fold(conv: Any, norm: Any) -> None:
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    shift = -norm.running_mean.double() * scale
    if norm.affine:
        scale, shift = scale * norm.weight.double(), shift * norm.weight.double()
        shift = shift + norm.bias.double()
    if conv.bias is not None:
        shift = shift + conv.bias.double() * scale
    weight = conv.weight.double() * scale[:, None, None, None]
    conv.weight = nn.Parameter(weight.detach().float(), requires_grad=False)
    conv.bias = nn.Parameter(shift.detach().float(), requires_grad=False)

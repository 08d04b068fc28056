"""Networks with fewer filters, or with layers taken apart, told as data.

What the option `reshaped` of `create_network` holds is JSON, so that it travels in a
network's card: numbers of inputs and outputs by the names of modules, and ranks. The
network is built as always and then given these shapes; nothing in it is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.networks._base import Network
from orangecontrib.imagemining.networks._meta import without_numbers

__all__ = [
    "RESHAPED",
    "Factorised",
    "build_reshaped",
    "is_factorisable",
    "reshaped_option",
]

#: Name of the option.
RESHAPED = "reshaped"

_PARTS = ("inputs", "outputs", "ranks")
_Weighted = (nn.Conv2d, nn.Linear)
_Normalised = (nn.BatchNorm1d, nn.BatchNorm2d)


class Factorised(nn.Sequential):
    """Two linear layers in the place of one, with fewer numbers together.

    A fully connected layer becomes two, a 1×1 convolution two 1×1 convolutions; their
    parameters are called ``0.weight``, ``1.weight`` and ``1.bias``. The first has no
    bias, and the stride if there is one.

    Parameters
    ----------
    layer
        That it is to replace; its weights decide how large fresh ones are.
    rank
        How many numbers there are between the two.

    Raises
    ------
    ValueError
        If the layer is no fully connected one and no 1×1 convolution.
    """

    def __init__(self, layer: nn.Module, rank: int) -> None:
        if not is_factorisable(layer):
            raise ValueError("only fully connected layers and 1×1 convolutions can be")
        weight = cast(Tensor, layer.weight)
        outputs, inputs = weight.shape[:2]
        bias = layer.bias is not None
        first: nn.Conv2d | nn.Linear
        second: nn.Conv2d | nn.Linear
        if isinstance(layer, nn.Conv2d):
            first = nn.Conv2d(inputs, rank, 1, cast(Any, layer.stride), bias=False)
            second = nn.Conv2d(rank, outputs, 1, bias=bias)
        else:
            first = nn.Linear(inputs, rank, bias=False)
            second = nn.Linear(rank, outputs, bias=bias)
        # together they give numbers as large as the layer's
        nn.init.kaiming_uniform_(first.weight, nonlinearity="linear")
        with torch.no_grad():
            columns = torch.arange(rank) % inputs
            second.weight.copy_(weight[:, columns] * (inputs / rank) ** 0.5)
            if bias:
                cast(Tensor, second.bias).copy_(cast(Tensor, layer.bias))
        super().__init__(first, second)


def is_factorisable(layer: nn.Module) -> bool:
    """Tell whether a layer is a matrix: fully connected, or a 1×1 convolution."""
    if isinstance(layer, nn.Conv2d):
        return (
            layer.kernel_size == (1, 1)
            and layer.groups == 1
            and layer.padding in ((0, 0), "valid")
        )
    return isinstance(layer, nn.Linear)


def build_reshaped(build: Callable[[], Network], reshaped: object) -> Network:
    """Build a network and give its modules other shapes.

    Parameters
    ----------
    build
        Builds the network as it is without.
    reshaped
        ``{"inputs": {module: n}, "outputs": {module: n}, "ranks": {module: rank}}``,
        each part only where there is something to tell. Inputs and outputs are the
        first two axes of weights, back to front; of batch normalisations the outputs
        are told. Ranks are of layers that became two, with the outputs and inputs that
        both have together.

    Returns
    -------
    The network, whose layers tell the sizes that they have now.

    Raises
    ------
    UnknownNameError
        If there is no such module or part.
    ValueError
        If a number is impossible, or modules do not fit each other any more.
    """
    parts = _checked(reshaped)
    with without_numbers():
        model = build()
        _reshape(model, parts)
        stage_sizes, num_features = _sizes(model.eval())
    if torch.empty(0).is_meta:
        network = model.train()  # nothing else is wanted
    else:
        network = build()
        _reshape(network, parts)
    network.stage_sizes = stage_sizes
    network.num_features = num_features
    return network


def reshaped_option(
    network: Network, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, dict[str, int]]:
    """Return the option that gives a network tensors of these shapes.

    Parameters
    ----------
    network
        As it is without the option.
    shapes
        Of tensors by their names.

    Returns
    -------
    As for `build_reshaped`; {} if the shapes are the network's own.

    Raises
    ------
    ValueError
        If a tensor is missing.
    """
    parts: dict[str, dict[str, int]] = {name: {} for name in _PARTS}
    try:
        for name, module in network.named_modules():
            if isinstance(module, _Normalised):
                found = shapes[f"{name}.weight"][0]
                if found != module.num_features:
                    parts["outputs"][name] = found
            elif isinstance(module, _Weighted):
                if f"{name}.weight" in shapes:
                    outputs, inputs = shapes[f"{name}.weight"][:2]
                else:
                    rank, inputs = shapes[f"{name}.0.weight"][:2]
                    outputs = shapes[f"{name}.1.weight"][0]
                    parts["ranks"][name] = rank
                before = module.weight.shape
                if outputs != before[0]:
                    parts["outputs"][name] = outputs
                if inputs != before[1]:
                    parts["inputs"][name] = inputs
    except KeyError as ex:
        raise ValueError(f"there is no tensor {ex}") from ex
    return {name: part for name, part in parts.items() if part}


def _checked(reshaped: object) -> dict[str, dict[str, int]]:
    if not isinstance(reshaped, Mapping):
        raise ValueError(f"'{RESHAPED}' has to be a table of names and numbers")
    parts: dict[str, dict[str, int]] = {name: {} for name in _PARTS}
    for name, part in reshaped.items():
        if name not in parts:
            raise UnknownNameError(
                f"'{RESHAPED}' has no part '{name}', only {', '.join(_PARTS)}"
            )
        if not isinstance(part, Mapping):
            raise ValueError(f"'{name}' has to be a table of names and numbers")
        for module, number in part.items():
            if type(number) is not int or number < 1:
                raise ValueError(
                    f"'{module}' cannot have {number!r} {name}, only whole numbers"
                    " from 1"
                )
            parts[name][module] = number
    return parts


def _reshape(network: Network, parts: Mapping[str, Mapping[str, int]]) -> None:
    modules = dict(network.named_modules())
    # ranks are of layers that may have lost inputs or outputs since
    most = {
        name: min(module.weight.shape[:2])
        for name, module in modules.items()
        if isinstance(module, _Weighted)
    }
    for part, numbers in parts.items():
        for name, number in numbers.items():
            module = modules.get(name)
            wanted: tuple[type[nn.Module], ...] = _Weighted
            if part == "outputs":
                wanted += _Normalised
            if not isinstance(module, wanted):
                raise UnknownNameError(
                    f"{type(network).__name__} has no layer '{name}' with {part}"
                )
            if part == "ranks":
                if number > most[name]:
                    raise ValueError(
                        f"'{name}' cannot have rank {number}, {most[name]} at most"
                    )
                try:
                    factorised = Factorised(module, number)
                except ValueError as ex:
                    raise ValueError(f"'{name}' cannot be two layers: {ex}") from ex
                parent, _, own = name.rpartition(".")
                setattr(network.get_submodule(parent), own, factorised)
            else:
                _narrow(name, module, part, number)


def _narrow(name: str, module: nn.Module, part: str, number: int) -> None:
    """Leave a module's first inputs or outputs."""
    axis = 0 if part == "outputs" else 1
    before = cast(Tensor, module.weight).shape[axis]
    if number > before:
        raise ValueError(f"'{name}' has {before} {part}, it cannot have {number}")
    if isinstance(module, nn.Conv2d) and module.groups != 1:
        raise ValueError(f"the filters of '{name}' are in groups")
    holders: list[Any] = [module._parameters, module._buffers]
    for key in ("weight", "bias", "running_mean", "running_var"):
        for tensors in holders:
            value = tensors.get(key)
            if value is None or value.ndim <= axis:
                continue
            value = value.detach().narrow(axis, 0, number).clone()
            if tensors is module._parameters:
                value = nn.Parameter(value)
            tensors[key] = value
    for kind in (nn.Conv2d, nn.Linear):
        if isinstance(module, kind):
            what = "channels" if kind is nn.Conv2d else "features"
            direction = "out" if axis == 0 else "in"
            setattr(module, f"{direction}_{what}", number)
    if isinstance(module, _Normalised):
        module.num_features = number


def _sizes(network: Network) -> tuple[list[int], int]:
    """Return the channels of the stages and the length of the features.

    Modules that do not fit each other are found by the way. Nothing is computed.
    """

    def watch(name: str) -> Any:
        def look(module: Any, inputs: tuple[Tensor, ...]) -> None:
            axis = -1 if isinstance(module, nn.Linear) else 1
            given = inputs[0].shape[axis]
            weight = module.weight
            wanted = weight.shape[weight.ndim > 1]
            if given != wanted:
                raise ValueError(f"'{name}' gets {given} channels and takes {wanted}")

        return look

    handles = [
        module.register_forward_pre_hook(watch(name))
        for name, module in network.named_modules()
        if isinstance(module, (*_Weighted, *_Normalised))
    ]
    x = torch.empty(1, 3, network.min_size, network.min_size)
    try:
        with torch.no_grad():
            stages = network.forward_stages(x)
            sizes = [stage.shape[1] for stage in stages]
            features = network.forward_head(stages[-1], pre_logits=True).shape[1]
            logits = network.forward_training(x)
    except RuntimeError as ex:
        raise ValueError(f"modules do not fit each other ({ex})") from ex
    finally:
        for handle in handles:
            handle.remove()
    if any(each.shape[1] != network.num_classes for each in logits):
        raise ValueError(f"there have to be {network.num_classes} logits")
    return sizes, features

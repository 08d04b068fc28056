"""Which filters' outputs go where in a network, found by running it without numbers.

Each output of a layer gets a number of its own, which is followed through everything
that keeps channels apart and zeros zero. What adds channels up, or does anything that
is not known here, fixes them: they cannot be removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from orangecontrib.imagemining.networks import (
    Network,
    create_network,
    without_numbers,
)
from orangecontrib.imagemining.weights.image_network import NetworkCard

__all__ = ["Channels", "channels_of", "model_of", "replaceable"]

_NONE = -1  # the number of channels that no layer made: the image's colours
_Numbers = NDArray[np.int64]

#: What gives each channel by itself, and 0 for 0.
_APART = {
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "dropout",
    "max_pool2d",
    "relu",
    "relu_",
}


class Channels:
    """Where the outputs of a network's layers go.

    Attributes
    ----------
    made : numbers of what a convolution or fully connected layer gives, by its name.
    taken : of what goes into it, −1 for the image's colours; of batch normalisations
        too. Fully connected layers behind a grid of positions have each number several
        times.
    fixed : numbers that cannot go.
    """

    def __init__(self) -> None:
        self.made: dict[str, _Numbers] = {}
        self.taken: dict[str, _Numbers] = {}
        self.fixed: set[int] = set()

    def removable(self) -> dict[str, int]:
        """Return the layers whose filters can be removed, with how many they have."""
        return {
            name: len(numbers)
            for name, numbers in self.made.items()
            if self.fixed.isdisjoint(numbers.tolist())
        }

    def kept(
        self, removed: Mapping[str, Iterable[int]]
    ) -> dict[str, tuple[_Numbers | None, _Numbers | None]]:
        """Return what stays of modules' tensors without some filters.

        Parameters
        ----------
        removed
            Positions of filters, by layer.

        Returns
        -------
        By module, for those that change: positions on the first axis of the weights
        that stay, and on the second one; None: all, or there is none.
        """
        gone = [
            self.made[layer][np.fromiter(positions, int)]
            for layer, positions in removed.items()
        ]
        numbers = np.concatenate([*gone, np.zeros(0, int)])
        if not self.fixed.isdisjoint(numbers.tolist()):
            raise ValueError("some of these filters cannot be removed")
        result = {}
        for module in {**self.taken, **self.made}:
            taken = _staying(self.taken.get(module), numbers)
            if module in self.made:
                stays = _staying(self.made[module], numbers), taken
            else:
                stays = taken, None
            if any(place is not None for place in stays):
                result[module] = stays
        return result


def _staying(numbers: _Numbers | None, gone: _Numbers) -> _Numbers | None:
    if numbers is None:
        return None
    stays = ~np.isin(numbers, gone)
    return None if stays.all() else np.flatnonzero(stays)


def model_of(card: NetworkCard, plain: bool = False) -> Network:
    """Return a card's network without numbers, in evaluation mode.

    Parameters
    ----------
    card
        Of the network.
    plain
        Whether to build it as designed, without the option ``reshaped``.
    """
    options = dict(card.options)
    if plain:
        options.pop("reshaped", None)
    with without_numbers():
        return create_network(
            card.architecture, num_classes=len(card.classes), **options
        ).eval()


def replaceable(card: NetworkCard) -> set[str]:
    """Return the names of the layers that a network's `reset_classifier` replaces."""
    network = model_of(card)
    before = dict(network.named_modules())
    with without_numbers():
        network.reset_classifier(network.num_classes)
    return {
        name
        for name, module in network.named_modules()
        if before.get(name) is not module
    }


def channels_of(card: NetworkCard) -> Channels:
    """Find out where the outputs of a network's layers go; nothing is computed.

    Parameters
    ----------
    card
        Of the network as it is.
    """
    network = model_of(card)
    with without_numbers():
        images = torch.empty(1, 3, network.min_size, network.min_size)
    tracer = _Tracer(network)
    with torch.no_grad(), tracer:
        vectors = network.embed(images, [layer.name for layer in network.layers()])
        logits = network.forward_training(images)
    # a vector may become shorter, but there is a logit for each class
    tracer.fix([vectors["logits"], *logits])
    return tracer.channels


class _Tracer(TorchFunctionMode):
    """Follows channels while a network runs within.

    Parameters
    ----------
    network
        Without numbers.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.channels = Channels()
        self._n = 0
        self._owners: dict[int, str] = {}
        self._modules = dict(network.named_modules())
        for name, module in self._modules.items():
            for tensors in (module.parameters, module.buffers):
                for tensor in tensors(recurse=False):
                    self._owners[id(tensor)] = name
        # tensors are held, so that no other one gets the same id
        self._numbers: dict[int, tuple[Tensor, _Numbers]] = {}

    def fix(self, tensors: Iterable[Tensor]) -> None:
        """Have the channels of tensors stay."""
        for tensor in tensors:
            _, numbers = self._numbers.get(id(tensor), (tensor, None))
            if numbers is not None:
                self.channels.fixed.update(set(numbers.tolist()) - {_NONE})

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        if isinstance(result, Tensor):
            name = getattr(func, "__name__", "")
            numbers = self._follow(name, args, given, result)
            if numbers is None:
                self.fix(_tensors([*args, *given.values()]))
            elif result.ndim < 2 or len(numbers) != result.shape[1]:
                raise RuntimeError(f"{name} gives other channels than it was to")
            else:
                self._numbers[id(result)] = result, numbers
        return result

    def _follow(
        self, name: str, args: tuple[Any, ...], given: dict[str, Any], result: Tensor
    ) -> _Numbers | None:
        """Return the numbers of a result's channels; None: it is not known."""
        tensors = _tensors([*args, *given.values()])
        if name == "cat":
            if given.get("dim", (*args, 0)[1]) != 1:
                return None
            joined: _Numbers = np.concatenate([self._of(each) for each in tensors])
            return joined
        if not tensors or tensors[0].ndim < 2:
            return None
        x = tensors[0]
        owners = [
            self._owners[id(each)] for each in tensors if id(each) in self._owners
        ]
        if owners:
            if len(set(owners)) > 1 or id(x) in self._owners:
                return None
            return self._through(name, owners[0], x, result)
        if len(tensors) > 1:
            return None
        if name == "flatten":
            if args[1:] != (1,) or given:
                return None
            return np.repeat(self._of(x), result.shape[1] // x.shape[1])
        apart = name in _APART or (name == "mul" and len(args) == 2)
        if name in ("mean", "amax"):
            apart = given == {"dim": (2, 3)} and len(args) == 1
        if name == "__getitem__":
            apart = isinstance(args[1], tuple) and args[1][:2] == (slice(None),) * 2
        return self._of(x) if apart else None

    def _through(
        self, name: str, owner: str, x: Tensor, result: Tensor
    ) -> _Numbers | None:
        """Return the numbers behind a module with parameters."""
        module = self._modules[owner]
        numbers = self._of(x)
        known = self.channels.taken.setdefault(owner, numbers)
        is_plain = name in ("conv2d", "linear", "batch_norm") and x.ndim == (
            2 if name == "linear" or isinstance(module, nn.BatchNorm1d) else 4
        )
        if not is_plain or getattr(module, "groups", 1) != 1:
            return None
        if not np.array_equal(known, numbers):
            # it runs at two places, or its input is not the same each time
            self.channels.fixed.update({*known.tolist(), *numbers.tolist()} - {_NONE})
        if name == "batch_norm":
            return numbers
        if owner not in self.channels.made:
            end = self._n + result.shape[1]
            self.channels.made[owner] = np.arange(self._n, end)
            self._n = end
        return self.channels.made[owner]

    def _of(self, tensor: Tensor) -> _Numbers:
        _, numbers = self._numbers.get(id(tensor), (tensor, None))
        if numbers is None:
            return np.full(tensor.shape[1], _NONE)
        return numbers


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _tensors(value)
    return found

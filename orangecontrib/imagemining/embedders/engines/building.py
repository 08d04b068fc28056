"""Builds trained networks by torch: modules of a card and its numbers."""

from __future__ import annotations

from typing import Any

import torch

from orangecontrib.imagemining.exceptions import UnknownNameError, WeightsError
from orangecontrib.imagemining.networks import (
    Network,
    create_network,
    without_numbers,
)
from orangecontrib.imagemining.networks.portable import PORTABLE_OUTPUTS, Portable
from orangecontrib.imagemining.specs import Layer
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard

__all__ = [
    "PORTABLE_OUTPUTS",
    "Portable",
    "built",
    "check_tensors",
    "layers_of",
    "on_meta",
]


def on_meta(card: NetworkCard, **options: Any) -> Network:
    """Return the network's module without memory for its numbers.

    Parameters
    ----------
    card
        Of a trained network.
    options
        For the builder, beside those of the card.

    Raises
    ------
    WeightsError
        If this version has no such architecture, or it has no such options.
    """
    try:
        with without_numbers():
            return create_network(
                card.architecture,
                num_classes=len(card.classes),
                **{**card.options, **options},
            )
    except UnknownNameError as ex:
        raise WeightsError(
            f"The network {card.title} is of an architecture that this version of the"
            f" add-on does not have: {card.architecture}"
        ) from ex
    # what a stranger's card asks for; a builder may trip over it in any way
    except Exception as ex:
        raise WeightsError(
            f"The network {card.title} cannot be built: {card.architecture} does not"
            f" take these options ({ex})"
        ) from ex


def layers_of(card: NetworkCard) -> tuple[Layer, ...]:
    """Return the layers of the network that a card stands for.

    Raises
    ------
    WeightsError
        If it cannot be built.
    """
    return tuple(on_meta(card).layers())


def built(network: ImageNetwork) -> Network:
    """Return the network as a module with its numbers, ready to predict.

    Raises
    ------
    WeightsError
        If the numbers are not those of its architecture.
    """
    module = on_meta(network.card)
    _check(network, module)
    # its own copy: what is built may be trained on, the network stays as it is
    module.load_state_dict(
        {name: torch.tensor(tensor) for name, tensor in network.tensors.items()},
        assign=True,
    )
    stray = [name for name, b in module.named_buffers() if b.is_meta]
    if stray:
        raise WeightsError(
            f"{network.card.architecture} needs {stray[0]}, which is not saved"
        )
    return module.eval()


def check_tensors(network: ImageNetwork) -> tuple[Layer, ...]:
    """Return the network's layers, having seen that the numbers are its own.

    Raises
    ------
    WeightsError
        If they are not those of its architecture, or it is not known.
    """
    module = on_meta(network.card)
    _check(network, module)
    return tuple(module.layers())


def _check(network: ImageNetwork, module: Network) -> None:
    card = network.card
    wanted = {
        name: f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
        for name, tensor in module.state_dict().items()
    }
    found = {
        name: f"{list(tensor.shape)} {tensor.dtype}"
        for name, tensor in network.tensors.items()
    }
    if wanted != found:
        name = min(set(wanted.items()) ^ set(found.items()))[0]
        raise WeightsError(
            f"The network {card.title} does not hold the numbers of"
            f" {card.architecture}: '{name}' has {found.get(name, 'none')}, where"
            f" {wanted.get(name, 'none')} are wanted"
        )

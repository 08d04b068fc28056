"""Students that begin from fresh weights: the weights, and how they are trained."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from orangecontrib.imagemining.compression.tasks import Apprentice
from orangecontrib.imagemining.networks import Network
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.training.plan import Recipe
from orangecontrib.imagemining.training.starting import build_network
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard

__all__ = [
    "as_image_network",
    "fresh_network",
    "in_words",
    "recipe_from_nothing",
    "see_as",
]


def fresh_network(card: NetworkCard, seed: int) -> Network:
    """Return a network of a card's design with fresh weights."""
    return build_network(card.architecture, len(card.classes), card.options, seed)


def as_image_network(network: nn.Module, card: NetworkCard) -> ImageNetwork:
    """Return torch's network, without forms, as others take it."""
    return ImageNetwork(
        card,
        {
            name: value.detach().cpu().contiguous().numpy().copy()
            for name, value in network.state_dict().items()
        },
    )


def recipe_from_nothing(network: nn.Module, rate: float | None) -> Recipe:
    """Return how a network is trained from fresh weights.

    Parameters
    ----------
    network
        Where it normalises batches, gradients need not be clipped.
    rate
        For batches of 32 images; None: 0.025 with normalisation (that is 0.1 for 128,
        as ResNets are trained on CIFAR-10), otherwise 0.01.
    """
    normalises = any(isinstance(each, nn.BatchNorm2d) for each in network.modules())
    return Recipe(
        name="from nothing",
        learning_rate=rate or (0.025 if normalises else 0.01),
        batch=32,
        clip=None if normalises else 1.0,
        auxiliary=0.0,
    )


def see_as(network: nn.Module, own: Preprocess, other: Preprocess) -> None:
    """Have a network take images as they are normalised for another one.

    What differs, order of colours, means and scales, goes into the first convolution:
    there it is the same linear map, except where zeros are put around the image, and of
    the means only if the convolution has biases.

    Parameters
    ----------
    network
        Is changed.
    own
        What its weights were trained on.
    other
        What it is to get.
    """
    first = next(
        each
        for each in network.modules()
        if isinstance(each, nn.Conv2d) and each.in_channels == 3
    )
    with torch.no_grad():
        weight = first.weight.detach().clone()
        for place, colour in enumerate(own.channels):
            at = other.channels.index(colour)
            # x_own = factor x_other + shift
            factor = own.scale * other.std[at] / (other.scale * own.std[place])
            mean = own.scale * other.mean[at] / other.scale
            shift = (mean - own.mean[place]) / own.std[place]
            first.weight[:, at] = weight[:, place] * factor
            if first.bias is not None:
                first.bias += shift * weight[:, place].sum(dim=(1, 2))


def in_words(task: Apprentice, n_images: int, parts: Iterable[str] = ()) -> str:
    """Return a sentence that tells the three losses over the last images seen.

    Parameters
    ----------
    task
        That was learned.
    n_images
        How many the last epoch had.
    parts
        More to be told behind them.
    """
    means = task.losses.means(n_images)
    told = [f"{words} {mean:.3f}" for words, mean in means.items()]
    return "Losses in the last epoch: " + ", ".join([*told, *parts])

"""Students that begin from fresh weights: the weights, and how they are trained."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from orangecontrib.imagemining.compression.tasks import Apprentice
from orangecontrib.imagemining.networks import Network
from orangecontrib.imagemining.training.plan import Recipe
from orangecontrib.imagemining.training.starting import build_network
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard

__all__ = ["as_image_network", "fresh_network", "in_words", "recipe_from_nothing"]


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

"""What images must be like for a network that is to be trained. Without torch."""

from __future__ import annotations

from dataclasses import replace

from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.training.designs import (
    design_size,
    options_for_training,
)
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.weights.image_network import ImageNetwork
from orangecontrib.imagemining.weights.registry import WEIGHTS

__all__ = ["architecture_of", "options_of", "preprocess_of"]

#: For networks that begin from nothing: ImageNet's means and deviations.
_PLAIN = Preprocess(
    size=(224, 224),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    scale=1 / 255,
)

#: What CIFAR's networks were made for, in pixels.
_CIFAR_SIZE = (32, 32)


def architecture_of(plan: Plan, given: ImageNetwork | None = None) -> str:
    """Return the name, in the registry of networks, of what is trained.

    With start "given", a plan that names no network (``""``, or that of a trained one)
    means the given one's architecture. One that names another has its network begin
    with what fits of the given one.

    Parameters
    ----------
    plan
        The plan.
    given
        The network to start from, if its start is "given".
    """
    if plan.start == "given" and given is not None:
        if not plan.network or ":" in plan.network:
            return given.card.architecture
    if plan.network in WEIGHTS:
        return WEIGHTS[plan.network].network or plan.network
    return plan.network


def options_of(plan: Plan, given: ImageNetwork | None = None) -> dict[str, object]:
    """Return what the network's builder is given beside ``num_classes``.

    Those of the given network, where it is one of the same architecture, are taken
    over, otherwise those of `designs.options_for_training`; the plan's own come on top.
    """
    name = architecture_of(plan, given)
    options: dict[str, object] = options_for_training(name)
    if plan.start == "given" and given is not None:
        if name == given.card.architecture:
            options = dict(given.card.options)
    options.update(plan.options)
    if plan.learns == "head":
        # what is trained is a linear map of the features, and nothing else
        options.update(options_for_training(name))
    return options


def preprocess_of(plan: Plan, given: ImageNetwork | None = None) -> Preprocess:
    """Return what the images must go through.

    That of the weights from which is started, in the plan's size; for a network that
    begins from nothing that of its published weights, if there are any.

    Parameters
    ----------
    plan, given
        As for `architecture_of`.
    """
    if plan.start == "given" and given is not None:
        preprocess = given.card.preprocess
    elif plan.network in WEIGHTS:
        preprocess = WEIGHTS[plan.network].preprocess
    elif plan.network.endswith("_cifar"):
        preprocess = replace(_PLAIN, size=_CIFAR_SIZE)
    else:
        preprocess = replace(_PLAIN, size=design_size(plan.network) or _PLAIN.size)
    if plan.size is None or plan.size == preprocess.size:
        return preprocess
    height, width = plan.size
    shortest = preprocess.shortest
    if shortest is not None:
        shortest = round(shortest * min(height, width) / min(preprocess.size))
    swapped = preprocess.swapped_columns
    if swapped is not None and max(swapped) >= width:
        swapped = None
    return replace(
        preprocess, size=plan.size, shortest=shortest, swapped_columns=swapped
    )

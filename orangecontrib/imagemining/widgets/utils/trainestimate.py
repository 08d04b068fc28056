"""How long a training is going to take, before it begins; no Qt."""

from __future__ import annotations

import os
from collections.abc import Mapping

from orangecontrib.imagemining.training.inputs import preprocess_of
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.weights import WEIGHTS
from orangecontrib.imagemining.weights.image_network import ImageNetwork

__all__ = ["COSTS", "architecture", "estimate", "speed_key"]

#: Multiplications, in thousand millions, of an image through a network, and the side of
#: the images for which they were counted.
COSTS: dict[str, tuple[float, int]] = {
    "alexnet": (0.714, 224),
    "inception_resnet_v1": (1.418, 160),
    "inception_resnet_v2": (13.156, 299),
    "inception_v3": (5.713, 299),
    "inception_v4": (12.254, 299),
    "resnet101": (7.801, 224),
    "resnet110_cifar": (0.253, 32),
    "resnet152": (11.514, 224),
    "resnet18": (1.814, 224),
    "resnet20_cifar": (0.041, 32),
    "resnet32_cifar": (0.069, 32),
    "resnet34": (3.664, 224),
    "resnet50": (4.089, 224),
    "resnet56_cifar": (0.126, 32),
    "resnet_cifar": (0.041, 32),
    "squeezenet1_0": (0.833, 227),
    "squeezenet1_0_complex_bypass": (1.184, 227),
    "squeezenet1_0_simple_bypass": (0.833, 227),
    "squeezenet1_1": (0.388, 227),
    "squeezenet_imageanalytics": (0.353, 227),
    "toy": (0.002, 224),
    "vgg11": (7.609, 224),
    "vgg11_bn": (7.609, 224),
    "vgg11_lrn": (7.609, 224),
    "vgg13": (11.308, 224),
    "vgg13_bn": (11.308, 224),
    "vgg16": (15.47, 224),
    "vgg16_bn": (15.47, 224),
    "vgg16_c": (11.771, 224),
    "vgg16_c_bn": (11.771, 224),
    "vgg19": (19.632, 224),
    "vgg19_bn": (19.632, 224),
}

#: Such that a core trains on so many thousand millions a second; measured with
#: SqueezeNet 1.1 and ResNet-20 on two cores of a server: 8 to 17.
_PER_CORE = 10.0
_READ = 60.0  # images a second that are read and brought to size
_BEGIN = 4.0  # seconds: torch, weights
_MOST_CORES = 8  # more do not help much
_SHARES = {"all": 1.0, "last": 0.5, "head": 1 / 3}  # of the work of training all


def architecture(plan: Plan, given: ImageNetwork | None) -> str:
    """Return the name in the registry of networks, "" if it is not known yet."""
    if plan.start == "given" and not plan.network:
        return given.card.architecture if given is not None else ""
    card = WEIGHTS.get(plan.network)
    return card.network if card is not None else plan.network


def speed_key(plan: Plan, given: ImageNetwork | None = None) -> str:
    """Return what a measured speed holds for."""
    side = preprocess_of(plan, given).size[0]
    return f"{architecture(plan, given)} {side} {plan.learns} {plan.device}"


def estimate(
    plan: Plan,
    n_images: int,
    given: ImageNetwork | None = None,
    speeds: Mapping[str, float] | None = None,
) -> float | None:
    """Return how many seconds a training takes, roughly; None if nobody knows.

    Parameters
    ----------
    plan
        What is done.
    n_images
        To learn from.
    given
        The network to begin with.
    speeds
        Images a second that were measured here, by `speed_key`.
    """
    name = architecture(plan, given)
    known = (speeds or {}).get(speed_key(plan, given))
    if known:
        rate = known
    elif name in COSTS:
        cost, side = COSTS[name]
        cost *= (preprocess_of(plan, given).size[0] / side) ** 2
        cores = min(os.cpu_count() or 1, _MOST_CORES)
        rate = _PER_CORE * cores / (cost * _SHARES[plan.learns])
    else:
        return None
    # the head sees all vectors at once: images go through the network once
    times = 1 if plan.learns == "head" else plan.epochs
    seconds = n_images * times / rate + n_images / _READ + _BEGIN
    if plan.minutes is not None and plan.learns != "head":
        seconds = min(seconds, 60 * plan.minutes + n_images / _READ + _BEGIN)
    return seconds

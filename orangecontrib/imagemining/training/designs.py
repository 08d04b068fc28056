"""What can be chosen of the networks' designs, for people; standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from orangecontrib.imagemining.plugins import load_plugins

__all__ = [
    "Knob",
    "added_networks",
    "design_options",
    "design_size",
    "options_for_training",
    "register_design",
]


class Knob(NamedTuple):
    """One number or choice of a network's design.

    Attributes
    ----------
    default : what the builder takes if nothing is said.
    allowed : a tuple of choices, or (smallest, largest) where `is_range`.
    words : what it is, for people.
    is_range : whether any number between the two of `allowed` will do (whole ones if
        `default` is whole).
    """

    default: Any
    allowed: tuple[Any, ...]
    words: str
    is_range: bool = False


_SMALL = "Begin as images of about 32 × 32 pixels need it"

# Iandola et al. 2016: sections 5.1 (the five numbers) and 6 (bypass)
_SQUEEZENET = {
    "base_e": Knob(
        128, (8, 512), "Expand filters in the first modules (base_e)", is_range=True
    ),
    "incr_e": Knob(
        128, (0, 512), "How many more at each widening (incr_e)", is_range=True
    ),
    "freq": Knob(2, (1, 8), "Modules between two widenings (freq)", is_range=True),
    "squeeze_ratio": Knob(
        0.125,
        (0.05, 1.0),
        "Squeeze filters, as a share of expand filters (SR)",
        is_range=True,
    ),
    "pct_3x3": Knob(
        0.5,
        (0.01, 0.99),
        "Share of expand filters that are 3 × 3 (pct)",
        is_range=True,
    ),
    "bypass": Knob(
        "none", ("none", "simple", "complex"), "Ways around the modules (section 6)"
    ),
    "small_images": Knob(False, (False, True), _SMALL),
    "last_relu": Knob(
        True, (True, False), "Cut negative values before their mean becomes a class's"
    ),
}

# He et al. 2015, section 4.2
_RESNET_CIFAR = {
    "n": Knob(3, (1, 18), "Blocks in each stage; 6n + 2 layers", is_range=True),
    "width": Knob(16, (4, 128), "Filters of the first stage", is_range=True),
}

_WIDTHS = (1.0, 0.75, 0.5, 0.25, 0.125)
_WIDTH = Knob(1.0, _WIDTHS, "Share of the filters")
_VGG = {"width": _WIDTH, "small_images": Knob(False, (False, True), _SMALL)}
_INCEPTION = {"width": _WIDTH}

# Szegedy et al. 2016, section 3.3: between 0.1 and 0.3; the first as published
_SCALED = {
    "width": _WIDTH,
    "scales": Knob(
        (0.17, 0.1, 0.2),
        ((0.17, 0.1, 0.2), 0.1, 0.2, 0.3),
        "What residuals are multiplied with",
    ),
}

_DESIGNS: dict[str, dict[str, Knob]] = {
    "squeezenet1_1": _SQUEEZENET,
    "squeezenet1_0": _SQUEEZENET,
    "resnet_cifar": _RESNET_CIFAR,
    **{
        name: _VGG
        for name in (
            *("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_lrn", "vgg16_c"),
            *("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn", "vgg16_c_bn"),
        )
    },
    "inception_v3": _INCEPTION,
    "inception_v4": _INCEPTION,
    "inception_resnet_v1": _SCALED,
    "inception_resnet_v2": _SCALED,
}

_WITH_RELU = (
    *("squeezenet1_1", "squeezenet1_0"),
    *("squeezenet1_0_simple_bypass", "squeezenet1_0_complex_bypass"),
)


#: Networks that other packages have added: what people call them, and the size of their
#: images, (height, width).
_ADDED: dict[str, tuple[str, tuple[int, int]]] = {}


def register_design(
    network: str,
    title: str,
    size: tuple[int, int] = (224, 224),
    knobs: Mapping[str, Knob] | None = None,
) -> None:
    """Have a network offered for training that another package adds.

    The network itself is registered by `networks.register_network`, in a module that
    may import torch; this one is also called where torch is not loaded.

    Parameters
    ----------
    network
        Its name in the registry of networks.
    title
        What people call it.
    size
        (height, width) in pixels of the images that it was made for.
    knobs
        What can be chosen of its design: options of its builder, by their names.

    Raises
    ------
    ValueError
        If there is one of that name already.
    """
    if network in _ADDED or network in _DESIGNS:
        raise ValueError(f"there is a design of '{network}' already")
    _ADDED[network] = (title, size)
    _DESIGNS[network] = dict(knobs or {})


def added_networks() -> dict[str, str]:
    """Return names and titles of the networks that other packages have added."""
    return {network: title for network, (title, _) in _ADDED.items()}


def design_size(network: str) -> tuple[int, int] | None:
    """Return (height, width) that an added network was made for; None of our own."""
    return _ADDED[network][1] if network in _ADDED else None


def design_options(network: str) -> dict[str, Knob]:
    """Return the knobs of a network by their names, {} if it has none.

    They are options of its builder (`Plan.options`).

    Parameters
    ----------
    network
        Name in the registry of networks.
    """
    return dict(_DESIGNS.get(network, {}))


def options_for_training(network: str) -> dict[str, Any]:
    """Return options that a network is built with when its classifier is trained anew.

    SqueezeNet cuts negative values at each position before their mean becomes a logit.
    With few classes that leaves logits that can only be 0, which no gradient leads out
    of; and a linear map of the mean features (`head`) is not that classifier. Without
    the cut both are one.

    Parameters
    ----------
    network
        Name in the registry of networks.
    """
    return {"last_relu": False} if network in _WITH_RELU else {}


load_plugins("designs")  # last: they need what is above

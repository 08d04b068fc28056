"""What Train Network says; no Qt."""

from __future__ import annotations

from datetime import datetime

from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.training.designs import added_networks, design_options
from orangecontrib.imagemining.weights import WEIGHTS, is_here
from orangecontrib.imagemining.widgets.utils.embeddertexts import download_label
from orangecontrib.imagemining.widgets.utils.trainchoices import (
    AS_RECIPE,
    Choices,
    is_published,
    written,
)

__all__ = [
    "AUGMENTATION_LABELS",
    "LEARNS_LABELS",
    "RECIPE_LABELS",
    "UNPUBLISHED",
    "counted",
    "day",
    "describe_design",
    "describe_start",
    "epochs_text",
    "missing_weights",
    "network_items",
    "network_title",
    "no_weights",
    "start_items",
]

#: Networks of which no weights are published, or only under other names.
UNPUBLISHED = {
    "resnet20_cifar": "ResNet-20 for small images",
    "resnet32_cifar": "ResNet-32 for small images",
    "resnet56_cifar": "ResNet-56 for small images",
    "resnet110_cifar": "ResNet-110 for small images",
    "resnet_cifar": "ResNet for small images, any depth",
    "squeezenet1_0_simple_bypass": "SqueezeNet 1.0, simple bypass",
    "squeezenet1_0_complex_bypass": "SqueezeNet 1.0, complex bypass",
    "vgg11_lrn": "VGG-11 with normalisation (A-LRN)",
    "vgg16_c": "VGG-16 with 1×1 convolutions (C)",
    "vgg16_c_bn": "VGG-16 with 1×1 convolutions (C), batch-normalised",
}

#: Not offered, but shown where somebody has chosen it.
_HIDDEN = {"toy": "Toy network, for trying out"}

LEARNS_LABELS = {
    "all": "Everything",
    "last": "The last stages",
    "head": "The last layer alone",
}

RECIPE_LABELS = {
    "everyday": "Everyday",
    "squeezenet": "SqueezeNet's paper",
    "vgg": "VGG's paper",
    "inception": "Inception's papers",
}

AUGMENTATION_LABELS = {
    AS_RECIPE: "As the recipe has it",
    "none": "None",
    "photographs": "Photographs: parts, mirrored",
    "microscopy": "Microscopy: turned too",
}


def network_title(network: str) -> str:
    """Return what people call a network."""
    if is_published(network):
        return WEIGHTS[network].title
    return {**UNPUBLISHED, **_HIDDEN, **added_networks()}.get(network, network)


def network_items(chosen: str) -> dict[str, str]:
    """Return names and labels of the networks that can be trained.

    Those whose published weights are here come first, then those that can be fetched.
    """
    here: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, card in WEIGHTS.items():
        if name == "squeezenet_imageanalytics" and chosen != name:
            continue  # for old workflows' vectors, not to begin anything with
        (here if is_here(card) else others)[name] = card.title
    items = {**here, **others, **UNPUBLISHED, **added_networks()}
    if chosen in _HIDDEN:
        items[chosen] = _HIDDEN[chosen]
    return items


def start_items(network: str, given: str) -> dict[str, str]:
    """Return the starts with their labels.

    Parameters
    ----------
    network
        The network chosen.
    given
        Title of the network at the input, "" if there is none.
    """
    published = "Published weights"
    if not is_published(network):
        published += " (there are none)"
    elif not is_here(WEIGHTS[network]):
        published += " (not downloaded)"
    return {
        "published": published,
        "given": f"The network given: {given}" if given else "The network given (none)",
        "nothing": "Nothing (random weights)",
    }


def describe_start(choices: Choices, given: str) -> str:
    """Return what to know of the choice of network and start."""
    if choices.start == "given":
        if not given:
            return "Connect a network to begin with, as Load Network gives one."
        return f"Begins with {given}; its classes may be others."
    if choices.from_nothing:
        return (
            "Begins with random weights and learns all it knows from your images: that"
            " takes many of them, and many epochs."
        )
    if not is_published(choices.network):
        return f"{no_weights(choices.network)}."
    card = WEIGHTS[choices.network]
    if is_here(card):
        return f"Begins with what it learned of {card.trained_on}."
    return f"{missing_weights(choices.network)}."


def no_weights(network: str) -> str:
    """Return what to do about a network of which no weights are published."""
    return (
        f"No weights of {network_title(network)} are published. Begin with nothing, or"
        " choose another network"
    )


def missing_weights(network: str) -> str:
    """Return what to do about published weights that are not on this computer."""
    card = WEIGHTS[network]
    size = download_label(card)
    return (
        f"The weights of {card.title}{f' ({size})' if size else ''} are not on this"
        " computer. Choose it in Image Embedding and press Download there, then come"
        " back"
    )


def describe_design(choices: Choices) -> str:
    """Return what was changed of a network's design, "" if it has no knobs."""
    try:
        knobs = design_options(choices.network)
    except ImageMiningError:
        return ""
    if not knobs:
        return ""
    options = choices.options()
    if not options:
        return "As published"
    return " · ".join(
        f"{knobs[name].words} {written(options[name])}" for name in options
    )


def day(seconds: float) -> str:
    """Return a time as people write it: "12 Nov, 14:05"."""
    when = datetime.fromtimestamp(seconds)
    return f"{when.day} {when:%b}, {when:%H:%M}"


def epochs_text(epochs: float) -> str:
    """Return a number of epochs: "3", or "0.8" where one was broken off."""
    return (
        f"{round(epochs):,}" if abs(epochs - round(epochs)) < 1e-6 else f"{epochs:.1f}"
    )


def counted(number: int, one: str, many: str = "") -> str:
    """Return "1 image", "2,000 images"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"

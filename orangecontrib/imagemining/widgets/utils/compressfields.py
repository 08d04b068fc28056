"""The numbers of a compression's steps, as they are shown and changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from orangecontrib.imagemining.compression.plan import (
    Densify,
    Distil,
    FineTune,
    Half,
    Int8,
    LowBits,
    LowRank,
    Prune,
    PruneFilters,
    Share,
    Step,
    kind_of,
)
from orangecontrib.imagemining.widgets.utils.trainfields import Field
from orangecontrib.imagemining.widgets.utils.trainnumbers import design_fields
from orangecontrib.imagemining.widgets.utils.traintexts import network_items

__all__ = ["LAYER_FIELDS", "PLAN_FIELDS", "fields_of"]

#: The field of a step that has a number for single layers, with its heading, range and
#: whether it is whole.
LAYER_FIELDS: Mapping[type[Step], tuple[str, str, float, float, bool]] = {
    Prune: ("shares", "Share of zeros, 0–1", 0.0, 0.999, False),
    Share: ("layer_bits", "Bits", 2, 8, True),
}


def _is(name: str, *values: object) -> Any:
    return lambda all_values: all_values[name] in values


def _not(name: str, *values: object) -> Any:
    return lambda all_values: all_values[name] not in values


def _epochs(tip: str, least: int = 0) -> Field:
    return Field("epochs", "Epochs", tip, kind="whole", least=least, most=10_000)


_AFTER = _epochs(
    "How often the images are seen for fine-tuning, after each round; 0: not at all"
)
_BY_LAYER = {
    "sensitivity": "as much of each layer as it bears",
    "layer": "the same share of each layer",
}
_TOLERANCE = Field(
    "tolerance",
    "… a layer may cost",
    "Accuracy, 0–1, that pruning this layer alone may cost: 0.01 is one point",
    most=1,
    counts=_is("by", "sensitivity"),
)
_ROUNDS = Field(
    "rounds",
    "Rounds",
    "In how many steps the share is reached, with fine-tuning between them",
    kind="whole",
    least=1,
    most=50,
)
_BETA = Field(
    "beta",
    "β: weight of the labels",
    "Of the student's own loss on the labels; without labels it is 0",
    most=100,
)
_GAMMA = Field(
    "gamma",
    "γ: weight of the teacher's answers",
    "Of the student's loss against what the teacher answers",
    most=100,
)
_TEMPERATURE = Field(
    "temperature",
    "Temperature",
    "Above 1, the teacher's lesser guesses count more",
    least=0.05,
    most=100,
)
_RATE = Field(
    "learning_rate",
    "Learning rate from nothing",
    "Where weights begin at random; for batches of 32 images",
    least=1e-9,
    most=1000,
    optional="usual",
)

_FIELDS: Mapping[type[Step], tuple[Field, ...]] = {
    Prune: (
        Field(
            "by",
            "Which weights",
            "How much of each layer is set to 0",
            {**_BY_LAYER, "global": "the smallest of all layers together"},
        ),
        Field(
            "share",
            "Share of zeros",
            "Of the weights, 0–1; with “as it bears” this is the most",
            most=0.999,
            counts=_is("target_bytes", None),
        ),
        _TOLERANCE,
        Field(
            "target_bytes",
            "… or for a file of, bytes",
            "The share is looked for so that the file, with the steps behind this one,"
            " has at most so many bytes",
            kind="whole",
            least=100,
            most=10**12,
            optional="any",
        ),
        _ROUNDS,
        _AFTER,
    ),
    PruneFilters: (
        Field("by", "Which filters", "How many filters of each layer go", _BY_LAYER),
        Field("share", "Share that goes", "Of each layer's filters, 0–1", most=0.95),
        _TOLERANCE,
        _ROUNDS,
        _AFTER,
    ),
    LowRank: (
        Field(
            "energy",
            "Share that is kept",
            "Of the sum of the squared singular values, 0–1: the more, the more exact",
            least=0.01,
            most=1,
        ),
        Field(
            "layers",
            "Which layers",
            "Layers that would not become smaller stay as they are",
            {
                "both": "fully connected and 1×1 convolutions",
                "linear": "fully connected",
                "pointwise": "1×1 convolutions",
            },
        ),
        _AFTER,
    ),
    Share: (
        Field(
            "bits",
            "Bits",
            "Of convolutions: 8 bits are up to 256 values, 4 bits up to 16",
            kind="whole",
            least=2,
            most=8,
        ),
        Field(
            "linear_bits",
            "… of fully connected layers",
            "These bear fewer bits than convolutions",
            kind="whole",
            least=2,
            most=8,
            optional="the same",
        ),
        Field(
            "start",
            "Values begin",
            "Where the search for the shared values begins; even spacing keeps the"
            " large weights, which matter most",
            {
                "linear": "evenly spaced",
                "density": "where most weights are",
                "random": "at weights taken by chance",
            },
        ),
        Field(
            "thrift",
            "Thrift",
            "Above 0, values that come often are preferred where others are hardly"
            " nearer, which makes the file smaller: 3 costs hardly anything, 30 a lot",
            most=1000,
        ),
        Field(
            "compensate",
            "Errors made up for",
            "The error of each weight is made up for by those that follow in its"
            " filter, as far as some images show how; nothing is trained for it",
            kind="flag",
        ),
        _epochs("How often the images are seen to train the shared values"),
    ),
    LowBits: (
        Field(
            "bits",
            "Bits of a weight",
            "Ternary weights are −s, 0 or s, with one s for each layer",
            {2: "2: ternary", **{bits: str(bits) for bits in range(3, 9)}},
        ),
        Field(
            "activations",
            "Bits of activations",
            "What flows between layers",
            {8: "8", 32: "32: floating point"},
        ),
        Field(
            "scheme",
            "Teacher",
            "Who says how it should answer (Apprentice's schemes A, B and C)",
            {
                "none": "none",
                "A": "A: learns together with it",
                "B": "B: trained; the student begins from nothing",
                "C": "C: trained; the student begins from its weights",
            },
        ),
        Field(
            "alpha",
            "α: weight of the teacher's own loss",
            "Of the teacher's loss on the labels; counts where it learns too",
            most=100,
            counts=_is("scheme", "A"),
        ),
        _BETA,
        Field(
            "gamma",
            _GAMMA.label,
            _GAMMA.tip,
            most=100,
            counts=_not("scheme", "none"),
        ),
        Field(
            "temperature",
            _TEMPERATURE.label,
            _TEMPERATURE.tip,
            least=0.05,
            most=100,
            counts=_not("scheme", "none"),
        ),
        Field(
            "keep",
            "Kept in full",
            "Layers whose weights stay as they are",
            {"ends": "first and last layer", "none": "no layer"},
        ),
        Field(
            "start",
            "Begins with",
            "Where its weights begin",
            {
                "scheme": "what the scheme says",
                "given": "the weights that are there",
                "nothing": "nothing (random weights)",
            },
        ),
        _RATE,
        _epochs("How often the images are seen", least=1),
    ),
    Distil: (
        Field("network", "Network", "What is trained to answer as this one", {}),
        Field(
            "start",
            "Begins with",
            "Published weights have seen a million photographs",
            {"nothing": "nothing (random weights)", "published": "published weights"},
        ),
        _BETA,
        _GAMMA,
        _TEMPERATURE,
        _RATE,
        _epochs("How often the images are seen", least=1),
    ),
    Densify: (_epochs("How often the images are seen while they grow", least=1),),
    FineTune: (_epochs("How often the images are seen", least=1),),
    Int8: (
        Field(
            "images",
            "Images for ranges",
            "How many images tell between which bounds activations are",
            kind="whole",
            least=1,
            most=100_000,
        ),
        Field(
            "method",
            "Ranges by",
            "What is made of the activations that were seen",
            {
                "percentile": "all but the very largest",
                "minmax": "smallest and largest",
                "entropy": "least loss of information",
            },
        ),
        _epochs(
            "Of training with rounding as the integers will have it; 0: ranges alone"
        ),
    ),
    Half: (),
}

#: Numbers of the whole, beside its steps and its goal.
PLAN_FIELDS: tuple[Field, ...] = (
    Field(
        "distil",
        "Fine-tuning follows the network as it was",
        "Beside the labels, its answers are followed; without labels these alone",
        kind="flag",
    ),
    Field(
        "gamma",
        "… with a weight of",
        "0–1, against that of the labels",
        most=1,
        counts=lambda values: bool(values["distil"]),
    ),
    Field(
        "temperature",
        "… and a temperature of",
        _TEMPERATURE.tip,
        least=0.05,
        most=100,
        counts=lambda values: bool(values["distil"]),
    ),
)


def fields_of(step: Step) -> tuple[Field, ...]:
    """Return what can be changed of a step; numbers of single layers left out."""
    kind = type(step)
    if kind not in _FIELDS:  # another package's
        return (*design_fields(kind_of(kind).knobs), _AFTER)
    if kind is not Distil:
        return _FIELDS[kind]
    chosen = {name: getattr(step, name) for name in (f.name for f in fields(step))}
    items = network_items(str(chosen["network"]))
    network, *others = _FIELDS[kind]
    return Field(network.name, network.label, network.tip, items), *others

"""What Compress Network says of steps, sizes and accuracies; no Qt."""

from __future__ import annotations

import math
from collections.abc import Mapping

from orangecontrib.imagemining.compression.checks import title_of, words_of
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
    step_kinds,
)
from orangecontrib.imagemining.widgets.utils.traintexts import counted

__all__ = [
    "ABOUT_STEPS",
    "STEP_TITLES",
    "about_step",
    "describe_step",
    "offered_steps",
    "per_cent",
    "points",
    "size",
    "times",
]

#: Kinds of steps as people call them, in the order in which they are offered.
STEP_TITLES: Mapping[type[Step], str] = {
    kind: title_of(kind)
    for kind in (
        Prune,
        PruneFilters,
        LowRank,
        Share,
        LowBits,
        Distil,
        Densify,
        FineTune,
        Half,
        Int8,
    )
}

#: What each kind of step does, in a sentence or two.
ABOUT_STEPS: Mapping[type[Step], str] = {
    Prune: (
        "The smallest weights become 0 and stay 0; the others are trained on so that"
        " they make up for it. Zeros take hardly any space in the file."
    ),
    PruneFilters: (
        "Whole filters go, so the network gets smaller and faster everywhere. It costs"
        " more accuracy than zeros do. Put it before other steps."
    ),
    LowRank: (
        "Fully connected layers and 1×1 convolutions become two thinner ones, where"
        " that is smaller. Put it before other steps."
    ),
    Share: (
        "The weights of a layer share a few values, which are then trained; the file"
        " tells for each weight only which of them it has."
    ),
    LowBits: (
        "The network is trained with weights of very few bits, with or without a"
        " teacher (Apprentice). The more images and epochs, the better."
    ),
    Distil: (
        "Another, smaller network is trained to answer as this one does. Steps behind"
        " it go on with that network."
    ),
    Densify: (
        "Pruned weights may grow again from 0: the last part of dense–sparse–dense. It"
        " is for accuracy, not for size."
    ),
    FineTune: "The network is trained on as it is: zeros stay 0, shared values shared.",
    Half: "Weights are kept as 16-bit numbers: half the size, nearly the same answers.",
    Int8: (
        "Weights and activations become 8-bit integers, and ONNX Runtime computes with"
        " them: smaller and faster. It has to be the last step."
    ),
}


def offered_steps() -> dict[type[Step], str]:
    """Return all kinds of steps with their titles, those of other packages last."""
    return {**STEP_TITLES, **{k.step: k.title for k in step_kinds()}}


def about_step(kind: type[Step]) -> str:
    """Return what a kind of step does, in a sentence or two."""
    return ABOUT_STEPS.get(kind) or kind_of(kind).about


def describe_step(step: Step) -> str:
    """Return a step with its main numbers: "Share values, 6 bits, 2 epochs"."""
    parts = [words_of(step)]
    if isinstance(step, Prune) and step.target_bytes is not None:
        parts = [f"{title_of(step)}, for a file of {size(step.target_bytes)}"]
    if n_layers := len(getattr(step, "shares", getattr(step, "layer_bits", ()))):
        parts.append(f"{counted(n_layers, 'layer')} otherwise")
    if (n_rounds := getattr(step, "rounds", 1)) > 1:
        parts.append(f"{n_rounds} rounds")
    if step.epochs:
        each = " each" if n_rounds > 1 else ""
        parts.append(f"{counted(step.epochs, 'epoch')}{each}")
    return ", ".join(parts)


def size(n_bytes: float) -> str:
    """Return how large a file is: "421 B", "663 kB", "4.9 MB"."""
    if n_bytes < 1000:
        return f"{n_bytes:,.0f} B"
    if n_bytes < 10**6:
        kilobytes = n_bytes / 10**3
        return f"{kilobytes:,.0f} kB" if kilobytes >= 100 else f"{kilobytes:.3g} kB"
    megabytes = n_bytes / 10**6
    return f"{megabytes:,.0f} MB" if megabytes >= 100 else f"{megabytes:.3g} MB"


def times(ratio: float) -> str:
    """Return how many times smaller something is: "12 ×", "1.5 ×"."""
    return f"{ratio:,.0f} ×" if ratio >= 100 else f"{ratio:.3g} ×"


def per_cent(share: float) -> str:
    """Return an accuracy, "–" where it is not known."""
    return f"{100 * share:.1f} %" if math.isfinite(share) else "–"


def points(lost: float) -> str:
    """Return lost accuracy, given as a share, in points: "0.4", "−0.2", "–"."""
    if not math.isfinite(lost):
        return "–"
    text = f"{abs(100 * lost):.1f}"
    return f"−{text}" if lost < 0 and float(text) else text

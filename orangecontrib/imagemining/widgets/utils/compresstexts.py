"""What Compress Network says of steps, sizes and accuracies; no Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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
)
from orangecontrib.imagemining.widgets.utils.traintexts import counted, network_title

__all__ = [
    "ABOUT_STEPS",
    "STEP_TITLES",
    "describe_step",
    "per_cent",
    "points",
    "size",
    "times",
]

#: Kinds of steps as people call them, in the order in which they are offered.
STEP_TITLES: Mapping[type[Step], str] = {
    Prune: "Prune weights",
    PruneFilters: "Remove filters",
    LowRank: "Factorise layers",
    Share: "Share values",
    LowBits: "Ternary or few bits",
    Distil: "Distil into another network",
    Densify: "Let pruned weights grow again",
    FineTune: "Fine-tune",
    Half: "Half precision",
    Int8: "8-bit integers (Int8)",
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


def describe_step(step: Step) -> str:
    """Return a step with its main numbers: "Prune weights: up to 67 %, 3 rounds"."""
    describe = _DESCRIBE.get(type(step))
    details = describe(step) if describe is not None else []
    if step.epochs:
        details.append(counted(step.epochs, "epoch"))
    title = STEP_TITLES[type(step)]
    return f"{title}: {', '.join(details)}" if details else title


def _prune(step: Any) -> list[str]:
    if getattr(step, "target_bytes", None) is not None:
        parts = [f"for a file of {size(step.target_bytes)}"]
    else:
        upto = "up to " if step.by == "sensitivity" else ""
        parts = [f"{upto}{100 * step.share:.3g} %"]
    if step.by == "global":
        parts.append("of all layers together")
    if n := len(getattr(step, "shares", ())):
        parts.append(f"{counted(n, 'layer')} by itself" if n == 1 else f"{n} by layer")
    if step.rounds > 1:
        parts.append(f"{step.rounds} rounds")
    return parts


def _share(step: Any) -> list[str]:
    parts = [f"{step.bits} bits"]
    if step.linear_bits is not None and step.linear_bits != step.bits:
        parts.append(f"fully connected {step.linear_bits}")
    if n := len(step.layer_bits):
        parts.append(f"{counted(n, 'layer')} otherwise")
    return parts


def _low_bits(step: Any) -> list[str]:
    parts = ["ternary" if step.bits == 2 else f"{step.bits} bits"]
    if step.activations < 32:
        parts.append(f"activations {step.activations} bits")
    parts.append(
        "no teacher" if step.scheme == "none" else f"teacher, scheme {step.scheme}"
    )
    return parts


_DESCRIBE: Mapping[type[Step], Callable[[Any], list[str]]] = {
    Prune: _prune,
    PruneFilters: _prune,
    LowRank: lambda step: [f"{100 * step.energy:.4g} % kept"],
    Share: _share,
    LowBits: _low_bits,
    Distil: lambda step: [network_title(step.network)],
    Int8: lambda step: [counted(step.images, "image")],
}


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

"""Whether a plan of a compression makes sense. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
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
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.training.plan import check_plan as check_training
from orangecontrib.imagemining.weights.image_network import AnyNetwork, ImageNetwork

__all__ = [
    "check_network",
    "check_plan",
    "n_epochs",
    "needs_images",
    "title_of",
    "trains_only",
    "words_of",
]

#: Steps that cannot come after others: those before, and why not.
_ORDER: list[tuple[type[Step], tuple[type[Step], ...], str]] = [
    (
        Distil,
        (Step,),
        "it begins with another network, so that what was done before would be lost",
    ),
    (
        PruneFilters,
        (Share, LowBits, Half),
        "it changes layers whose values are fixed by then",
    ),
    (
        LowRank,
        (Share, LowBits, Half),
        "it changes layers whose values are fixed by then",
    ),
    (
        Prune,
        (Share, LowBits, Half),
        "shared and rounded values are to be chosen after it",
    ),
    (
        Densify,
        (Share, LowBits, Half),
        "the weights that grow would be shared by no value",
    ),
    (LowBits, (Share, Half), "it chooses other values"),
    (Share, (Half,), "it chooses other values"),
    (Int8, (Share, Half), "it chooses other values"),
]


def title_of(step: Step | type[Step]) -> str:
    """Return what a step is called, for people."""
    return kind_of(step).title


def n_epochs(step: Step) -> int:
    """Return how often a step sees the images for training, in all its rounds."""
    return step.epochs * max(getattr(step, "rounds", 1), 1)


def needs_images(step: Step) -> bool:
    """Tell whether a step cannot be done without images."""
    if isinstance(step, (Densify, Distil, FineTune, Int8)):
        return True
    if isinstance(step, (Prune, PruneFilters)) and step.by == "sensitivity":
        return True
    if isinstance(step, Share) and step.compensate:
        return True
    return step.epochs > 0 or kind_of(step).needs_images


def trains_only(step: Step) -> bool:
    """Tell whether a step comes to nothing without training."""
    return step.epochs > 0 and isinstance(step, (Densify, LowBits, Distil, FineTune))


def words_of(step: Step) -> str:
    """Return a step with its numbers, for people: "Share values, 8 and 5 bits"."""
    details: list[str] = []
    if isinstance(step, (Prune, PruneFilters)):
        target = getattr(step, "target_bytes", None)
        most = "up to " if step.by == "sensitivity" else ""
        details.append(
            f"{most}{100 * step.share:.3g} %"
            if target is None
            else f"as {target:,} bytes ask for"
        )
    elif isinstance(step, LowRank):
        details.append(f"{100 * step.energy:.3g} % of the energy")
    elif isinstance(step, Share):
        linear = step.linear_bits
        more = "" if linear in (None, step.bits) else f" and {linear}"
        details.append(f"{step.bits}{more} bits")
    elif isinstance(step, LowBits):
        details.append("ternary" if step.bits == 2 else f"{step.bits} bits")
        if step.activations < 32:
            details.append(f"activations {step.activations} bits")
        if step.scheme != "none":
            details.append(f"scheme {step.scheme}")
    elif isinstance(step, Distil):
        details.append(step.network)
    if (say := kind_of(step).words) is not None:
        details.append(say(step))
    return ", ".join([title_of(step), *details])


def check_plan(plan: CompressionPlan) -> None:
    """Look whether a plan makes sense, before anything long begins.

    Whether its layers and architectures exist is not looked at.

    Raises
    ------
    TrainingError
        If there are no steps, they cannot follow each other, or a number is of the
        wrong kind or outside its range.
    UnknownNameError
        If a name is none of those that can be chosen for training.
    """
    if not plan.steps:
        raise TrainingError("The plan has no steps; add one, or choose a preset")
    before: list[Step] = []
    for number, step in enumerate(plan.steps, start=1):
        kind_of(step)
        _check_order(step, before)
        try:
            _check_step(step)
        except TrainingError as ex:
            raise TrainingError(f"Step {number}, {title_of(step)}: {ex}") from ex
        before.append(step)
    for name, low, high in (
        ("tolerance", 0, 1),
        ("minutes", 1e-6, 1e6),
        ("target_bytes", 1, 2**60),
    ):
        value = getattr(plan, name)
        if value is not None:
            _number(name, value, low, high)
    _number("validation", plan.validation, 1e-6, 0.9)
    _number("gamma", plan.gamma, 0, 1)
    _number("temperature", plan.temperature, 1e-3, 100)
    check_training(
        Plan(
            recipe=plan.recipe,
            augmentation=plan.augmentation,
            batch=plan.batch,
            precision=plan.precision,
            device=plan.device,
            seed=plan.seed,
        )
    )


def check_network(network: AnyNetwork) -> ImageNetwork:
    """Return a network if it is one that can be compressed.

    Raises
    ------
    TrainingError
        If it is a file of ONNX.
    """
    if not isinstance(network, ImageNetwork):
        raise TrainingError(
            f"{network.title} is an ONNX file, whose numbers cannot be changed."
            " Compress the network that it was made from, or another one that was"
            " trained or loaded here"
        )
    return network


def _cure(step: Step) -> str:
    if isinstance(step, Int8):  # which is never before anything
        return "Leave one of them out"
    return "Put it before, or leave one of them out"


def _check_order(step: Step, before: list[Step]) -> None:
    if before and isinstance(before[-1], Int8):
        raise TrainingError(
            "Int8 makes a file that nothing can follow; put it at the end"
        )
    if isinstance(step, Distil) and any(isinstance(e, Distil) for e in before):
        raise TrainingError(
            "A smaller architecture can be chosen once, at the beginning"
        )
    for kind, others, why in _ORDER:
        if isinstance(step, kind):
            for other in before:
                if isinstance(other, others):
                    raise TrainingError(
                        f"{title_of(step)} cannot come after {title_of(other)}: {why}."
                        f" {_cure(step)}"
                    )
    if isinstance(step, Densify) and not any(isinstance(e, Prune) for e in before):
        raise TrainingError(
            f"{title_of(step)} needs weights that were pruned; put {title_of(Prune)}"
            " before it"
        )


def _check_step(step: Step) -> None:
    _whole("epochs", step.epochs, 0, 10_000)
    if isinstance(step, (Prune, PruneFilters)):
        _number("share", step.share, 0, 0.9999)
        kinds: tuple[str, ...] = ("layer", "global", "sensitivity")
        if isinstance(step, PruneFilters):
            kinds = ("layer", "sensitivity")
        _one_of("by", step.by, kinds)
        _whole("rounds", step.rounds, 1, 100)
        _number("tolerance", step.tolerance, 0, 1)
    if isinstance(step, Prune):
        for name, share in _mapping("shares", step.shares).items():
            _number(f"share of {name}", share, 0, 0.9999)
        if step.target_bytes is not None:
            _whole("target_bytes", step.target_bytes, 1, 2**60)
    elif isinstance(step, LowRank):
        _number("energy", step.energy, 1e-6, 1)
        _one_of("layers", step.layers, ("linear", "pointwise", "both"))
    elif isinstance(step, Share):
        _whole("bits", step.bits, 2, 8)
        if step.linear_bits is not None:
            _whole("linear_bits", step.linear_bits, 2, 8)
        for name, bits in _mapping("layer_bits", step.layer_bits).items():
            _whole(f"bits of {name}", bits, 2, 8)
        _one_of("start", step.start, ("linear", "density", "random"))
        _number("thrift", step.thrift, 0, 1000)
    elif isinstance(step, LowBits):
        _whole("bits", step.bits, 2, 8)
        if step.activations not in (8, 32):
            raise TrainingError(
                f"'activations' is to be 8 or 32, not {step.activations!r}"
            )
        _one_of("scheme", step.scheme, ("none", "A", "B", "C"))
        _one_of("keep", step.keep, ("ends", "none"))
        _one_of("start", step.start, ("scheme", "given", "nothing"))
        _rate(step.learning_rate)
        _weights(step.alpha, step.beta, step.gamma, step.temperature)
    elif isinstance(step, Distil):
        _one_of("start", step.start, ("nothing", "published"))
        _mapping("options", step.options)
        if not isinstance(step.network, str) or not step.network:
            raise TrainingError("the name of an architecture is missing")
        _rate(step.learning_rate)
        _weights(0.0, step.beta, step.gamma, step.temperature)
    elif isinstance(step, Int8):
        _whole("images", step.images, 1, 10**9)
        _one_of("method", step.method, ("minmax", "percentile", "entropy"))
    if isinstance(step, (Densify, FineTune, Distil)):
        _whole("epochs", step.epochs, 1, 10_000)
    for name, knob in kind_of(step).knobs.items():
        value = getattr(step, name)
        if not knob.is_range:
            _one_of(name, value, knob.allowed)
        elif type(knob.default) is int:
            _whole(name, value, *knob.allowed)
        else:
            _number(name, value, *knob.allowed)


def _rate(rate: float | None) -> None:
    if rate is not None:
        _number("learning_rate", rate, 1e-12, 1e3)


def _weights(alpha: float, beta: float, gamma: float, temperature: float) -> None:
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        _number(name, value, 0, 1e6)
    _number("temperature", temperature, 1e-3, 100)


def _number(name: str, value: object, least: float, most: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # type: ignore[operator]
        raise TrainingError(
            f"'{name}' is to be a number from {least:g} to {most:g}, not {value!r}"
        )


def _whole(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise TrainingError(
            f"'{name}' is to be a whole number from {least} to {most}, not {value!r}"
        )


def _one_of(name: str, value: object, known: tuple[Any, ...]) -> None:
    if value not in known:
        raise TrainingError(
            f"'{name}' is to be one of {', '.join(map(str, known))}, not {value!r}"
        )


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TrainingError(f"'{name}' is to be values by name, not {value!r}")
    return value

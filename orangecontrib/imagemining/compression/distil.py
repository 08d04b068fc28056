"""Plain distillation: a smaller architecture learns to answer as the network does."""

from __future__ import annotations

from dataclasses import replace

from orangecontrib.imagemining.compression.beginning import (
    as_image_network,
    in_words,
    recipe_from_nothing,
    see_as,
)
from orangecontrib.imagemining.compression.context import Context
from orangecontrib.imagemining.compression.plan import Distil
from orangecontrib.imagemining.compression.tasks import Apprentice
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TrainingError, UnknownNameError
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.training.inputs import (
    architecture_of,
    options_of,
    preprocess_of,
)
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.training.starting import Started, start_network
from orangecontrib.imagemining.weights.image_network import NetworkCard

__all__ = ["run", "student_card"]


def run(step: Distil, working: Working, context: Context) -> None:
    """Have another architecture learn the given network's answers, and go on with it.

    The loss is β H(y, student) + γ T² H(z_teacher, student), both at temperature T in
    the second; without labels the second alone. The student sees images as the given
    network does: of its size, normalised alike.

    Raises
    ------
    TrainingError
        If there are no images or epochs, the options are impossible, or the images are
        too small for the architecture.
    UnknownNameError
        If there is no such architecture, or it has no such option.
    WeightsError
        If the published weights are not to be had.
    """
    if step.start not in ("nothing", "published"):
        raise UnknownNameError(
            f"'start' is to be one of nothing, published, not {step.start!r}"
        )
    if not (step.epochs and len(context.images)):
        raise TrainingError(
            "A smaller network learns the answers of the given one from images: give it"
            " some, and epochs"
        )
    context.report(0.0, "Building the student")
    plan = _plan(step, context.plan.seed + 1)
    started = start_network(
        plan,
        working.card.classes,
        progress=lambda *_: context.report(0.0, "Reading weights"),
    )
    task = Apprentice(
        context.teacher(),
        0.0,
        step.beta,
        step.gamma,
        step.temperature,
        labelled=context.labelled,
    )
    before = working.image_network().n_parameters
    card = student_card(plan, started, working.card)
    own = preprocess_of(plan)
    if step.start == "published" and not _alike(own, card.preprocess):
        see_as(started.network, own, card.preprocess)
        context.note(
            f"{step.network} was published for images that are normalised otherwise;"
            " its first layer was changed so that it takes those of the given network"
        )
    student = as_image_network(started.network, card)
    context.note(
        f"{card.architecture} with {student.n_parameters:,} numbers learns the answers"
        f" of {context.given.title}; the network had {before:,}"
    )
    if student.n_parameters >= before:
        context.note("The student is not smaller than the network that it follows")
    working.rebuild(student)
    fresh = step.start == "nothing"
    context.tune(
        working,
        step.epochs,
        f"{card.architecture} learns",
        task,
        recipe=recipe_from_nothing(working.network, step.learning_rate)
        if fresh
        else None,
    )
    if task.losses.means():  # time may be over before it began
        context.note(in_words(task, len(context.images)))


def student_card(plan: Plan, started: Started, card: NetworkCard) -> NetworkCard:
    """Return the card of a student that sees images as the network before it.

    Parameters
    ----------
    plan
        Of its beginning.
    started
        The student.
    card
        Of the network before it.
    """
    licenses = [card.license, started.license]
    return replace(
        card,
        architecture=architecture_of(plan),
        options=options_of(plan),
        start=started.origin,
        license=", ".join(dict.fromkeys(filter(None, licenses))),
        layers=tuple(started.network.layers()),
    )


def _plan(step: Distil, seed: int) -> Plan:
    return Plan(
        network=step.network, options=dict(step.options), start=step.start, seed=seed
    )


def _alike(first: Preprocess, second: Preprocess) -> bool:
    """Tell whether images are normalised alike."""
    names = ("mean", "std", "scale", "channels")
    return all(getattr(first, name) == getattr(second, name) for name in names)

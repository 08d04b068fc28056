"""Runs a plan of a compression, and chooses among what came of it.

With a tolerance, a step that costs too much does not spoil what follows: see
`compress`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from orangecontrib.imagemining.compression.adopting import adopt
from orangecontrib.imagemining.compression.checks import (
    check_network,
    check_plan,
    needs_images,
    title_of,
    trains_only,
    words_of,
)
from orangecontrib.imagemining.compression.context import Context
from orangecontrib.imagemining.compression.course import (
    Course,
    Stopped,
)
from orangecontrib.imagemining.compression.judging import answers, no_images
from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    Int8,
    Step,
    kind_of,
)
from orangecontrib.imagemining.compression.report import (
    integer_reports,
    layer_reports,
)
from orangecontrib.imagemining.compression.results import Candidate, Compressed
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import (
    ImageMiningError,
    TaskCancelled,
    TrainingError,
)
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.training.data import ImageSet, split
from orangecontrib.imagemining.weights.image_network import (
    ImageNetwork,
)

__all__ = ["compress", "runner_of", "split_for"]


def runner_of(step: Step) -> Callable[[Any, Working, Context], None]:
    """Return the function that does a step; its module is imported now."""
    run = kind_of(step).run
    if isinstance(run, str):
        module, _, function = run.partition(":")
        run = getattr(import_module(module), function)
    return run


def compress(
    network: ImageNetwork,
    plan: CompressionPlan,
    images: ImageSet | None = None,
    validation: ImageSet | None = None,
    *,
    labelled: bool = True,
    about: str = "",
    on_candidate: Callable[[Candidate], None] | None = None,
    stop: Callable[[], bool] | None = None,
    progress: Progress = no_progress,
) -> Compressed:
    """Make a network smaller by a plan.

    The network is measured as it was, after each step and after the rounds of a step;
    which of these is the result, `choosing.Goal` tells. If the plan has a tolerance and
    a step ends with a network that lost more, what follows goes on from the last one
    before that did not, of the step's own rounds or of an earlier step, and the steps
    of the same kind right behind it are left out. That is not so where the next step
    trains the network as it is, which may make up for the loss.

    Parameters
    ----------
    network
        Left as it is.
    plan
        What is done, and what is wanted.
    images
        To learn from, read as `network.card` says; labels are numbers of its classes.
        None: steps that need none are all that can be done.
    validation
        To judge by; None: `split_for` takes some of `images`.
    labelled
        Whether labels are told; otherwise they are the network's own answers.
    about
        Which images these are, in words, for the network's card.
    on_candidate
        Called with each point of the plot as soon as it is there, in this thread.
    stop
        Asked now and then; once it says yes, the best so far is the result.
    progress
        What it raises ends the work, without a result.

    Raises
    ------
    TrainingError
        If the plan cannot be carried out on this network with these images. Once a step
        has come to something, what goes wrong is noted instead, and ends the work.
    UnknownNameError
        If it names what does not exist.
    WeightsError
        If the network's numbers are not those of its architecture.

    Examples
    --------
    >>> from orangecontrib.imagemining.compression.pipeline import compress
    >>> from orangecontrib.imagemining.compression.presets import PRESETS
    >>> from orangecontrib.imagemining.embedders.trained import published_network
    >>> network = published_network("squeezenet1_1")
    >>> result = compress(network, PRESETS["Coding only"].plan)
    >>> result.ratio > 4
    True
    """
    check_plan(plan)
    check_network(network)
    for name, tensor in network.tensors.items():
        if not np.isfinite(tensor).all():
            raise TrainingError(
                f"'{name}' of {network.title} holds values that are no numbers: its"
                " training has failed, so there is nothing to compress"
            )
    working = Working(network)
    adopt(working, plan)
    images = no_images(network) if images is None else images
    for each in (images, validation):
        if each is not None and len(each):
            _check_images(network, each, labelled)
    _check_steps(plan, images)
    if not labelled:
        images = answers(working, images, plan, progress)
        if validation is not None:
            validation = answers(working, validation, plan, progress)
    notes = _on_classes(network, plan, images, validation, labelled)
    if validation is None:
        images, validation = split_for(plan, images)
    course = Course(
        plan,
        network,
        images,
        validation,
        labelled=labelled,
        about=about,
        on_candidate=on_candidate,
        stop=stop,
        progress=progress,
    )
    for note in [*notes, *_on_validation(plan, validation)]:
        course.note(note)
    try:
        course.offer(working, "as it was")
        _run_steps(plan, working, course)
    except Stopped:
        course.note("Stopped as asked; the result is the best so far")
    progress(1.0, "Putting the report together")
    return _result(course)


def split_for(plan: CompressionPlan, images: ImageSet) -> tuple[ImageSet, ImageSet]:
    """Return images to learn from, and images to judge by.

    If no step looks at images, all are to judge by. Otherwise the plan's share is taken
    of each class alike; or of all together, where classes have too few images for that.

    Parameters
    ----------
    plan
        Its steps, share and seed count.
    images
        Labelled.
    """
    everything = np.arange(len(images))
    if not any(needs_images(step) for step in plan.steps):
        return images.subset([]), images
    learn, judge = split(images.labels, plan.validation, plan.seed)
    wanted = plan.validation * len(images)
    if len(judge) < wanted / 2:
        order = np.random.default_rng([plan.seed, len(images)]).permutation(everything)
        count = min(max(round(wanted), 1), len(images) - 1)
        judge, learn = np.sort(order[:count]), np.sort(order[count:])
    return images.subset(learn), images.subset(judge)


def _run_steps(plan: CompressionPlan, working: Working, course: Course) -> None:
    refused: type[Step] | None = None
    for number, step in enumerate(plan.steps, start=1):
        if type(step) is refused:
            continue
        refused = None
        if course.time_is_up and trains_only(step):
            course.note(f"There was no time left for step {number}, {title_of(step)}")
            continue
        course.begin_step(number, step)
        course.report(0.0, title_of(step))
        if isinstance(step, Int8):
            working.card = replace(working.card, **course.card_of(working))
            course.in_file = working.image_network()
        try:
            runner_of(step)(step, working, course)
        except TaskCancelled:
            raise
        except ImageMiningError as ex:
            if len(course.trail) == 1:
                raise
            # what has taken an hour is not to be lost by what comes then
            course.note(
                f"Step {number}, {title_of(step)}, could not be done, so it ended"
                f" there: {ex}"
            )
            return
        if isinstance(step, Int8):
            return
        if not course.is_noted(working):
            course.offer(working, words_of(step))
        follows = plan.steps[number : number + 1]
        if follows and not trains_only(follows[0]):
            before = course.before_loss()
            if before is not None:
                working, refused = before, type(step)


def _result(course: Course) -> Compressed:
    trail = course.trail
    chosen = course.goal.choose(trail)
    for note in course.goal.words(trail):
        course.note(note)
    network = trail[chosen].network
    assert network is not None
    if isinstance(network, ImageNetwork):
        layers = layer_reports(network, course.given)
    else:
        layers = integer_reports(course.in_file or course.given, course.given)
    return Compressed(
        network,
        chosen,
        trail,
        layers,
        course.notes,
        course.labelled,
        course.given.n_bytes,
    )


def _check_images(network: ImageNetwork, images: ImageSet, labelled: bool) -> None:
    size = network.card.preprocess.size
    if images.size != size:
        raise TrainingError(
            f"The images were read for {images.size[1]} × {images.size[0]} pixels, and"
            f" {network.title} sees {size[1]} × {size[0]}"
        )
    if labelled:
        least, most = int(images.labels.min()), int(images.labels.max())
        if least < 0 or most >= len(network.classes):
            raise TrainingError(
                f"Images are of class {least if least < 0 else most}, counted from 0,"
                f" and {network.title} knows {len(network.classes)}"
            )


def _check_steps(plan: CompressionPlan, images: ImageSet) -> None:
    needing = [title_of(step) for step in plan.steps if needs_images(step)]
    if not needing:
        return
    if not len(images):
        raise TrainingError(
            f"There are no images, and some are needed for: {', '.join(needing)}. Give"
            " images, with or without classes, or choose steps without training"
        )
    if len(images) < 2:
        raise TrainingError(
            "There is one image only; some are needed to learn from, and some to judge"
        )


def _on_classes(
    network: ImageNetwork,
    plan: CompressionPlan,
    images: ImageSet,
    validation: ImageSet | None,
    labelled: bool,
) -> list[str]:
    """Look whether images go with the classes; return what is to be told of it."""
    if not len(images) or not any(
        step.epochs and not isinstance(step, Int8) for step in plan.steps
    ):
        return []
    n_classes, title = len(network.classes), network.title
    found = len(np.unique(images.labels))
    if found < 2:
        name = network.classes[int(images.labels[0])]
        what = "are of" if labelled else f"are taken by {title} for"
        raise TrainingError(
            f"All images {what} one class, '{name}'; nothing can be learned of them"
            " that tells classes apart. Give others, or choose steps without training"
        )
    n_images = len(images) + len(validation or ())
    if labelled and n_images < n_classes:
        raise TrainingError(
            f"There are fewer images ({n_images:,}) than classes that {title} knows"
            f" ({n_classes:,}): trained with them it would forget the others. Give more"
            " images; or give them without a class, so that the network's own answers"
            " are learned; or choose steps without training"
        )
    if labelled and found < n_classes:
        return [
            f"The images are of {found:,} of the {n_classes:,} classes that {title}"
            " knows; how well it still tells the others is not known"
        ]
    return []


def _on_validation(plan: CompressionPlan, validation: ImageSet) -> list[str]:
    n = len(validation)
    if not n or plan.tolerance is None or plan.tolerance * n >= 1:
        return []
    images = "one image" if n == 1 else f"{n:,} images"
    return [
        f"Accuracies are of {images}, where one is {100 / n:.3g} points: a loss of"
        f" {100 * plan.tolerance:.2g} points means that none more is read wrongly. With"
        " more images it is told more exactly"
    ]

"""What is to be known before a training: of the images, and of what is kept here.

Looked up in a thread, since tables may be long.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from Orange.data import Table

from orangecontrib.imagemining.exceptions import ImageMiningError, TableError
from orangecontrib.imagemining.tables.columns import rendering_of
from orangecontrib.imagemining.tables.labelled import LabelledImages, labelled_images
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.weights import WEIGHTS, is_here
from orangecontrib.imagemining.weights.image_network import AnyNetwork, ImageNetwork
from orangecontrib.imagemining.widgets.utils.forms import NO_IMAGES
from orangecontrib.imagemining.widgets.utils.pacetext import duration
from orangecontrib.imagemining.widgets.utils.trainestimate import estimate
from orangecontrib.imagemining.widgets.utils.trainstore import (
    Found,
    find,
    images_key,
    key_of,
)
from orangecontrib.imagemining.widgets.utils.traintexts import (
    counted,
    missing_weights,
    no_weights,
)

__all__ = ["Facts", "Request", "facts_of"]


@dataclass(frozen=True, eq=False)
class Request:
    """What facts are asked about.

    Attributes
    ----------
    data, validation : tables at the inputs.
    given : network at the input.
    plan : as it is chosen.
    column : of the images, "" for the first.
    speeds : images a second that were measured here.
    """

    data: Table | None
    validation: Table | None
    given: AnyNetwork | None
    plan: Plan
    column: str = ""
    speeds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Facts:
    """What was found.

    Attributes
    ----------
    request : what was asked.
    images : those of the data, None if they cannot be learned from.
    n_validation : images for validation.
    found : what is kept of this training; None without images.
    seconds : that it may take, None if nobody knows.
    epochs_done : how far the checkpoint is; 0 if there is none.
    images_key : what stands for the images, those for validation too.
    data_problem : why the data cannot be learned from, "" if they can.
    plan_problem : why the plan cannot be carried out, "" if it can.
    """

    request: Request
    images: LabelledImages | None = None
    n_validation: int = 0
    found: Found | None = None
    seconds: float | None = None
    epochs_done: float = 0.0
    images_key: str = ""
    data_problem: str = ""
    plan_problem: str = ""

    @property
    def can_start(self) -> bool:
        """Whether a training can begin."""
        return self.images is not None and not (self.data_problem or self.plan_problem)

    @property
    def key(self) -> str:
        """Of the training, "" without images."""
        return self.found.key if self.found is not None else ""

    def summary(self) -> str:
        """Return in words what will happen."""
        if self.images is None:
            return "" if self.data_problem else NO_IMAGES
        plan = self.request.plan
        n_all, n_classes = len(self.images.sources), len(self.images.classes)
        text = f"{counted(n_all, 'image')} of {counted(n_classes, 'class', 'classes')}"
        if self.n_validation:
            whose = "others" if self.request.validation is not None else "of them"
            text += f", {self.n_validation:,} {whose} for validation"
        lines = [f"{text}."]
        if plan.learns == "head":
            times = "The last layer is trained alone"
        else:
            times = counted(plan.epochs, "epoch")
        if self.seconds is None:
            lines.append(f"{times}.")
        else:
            lines.append(f"{times}: about {duration(self.seconds)}.")
        least, few = min(
            (count, name)
            for name, count in zip(self.images.classes, self.counts(), strict=True)
        )
        if least == 1:
            lines.append(
                f"There is a single image of {few}: it is learned from, but nobody can"
                " tell how well."
            )
        return " ".join(lines)

    def counts(self) -> list[int]:
        """Return how many images each class has."""
        if self.images is None:
            return []
        counts = Counter(self.images.labels.tolist())
        return [counts[number] for number in range(len(self.images.classes))]


def facts_of(request: Request) -> Facts:
    """Look at the images and at what is kept; no image is read."""
    if request.data is None:
        return Facts(request)
    plan_problem = _plan_problem(request)
    which = ""
    try:
        images = labelled_images(request.data, request.column)
        others = None
        which = "Validation Data: "
        if request.validation is not None:
            others = labelled_images(
                request.validation,
                images.column.name,
                images.classes,
                rendering_of(images.column),
            )
            if not len(others.sources):
                raise TableError("None of their rows has an image of a known class")
    except ImageMiningError as ex:
        return Facts(request, data_problem=f"{which}{ex}", plan_problem=plan_problem)
    plan, given = request.plan, request.given
    start = given if isinstance(given, ImageNetwork) else None
    sets = [(images.sources, images.labels.tolist())]
    if others is not None:
        sets.append((others.sources, others.labels.tolist()))
        n_validation, n_learn = len(others.sources), len(images.sources)
    else:
        n_validation = sum(
            min(max(round(n * plan.validation), 1), n - 1) if plan.validation else 0
            for n in Counter(images.labels.tolist()).values()
        )
        n_learn = len(images.sources) - n_validation
    of_images = images_key(images.classes, sets)
    found = find(key_of(plan, of_images, start))
    seconds = None
    if not plan_problem:
        seconds = estimate(plan, n_learn, start, request.speeds)
    return Facts(
        request,
        images,
        n_validation,
        found,
        seconds,
        _epochs_done(found),
        of_images,
        plan_problem=plan_problem,
    )


def _plan_problem(request: Request) -> str:
    plan, given = request.plan, request.given
    if plan.start == "given":
        if given is None:
            return (
                "No network is given to begin with. Connect one to the input Network,"
                " or begin with something else"
            )
        if not isinstance(given, ImageNetwork):
            return (
                f"{given.title} is an ONNX network: it predicts, but cannot be trained"
                " further. Give one that Train Network has made"
            )
    elif plan.start == "published":
        if plan.network not in WEIGHTS:
            return no_weights(plan.network)
        if not is_here(WEIGHTS[plan.network]):
            return missing_weights(plan.network)
    return ""


def _epochs_done(found: Found) -> float:
    if found.checkpoint is None:
        return 0.0
    # torch comes with it
    from orangecontrib.imagemining.training.checkpoint import peek
    from orangecontrib.imagemining.widgets.utils.trainstore import checkpoint_of

    try:
        return peek(checkpoint_of(found.key)).epochs_done
    except ImageMiningError:
        return 0.0

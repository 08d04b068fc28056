"""Training networks on the images of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from Orange.data import ContinuousVariable, Domain, Table

from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.tables.decoded import DecodedImages
from orangecontrib.imagemining.tables.labelled import (
    LabelledImages,
    labelled_images,
    names_of,
)
from orangecontrib.imagemining.tables.networkmodel import ImageNetworkModel
from orangecontrib.imagemining.tables.preparing import (
    Prepared,
    Work,
    prepare,
    validation_images,
)
from orangecontrib.imagemining.training.designs import options_for_training
from orangecontrib.imagemining.training.inputs import architecture_of, preprocess_of
from orangecontrib.imagemining.training.plan import Plan, check_plan
from orangecontrib.imagemining.training.recipes import with_recipe
from orangecontrib.imagemining.weights import WEIGHTS, is_here, load_weights
from orangecontrib.imagemining.weights.image_network import ImageNetwork

if TYPE_CHECKING:
    from orangecontrib.imagemining.training.callbacks import Callback
    from orangecontrib.imagemining.training.data import ImageSet
    from orangecontrib.imagemining.training.history import History

__all__ = [
    "EVERYDAY",
    "Prepared",
    "TableTraining",
    "train_on_table",
    "training_log",
]

#: What is said in a network's title of what learned, so that two are told apart.
_PARTS = {"all": "", "last": ", last stages", "head": ", head"}

#: What is done if nothing else is said.
EVERYDAY = with_recipe(Plan(), "everyday")

_SMALL = 0.4  # an image of this share of the network's side is much enlarged


@dataclass
class TableTraining:
    """What came of training on a table.

    Attributes
    ----------
    model : predicts tables of images.
    network : the trained network.
    history : what was seen, epoch by epoch; where the last linear map alone was
        trained, iteration by iteration.
    log : the same as a table.
    left_out : rows of the data that were not learned from, and why, in words.
    notes : what the user should know: what was left out, replaced, or went wrong.
    prepared : which images it was.
    """

    model: ImageNetworkModel
    network: ImageNetwork
    history: History
    log: Table
    left_out: list[tuple[int, str]]
    notes: list[str]
    prepared: Prepared


def train_on_table(
    data: Table,
    plan: Plan = EVERYDAY,
    *,
    validation: Table | None = None,
    start: ImageNetwork | None = None,
    column: str = "",
    title: str = "",
    callbacks: Sequence[Callback] = (),
    checkpoint: Path | None = None,
    prepared: Callable[[Prepared], None] | None = None,
    decoded: DecodedImages | None = None,
    progress: Progress = no_progress,
) -> TableTraining:
    """Train a network on the images of a table to tell the table's classes apart.

    Parameters
    ----------
    data
        A table with an image column and a categorical class. Rows without a class,
        without an image, or whose image cannot be read, are left out and listed.
    plan
        All that decides about the training; by default the everyday recipe fine-tunes
        SqueezeNet 1.1.
    validation
        Images to validate on; None: the plan's share of `data`, of each class alike.
    start
        The network to begin with, where the plan says "given".
    column
        Name of the image column, where there are several; "" for the first.
    title
        What the network is to be called; "" for a name from network and table.
    callbacks
        Told of steps and epochs, in the thread that calls this function. Not told of
        anything where the last linear map alone learns, which takes seconds.
    checkpoint
        File to continue from, if it is there, and to write.
    prepared
        Called once before the first step, with the images that are trained on.
    decoded
        Images that were read before, and are to be at hand the next time.
    progress
        Called as the work goes on; what it raises ends it.

    Returns
    -------
    Model, network, log, and what was left out.

    Raises
    ------
    TableError
        If the table cannot be learned from; the message says why, before long work.
    TrainingError
        If the plan cannot be carried out, or memory or disk are full.
    UnknownNameError
        If the plan names what does not exist.
    WeightsError
        If the weights to begin with are not to be had.

    Examples
    --------
    >>> from pathlib import Path
    >>> import orangecontrib.imagemining
    >>> samples = Path(orangecontrib.imagemining.__file__).parent / "samples"
    >>> from orangecontrib.imagemining.tables import table_from_folder
    >>> from orangecontrib.imagemining.tables.training import train_on_table
    >>> from orangecontrib.imagemining.training.plan import Plan
    >>> table = table_from_folder(samples / "synthetic-yeast").table[::10]
    >>> result = train_on_table(table, Plan(learns="head", validation=0.25))
    >>> result.network.classes
    ('cytoplasm', 'endosome', 'ER')
    >>> len(result.prepared.training), len(result.model(table))
    (9, 12)
    """
    check_plan(plan)
    images = labelled_images(data, column)
    given = start if plan.start == "given" else None
    if plan.learns == "head":
        # a network that is given may cut what its last map would be learned on
        options = options_for_training(architecture_of(plan, given))
        plan = replace(plan, options={**options, **plan.options})
    _check_start(plan, len(images.classes), given)
    images.notes += _on_classes(images.classes, given)
    if validation is not None:
        validation_images(validation, images)  # complains, if it has to, before reading
    work = Work(
        plan,
        given,
        images,
        validation,
        title or f"{architecture_of(plan, given)} {data.name}{_PARTS[plan.learns]}",
        prepared,
        progress,
    )
    if plan.learns == "head":
        from orangecontrib.imagemining.tables.headtraining import train_head_of

        network, history, ready = train_head_of(work)
    else:
        network, history, ready = _train(
            work, callbacks, checkpoint, decoded or DecodedImages()
        )
    warnings = [event.text for event in history.events if event.kind != "note"]
    notes = list(dict.fromkeys([*ready.notes, *warnings]))
    learned = [ready.classes[label] for label in ready.training_labels]
    model = ImageNetworkModel(
        network,
        images.class_var,
        images.column,
        shares=[learned.count(v) / len(learned) for v in images.class_var.values],
    )
    return TableTraining(
        model, network, history, training_log(history), ready.left_out, notes, ready
    )


def training_log(history: History, name: str = "training log") -> Table:
    """Return a history as a table, a row an epoch.

    Columns: epoch, learning rate, loss, accuracy, validation loss, validation accuracy,
    images/s, seconds. What was not validated is missing.

    Parameters
    ----------
    history
        Of a training.
    name
        Of the table.
    """
    columns = {
        "epoch": ("epoch", 0),
        "learning rate": ("learning_rate", 6),
        "loss": ("loss", 4),
        "accuracy": ("accuracy", 4),
        "validation loss": ("validation_loss", 4),
        "validation accuracy": ("validation_accuracy", 4),
        "images/s": ("images_per_second", 1),
        "seconds": ("seconds", 1),
    }
    variables = [
        ContinuousVariable(title, number_of_decimals=decimals)
        for title, (_, decimals) in columns.items()
    ]
    values = [
        [getattr(epoch, attribute) for attribute, _ in columns.values()]
        for epoch in history.epochs
    ]
    numbers = np.array(values, float).reshape(-1, len(columns))
    table = Table.from_numpy(Domain(variables), numbers)
    table.name = name
    return table


def _train(
    work: Work,
    callbacks: Sequence[Callback],
    checkpoint: Path | None,
    decoded: DecodedImages,
) -> tuple[ImageNetwork, History, Prepared]:
    from orangecontrib.imagemining.training.trainer import Trainer

    preprocess = preprocess_of(work.plan, work.given)

    def read(
        images: LabelledImages, progress: Progress
    ) -> tuple[ImageSet, list[str | None]]:
        return decoded.read(
            images.sources, images.labels, work.plan, preprocess, progress
        )

    def take(
        images: ImageSet, rows: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> ImageSet:
        return replace(images.subset(rows), labels=labels)

    learn, judge, ready = prepare(work, read, take)
    ready.notes += _on_sizes(learn)
    work.tell(ready)
    trained = Trainer(
        work.plan,
        ready.classes,
        learn,
        # an empty set: nothing is split off what is given
        judge,
        work.given,
        title=work.title,
        callbacks=callbacks,
        checkpoint=checkpoint,
        about=work.about,
    ).fit(work.training)
    return trained.network, trained.history, ready


def _check_start(plan: Plan, n_classes: int, given: ImageNetwork | None) -> None:
    from orangecontrib.imagemining.training.starting import parts_of

    if plan.start == "given" and given is None:
        raise TrainingError(
            "The training is to begin with a given network, and none is given"
        )
    if plan.start == "published" and plan.network in WEIGHTS:
        weights = WEIGHTS[plan.network]
        if not is_here(weights):
            load_weights(weights)  # says how to get them
    # says if images of that size are too small for the network
    parts_of(plan, n_classes, given)


def _on_classes(classes: Sequence[str], given: ImageNetwork | None) -> list[str]:
    if given is None or set(classes) == set(given.classes):
        return []
    unknown = [name for name in classes if name not in given.classes]
    if unknown:
        what = f"does not know {names_of(unknown)}"
    else:
        more = [name for name in given.classes if name not in classes]
        what = f"knows more classes than the data have ({names_of(more)})"
    return [f"{given.title} {what}, so its classifier begins anew"]


def _on_sizes(images: ImageSet) -> list[str]:
    """Say so if most images are much smaller than the network's."""
    if not len(images):
        return []
    height, width = (int(side) for side in np.median(images.sizes, axis=0))
    if max(height / images.size[0], width / images.size[1]) > _SMALL:
        return []
    return [
        f"Most images have {width} × {height} pixels and are enlarged to"
        f" {images.size[1]} × {images.size[0]} for the network; a smaller size trains"
        " faster"
    ]

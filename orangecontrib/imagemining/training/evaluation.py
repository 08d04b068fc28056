"""What a network makes of images whose classes are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.specs import Preprocess, Progress, no_progress
from orangecontrib.imagemining.training.arithmetic import Arithmetic
from orangecontrib.imagemining.training.history import Mistake
from orangecontrib.imagemining.training.plan import Plan

if TYPE_CHECKING:
    from orangecontrib.imagemining.training.data import ImageSet

__all__ = ["Evaluation", "check_images", "evaluate", "in_given", "judged"]

#: How many of the worst mistakes are remembered.
MISTAKES = 12


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good the logits of some images are.

    Attributes
    ----------
    loss : mean cross-entropy.
    accuracy : share of the images read right.
    confusion : (k, k) int64, numbers of images by truth (rows) and prediction.
    worst : images read wrongly, the least probable truth first.
    """

    loss: float
    accuracy: float
    confusion: NDArray[np.int64]
    worst: list[Mistake]


def evaluate(
    network: Callable[[Tensor], Tensor],
    images: ImageSet,
    plan: Plan,
    preprocess: Preprocess,
    n_classes: int,
    arithmetic: Arithmetic,
    batch: int | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Look at images as prediction does, and judge.

    Parameters
    ----------
    network
        Gives logits, (n, k), of (n, 3, h, w); in evaluation mode.
    images
        With their classes.
    plan, preprocess
        How they are prepared.
    n_classes
        k.
    arithmetic
        Where it computes.
    batch
        Images at once; by default as in training.
    progress
        What it raises ends the evaluation.
    """
    from orangecontrib.imagemining.training.batches import Batches

    rows, logits = [], []
    with Batches(
        images,
        plan,
        preprocess,
        training=False,
        batch=batch,
        device=arithmetic.device,
    ) as batches:
        n = max(len(batches), 1)
        for number, each in enumerate(batches, start=1):
            with torch.inference_mode(), arithmetic.prediction():
                logits.append(network(each.pixels).float().cpu())
            rows.append(each.rows)
            progress(number / n)
    return judged(torch.cat(logits), images.labels, np.concatenate(rows), n_classes)


def judged(
    logits: Tensor,
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    n_classes: int,
) -> Evaluation:
    """Judge the logits of images.

    Parameters
    ----------
    logits
        (n, k) float32.
    labels
        Of all images.
    rows
        (n,) which of the images the logits are of.
    n_classes
        k.
    """
    truth = torch.from_numpy(labels[rows])
    loss = functional.cross_entropy(logits.double(), truth).item()
    guess = logits.argmax(dim=1)
    confusion = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(confusion, (truth.numpy(), guess.numpy()), 1)
    probabilities = logits.double().softmax(dim=1)
    of_truth = probabilities.gather(1, truth[:, None])[:, 0]
    wrong = (guess != truth).nonzero()[:, 0]
    # NaN, of a network that came apart, would be sorted anywhere
    order = torch.nan_to_num(of_truth[wrong]).argsort(stable=True)[:MISTAKES]
    worst = [
        Mistake(
            int(rows[i]), int(truth[i]), int(guess[i]), float(of_truth[i].nan_to_num())
        )
        for i in wrong[order].tolist()
    ]
    accuracy = float((guess == truth).double().mean()) if len(truth) else 0.0
    return Evaluation(loss, accuracy, confusion, worst)


def in_given(worst: Sequence[Mistake], rows: NDArray[np.int64] | None) -> list[Mistake]:
    """Count the rows of mistakes as a caller does whose images were split.

    Parameters
    ----------
    worst
        Counted in the validation images.
    rows
        Which of the caller's these are; None: all.
    """
    if rows is None:
        return list(worst)
    return [mistake._replace(row=int(rows[mistake.row])) for mistake in worst]


def check_images(
    images: ImageSet,
    validation: ImageSet | None,
    classes: Sequence[str],
    size: tuple[int, int],
) -> None:
    """Look whether images can be learned from, before anything long begins.

    Parameters
    ----------
    images, validation
        To learn from, and to judge by.
    classes
        Their names.
    size
        (height, width) that the network is to see.

    Raises
    ------
    TrainingError
        If there is nothing to tell apart, or they are not of these classes or of this
        size.
    """
    if not classes:
        raise TrainingError("There are no classes to tell apart")
    if not len(images):
        raise TrainingError("There are no images to learn from")
    for each in (images, validation):
        if each is None:
            continue
        least, most = int(each.labels.min()), int(each.labels.max())
        if least < 0 or most >= len(classes):
            raise TrainingError(
                f"Images are of class {least if least < 0 else most}, counted from 0,"
                f" and there are {len(classes)} classes"
            )
        if each.size != size:
            raise TrainingError(
                f"The images were read for {each.size[1]} × {each.size[0]} pixels, and"
                f" the network is to see {size[1]} × {size[0]}"
            )
    if len(np.unique(images.labels)) < 2:
        name = classes[int(images.labels[0])]
        raise TrainingError(
            f"All images to learn from are of one class, '{name}'; there is nothing to"
            " tell apart"
        )

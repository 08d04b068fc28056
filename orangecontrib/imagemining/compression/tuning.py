"""Training of a network on its way: what was pruned or shared stays so."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.training.callbacks import Callback
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.history import Epoch, History
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.training.results import Trained
from orangecontrib.imagemining.training.starting import Started
from orangecontrib.imagemining.training.task import Task
from orangecontrib.imagemining.training.trainer import Trainer

__all__ = ["Tuner", "training_plan", "tune"]


def training_plan(working: Working, plan: CompressionPlan, epochs: int) -> Plan:
    """Return the plan of a fine-tuning of a network on its way."""
    return Plan(
        network="",
        options=dict(working.card.options),
        start="given",
        learns="all",
        recipe=plan.recipe,
        augmentation=plan.augmentation,
        size=working.card.preprocess.size,
        fit=working.card.fit,
        batch=plan.batch,
        epochs=epochs,
        validation=0.0,
        precision=plan.precision,
        device=plan.device,
        seed=plan.seed,
    )


class Tuner(Trainer):
    """Trains a working network in place; the best on validation stays.

    If no epoch was better than the beginning, the numbers are as they were.

    Parameters
    ----------
    working
        Is changed; its forms stay.
    plan
        By `training_plan`.
    others
        Modules that learn beside it, such as a teacher.

    Others are those of `Trainer`.
    """

    def __init__(
        self,
        working: Working,
        plan: Plan,
        images: ImageSet,
        validation: ImageSet | None = None,
        *,
        task: Task | None = None,
        callbacks: Sequence[Callback] = (),
        others: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__(
            plan,
            working.card.classes,
            images,
            validation,
            working.image_network(),
            callbacks=callbacks,
            task=task,
        )
        self.working = working
        self.others = list(others)
        self._merit_before = (-math.inf, -math.inf)

    def prepare(self) -> None:
        """Make ready as every training, and judge what is there."""
        super().prepare()
        self.best = self.copied_state()
        if self.validation_images is not None:
            judged = self.evaluate()
            self._merit_before = (judged.accuracy, -judged.loss)

    def begin(self) -> Started:
        """Return the network as it is, with its forms."""
        return Started(self.working.network)

    def learners(self) -> nn.Module:
        """Return the network, and what learns beside it."""
        return nn.ModuleList([self.network, *self.others])

    def trained(self) -> Trained:
        """Put the best numbers in place."""
        assert self.best is not None
        self.network.load_state_dict(self.best)
        self.network.to("cpu")
        self.network.eval()
        return Trained(self.working.image_network(), self.history)

    def _keep_if_best(self, epoch: Epoch) -> None:
        if epoch.is_validated and self.history.best is None:
            if epoch.merit <= self._merit_before:
                return
        super()._keep_if_best(epoch)


def tune(
    working: Working,
    plan: CompressionPlan,
    epochs: int,
    images: ImageSet,
    validation: ImageSet | None = None,
    task: Task | None = None,
    callbacks: Sequence[Callback] = (),
    progress: Progress = no_progress,
) -> History:
    """Fine-tune a network on its way for some epochs.

    Parameters
    ----------
    working
        Is changed in place; the numbers that are best on `validation` stay.
    plan
        Recipe, augmentation, batch and the like.
    epochs
        How often the images are seen.
    images, validation
        To learn from and to judge by, labelled (for tasks that look at labels).
    task
        What is to be learned; None: the labels.
    callbacks
        As for `Trainer`.
    progress
        What it raises ends the work.

    Raises
    ------
    TrainingError
        As `Trainer.fit`.
    """
    tuner = Tuner(
        working,
        training_plan(working, plan, epochs),
        images,
        validation,
        task=task,
        callbacks=callbacks,
    )
    try:
        return tuner.fit(progress).history
    finally:
        working.network.eval()

"""The loop: a network, images, a plan; what comes out is a network of one's own.

::

    >>> import numpy as np
    >>> from orangecontrib.imagemining.training.data import ImageSet
    >>> from orangecontrib.imagemining.training.plan import Plan
    >>> from orangecontrib.imagemining.training.trainer import Trainer
    >>> labels = np.arange(24) % 2
    >>> pixels = np.full((24, 16, 16, 3), 40, np.uint8)
    >>> pixels[labels == 1] += 160
    >>> plan = Plan(
    ...     network="toy", start="nothing", size=(16, 16), batch=8, epochs=3,
    ...     validation=0.25, precision="float32", device="cpu",
    ... )
    >>> images = ImageSet.from_arrays(pixels, labels)
    >>> trained = Trainer(plan, ["dark", "bright"], images).fit()
    >>> trained.network.classes, len(trained.history.epochs)
    (('dark', 'bright'), 3)

`Trainer.fit` calls `Trainer.run_epoch`, that calls `Trainer.step`; each may be
overridden. What is learned is a task's business (`training.task`), all else that of
callbacks (`training.callbacks`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from orangecontrib.imagemining.exceptions import TaskCancelled, TrainingError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.training.arithmetic import (
    Arithmetic,
    is_out_of_memory,
    seed_of,
    too_little_memory,
    use_dropout,
)
from orangecontrib.imagemining.training.batches import Batch, Batches
from orangecontrib.imagemining.training.callbacks import Callback, with_those_of
from orangecontrib.imagemining.training.data import ImageSet, split
from orangecontrib.imagemining.training.evaluation import (
    Evaluation,
    check_images,
    evaluate,
    in_given,
)
from orangecontrib.imagemining.training.history import Epoch
from orangecontrib.imagemining.training.inputs import preprocess_of
from orangecontrib.imagemining.training.optim import optimizer_for
from orangecontrib.imagemining.training.plan import Plan, check_plan
from orangecontrib.imagemining.training.recipes import scaled_rate
from orangecontrib.imagemining.training.results import (
    Trained,
    figures_of,
    network_of,
)
from orangecontrib.imagemining.training.running import Clock
from orangecontrib.imagemining.training.schedules import plateau, rate_factor
from orangecontrib.imagemining.training.session import Session
from orangecontrib.imagemining.training.starting import (
    Started,
    parts_of,
    set_learning,
    start_network,
    training_mode,
)
from orangecontrib.imagemining.training.task import (
    Classification,
    Task,
    class_weights,
)
from orangecontrib.imagemining.weights.image_network import ImageNetwork

__all__ = ["Trained", "Trainer"]


class Trainer(Session):
    """Trains a network by a plan.

    The same plan and images give the same network on the same computer, whatever else
    it does meanwhile; torch's global generators are left alone.

    Parameters
    ----------
    plan
        All that decides.
    classes
        What the logits are to stand for; `ImageSet.labels` count them.
    images
        To learn from, read for `inputs.preprocess_of(plan, start)`.
    validation
        To judge by; None: the plan's share is split off `images`, of each class alike.
    start
        The network to begin with, where the plan's start is "given".
    title
        What the network is to be called.
    callbacks
        Called after those that the plan asks for.
    checkpoint
        File to write now and then. If it is there, the training is continued from it.
    about
        For the network's card: "trained_on", "rendering" and "notes".
    anew
        Begin anew where a checkpoint is there, which is replaced then.
    task
        What is to be learned, if not to tell the classes apart.

    Attributes
    ----------
    validation_rows : which of the images are for validation; None if others are.

    Others are those of `session.Session`.
    """

    def __init__(
        self,
        plan: Plan,
        classes: Sequence[str],
        images: ImageSet,
        validation: ImageSet | None = None,
        start: ImageNetwork | None = None,
        *,
        title: str = "",
        callbacks: Sequence[Callback] = (),
        checkpoint: Path | None = None,
        about: Mapping[str, str] | None = None,
        anew: bool = False,
        task: Task | None = None,
    ) -> None:
        super().__init__(plan, classes, images, validation, start, checkpoint)
        self.images = images
        self.validation = validation
        self.validation_rows: NDArray[np.int64] | None = None
        self.title = title
        self.callbacks = list(callbacks)
        self.about = dict(about or {})
        self.anew = anew
        self.task = task

    def fit(self, progress: Progress = no_progress) -> Trained:
        """Train, once, and return what came of it.

        Parameters
        ----------
        progress
            Called after each step, with a sentence on how it goes. What it raises ends
            the training; it can be continued if there is a checkpoint.

        Raises
        ------
        TrainingError
            If these images cannot be trained with, memory does not suffice, the loss
            came apart before anything was reached, or a checkpoint is of another
            training. The message says what to do.
        UnknownNameError
            If the plan names what does not exist.
        WeightsError
            If the weights to begin with are not to be had.
        RuntimeError
            If it has been called before.
        """
        if self.position.step:
            raise RuntimeError("a trainer trains once; make another one")
        self._progress = progress
        self.prepare()
        self._call("on_begin")
        try:
            while not self.stopping and self.position.epoch < self.plan.epochs:
                self.run_epoch()
            if self.position.batch and not self._is_broken:
                self.close_epoch()
        except (TaskCancelled, KeyboardInterrupt):
            self.write_checkpoint()
            raise
        self._call("on_end")
        return self.trained()

    def run_epoch(self) -> None:
        """Train on all images once, or on those that are left of an epoch, and judge.

        If it is stopped in between, nothing is judged.
        """
        position = self.position
        with Batches(
            self.learning_images,
            self.plan,
            self._preprocess,
            training=True,
            epoch=position.epoch,
            start=position.batch,
            device=self._arithmetic.device,
        ) as batches:
            group: list[Batch] = []
            ticked = self.seconds
            for arrived, batch in enumerate(batches, start=position.batch + 1):
                group.append(batch)
                if len(group) < self.plan.accumulate and arrived < position.n_batches:
                    continue
                self._take(group, arrived)
                self._call("on_step")
                position.seconds += self.seconds - ticked
                ticked = self.seconds
                self.report(self.status)
                group = []
                if self.stopping:
                    break
        if position.is_epoch_over and not self._is_broken:
            self.close_epoch()

    def step(self, batches: Sequence[Batch]) -> tuple[float, int]:
        """Change the weights once, by the mean gradient over some batches.

        Parameters
        ----------
        batches
            As many as the plan accumulates; fewer at the end of an epoch.

        Returns
        -------
        Sum of the loss over the images, and how many of them were read right.
        """
        n_images = sum(len(batch.labels) for batch in batches)
        self.optimizer.zero_grad(set_to_none=True)
        loss_sum = 0.0
        right = 0
        for pixels, labels in self._parts_of(batches):
            with self._arithmetic.training():
                result = self._task(self.network, pixels, labels)
            (result["loss"] * (len(labels) / n_images)).backward()
            loss_sum += result["loss"].item() * len(labels)
            right += int((result["logits"].argmax(dim=1) == labels).sum())
        if self.plan.recipe.clip is not None:
            torch.nn.utils.clip_grad_norm_(self._learning, self.plan.recipe.clip)
        self.optimizer.step()
        return loss_sum, right

    def close_epoch(self) -> None:
        """Judge the network, note the epoch, and keep the weights if they are best."""
        position = self.position
        begun = self.seconds
        judged = self.evaluate() if self.validation_images is not None else None
        n_images = max(position.images, 1)
        epoch = Epoch(
            epoch=self.epochs_done,
            seconds=position.seconds + self.seconds - begun,
            images_per_second=position.images_per_second,
            learning_rate=self.rate,
            loss=position.loss_sum / n_images,
            accuracy=position.right / n_images,
        )
        if judged is not None:
            epoch = replace(
                epoch,
                validation_loss=judged.loss,
                validation_accuracy=judged.accuracy,
                confusion=judged.confusion,
                worst=in_given(judged.worst, self.validation_rows),
            )
        self.history.epochs.append(epoch)
        self._is_cut_off = not position.is_epoch_over
        self._keep_if_best(epoch)
        position.begin_epoch()
        self._stop_at_plateau()
        self._call("on_epoch", epoch)

    def evaluate(self) -> Evaluation:
        """Judge the network, or its averages, on the validation images."""
        assert self.validation_images is not None
        with self.averages_in_place():
            self.network.eval()
            try:
                return evaluate(
                    self.network,
                    self.validation_images,
                    self.plan,
                    self._preprocess,
                    len(self.classes),
                    self._arithmetic,
                    max(self.plan.batch // self.position.n_parts, 1),
                    lambda fraction: self.report("Validating"),
                )
            except (RuntimeError, MemoryError) as ex:
                if is_out_of_memory(ex):
                    raise too_little_memory(self.plan) from ex
                raise
            finally:
                training_mode(self.network, self._learns)

    def prepare(self) -> None:
        """Look whether all goes together, build the network, continue if it is to be.

        Raises
        ------
        TrainingError, UnknownNameError, WeightsError
            See `fit`.
        """
        plan = self.plan
        check_plan(plan)
        self._clock = Clock()
        self._preprocess = preprocess_of(plan, self.start)
        self._split()
        check_images(
            self.learning_images,
            self.validation_images,
            self.classes,
            self._preprocess.size,
        )
        parts = parts_of(plan, len(self.classes), self.start)
        self._arithmetic = Arithmetic(plan)
        self.report("Building the network")
        self._started = self.begin()
        network: Any = self._started.network
        self.network = network.to(
            device=self._arithmetic.device, memory_format=torch.channels_last
        )
        self._generator = torch.Generator(self._arithmetic.device)
        use_dropout(self.network, plan.recipe.dropout, self._generator)
        self._learns = set_learning(self.network, parts, plan)
        self._learning = [p for p in self.network.parameters() if p.requires_grad]
        training_mode(self.network, self._learns)
        self._task = (self.task or self._classification()).to(self._arithmetic.device)
        self.optimizer = optimizer_for(self.learners(), plan.recipe)
        self._highest, sentence = scaled_rate(plan.recipe, plan.batch * plan.accumulate)
        with Batches(
            self.learning_images, plan, self._preprocess, training=True
        ) as batches:
            self.position.n_batches = len(batches)
        for text in (*self._started.notes, sentence, self._arithmetic.words):
            self.history.tell(0, text[:1].upper() + text[1:])
        self._listeners = with_those_of(plan, self.callbacks, self.checkpoint)
        if self.checkpoint is not None:
            self.note_identity()
            if not self.anew and self.checkpoint.exists():
                self.continue_from(self.checkpoint)

    def begin(self) -> Started:
        """Return the network to train; others than the plan's are for subclasses."""
        return start_network(
            self.plan,
            self.classes,
            self.start,
            lambda *_: self.report("Reading weights"),
        )

    def learners(self) -> nn.Module:
        """Return what the optimizer changes; subclasses may have more learn."""
        return self.network

    def trained(self) -> Trained:
        """Return the best network so far, with its card.

        Raises
        ------
        TrainingError
            If nothing has been reached.
        """
        history = self.history
        history.stopped = self._reason
        if self._reason:
            history.tell(self.epochs_done, self._reason, "stopped")
        if self.best is None:
            raise TrainingError(
                f"{self._reason or 'Nothing was trained'}. That was before the first"
                " epoch was judged, so there is nothing to keep"
            )
        best = history.epochs[-1 if history.best is None else history.best]
        network = network_of(
            self.best,
            self.plan,
            self.classes,
            self._preprocess,
            given=self.start,
            title=self.title,
            origin=self._started.origin,
            license=self._started.license,
            figures=figures_of(
                best, len(self.learning_images), len(self.validation_images or ())
            ),
            about=self.about,
            layers=self.network.layers(),
        )
        return Trained(network, history)

    def _take(self, group: Sequence[Batch], arrived: int) -> None:
        """Do a step, with half a batch at a time if memory does not suffice."""
        position = self.position
        position.rate = self._highest * rate_factor(
            self.plan.recipe, self.fraction, self.epochs_done, self.merits
        )
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = position.rate
        while True:
            self._generator.manual_seed(
                seed_of(self.plan.seed, position.step, position.n_parts)
            )
            try:
                loss_sum, right = self.step(group)
                break
            except (RuntimeError, MemoryError) as ex:
                if not is_out_of_memory(ex):
                    raise
                if position.n_parts > 1 or self.plan.batch < 4:
                    raise too_little_memory(self.plan) from ex
            except ValueError as ex:
                if "more than 1 value per channel" in str(ex):
                    raise TrainingError(
                        f"{self.plan.network} normalises batches, which cannot be done"
                        " with one image of this size; choose a larger batch"
                    ) from ex
                raise
            # outside of the handler, which holds on to what is to be freed
            position.n_parts = 2
            self.optimizer.zero_grad(set_to_none=True)
            if self._arithmetic.device == "cuda":
                torch.cuda.empty_cache()
            self.history.tell(
                self.epochs_done,
                f"There is not enough memory for {self.plan.batch} images at once; from"
                " here on a batch goes through in two halves, to the same effect",
                "warning",
            )
        n_images = sum(len(batch.labels) for batch in group)
        position.count(loss_sum, right, n_images, arrived, self.history)

    def _parts_of(self, batches: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in batches:
            count = len(batch.labels)
            if count > 3:  # batch normalisation cannot do with one image
                count = math.ceil(count / self.position.n_parts)
            for first in range(0, len(batch.labels), count):
                part = slice(first, first + count)
                yield batch.pixels[part], batch.labels[part]

    def _keep_if_best(self, epoch: Epoch) -> None:
        history = self.history
        if epoch.is_validated:
            if history.best is not None:
                if epoch.merit <= history.epochs[history.best].merit:
                    return
            history.best = len(history.epochs) - 1
        source = self.state() if self.averages is None else self.averages
        self.best = {name: value.clone() for name, value in source.items()}

    def _stop_at_plateau(self) -> None:
        recipe = self.plan.recipe
        if recipe.schedule == "plateau":
            if plateau(self.merits, recipe.stall, recipe.drops)[1]:
                self.stop(
                    f"The learning rate has dropped {recipe.drops} times, and it does"
                    " not become better any more",
                    finished=True,
                )

    def _call(self, name: str, *arguments: Any) -> None:
        for listener in self._listeners:
            getattr(listener, name)(self, *arguments)

    def _classification(self) -> Classification:
        recipe = self.plan.recipe
        weights = None
        if self.plan.class_weights:
            weights = class_weights(self.learning_images.counts(len(self.classes)))
        auxiliary = recipe.auxiliary if self.plan.learns == "all" else 0.0
        return Classification(weights, recipe.label_smoothing, auxiliary)

    def _split(self) -> None:
        if self.validation is not None or not len(self.images):
            if not len(self.validation or ()):
                self.validation_images = None
            return
        learn, judge = split(self.images.labels, self.plan.validation, self.plan.seed)
        if len(judge):
            self.learning_images = self.images.subset(learn)
            self.validation_images = self.images.subset(judge)
            self.validation_rows = judge

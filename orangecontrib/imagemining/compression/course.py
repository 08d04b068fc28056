"""A compression under way: what steps are given, and what has been noted so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
from torch import nn

from orangecontrib.imagemining.compression.checks import n_epochs, words_of
from orangecontrib.imagemining.compression.choosing import Goal
from orangecontrib.imagemining.compression.judging import judge
from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    Step,
    plan_to_json,
)
from orangecontrib.imagemining.compression.results import Candidate
from orangecontrib.imagemining.compression.tasks import Following
from orangecontrib.imagemining.compression.tuning import Tuner, training_plan
from orangecontrib.imagemining.compression.working import Working, packed_size
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.networks import Network
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.training.callbacks import Callback
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.evaluation import Evaluation
from orangecontrib.imagemining.training.history import History
from orangecontrib.imagemining.training.plan import Recipe
from orangecontrib.imagemining.training.starting import rebuilt
from orangecontrib.imagemining.training.task import Task
from orangecontrib.imagemining.training.trainer import Trainer
from orangecontrib.imagemining.weights.image_network import ImageNetwork, OnnxNetwork

__all__ = ["Course", "Stopped"]

_OWN = 0.2  # share of a step's progress that is not training, where it trains


class Stopped(Exception):
    """The user wants what there is; raised at once after a network was noted."""


class Course:
    """What steps may use (see `context.Context`), and what they have noted.

    Parameters
    ----------
    plan, given, images, validation, labelled
        As in `context.Context`.
    about
        Which images these are, in words, for the network's card.
    on_candidate
        Called with each candidate.
    stop
        Asked now and then; once it says yes, `Stopped` is raised as soon as nothing is
        lost by it.
    progress
        Told how far all is, 0–1.

    Attributes
    ----------
    trail : candidates so far. Of those that cannot be the result any more, the
        networks are gone.
    notes : sentences for people.
    safe : the last network so far that lost no more than the plan allows, to go on
        from; None without such a limit.
    in_file : the network that a file of ONNX was made from, if any was.
    """

    def __init__(
        self,
        plan: CompressionPlan,
        given: ImageNetwork,
        images: ImageSet,
        validation: ImageSet,
        *,
        labelled: bool = True,
        about: str = "",
        on_candidate: Callable[[Candidate], None] | None = None,
        stop: Callable[[], bool] | None = None,
        progress: Progress = no_progress,
    ) -> None:
        self.plan = plan
        self.given = given
        self.images = images
        self.validation = validation
        self.labelled = labelled
        self.trail: list[Candidate] = []
        self.notes: list[str] = []
        self.safe: Working | None = None
        self.in_file: ImageNetwork | None = None
        self.goal = Goal(plan)
        self._about = f" With {about}." if about else ""
        self._on_candidate = on_candidate
        self._stop = stop
        self._progress = progress
        self._begun = time.perf_counter()
        self._created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._teacher: Network | None = None
        self._step = 0
        self._what = ""
        self._n_trainings = 0
        self._untold = False  # numbers were trained since a network was noted
        # epochs: of the whole plan that are left, of this step, and of it done
        self._left = sum(map(n_epochs, plan.steps))
        self._planned = 0
        self._done = 0.0
        self._reported = 0.0
        self._fraction = 0.0

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return time.perf_counter() - self._begun

    @property
    def time_is_up(self) -> bool:
        """Whether the plan's minutes are over."""
        minutes = self.plan.minutes
        return minutes is not None and self.seconds >= 60 * minutes

    @property
    def stop_is_asked(self) -> bool:
        """Whether the user wants what there is."""
        return self._stop is not None and self._stop()

    def begin_step(self, number: int, step: Step) -> None:
        """Note that a step begins, counted from 1."""
        self._step = number
        self._left = sum(n_epochs(each) for each in self.plan.steps[number - 1 :])
        self._planned = n_epochs(step)
        self._done = self._reported = 0.0
        self._untold = False

    def teacher(self) -> Network:
        """Return the given network, built once; see `context.Context`."""
        if self._teacher is None:
            self._teacher = rebuilt(self.given).requires_grad_(False)
        return self._teacher

    def tune(
        self,
        working: Working,
        epochs: int,
        status: str,
        task: Task | None = None,
        others: Sequence[nn.Module] = (),
        recipe: Recipe | None = None,
    ) -> History:
        """Fine-tune in place; see `context.Context`."""
        left, self._left = self._left, max(self._left - epochs, 0)
        if epochs < 1 or self._untold and self.stop_is_asked:
            return History()
        if not len(self.images):
            raise TrainingError("There are no images, so nothing can be fine-tuned")
        plan = training_plan(working, self.plan, epochs)
        plan = replace(
            plan,
            recipe=recipe or plan.recipe,
            seed=self.plan.seed + self._n_trainings,
        )
        if self.plan.minutes is not None:
            seconds = 60 * self.plan.minutes - self.seconds
            if seconds <= 0:
                self._time_over()
                return History()
            share = seconds * epochs / max(left, epochs)
            plan = replace(plan, minutes=share / 60)
        self._n_trainings += 1
        before = self._done
        tuner = Tuner(
            working,
            plan,
            self.images,
            self.validation,
            task=task or self._task(),
            callbacks=[_StopWhen(lambda: self.stop_is_asked)],
            others=others,
        )

        def progress(fraction: float, words: str = "") -> None:
            self._done = before + epochs * fraction
            self._tell(f"{status}: {words}" if words else status)

        try:
            history = tuner.fit(progress).history
        finally:
            working.network.to("cpu").eval()
        self._done = before + epochs
        self._untold = True
        for event in history.events:
            if event.kind == "warning":
                self.note(event.text)
        if self.time_is_up:
            self._time_over()
        return history

    def judge(self, working: Working, most: int | None = None) -> Evaluation:
        """Evaluate on validation images; see `context.Context`."""
        images = self.validation
        if not len(images):
            raise TrainingError("There are no images to judge by")
        if most is not None and most < len(images):
            # spread: tables are often sorted by class
            images = images.subset(np.linspace(0, len(images) - 1, most).astype(int))
        return self._seen(working, images)[0]

    def offer(self, working: Working, what: str) -> Candidate:
        """Note the network as it is; see `context.Context`."""
        accuracy = loss = top5 = math.nan
        if len(self.validation):
            found, top5 = self._seen(working, self.validation)
            accuracy, loss = found.accuracy, found.loss
        network = (
            self.given
            if not self._step
            else working.image_network(**self.card_of(working, accuracy, loss))
        )
        candidate = Candidate(
            self._step,
            what,
            packed_size(network),
            sum(
                int(np.count_nonzero(each))
                for each in network.tensors.values()
                if each.dtype.kind == "f"
            ),
            accuracy,
            loss,
            self.seconds,
            network,
            top5,
        )
        self._add(candidate)
        if self.goal.is_within(candidate, self.trail[0]):
            self.safe = working.copy()
        self._after_offer()
        return candidate

    def offer_onnx(
        self,
        keep: Callable[[], OnnxNetwork],
        n_bytes: int,
        what: str,
        accuracy: float,
        loss: float,
        top5: float,
    ) -> Candidate:
        """Note a network in a file; see `context.Context`."""
        candidate = Candidate(
            self._step,
            what,
            n_bytes,
            self.trail[-1].n_parameters if self.trail else 0,
            accuracy,
            loss,
            self.seconds,
            OnnxNetwork("", what),  # not written yet
            top5,
        )
        # files that nobody asked for are not left in the user's folder
        is_result = self.goal.choose([*self.trail, candidate]) == len(self.trail)
        candidate = replace(candidate, network=keep() if is_result else None)
        self._add(candidate)
        self._after_offer()
        return candidate

    def is_noted(self, working: Working) -> bool:
        """Tell whether the network as it is has been noted last, in this step."""
        last = self.trail[-1]
        if last.step != self._step or not isinstance(last.network, ImageNetwork):
            return False
        now = working.image_network()
        return (
            now.stored.keys() == last.network.stored.keys()
            and now.tensors.keys() == last.network.tensors.keys()
            and all(
                np.array_equal(value, last.network.tensors[name])
                for name, value in now.tensors.items()
            )
        )

    def before_loss(self) -> Working | None:
        """Return a network to go on from if the last one lost more than it may."""
        last = self.trail[-1]
        if self.safe is None or self.goal.is_within(last, self.trail[0]):
            return None
        lost = 100 * (self.trail[0].accuracy - last.accuracy)
        self.note(
            f"Step {last.step}, {last.what}, lost {lost:.3g} points of accuracy; what"
            " follows went on from what was there before"
        )
        return self.safe.copy()

    def note(self, text: str) -> None:
        """Tell people something, once."""
        if text not in self.notes:
            self.notes.append(text)

    def report(self, fraction: float, status: str = "") -> None:
        """Tell how far the step is; see `context.Context`."""
        if self.stop_is_asked and not self._untold and self.trail:
            raise Stopped
        self._reported = min(max(fraction, self._reported), 1.0)
        self._tell(status)

    def _task(self) -> Task | None:
        """Return what fine-tuning learns: labels, the given network's answers, both."""
        if self.labelled and not self.plan.distil:
            return None
        return Following(
            self.teacher(), self.plan.gamma, self.plan.temperature, self.labelled
        )

    def _seen(self, working: Working, images: ImageSet) -> tuple[Evaluation, float]:
        return judge(working, images, self.plan, lambda *_: self._tell("Judging"))

    def card_of(
        self, working: Working, accuracy: float = math.nan, loss: float = math.nan
    ) -> dict[str, Any]:
        """Return the fields of its card that tell how a network was compressed."""
        card = self.given.card
        figures = {"accuracy": accuracy, "validation_loss": loss}
        if self.trail:
            figures["accuracy_before"] = self.trail[0].accuracy
        figures["validation_images"] = float(len(self.validation))
        if not len(self.validation):
            figures = {}
        end = ", compressed"
        steps = "; ".join(words_of(each) for each in self.plan.steps[: self._step])
        done = f"Compressed from {card.title}.{self._about} {steps}"
        return {
            "title": card.title.removesuffix(end) + end,
            "recipe": {
                "compression": plan_to_json(self.plan, short=True),
                "training": card.recipe.get("training", dict(card.recipe)),
            },
            "start": self.given.name,
            "figures": {k: v for k, v in figures.items() if math.isfinite(v)},
            "created": self._created,
            "notes": "\n".join(filter(None, (card.notes, done))),
        }

    def _add(self, candidate: Candidate) -> None:
        self.trail.append(candidate)
        kept = {0, *self.goal.open_places(self.trail)}
        for place, each in enumerate(self.trail[:-1]):
            if place not in kept and each.network is not None:
                self.trail[place] = replace(each, network=None)
        if self._on_candidate is not None:
            self._on_candidate(candidate)

    def _after_offer(self) -> None:
        self._untold = False
        self._tell("")
        if self._step and self.stop_is_asked:
            raise Stopped

    def _tell(self, status: str) -> None:
        steps = self.plan.steps
        weights = [1 + 4 * n_epochs(each) for each in steps]
        own = _OWN if self._planned else 1.0
        trained = self._done / self._planned if self._planned else 0.0
        share = own * self._reported + (1 - own) * min(trained, 1.0)
        if self._step:
            before = sum(weights[: self._step - 1])
            weight = weights[self._step - 1] if self._step <= len(steps) else 0
            fraction = (before + share * weight) / max(sum(weights), 1)
            self._fraction = max(self._fraction, min(fraction, 1.0))
        name = f"Step {self._step} of {len(steps)}" if self._step else ""
        words = ": ".join(filter(None, (name, status)))
        self._progress(self._fraction, words)

    def _time_over(self) -> None:
        self.note(
            f"The {self.plan.minutes:g} minutes are over; nothing was trained after"
            " them"
        )


class _StopWhen(Callback):
    """Ends a training when it is asked to."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self.asked = asked

    def on_step(self, trainer: Trainer) -> None:
        if self.asked():
            trainer.stop("Stopped as asked")

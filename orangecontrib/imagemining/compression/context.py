"""What steps of a compression are given: images, a teacher, and somebody to report to.

A step is a function ``run(step, working, context)`` in a module of its kind that
changes `working` in place; `pipeline` calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import nn

from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.compression.results import Candidate
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.networks import Network
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.evaluation import Evaluation
from orangecontrib.imagemining.training.history import History
from orangecontrib.imagemining.training.plan import Recipe
from orangecontrib.imagemining.training.task import Task
from orangecontrib.imagemining.weights.image_network import ImageNetwork, OnnxNetwork

__all__ = ["Context"]


class Context(Protocol):
    """What a step may use.

    Attributes
    ----------
    plan : of the whole compression.
    given : the network as it was.
    images : to learn from; labels are the users', or the given network's own answers.
    validation : to judge by, likewise; empty where there are no images.
    labelled : whether labels are the users'.
    """

    plan: CompressionPlan
    given: ImageNetwork
    images: ImageSet
    validation: ImageSet
    labelled: bool

    @property
    def time_is_up(self) -> bool:
        """Whether the plan's minutes are over; nothing long is to begin then."""

    def teacher(self) -> Network:
        """Return the given network, built once, in evaluation mode; not to be changed.

        Its answers may be asked for with ``torch.inference_mode``.
        """

    def tune(
        self,
        working: Working,
        epochs: int,
        status: str,
        task: Task | None = None,
        others: Sequence[nn.Module] = (),
        recipe: Recipe | None = None,
    ) -> History:
        """Fine-tune in place, within what is left of the time.

        Parameters
        ----------
        working
            The best numbers on validation stay.
        epochs
            0: nothing is done.
        status
            What is being done, for people.
        task
            What is learned; None: labels, and the given network's answers if the plan
            says so.
        others
            Modules that learn beside it.
        recipe
            How; None: the plan's.
        """

    def judge(self, working: Working, most: int | None = None) -> Evaluation:
        """Evaluate on the validation images, on `most` of them, evenly spread.

        Raises
        ------
        TrainingError
            If there are none.
        """

    def offer(self, working: Working, what: str) -> Candidate:
        """Measure the network as it is, and note it: one more point of the plot.

        Steps in rounds offer after each; the pipeline offers after each step.
        """

    def offer_onnx(
        self,
        keep: Callable[[], OnnxNetwork],
        n_bytes: int,
        what: str,
        accuracy: float,
        loss: float,
        top5: float,
    ) -> Candidate:
        """Note a network that is to become a file; no step can follow.

        Parameters
        ----------
        keep
            Writes the file; called only if it is the result.
        n_bytes
            Of the file.
        what, accuracy, loss, top5
            As in `Candidate`.
        """

    def note(self, text: str) -> None:
        """Tell people something, a sentence."""

    def report(self, fraction: float, status: str = "") -> None:
        """Tell how far the step is, 0–1.

        Raises
        ------
        TaskCancelled
            If the work is to end; what was offered is kept.
        """

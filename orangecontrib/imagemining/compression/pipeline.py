"""Runs a plan of a compression, and chooses among what came of it."""

from __future__ import annotations

from collections.abc import Callable

from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.compression.results import Candidate, Compressed
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.weights.image_network import ImageNetwork

__all__ = ["compress"]


def compress(
    network: ImageNetwork,
    plan: CompressionPlan,
    images: ImageSet | None = None,
    validation: ImageSet | None = None,
    *,
    labelled: bool = True,
    on_candidate: Callable[[Candidate], None] | None = None,
    stop: Callable[[], bool] | None = None,
    progress: Progress = no_progress,
) -> Compressed:
    """Make a network smaller by a plan.

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
        To judge by; None: the plan's share is split off `images`.
    labelled
        Whether labels are told; otherwise they are the network's own answers.
    on_candidate
        Called with each point of the plot as soon as it is there, in this thread.
    stop
        Asked now and then; once it says yes, the best so far is the result.
    progress
        What it raises ends the work, without a result.

    Raises
    ------
    TrainingError
        If the plan cannot be carried out on this network with these images.
    """
    raise NotImplementedError

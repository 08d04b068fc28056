"""Making networks smaller with the images of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from Orange.data import Table

from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.compression.results import Candidate, Compressed
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.weights.image_network import AnyNetwork

__all__ = ["TableCompression", "compress_on_table"]


@dataclass
class TableCompression:
    """What came of compressing a network with a table of images.

    Attributes
    ----------
    compressed : the network, and all candidates.
    report : a row a layer, as in SqueezeNet's Table 1.
    trail : a row a candidate, as in its Table 2: step, bytes, ratio, accuracy.
    left_out : rows of the data that were not used, and why, in words.
    notes : what the user should know; those of `compressed`, and of the table.
    """

    compressed: Compressed
    report: Table
    trail: Table
    left_out: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compress_on_table(
    data: Table | None,
    network: AnyNetwork,
    plan: CompressionPlan,
    *,
    validation: Table | None = None,
    column: str = "",
    on_candidate: Callable[[Candidate], None] | None = None,
    stop: Callable[[], bool] | None = None,
    progress: Progress = no_progress,
) -> TableCompression:
    """Make a network smaller by a plan, with the images of a table.

    Parameters
    ----------
    data
        A table with an image column; with a categorical class accuracies are of that,
        otherwise of the network's own answers. None: there are no images.
    network
        Left as it is.
    plan
        What is done, and what is wanted.
    validation
        Images to judge by, with the same class; None: a share of `data`.
    column
        Name of the image column, where there are several; "" for the first.
    on_candidate
        Called with each point of the plot as soon as it is there, in this thread.
    stop
        Asked now and then; once it says yes, the best so far is the result.
    progress
        What it raises ends the work, without a result.

    Raises
    ------
    TrainingError
        If the network is none that can be compressed, does not know the data's classes,
        or the plan cannot be carried out.
    TableError
        If there is a table without images, or none of them can be read.
    WeightsError
        If the network's numbers are not to be had.
    """
    raise NotImplementedError

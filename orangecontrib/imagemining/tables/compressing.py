"""Making networks smaller with the images of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from Orange.data import ContinuousVariable, Domain, StringVariable, Table, Variable

from orangecontrib.imagemining.compression.checks import check_network, check_plan
from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.compression.results import (
    Candidate,
    Compressed,
    LayerReport,
)
from orangecontrib.imagemining.exceptions import TableError, TrainingError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.tables.columns import image_sources
from orangecontrib.imagemining.tables.decoded import DecodedImages
from orangecontrib.imagemining.tables.labelled import (
    class_of,
    image_column_of,
    labelled_images,
    names_of,
    without_unreadable,
)
from orangecontrib.imagemining.tables.networkmodel import rendering_for
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.weights.image_network import (
    AnyNetwork,
    ImageNetwork,
)

if TYPE_CHECKING:
    from orangecontrib.imagemining.training.data import ImageSet

__all__ = ["TableCompression", "compress_on_table", "report_table", "trail_table"]

_READING = 0.1  # share of the progress bar


@dataclass
class TableCompression:
    """What came of compressing a network with a table of images.

    Attributes
    ----------
    compressed : the network, and all candidates.
    report : a row a layer, as in SqueezeNet's Table 1.
    trail : a row a candidate, as in its Table 2: bytes, ratio, accuracy.
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
    decoded: DecodedImages | None = None,
    on_candidate: Callable[[Candidate], None] | None = None,
    stop: Callable[[], bool] | None = None,
    progress: Progress = no_progress,
) -> TableCompression:
    """Make a network smaller by a plan, with the images of a table.

    Parameters
    ----------
    data
        A table with an image column. With a class, which the network has to know by
        name, accuracies are of that; otherwise of the network's own answers. None:
        there are no images.
    network
        Left as it is.
    plan
        What is done, and what is wanted.
    validation
        Images to judge by, with the same class; None: a share of `data`.
    column
        Name of the image column, where there are several; "" for the first.
    decoded
        Images that were read before, and are to be at hand the next time.
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
    check_plan(plan)
    network = check_network(network)
    from orangecontrib.imagemining.compression.pipeline import compress

    first = data if data is not None else validation
    labelled = first is not None and bool(first.domain.class_vars)
    read = _Reader(network, plan, labelled, column, decoded or DecodedImages())
    # all that a table can lack is told before anything is read
    tables = [each for each in (data, validation) if each is not None]
    for table in tables:
        read.look_at(table)
    images = judge = None
    if data is not None:
        images = read(data, _part(progress, 0, _READING / len(tables)))
    if validation is not None:
        judge = read(validation, _part(progress, _READING / len(tables), _READING))
    compressed = compress(
        network,
        plan,
        images,
        judge,
        labelled=labelled,
        about="" if first is None else f"{len(first):,} images of {first.name}",
        on_candidate=on_candidate,
        stop=stop,
        progress=_part(progress, _READING if tables else 0, 1),
    )
    return TableCompression(
        compressed,
        report_table(compressed.layers),
        trail_table(compressed.trail, compressed.bytes_before, compressed.chosen),
        read.left_out if data is not None else [],
        list(dict.fromkeys([*read.notes, *compressed.notes])),
    )


def report_table(layers: Sequence[LayerReport], name: str = "compression") -> Table:
    """Return what became of the layers as a table, as in SqueezeNet's Table 1.

    Columns: parameters before, parameters after (those that are not 0), sparsity, bits,
    bytes; among the metas layer, kind, shape and output shape.

    Parameters
    ----------
    layers
        A row each.
    name
        Of the table.
    """
    numbers = [
        ContinuousVariable("parameters before", number_of_decimals=0),
        ContinuousVariable("parameters after", number_of_decimals=0),
        ContinuousVariable("sparsity", number_of_decimals=4),
        ContinuousVariable("bits", number_of_decimals=0),
        ContinuousVariable("bytes", number_of_decimals=0),
    ]
    values = [[x.parameters, x.kept, x.sparsity, x.bits, x.n_bytes] for x in layers]
    texts = [[x.name, x.kind, _shape(x.shape), _shape(x.output)] for x in layers]
    return _table(numbers, values, ("layer", "kind", "shape", "output"), texts, name)


def trail_table(
    trail: Sequence[Candidate],
    bytes_before: int = 0,
    chosen: int | None = None,
    name: str = "networks on the way",
) -> Table:
    """Return networks on the way as a table, as in SqueezeNet's Table 2.

    Columns: step, bytes, ratio to the size before, share of the bytes of the row above,
    top-1, top-5 (missing with fewer than six classes), top-1 lost, loss, parameters
    that are not 0, seconds; among the metas what was done, and which is the result.

    Parameters
    ----------
    trail
        A row each; the first is the network as it was.
    bytes_before
        Of the network's numbers; 0: the first row's file.
    chosen
        Place of the result; None: it is not told.
    name
        Of the table.
    """
    decimals = {
        "step": 0,
        "bytes": 0,
        "ratio": 2,
        "share of row above": 4,
        "top-1": 4,
        "top-5": 4,
        "top-1 lost": 4,
        "loss": 4,
        "parameters": 0,
        "seconds": 1,
    }
    numbers = [
        ContinuousVariable(title, number_of_decimals=n) for title, n in decimals.items()
    ]
    values = [
        [
            each.step,
            each.n_bytes,
            (bytes_before or trail[0].n_bytes) / each.n_bytes,
            each.n_bytes / trail[max(place - 1, 0)].n_bytes,
            each.accuracy,
            each.top5,
            trail[0].accuracy - each.accuracy,
            each.loss,
            each.n_parameters,
            each.seconds,
        ]
        for place, each in enumerate(trail)
    ]
    texts = [
        [each.what, "result" if place == chosen else ""]
        for place, each in enumerate(trail)
    ]
    return _table(numbers, values, ("what", "chosen"), texts, name)


class _Reader:
    """Reads tables of images for a network.

    Attributes
    ----------
    left_out : rows of the table read first that were not used, and why.
    notes : sentences for the user.
    """

    def __init__(
        self,
        network: ImageNetwork,
        plan: CompressionPlan,
        labelled: bool,
        column: str,
        decoded: DecodedImages,
    ) -> None:
        self.network = network
        self.labelled = labelled
        self.left_out: list[tuple[int, str]] = []
        self.notes: list[str] = []
        self._column = column
        self._decoded = decoded
        self._n_tables = 0
        self._preprocess = network.card.preprocess
        # what of a training's plan decides how images are read
        self._plan = Plan(
            start="given",
            size=self._preprocess.size,
            fit=network.card.fit,
            augmentation=plan.augmentation,
        )

    def look_at(self, data: Table) -> None:
        """Complain if a table has no rows, no images, or classes that are not known."""
        if not len(data):
            raise TableError("The data have no rows; load some images")
        self._column_of(data)
        if not self.labelled:
            return
        class_var = class_of(data.domain)
        known = set(self.network.classes)
        values = data.get_column(class_var)
        occurring = {class_var.values[int(v)] for v in values[np.isfinite(values)]}
        unknown = [v for v in class_var.values if v in occurring and v not in known]
        if unknown:
            raise TrainingError(
                f"{self.network.title} does not know {names_of(unknown)}. Connect a"
                " network that was trained to tell these classes apart, or remove the"
                " class by Select Columns: then the network's own answers are learned"
            )

    def __call__(self, data: Table, progress: Progress) -> ImageSet:
        """Return the images of a table that can be used."""
        self._n_tables += 1
        if self.labelled:
            images, left_out, notes = self._labelled(data, progress)
        else:
            images, left_out, notes = self._unlabelled(data, progress)
        if self._n_tables == 1:
            self.left_out = left_out
            self.notes += notes
        else:
            self.notes += [f"Validation: {note}" for note in notes]
        return images

    def _labelled(
        self, data: Table, progress: Progress
    ) -> tuple[ImageSet, list[tuple[int, str]], list[str]]:
        column = self._column_of(data)
        found = labelled_images(
            data, column.name, self.network.classes, rendering_for(self.network)
        )
        if not found.sources:
            raise TableError("No row of the data has both an image and a class")
        some, reasons = self._decoded.read(
            found.sources, found.labels, self._plan, self._preprocess, progress
        )
        if not len(some):
            raise TableError(f"No image can be read: {reasons[0]}")
        usable = without_unreadable(found, reasons, fixed=True)
        return some, usable.left_out, usable.notes

    def _unlabelled(
        self, data: Table, progress: Progress
    ) -> tuple[ImageSet, list[tuple[int, str]], list[str]]:
        sources = image_sources(
            data, self._column_of(data), rendering_for(self.network)
        )
        rows = [row for row, source in enumerate(sources) if source]
        if not rows:
            raise TableError("No row of the data has an image")
        some, reasons = self._decoded.read(
            [source for source in sources if source],
            np.zeros(len(rows), np.int64),
            self._plan,
            self._preprocess,
            progress,
        )
        if not len(some):
            raise TableError(f"No image can be read: {reasons[0]}")
        why = dict(zip(rows, reasons, strict=True))
        left_out = [
            (row, why.get(row, "No image is given in this row") or "")
            for row in range(len(sources))
            if row not in why or why[row] is not None
        ]
        notes = []
        if left_out:
            notes.append(
                f"{len(left_out):,} of {len(sources):,} rows are left out:"
                f" {left_out[0][1]}" + ", …" * (len(left_out) > 1)
            )
        return some, left_out, notes

    def _column_of(self, data: Table) -> Variable:
        names = {each.name for each in data.domain.metas + data.domain.variables}
        return image_column_of(
            data.domain, self._column if self._column in names else ""
        )


def _part(progress: Progress, start: float, end: float) -> Progress:
    def part(fraction: float, status: str = "") -> None:
        progress(start + (end - start) * fraction, status)

    return part


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def _table(
    numbers: Sequence[ContinuousVariable],
    values: Sequence[Sequence[float]],
    titles: Sequence[str],
    texts: Sequence[Sequence[str]],
    name: str,
) -> Table:
    domain = Domain(numbers, metas=[StringVariable(title) for title in titles])
    table = Table.from_numpy(
        domain,
        np.array(values, float).reshape(-1, len(numbers)),
        metas=np.array(texts, object).reshape(-1, len(titles)),
    )
    table.name = name
    return table

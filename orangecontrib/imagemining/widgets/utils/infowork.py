"""What Network Info does in a thread; no Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from Orange.data import Table, Variable
from Orange.widgets.utils.concurrent import TaskState

from orangecontrib.imagemining.compression.described import Described, Times
from orangecontrib.imagemining.embedders import catalog
from orangecontrib.imagemining.exceptions import (
    ImageMiningError,
    TaskCancelled,
    UnknownNameError,
    WeightsError,
)
from orangecontrib.imagemining.specs import Progress, Weights
from orangecontrib.imagemining.tables.evaluating import evaluate_networks
from orangecontrib.imagemining.tables.networkinfo import Compared
from orangecontrib.imagemining.weights import WEIGHTS, is_here
from orangecontrib.imagemining.weights.image_network import (
    AnyNetwork,
    ImageNetwork,
    NetworkCard,
    OnnxNetwork,
)
from orangecontrib.imagemining.widgets.utils.infoonnx import (
    describe_onnx,
    measure_onnx,
)
from orangecontrib.imagemining.widgets.utils.pacetext import with_pace
from orangecontrib.imagemining.widgets.utils.tasks import progress_of

__all__ = ["Entry", "Judged", "compared", "forgotten", "run_info", "run_judge"]

_SECONDS = 2.0  # of measuring, a network
_NO_IMAGE = "There is no image that the networks can be judged by: "


@dataclass(frozen=True, eq=False)
class Entry:
    """A network of the comparison, and what is known of it.

    Attributes
    ----------
    network : at the input; None for a published one.
    published : name of a published one, "" for none.
    described : what it consists of; None as long as that is not known.
    times : how long it takes; None as long as it is not known.
    top1, top5 : measured on the data; NaN as long as they are not.
    n_images : on how many.
    problem : why it cannot be described, measured or judged.
    """

    network: AnyNetwork | None = None
    published: str = ""
    described: Described | None = None
    times: Times | None = None
    top1: float = math.nan
    top5: float = math.nan
    n_images: int = 0
    problem: str = ""

    @property
    def title(self) -> str:
        """What people call it."""
        if self.network is not None:
            return self.network.title
        card = WEIGHTS.get(self.published)
        return card.title if card is not None else self.published

    @property
    def complaint(self) -> str:
        """The problem with the network's title, "" without a problem."""
        if not self.problem or self.title in self.problem:
            return self.problem
        return f"{self.title}: {self.problem}"


@dataclass
class Judged:
    """What came of trying networks on images.

    Attributes
    ----------
    entries : with what was measured, in the order in which they were given.
    left_out : how many images of how many were left out, and why, by network.
    """

    entries: list[Entry]
    left_out: list[str] = field(default_factory=list)


def run_info(entries: Sequence[Entry], measuring: bool, state: TaskState) -> None:
    """Describe networks, and measure them; each comes as a partial result.

    Partial results are (place among `entries`, entry).
    """
    report = progress_of(state)
    n = len(entries)
    known: dict[int, Entry] = {}

    def share(done: float) -> Progress:
        def progress(fraction: float, status: str = "") -> None:
            report(min(1.0, (done + fraction * 0.5) / n), status)

        return progress

    # all are described before one is measured, which takes longer
    for place, entry in enumerate(entries):
        if entry.described is None:
            entry = _tried(_described, entry, share(place / 2))
            state.set_partial_result((place, entry))
        known[place] = entry
    for place, entry in known.items():
        if measuring and entry.times is None and entry.described is not None:
            entry = _tried(_measured, entry, share((n + place) / 2))
            state.set_partial_result((place, entry))


def run_judge(
    entries: Sequence[Entry], data: Table, column: Variable, state: TaskState
) -> Judged:
    """Try networks on labelled images, each by itself."""
    report = progress_of(state)
    result = Judged([])
    for place, entry in enumerate(entries):

        def progress(fraction: float, status: str = "", place: int = place) -> None:
            report((place + fraction) / len(entries), status)

        progress(0, f"Trying {entry.title}…")
        try:
            network = _network(entry)
            if network is None:
                raise WeightsError("Its weights are not on this computer")
            found = evaluate_networks(
                data, column, [network], progress=with_pace(progress)
            )
        except TaskCancelled:
            raise
        except ImageMiningError as ex:
            problem = str(ex).removeprefix(_NO_IMAGE)  # it is about one network alone
            result.entries.append(replace(entry, problem=problem))
            continue
        scores = found.scores[0]
        result.entries.append(
            replace(
                entry,
                top1=scores.top1,
                top5=scores.top5,
                n_images=found.n_images,
                problem="",
            )
        )
        n_left_out = sum(count for _, count in found.left_out)
        if n_left_out:
            result.left_out.append(
                f"{entry.title}: {n_left_out:,} of {n_left_out + found.n_images:,}"
                f" ({found.left_out[0][0]})"
            )
    return result


def compared(entry: Entry) -> Compared | None:
    """Return an entry as a row of the comparison; None if nothing is known of it.

    Where its accuracy was not measured on the data, it is what is told of it.
    """
    if entry.described is None:
        return None
    top1, top5, judged = entry.top1, entry.top5, ""
    if not math.isnan(top1):
        judged = f"{entry.n_images:,} images of the data"
    elif entry.published in WEIGHTS:
        card = WEIGHTS[entry.published]
        if card.top1 is not None:
            top1, judged = card.top1, "as published"
            top5 = card.top5 if card.top5 is not None else math.nan
    elif isinstance(entry.network, ImageNetwork):
        figures = entry.network.card.figures
        for name, where in _FIGURES.items():
            if name in figures:
                top1, judged = figures[name], where
                break
    return Compared(entry.described, entry.times, top1, top5, judged)


def forgotten(entry: Entry) -> Entry:
    """Return an entry without what was measured on images."""
    problem = entry.problem if entry.described is None else ""
    nan = math.nan
    return replace(entry, top1=nan, top5=nan, n_images=0, problem=problem)


#: What a card tells of accuracy, and of which images it is.
_FIGURES = {
    "accuracy": "its card: images it was tried on",
    "validation_accuracy": "its card: validation images",
}


def _tried(work: Any, entry: Entry, progress: Progress) -> Entry:
    try:
        result: Entry = work(entry, progress)
    except TaskCancelled:
        raise
    except ImageMiningError as ex:
        return replace(entry, problem=str(ex))
    return result


def _described(entry: Entry, progress: Progress) -> Entry:
    from orangecontrib.imagemining.compression.describe import describe, describe_card

    progress(0, f"Looking at {entry.title}…")
    network = _network(entry)
    if isinstance(network, ImageNetwork):
        described = describe(network, progress)
    elif isinstance(network, OnnxNetwork):
        described = describe_onnx(network)
    elif network is None:
        described = describe_card(_card(entry.published))
    else:
        raise WeightsError(f"{network.title} is of a kind that cannot be looked into")
    return replace(entry, described=described, problem="")


def _measured(entry: Entry, progress: Progress) -> Entry:
    from orangecontrib.imagemining.compression.describe import measure, measure_card

    progress(0, f"Measuring {entry.title}…")
    network = _network(entry)
    if isinstance(network, ImageNetwork):
        times = measure(network, _SECONDS, progress)
    elif isinstance(network, OnnxNetwork):
        times = measure_onnx(network, _SECONDS, progress)
    else:
        times = measure_card(_card(entry.published), _SECONDS, progress)
    return replace(entry, times=times)


def _network(entry: Entry) -> AnyNetwork | None:
    """Return the network; None for a published one that is not on this computer."""
    if entry.network is not None:
        return entry.network
    return catalog.network_from(entry.published) if _is_here(entry.published) else None


def _is_here(name: str) -> bool:
    if name not in WEIGHTS:
        raise UnknownNameError(f"There is no published network '{name}'")
    return is_here(WEIGHTS[name])


def _card(name: str) -> NetworkCard:
    weights: Weights = WEIGHTS[name]
    return NetworkCard(
        title=weights.title,
        architecture=weights.network or name,
        classes=tuple(map(str, range(1, weights.num_classes + 1))),
        preprocess=weights.preprocess,
    )

"""What Compress Network does in a thread, and what it tells of it meanwhile."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from Orange.data import Table
from Orange.widgets.utils.concurrent import TaskState

from orangecontrib.imagemining.compression.choosing import Goal
from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.compression.results import (
    Candidate,
    Compressed,
    LayerReport,
)
from orangecontrib.imagemining.embedders.catalog import lend_network
from orangecontrib.imagemining.exceptions import TaskCancelled, WeightsError
from orangecontrib.imagemining.specs import Progress
from orangecontrib.imagemining.tables.compressing import (
    compress_on_table,
    report_table,
    trail_table,
)
from orangecontrib.imagemining.weights.image_network import AnyNetwork, ImageNetwork
from orangecontrib.imagemining.widgets.utils.compressstore import keep, load
from orangecontrib.imagemining.widgets.utils.tasks import progress_of
from orangecontrib.imagemining.widgets.utils.trainstore import clean
from orangecontrib.imagemining.widgets.utils.trainwork import titled

__all__ = [
    "Job",
    "Outcome",
    "Restored",
    "Taken",
    "Trail",
    "missed_goals",
    "named",
    "restore",
    "run",
    "take",
]

_MOST_BYTES = 512 * 2**20  # of memory for networks on the way


@dataclass(eq=False)
class Job:
    """A compression that is to run.

    Attributes
    ----------
    network, plan, data, validation, column : as for `compress_on_table`.
    key : of the compression, in `compressstore`.
    """

    network: ImageNetwork
    plan: CompressionPlan
    data: Table | None
    validation: Table | None
    column: str
    key: str
    _stop: threading.Event = field(default_factory=threading.Event)
    _may_go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._may_go.set()

    @property
    def is_stopped(self) -> bool:
        """Whether it has been asked to end."""
        return self._stop.is_set()

    @property
    def is_paused(self) -> bool:
        """Whether it has been asked to wait."""
        return not self._may_go.is_set()

    def stop_and_keep(self) -> None:
        """Have it end soon; the best is kept."""
        self._stop.set()
        self._may_go.set()

    def pause(self) -> None:
        """Have it wait."""
        self._may_go.clear()

    def resume(self) -> None:
        """Have it go on."""
        self._may_go.set()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until it may go on."""
        self._may_go.wait(seconds)


@dataclass(frozen=True, eq=False)
class Trail:
    """The networks on the way, as far as they are.

    Attributes
    ----------
    candidates : in their order.
    """

    candidates: tuple[Candidate, ...]


@dataclass(eq=False)
class Outcome:
    """What came of a compression.

    Attributes
    ----------
    key : of the compression.
    plan : that was carried out.
    given : the network as it was.
    compressed : the networks; those whose memory is too much are not kept.
    report, trail : for the outputs.
    left_out : rows that were not used, and why.
    notes : sentences for the user.
    n_images : that there were.
    stopped : whether the user stopped it.
    problem : why it cannot be kept for the next time, "" if it is.
    """

    key: str
    plan: CompressionPlan
    given: ImageNetwork
    compressed: Compressed
    report: Table
    trail: Table
    left_out: list[tuple[int, str]]
    notes: list[str]
    n_images: int = 0
    stopped: bool = False
    problem: str = ""


class Restored(Outcome):
    """What came of a compression some time ago."""


@dataclass(frozen=True, eq=False)
class Taken:
    """Another network on the way that the user has chosen.

    Attributes
    ----------
    place : in the trail.
    layers, report : of it.
    trail : as `Outcome.trail`.
    """

    place: int
    layers: list[LayerReport]
    report: Table
    trail: Table


class _Keeper:
    """Holds the networks on the way, as many as there is room for."""

    def __init__(self, state: TaskState) -> None:
        self._state = state
        self.trail: list[Candidate] = []

    def take(self, candidate: Candidate) -> None:
        """Hold one more, and show them."""
        self.trail.append(candidate)
        self._make_room()
        if self._state.is_interruption_requested():
            return
        try:
            self._state.set_partial_result(Trail(tuple(self.trail)))
        except RuntimeError:  # the widget, and with it Qt's half, is gone
            pass

    def _make_room(self) -> None:
        trail = self.trail
        sizes = [
            each.network.n_bytes if isinstance(each.network, ImageNetwork) else 0
            for each in trail
        ]
        # first those that another one beats; the network as it was is there anyway
        places = sorted(
            (place for place in range(1, len(trail) - 1) if sizes[place]),
            key=lambda place: (not _is_beaten(trail, place), place),
        )
        for place in places:
            if sum(sizes) <= _MOST_BYTES:
                break
            trail[place] = replace(trail[place], network=None)
            sizes[place] = 0

    def filled(self, trail: Sequence[Candidate]) -> list[Candidate]:
        """Return a trail with the networks that are held."""
        return [
            replace(each, network=held.network) if each.network is None else each
            for each, held in zip(trail, self.trail, strict=True)
        ]


def _is_beaten(trail: Sequence[Candidate], place: int) -> bool:
    each = trail[place]
    return any(
        other.n_bytes <= each.n_bytes and other.accuracy >= each.accuracy
        for at, other in enumerate(trail)
        if at != place
    )


def run(job: Job, state: TaskState) -> Outcome:
    """Compress, and keep what came of it."""
    keeper = _Keeper(state)
    clean(keep=job.key)
    done = compress_on_table(
        job.data,
        job.network,
        job.plan,
        validation=job.validation,
        column=job.column,
        on_candidate=keeper.take,
        stop=lambda: job.is_stopped,
        progress=_progress(job, state),
    )
    compressed = replace(done.compressed, trail=keeper.filled(done.compressed.trail))
    _lend(compressed.network)
    problem = ""
    if not job.is_stopped:  # what was broken off is not what these settings give
        try:
            keep(job.key, (compressed, done.left_out, done.notes))
        except WeightsError as ex:
            problem = str(ex)
    return Outcome(
        job.key,
        job.plan,
        job.network,
        compressed,
        done.report,
        done.trail,
        done.left_out,
        done.notes,
        len(job.data) if job.data is not None else 0,
        job.is_stopped,
        problem,
    )


def restore(
    key: str, plan: CompressionPlan, given: ImageNetwork, n: int, state: TaskState
) -> Restored:
    """Read what came of a compression some time ago."""
    compressed, left_out, notes = load(key)
    trail = compressed.trail
    trail[0] = replace(trail[0], network=given)
    _lend(compressed.network)
    return Restored(
        key,
        plan,
        given,
        compressed,
        report_table(compressed.layers),
        trail_table(trail, compressed.bytes_before, compressed.chosen),
        left_out,
        notes,
        n,
    )


def take(outcome: Outcome, place: int, state: TaskState) -> Taken:
    """Look at the layers of another network on the way."""
    # torch comes with it
    from orangecontrib.imagemining.compression.report import layer_reports

    compressed = outcome.compressed
    network = compressed.trail[place].network
    assert network is not None
    progress_of(state)(0, "Looking at its layers…")
    _lend(network)
    layers = layer_reports(network, outcome.given)
    return Taken(
        place,
        layers,
        report_table(layers),
        trail_table(compressed.trail, compressed.bytes_before, place),
    )


def missed_goals(outcome: Outcome) -> list[str]:
    """Return those of an outcome's notes that say what was wanted and not reached."""
    compressed, goal = outcome.compressed, Goal(outcome.plan)
    trail = compressed.trail
    is_judged = not math.isnan(trail[0].accuracy)
    if goal.fits(trail[compressed.chosen]) and not is_judged:
        return []  # nothing can be told of what was wanted
    words = goal.words(trail)
    return [note for note in outcome.notes if note in words]


def _lend(network: AnyNetwork) -> None:
    """Have embedders find a network by its name; here, since a checksum takes long."""
    if isinstance(network, ImageNetwork):
        lend_network(network)


def named(network: AnyNetwork, title: str) -> AnyNetwork:
    """Return a network under the name that the user has given, if there is one."""
    if not isinstance(network, ImageNetwork):
        return network
    network = titled(network, title)
    lend_network(network)
    return network


def _progress(job: Job, state: TaskState) -> Progress:
    report = progress_of(state)

    def progress(fraction: float, status: str = "") -> None:
        try:
            report(fraction, status)
            while job.is_paused:
                report(fraction)
                job.wait(0.1)
        except RuntimeError as ex:  # the widget, and with it Qt's half, is gone
            raise TaskCancelled("The widget was removed") from ex

    return progress

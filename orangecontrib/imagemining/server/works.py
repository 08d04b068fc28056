"""Where images are embedded: a fair queue, threads that decode, threads that compute.

An image waits in the queue, is decoded by the first thread that is free, waits with
others of its network until there are enough of them or time is up, and is embedded
with them. Numbers of what waits where are bounded at each step.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.protocol import ImageBody
from orangecontrib.imagemining.exceptions import (
    ImageError,
    ImageMiningError,
    WeightsError,
)
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.server.compute import (
    Vectors,
    Way,
    embed_parts,
    embed_whole,
    engine_of,
    pixels_of,
    takes_parts,
)
from orangecontrib.imagemining.server.logs import Log
from orangecontrib.imagemining.server.metrics import Metrics
from orangecontrib.imagemining.server.queue import FairQueue
from orangecontrib.imagemining.server.settings import Settings

__all__ = ["Job", "Ticket", "Works"]

_BROKEN = "The server could not embed this image; its log says why"

#: Network, views and precision: images of one key can be embedded together.
_Key = tuple[str, int | str, str]

#: What became of an image: its vectors, or the reason why it has none.
Outcome = Vectors | str


class Ticket:
    """A request's images on their way.

    Parameters
    ----------
    client
        Whose they are; for fairness only.
    way
        How they are to be embedded.
    layers
        Of which vectors are wanted.
    images
        As they came.
    done
        Called once, from any thread, when all have their outcome.
    """

    def __init__(
        self,
        client: str,
        way: Way,
        layers: Sequence[str],
        images: Sequence[ImageBody],
        done: Callable[[], None],
    ) -> None:
        self.client = client
        self.way = way
        self.layers = tuple(layers)
        self.outcomes: list[Outcome | None] = [None] * len(images)
        self.cancelled = False
        self.arrived = time.monotonic()
        self._images: list[ImageBody | None] = list(images)
        self._left = len(images)
        self._done = done
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.outcomes)

    def take(self, place: int) -> ImageBody:
        """Return an image, which is not kept any longer here."""
        image, self._images[place] = self._images[place], None
        if image is None:
            raise LookupError("this image was taken already")
        return image

    def settle(self, place: int, outcome: Outcome) -> None:
        """Note what became of an image."""
        with self._lock:
            self.outcomes[place] = outcome
            self._left -= 1
            is_last = not self._left
        if is_last and not self.cancelled:
            self._done()


@dataclass
class Job:
    """One image of a ticket, in the works.

    Attributes
    ----------
    ticket, place : whose, and which.
    pixels : once it is decoded, of the network's size; None where it is embedded in
        parts, which is decoded only then.
    ready : since when it can be embedded.
    """

    ticket: Ticket
    place: int
    pixels: NDArray[np.uint8] | None = None
    ready: float = field(default_factory=time.monotonic)

    def settle(self, outcome: Outcome) -> None:
        """Note what became of it."""
        self.ticket.settle(self.place, outcome)


class Works:
    """Embeds the images of all clients.

    Parameters
    ----------
    settings
        How many at once, how long to wait for others, how many may wait.
    metrics
        Told what happens.
    log
        Told what should not happen.
    """

    def __init__(self, settings: Settings, metrics: Metrics, log: Log) -> None:
        self._settings = settings
        self._metrics = metrics
        self._log = log
        self._reader = ImageReader(settings.image)
        self._changed = threading.Condition()
        self._queue: FairQueue[Ticket] = FairQueue(settings.queue)
        self._ready: OrderedDict[_Key, deque[Job]] = OrderedDict()
        self._n_ready = 0
        self._n_decoding = 0
        self._n_computing = 0
        self._n_coming = 0
        self._stopped = False
        self._threads: list[threading.Thread] = []
        # enough for each network to find a batch when it has done one
        self._max_ready = 2 * settings.threads * settings.max_batch
        metrics.gauges += [
            ("queue_images", "Images that wait.", lambda: self.n_waiting),
            ("working_images", "Images at work.", lambda: self.n_working),
        ]

    @property
    def n_waiting(self) -> int:
        """Number of images that wait in the queue."""
        with self._changed:
            return len(self._queue)

    @property
    def n_working(self) -> int:
        """Number of images that have left the queue, and have no outcome yet."""
        with self._changed:
            return self._n_ready + self._n_decoding + self._n_computing

    def start(self) -> None:
        """Start the threads."""
        for work in (self._decode, self._compute):
            for number in range(self._settings.threads):
                name = f"{work.__name__.strip('_')}-{number}"
                thread = threading.Thread(target=work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Have the threads end with what they are at, and wait for them."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout)
        self._reader.close()

    def coming(self, number: int) -> None:
        """Tell of requests (fewer: of minus as many) whose images are arriving.

        As long as there are any, a batch waits for them, though not for long.
        """
        with self._changed:
            self._n_coming += number
            if number < 0 and not self._n_coming:
                self._changed.notify_all()

    def submit(self, ticket: Ticket) -> bool:
        """Take in a request's images; False if there is no room for them."""
        with self._changed:
            if self._stopped or not self._queue.put(ticket):
                return False
            self._changed.notify_all()
            return True

    def cancel(self, ticket: Ticket) -> None:
        """Drop a request whose client has gone; what is at work is let go of."""
        ticket.cancelled = True
        with self._changed:
            dropped = self._queue.drop(ticket)
            self._changed.notify_all()
        if dropped:
            self._metrics.images.add(dropped, "dropped")

    # In the threads ----------------------------------------------------------------

    def _decode(self) -> None:
        while (job := self._next_job()) is not None:
            started = time.monotonic()
            outcome: str | None = None
            ticket = job.ticket
            try:
                if not takes_parts(ticket.way.views):
                    body = ticket.take(job.place)
                    job.pixels = pixels_of(body, ticket.way, self._reader)
                    self._metrics.decoding.add(time.monotonic() - started)
            except ImageError as ex:
                outcome = str(ex)
            except Exception as ex:
                # the thread is there for all; the client learns no more than this
                self._log.failure(ex, thread="decode")
                outcome = _BROKEN
            with self._changed:
                self._n_decoding -= 1
                if outcome is None and not ticket.cancelled:
                    self._make_ready(job)
                self._changed.notify_all()
            if outcome is not None:
                self._metrics.images.add(1, "refused")
                job.settle(outcome)

    def _next_job(self) -> Job | None:
        with self._changed:
            while not self._stopped:
                if self._n_ready + self._n_decoding < self._max_ready:
                    found = self._queue.take()
                    if found is not None:
                        self._n_decoding += 1
                        return Job(*found)
                self._changed.wait()
            return None

    def _make_ready(self, job: Job) -> None:
        way = job.ticket.way
        # how it met the network does not matter any more
        key = (way.network, way.views, way.precision)
        job.ready = time.monotonic()
        self._ready.setdefault(key, deque()).append(job)
        self._n_ready += 1

    def _compute(self) -> None:
        while batch := self._next_batch():
            started = time.monotonic()
            for job in batch:
                self._metrics.waiting.add(started - job.ticket.arrived)
            try:
                outcomes: Sequence[Outcome] = self._embed(batch)
            except WeightsError as ex:
                # its text tells where the network lies: that is for the log
                self._log.write("network-failed", reason=str(ex))
                outcomes = [_BROKEN] * len(batch)
            except ImageMiningError as ex:
                outcomes = [str(ex)] * len(batch)
            except Exception as ex:
                self._log.failure(ex, thread="compute")
                outcomes = [_BROKEN] * len(batch)
            outcomes = [_finite(outcome) for outcome in outcomes]
            self._metrics.computing.add(time.monotonic() - started)
            self._metrics.batch_sizes.add(len(batch))
            n_good = sum(not isinstance(outcome, str) for outcome in outcomes)
            if n_good:
                self._metrics.embedded(n_good)
            if n_good < len(batch):
                self._metrics.images.add(len(batch) - n_good, "refused")
            with self._changed:
                self._n_computing -= len(batch)
                self._changed.notify_all()
            for job, outcome in zip(batch, outcomes, strict=True):
                job.settle(outcome)

    def _next_batch(self) -> list[Job]:
        with self._changed:
            while not self._stopped:
                self._forget_cancelled()
                if not self._ready:
                    self._changed.wait()
                    continue
                # the one whose first image has waited longest
                key = min(self._ready, key=lambda key: self._ready[key][0].ready)
                waited = time.monotonic() - self._ready[key][0].ready
                rest = self._settings.max_wait - waited
                if rest > 0 and self._may_grow(key):
                    self._changed.wait(rest)
                    continue
                return self._take_batch(key)
            return []

    def _may_grow(self, key: _Key) -> bool:
        if takes_parts(key[1]) or len(self._ready[key]) >= self._settings.max_batch:
            return False
        return bool(self._n_coming or self._n_decoding or len(self._queue))

    def _take_batch(self, key: _Key) -> list[Job]:
        group = self._ready[key]
        n = 1 if takes_parts(key[1]) else min(len(group), self._settings.max_batch)
        batch = [group.popleft() for _ in range(n)]
        if not group:
            del self._ready[key]
        self._n_ready -= n
        self._n_computing += n
        self._changed.notify_all()
        return batch

    def _forget_cancelled(self) -> None:
        for key, group in list(self._ready.items()):
            if any(job.ticket.cancelled for job in group):
                kept = deque(job for job in group if not job.ticket.cancelled)
                self._metrics.images.add(len(group) - len(kept), "dropped")
                self._n_ready -= len(group) - len(kept)
                if kept:
                    self._ready[key] = kept
                else:
                    del self._ready[key]
                self._changed.notify_all()

    def _embed(self, batch: list[Job]) -> list[Outcome]:
        ticket = batch[0].ticket
        engine = engine_of(ticket.way)
        first = batch[0]
        if first.pixels is None:
            vectors = embed_parts(
                ticket.take(first.place),
                ticket.way,
                ticket.layers,
                engine,
                self._reader,
                lambda: ticket.cancelled or self._stopped,
            )
            return [vectors]
        pixels = np.stack([job.pixels for job in batch if job.pixels is not None])
        layers = dict.fromkeys(name for job in batch for name in job.ticket.layers)
        found = embed_whole(pixels, ticket.way, list(layers), engine)
        return [
            {name: found[name][row] for name in job.ticket.layers}
            for row, job in enumerate(batch)
        ]


def _finite(outcome: Outcome) -> Outcome:
    if isinstance(outcome, str) or all(np.isfinite(v).all() for v in outcome.values()):
        return outcome
    return "The network gives no finite numbers for this image"

"""What the routes share: who asks, what came, what becomes of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
from starlette.requests import Request

from orangecontrib.imagemining._version import __version__
from orangecontrib.imagemining.embedders.base import check_spec
from orangecontrib.imagemining.embedders.protocol import VERSION, Answer, ImageBody
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.server.catalogue import Catalogue
from orangecontrib.imagemining.server.compute import Vectors, Way, engine_of
from orangecontrib.imagemining.server.guard import Held, note_of, read_body
from orangecontrib.imagemining.server.logs import Log
from orangecontrib.imagemining.server.metrics import Metrics
from orangecontrib.imagemining.server.refusals import GONE, Refusal
from orangecontrib.imagemining.server.settings import Settings, host_of, is_loopback
from orangecontrib.imagemining.server.works import Outcome, Ticket, Works
from orangecontrib.imagemining.specs import EmbedderSpec

__all__ = ["Service"]

_LOOK = 0.05  # seconds after which a patient request looks for room again
_LONGEST_RETRY = 60  # seconds that a client is asked to wait at most


class Service:
    """An embedding server without its routes.

    Parameters
    ----------
    settings
        How it is run.
    catalogue
        The networks that it offers; by default those that the settings name.
    log
        Where it writes; by default stderr.

    Raises
    ------
    UnknownNameError, WeightsError
        If a network cannot be offered.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue | None = None,
        log: Log | None = None,
    ) -> None:
        self.settings = settings
        self.catalogue = catalogue or Catalogue(settings.networks)
        self.log = log or Log()
        self.metrics = Metrics()
        self.works = Works(settings, self.metrics, self.log)
        #: Whether no new work is taken in, because the server is to stop.
        self.closing = False
        #: Requests that are being answered and have images.
        self.n_open = 0
        self._held = Held(settings.max_held)
        self._loading = "The networks are being loaded"
        self.metrics.gauges += [
            ("held_bytes", "Bytes of images in memory.", lambda: self._held.used),
            ("open_requests", "Requests with images.", lambda: self.n_open),
        ]

    @property
    def obstacle(self) -> str:
        """Why no work is taken in now; "" if it is."""
        return "The server is being stopped" if self.closing else self._loading

    def start(self) -> None:
        """Start to work, and to load the networks that were named."""
        self.works.start()
        threading.Thread(target=self._load, name="load", daemon=True).start()

    def stop(self) -> None:
        """Stop working."""
        self.closing = True
        self.works.stop()

    def client_of(self, request: Request) -> str:
        """Return by what one client is told from another, for fairness only.

        Raises
        ------
        Refusal
            If it shows no token, or a wrong one; or if it is a web site's, and none is
        needed.
        """
        address = request.client.host if request.client else ""
        if not self.settings.tokens:
            self._refuse_websites(request)
            return address
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = request.path_params.get("token", "")
        number = self.settings.tokens.find(token.strip())
        if number is None:
            raise Refusal(
                401, "token", "This server needs a token, and this is none of its"
            )
        return f"{number} {address}"

    def _refuse_websites(self, request: Request) -> None:
        """Refuse what a web site has a browser of this computer ask for.

        Its name may have been given this computer's address; and for a simple request
        its visitor's browser asks nobody.
        """
        if self.settings.no_auth or not is_loopback(self.settings.host):
            return
        host, origin = map(request.headers.get, ("Host", "Origin"))
        if host and not is_loopback(host_of(host)):
            raise Refusal(
                421,
                "wrong-host",
                "This server is for programs on its own computer, by the name localhost"
                " or the address 127.0.0.1; for others it needs tokens",
            )
        if origin is not None and origin.partition("://")[2] != host:
            raise Refusal(403, "web-site", "This server is not for other web sites")

    @asynccontextmanager
    async def body_of(self, request: Request) -> AsyncIterator[bytes]:
        """Give a request's body; it counts as held until the end of the block."""
        self.n_open += 1
        try:
            self.works.coming(1)
            try:
                body = await read_body(request, self.settings, self._held)
            finally:
                self.works.coming(-1)
            try:
                yield body
            finally:
                self._held.give_back(len(body))
        finally:
            self.n_open -= 1

    async def embed(
        self,
        request: Request,
        client: str,
        way: Way,
        layers: Sequence[str],
        images: Sequence[ImageBody | bytes],
        patient: bool = False,
    ) -> list[Outcome]:
        """Return what becomes of images; without their client they are dropped.

        Parameters
        ----------
        request
            With its body read.
        client
            As `client_of` names it.
        way, layers, images
            As of a `Ticket`.
        patient
            Whether to wait for room in a full queue.

        Raises
        ------
        Refusal
            If there is no room, or it takes too long, or the client has gone.
        """
        note_of(request).images = len(images)
        if not images:
            return []
        loop, settled = asyncio.get_running_loop(), asyncio.Event()

        def done() -> None:
            try:
                loop.call_soon_threadsafe(settled.set)
            except RuntimeError:
                pass  # the server has been stopped meanwhile

        bodies = [
            ImageBody(each) if isinstance(each, bytes) else each for each in images
        ]
        ticket = Ticket(client, way, layers, bodies, done)
        del images, bodies
        tasks = [
            asyncio.ensure_future(self._through(ticket, settled, patient)),
            asyncio.ensure_future(_gone(request)),
        ]
        try:
            finished, _ = await asyncio.wait(
                tasks,
                timeout=self.settings.request_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if tasks[0] in finished:
                tasks[0].result()  # raises if there was no room
                return cast("list[Outcome]", ticket.outcomes)
            if finished:
                raise Refusal(GONE, "gone", "The client has gone")
            raise Refusal(504, "too-long", "It took too long; ask for fewer images", 5)
        finally:
            for task in tasks:
                task.cancel()
            if not settled.is_set():
                self.works.cancel(ticket)

    def check_answer(self, ways: Sequence[Way], n_images: int) -> None:
        """Refuse what would have an answer as long as no request may be.

        Raises
        ------
        Refusal
            If it would have.
        """
        n_bytes = 4 * n_images * sum(check_spec(way).size for way in ways)
        if n_bytes > self.settings.max_body:
            raise Refusal(
                413,
                "too-large",
                f"The answer would have {n_bytes / 2**20:.0f} MB; ask for fewer images"
                " or layers at once",
            )

    def answer(
        self,
        network: str,
        way: Way,
        layers: Sequence[str],
        outcomes: Sequence[Outcome],
    ) -> Answer:
        """Return outcomes as they travel."""
        reasons = [each if isinstance(each, str) else None for each in outcomes]
        found: list[tuple[int, Vectors]] = [
            (row, each)
            for row, each in enumerate(outcomes)
            if not isinstance(each, str)
        ]
        vectors: Vectors = {}
        for layer in layers:
            shape = (len(outcomes), check_spec(replace(way, layer=layer)).size)
            vectors[layer] = np.full(shape, np.nan, np.float32)
            for row, vector in found:
                vectors[layer][row] = vector[layer]
        return Answer(vectors, reasons, network)

    def about(self) -> dict[str, Any]:
        """Return what clients may want to know before they ask, for JSON."""
        settings = self.settings
        return {
            "server": f"Orange3-ImageMining {__version__}",
            "protocol": VERSION,
            "max_images": settings.max_images,
            "max_body": settings.max_body,
            "max_pixels": settings.image.max_pixels,
            "networks": self.catalogue.describe(),
        }

    def status(self) -> dict[str, Any]:
        """Return what is going on, for JSON."""
        metrics = self.metrics
        return {
            "version": __version__,
            "seconds": round(time.monotonic() - metrics.started),
            "ready": not self.obstacle,
            "reason": self.obstacle,
            "requests": metrics.requests.total(),
            "images": metrics.images.total(),
            "images_per_second": round(metrics.per_second(), 2),
            "waiting": self.works.n_waiting,
            "working": self.works.n_working,
            "images_per_batch": round(metrics.batch_sizes.mean(), 2),
            "threads": self.settings.threads,
            "networks": len(self.catalogue),
        }

    async def _through(
        self, ticket: Ticket, settled: asyncio.Event, patient: bool
    ) -> None:
        """Wait until a ticket has all its outcomes."""
        deadline = time.monotonic() + (self.settings.patience if patient else 0)
        while not self.works.submit(ticket):
            if time.monotonic() >= deadline:
                raise Refusal(
                    429,
                    "queue-full",
                    "Too many images are waiting; try again later",
                    self._retry_after(),
                )
            await asyncio.sleep(_LOOK)
        await settled.wait()

    def _retry_after(self) -> int:
        speed = max(self.metrics.per_second(), 1.0)
        return min(1 + round(self.works.n_waiting / speed / 2), _LONGEST_RETRY)

    def _load(self) -> None:
        try:
            if self.catalogue.named:
                for served in self.catalogue:
                    layer = served.card.layers[0].name
                    engine_of(EmbedderSpec(served.name, layer))
        except WeightsError as ex:
            # not its text, which tells where the network lies
            self._loading = "A network cannot be loaded; the log says why"
            self.log.write("network-failed", reason=str(ex))
        except Exception as ex:
            self._loading = "A network cannot be loaded; the log says why"
            self.log.failure(ex, thread="load")
        else:
            self._loading = ""
            self.log.write("ready", networks=[each.public for each in self.catalogue])


async def _gone(request: Request) -> None:
    """Return once the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass

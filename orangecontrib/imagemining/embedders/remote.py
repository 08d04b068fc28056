"""Embeds images on a server."""

from __future__ import annotations

import asyncio
import io
import os
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.embedders.base import Embeddings, check_spec
from orangecontrib.imagemining.embedders.catalog import ONNX, card_of
from orangecontrib.imagemining.embedders.connection import (
    Connection,
    TooMuchError,
    address_of,
)
from orangecontrib.imagemining.embedders.protocol import ImageBody, Request
from orangecontrib.imagemining.exceptions import ImageError, ServerError
from orangecontrib.imagemining.images import (
    CROPS,
    ImageReader,
    Limits,
    prepare,
)
from orangecontrib.imagemining.specs import (
    DENSE_VIEWS,
    EmbedderSpec,
    Progress,
    no_progress,
)

__all__ = ["KnownVectors", "RemoteEmbedder", "RemoteEmbeddings", "about_server"]

_BATCH = 16  # images of a request
_BATCH_BYTES = 4 * 2**20
_POLL = 0.1  # seconds after which a waiting run looks whether it is to stop
_LATER = "Not embedded yet; send again to continue"


class KnownVectors(Protocol):
    """Where vectors are found that are known, and kept as they come."""

    def lookup(
        self, images: Sequence[str | None]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return (n, size) vectors, and which of them are known."""

    def keep(self, images: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep vectors of images that were just embedded."""


@dataclass
class RemoteEmbeddings(Embeddings):
    """What became of a list of images.

    Attributes
    ----------
    vectors, reasons : as of `Embeddings`.
    trouble : why the server did not do all; "" if it did. What it did is here, and
        images that it did not get to have a reason that says so.
    """

    trouble: str = ""


class RemoteEmbedder:
    """Has images embedded by a server, and by the network asked for or not at all.

    Images are opened, scaled and cut here, as `LocalEmbedder` does it, and the very
    pixels that the network gets are sent, as PNG, which loses nothing: mostly less to
    send than the file, and the server need not know its format. For views that look at
    parts of the image the whole image is sent, as PNG too.

    Parameters
    ----------
    address
        Of the server.
    spec
        Which vector to compute.
    token
        For servers that need one.
    known
        Vectors known already; those that come are kept there at once.
    limits
        What an image may cost; by default as the environment says.
    patience
        Seconds without any success after which the server counts as gone.
    most
        Requests under way at once at most; how many adapts to the server.

    Raises
    ------
    UnknownNameError
        If `spec` names what does not exist.
    ServerError
        If the address is none.
    """

    def __init__(
        self,
        address: str,
        spec: EmbedderSpec,
        token: str | None = None,
        known: KnownVectors | None = None,
        limits: Limits | None = None,
        patience: float = 120.0,
        most: int = 8,
    ) -> None:
        self.address = address_of(address)
        self.spec = spec
        self._layer = check_spec(spec)
        self._token = token
        self._known = known
        self._limits = limits
        self._patience = patience
        self._most = most
        self._preprocess = card_of(spec.network).preprocess
        self._whole = spec.views in CROPS or spec.views in DENSE_VIEWS
        self._network = _public(spec.network)

    @property
    def size(self) -> int:
        """Length of a vector."""
        return self._layer.size

    def __call__(
        self, images: Sequence[str | None], progress: Progress = no_progress
    ) -> RemoteEmbeddings:
        """Embed the images at these paths or addresses (None: there is no image).

        What `progress` raises ends the work within a second. What was embedded until
        then is in `known`.

        Raises
        ------
        ServerError
            If the server could do nothing at all: it cannot be reached, refuses, or has
            another network under that name. If it did some, that is told in `trouble`.
        """
        n = len(images)
        if self._known is None:
            vectors = np.full((n, self.size), np.nan, np.float32)
            found = np.zeros(n, np.bool_)
        else:
            vectors, found = self._known.lookup(images)
        result = RemoteEmbeddings(vectors, [None] * n)
        todo = []
        for row, source in enumerate(images):
            if not source:
                result.reasons[row] = "No image is given in this row"
            elif not found[row]:
                result.reasons[row] = _LATER
                todo.append((row, source))
        if todo:
            self._compute(todo, result, progress)
        progress(1, f"{n} of {n} images")
        return result

    def _compute(
        self, todo: list[tuple[int, str]], result: RemoteEmbeddings, progress: Progress
    ) -> None:
        run = _Run(self, todo)
        n, n_done = len(result.reasons), 0
        progress(0, f"Asking {self.address}")
        run.start()
        try:
            while (outcome := run.next(_POLL)) is not None:
                for row, _, vector, reason in outcome:
                    n_done += 1
                    result.reasons[row] = reason
                    if vector is not None:
                        result.vectors[row] = vector
                self._keep(outcome)
                rest = len(todo) - n_done
                progress(n_done / len(todo), f"{n - rest} of {n} images")
        finally:
            run.stop()
        if run.error is not None:
            if not isinstance(run.error, ServerError) or not n_done:
                raise run.error
            result.trouble = str(run.error)

    def _keep(self, outcomes: list[_Outcome]) -> None:
        if self._known is None:
            return
        good = [(source, v) for _, source, v, _ in outcomes if v is not None]
        if good:
            sources, vectors = zip(*good, strict=True)
            self._known.keep(list(sources), np.stack(vectors))

    def check_offer(self, about: dict[str, Any]) -> None:
        """Refuse a server that does not have this very network.

        Parameters
        ----------
        about
            What it says of itself.

        Raises
        ------
        ServerError
            If it has no such network, layer, view or fit, or other weights.
        """
        offers = {each.get("name"): each for each in about["networks"]}
        card = card_of(self.spec.network)
        offer = offers.get(self._network)
        if offer is None:
            raise ServerError(
                f"The server {self.address} does not offer {card.title}, only"
                f" {', '.join(map(str, offers)) or 'nothing'}"
            )
        for name in ("tensors_sha256", "sha256"):
            ours, theirs = getattr(card, name), offer.get(name, "")
            if ours and theirs and ours != theirs:
                raise ServerError(
                    f"The server {self.address} has other weights for {card.title};"
                    " its numbers would be others"
                )
        layers = {each["name"]: each["size"] for each in offer.get("layers", [])}
        if layers.get(self.spec.layer) != self.size:
            raise ServerError(
                f"The server {self.address} does not offer the layer"
                f" '{self.spec.layer}' of {card.title}"
            )

    def body_of(self, source: str, reader: ImageReader) -> ImageBody:
        """Return an image as it is sent.

        Raises
        ------
        ImageError
            If it cannot be read.
        """
        image = reader.read(source, self._preprocess.as_stored)
        if self._whole:
            return ImageBody(_png(image), "file")
        pixels = prepare(image, self._preprocess, self.spec.fit)
        return ImageBody(_png(Image.fromarray(pixels)), "prepared")


#: Row, source, its vector, the reason why there is none.
_Outcome = tuple[int, str, "NDArray[np.float32] | None", "str | None"]
#: Row, source, what is sent of it.
_Prepared = tuple[int, str, ImageBody]


class _Run:
    """One run, in a thread of its own that has asyncio's loop."""

    def __init__(self, embedder: RemoteEmbedder, todo: list[tuple[int, str]]) -> None:
        self._embedder = embedder
        self._todo = iter(todo)
        self._n = len(todo)
        self._outcomes: queue.SimpleQueue[list[_Outcome] | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="remote", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def next(self, seconds: float) -> list[_Outcome] | None:
        """Return what became of some images, perhaps none yet; None at the end."""
        try:
            return self._outcomes.get(timeout=seconds)
        except queue.Empty:
            return []

    def stop(self) -> None:
        """End it, whatever it is at."""
        self._stopped.set()
        if self._loop is not None and self._task is not None:
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:
                pass  # it has ended by itself
        self._thread.join(1.0)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except BaseException as ex:
            self.error = ex
        self._outcomes.put(None)

    async def _main(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._stopped.is_set():
            return
        embedder = self._embedder
        n_threads = min(4, os.cpu_count() or 2)
        pool = ThreadPoolExecutor(n_threads, "prepare-images")
        with ImageReader(embedder._limits) as reader:
            try:
                async with Connection(
                    embedder.address,
                    embedder._token,
                    embedder._patience,
                    embedder._most,
                ) as connection:
                    about = await connection.about()
                    embedder.check_offer(about)
                    at_once = min(_BATCH, int(about.get("max_images", _BATCH)))
                    n = min(embedder._most + 1, self._n)
                    workers = [
                        asyncio.ensure_future(
                            self._work(connection, reader, pool, max(at_once, 1))
                        )
                        for _ in range(n)
                    ]
                    try:
                        await asyncio.gather(*workers)
                    finally:
                        for worker in workers:
                            worker.cancel()
                        await asyncio.gather(*workers, return_exceptions=True)
            finally:
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)

    async def _work(
        self,
        connection: Connection,
        reader: ImageReader,
        pool: ThreadPoolExecutor,
        at_once: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch: list[_Prepared] = []
            n_bytes = 0
            while len(batch) < at_once and n_bytes < _BATCH_BYTES:
                following = next(self._todo, None)
                if following is None:
                    break
                made = await loop.run_in_executor(pool, self._body, following, reader)
                if isinstance(made, str):
                    self._outcomes.put([(*following, None, made)])
                elif made is not None:
                    batch.append((*following, made))
                    n_bytes += len(made.data)
            if not batch:
                return
            await self._send(connection, batch)

    def _body(
        self, following: tuple[int, str], reader: ImageReader
    ) -> ImageBody | str | None:
        if self._stopped.is_set():
            return None
        try:
            return self._embedder.body_of(following[1], reader)
        except ImageError as ex:
            return str(ex)

    async def _send(self, connection: Connection, batch: list[_Prepared]) -> None:
        spec = self._embedder.spec
        request = Request(
            self._embedder._network,
            (spec.layer,),
            tuple(body for *_, body in batch),
            spec.views,
            spec.fit,
            spec.precision,
        )
        try:
            answer = await connection.embed(request, {spec.layer: self._embedder.size})
        except TooMuchError as ex:
            if len(batch) == 1:
                ((row, source, _),) = batch
                self._outcomes.put(
                    [(row, source, None, f"The server refuses it: {ex}")]
                )
                return
            half = len(batch) // 2
            await self._send(connection, batch[:half])
            await self._send(connection, batch[half:])
            return
        vectors = answer.vectors[spec.layer]
        self._outcomes.put(
            [
                (row, source, vectors[place] if reason is None else None, reason)
                for place, ((row, source, _), reason) in enumerate(
                    zip(batch, answer.reasons, strict=True)
                )
            ]
        )


def about_server(
    address: str, token: str | None = None, patience: float = 5.0
) -> dict[str, Any]:
    """Return what a server offers, to show that it can be used.

    Parameters
    ----------
    address, token
        As for `RemoteEmbedder`.
    patience
        Seconds after which it counts as not there.

    Raises
    ------
    ServerError
        If it cannot be reached, or refuses.
    """
    place = address_of(address)

    async def ask() -> dict[str, Any]:
        async with Connection(place, token, patience) as connection:
            return await connection.about()

    found: list[dict[str, Any]] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            found.append(asyncio.run(ask()))
        except BaseException as ex:
            errors.append(ex)

    # the caller's thread may have a loop of its own
    thread = threading.Thread(target=run, name="ask-server", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return found[0]


def _public(network: str) -> str:
    """Return a network's name on servers: those of own ones have no folder there."""
    if not network.startswith(ONNX):
        return network
    return f"{ONNX}{network.rpartition('/')[2].removesuffix('.onnx')}"


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    # time counts more than the last per cent
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()

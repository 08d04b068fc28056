"""One run of a `RemoteEmbedder`: reads images, sends them, and hands on what comes."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.answers import TooMuchError
from orangecontrib.imagemining.embedders.base import passes
from orangecontrib.imagemining.embedders.connection import Connection
from orangecontrib.imagemining.embedders.pipeline import Contents, FileContent, n_cores
from orangecontrib.imagemining.embedders.protocol import ImageBody, Request
from orangecontrib.imagemining.embedders.remoteimages import ImageSender
from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import ImageReader, Limits, is_url
from orangecontrib.imagemining.specs import EmbedderSpec

__all__ = ["LoopThread", "Order", "Outcome", "Run"]

_BATCH = 16  # images of a request at most, of one view
_URL_THREADS = 16  # these wait for other servers, not for the processor
_JOIN = 0.5  # seconds that a run has to end when it is told to

#: Vectors by layer, (size,) float32 each.
Vectors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Order:
    """What a run is to do, and by whom.

    Attributes
    ----------
    connect : makes a connection to the server.
    check : is told what the server says of itself, and raises if it will not do.
    find : returns what is known of a file already, by layer.
    spec : which vector is wanted.
    network : as the server calls it.
    sizes : lengths of the vectors of the layers wanted.
    limits : what an image may cost.
    """

    connect: Callable[[], Connection]
    check: Callable[[dict[str, Any]], None]
    find: Callable[[FileContent], Vectors]
    spec: EmbedderSpec
    network: str
    sizes: dict[str, int]
    limits: Limits | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes
    ----------
    row : its place in the list of images.
    file : what was read.
    vectors : of all layers; empty if there are none.
    reason : why there are none.
    is_new : whether the server computed them now.
    """

    row: int
    file: FileContent
    vectors: Vectors = field(default_factory=dict)
    reason: str | None = None
    is_new: bool = False


#: Row, what is left of its file, what is sent of it.
_Prepared = tuple[int, FileContent, ImageBody]


class LoopThread:
    """A thread with a loop of asyncio, for callers that may have one of their own.

    Parameters
    ----------
    main
        What it does.
    name
        Of the thread.
    at_end
        Called in it when all is over.

    Attributes
    ----------
    error : what `main` raised, once it has ended.
    """

    def __init__(
        self,
        main: Callable[[], Coroutine[Any, Any, None]],
        name: str,
        at_end: Callable[[], None],
    ) -> None:
        self._main = main
        self._at_end = at_end
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        # what hangs in the system (a slow name server) must not hold up the program
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it, whatever it is at; wait for that, though not for long."""
        with self._lock:
            self._is_stopped = True
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(_JOIN)

    def _run(self) -> None:
        try:
            asyncio.run(self._guarded())
        except asyncio.CancelledError:
            pass
        except BaseException as ex:
            self.error = ex
        self._at_end()

    async def _guarded(self) -> None:
        with self._lock:
            if self._is_stopped:
                return
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            await self._main()
        finally:
            with self._lock:
                self._loop = None


class Run:
    """One run, in a thread of its own; see `LoopThread`.

    Parameters
    ----------
    order
        What is to be done.
    todo
        Rows and sources of images.
    """

    def __init__(self, order: Order, todo: list[tuple[int, str]]) -> None:
        self._order = order
        self._sender = ImageSender(order.spec)
        self._todo = iter(todo)
        self._n = len(todo)
        # those of other servers are waited for, several at once
        fetched = any(is_url(source) for _, source in todo)
        self._n_threads = _URL_THREADS if fetched else n_cores()
        self._outcomes: queue.SimpleQueue[list[Outcome] | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._connection: Connection | None = None
        self._thread = LoopThread(
            self._main, "embed-remotely", lambda: self._outcomes.put(None)
        )

    @property
    def error(self) -> BaseException | None:
        """What ended it before all was done."""
        return self._thread.error

    @property
    def waiting(self) -> str:
        """Why it waits for the server and tries again; "" while all is well."""
        return "" if self._connection is None else self._connection.waiting

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def next(self, seconds: float) -> list[Outcome] | None:
        """Return what became of some images, perhaps none yet; None at the end."""
        try:
            return self._outcomes.get(timeout=seconds)
        except queue.Empty:
            return []

    def stop(self) -> list[Outcome]:
        """End it, whatever it is at; return what was done and not yet handed on."""
        self._stopped.set()
        self._thread.stop()
        rest: list[Outcome] = []
        while not self._outcomes.empty():
            rest += self._outcomes.get() or []
        return rest

    async def _main(self) -> None:
        order = self._order
        pool = ThreadPoolExecutor(self._n_threads, "prepare-images")
        try:
            with ImageReader(order.limits) as reader:
                contents = Contents(reader)
                async with order.connect() as connection:
                    self._connection = connection
                    about = await connection.about()
                    order.check(about)
                    at_once = self._at_once(about)
                    n = min(connection.most + 1, self._n)
                    await _all_of(
                        self._work(connection, contents, pool, at_once)
                        for _ in range(n)
                    )
        finally:
            self._stopped.set()
            # what is being read ends by itself
            pool.shutdown(wait=False, cancel_futures=True)

    def _at_once(self, about: dict[str, Any]) -> int:
        """Return how many images a request has: fewer where each takes long."""
        n = _BATCH / max(passes(self._order.spec.views), 1)
        most = about.get("max_images")
        if isinstance(most, int):
            n = min(n, most)
        return max(int(n), 1)

    async def _work(
        self,
        connection: Connection,
        contents: Contents,
        pool: ThreadPoolExecutor,
        at_once: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch: list[_Prepared] = []
            n_bytes = 0
            while len(batch) < at_once and n_bytes < connection.line.n_bytes:
                following = next(self._todo, None)
                if following is None:
                    break
                made = await loop.run_in_executor(
                    pool, self._prepare, *following, contents
                )
                if isinstance(made, Outcome):
                    self._outcomes.put([made])
                elif made is not None:
                    batch.append(made)
                    n_bytes += len(made[2].data)
            if not batch:
                return
            await self._send(connection, batch)

    def _prepare(
        self, row: int, source: str, contents: Contents
    ) -> _Prepared | Outcome | None:
        """Read an image, in one of the pool's threads."""
        if self._stopped.is_set():
            return None
        file = self._sender.read(source, contents)
        known = self._order.find(file)
        if len(known) == len(self._order.sizes):
            return Outcome(row, replace(file, data=None), known)
        try:
            body, file = self._sender.body_of(file, contents)
        except ImageError as ex:
            return Outcome(row, replace(file, data=None), reason=str(ex))
        return row, file, body

    async def _send(self, connection: Connection, batch: list[_Prepared]) -> None:
        if len(batch) > 1:
            n_bytes = sum(len(body.data) for *_, body in batch)
            if not connection.line.has_room(n_bytes):
                return await self._send_halves(connection, batch)
        order = self._order
        spec = order.spec
        request = Request(
            order.network,
            tuple(order.sizes),
            tuple(body for *_, body in batch),
            spec.views,
            spec.fit,
            spec.precision,
        )
        try:
            answer = await connection.embed(request, order.sizes)
        except TooMuchError as ex:
            if len(batch) == 1:
                ((row, file, _),) = batch
                self._outcomes.put(
                    [Outcome(row, file, reason=f"The server refuses it: {ex}")]
                )
                return
            return await self._send_halves(connection, batch)
        outcomes = []
        for place, (row, file, _) in enumerate(batch):
            reason = answer.reasons[place]
            vectors: Vectors = {}
            if reason is None:
                vectors = {name: rows[place] for name, rows in answer.vectors.items()}
            outcomes.append(Outcome(row, file, vectors, reason, is_new=True))
        self._outcomes.put(outcomes)

    async def _send_halves(
        self, connection: Connection, batch: list[_Prepared]
    ) -> None:
        half = len(batch) // 2
        await self._send(connection, batch[:half])
        await self._send(connection, batch[half:])


async def _all_of(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait for all; if one fails, or this is cancelled, none goes on."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

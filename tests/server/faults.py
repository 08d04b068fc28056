"""A bad connection: stands before a server, and drops, delays, cuts and garbles."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_ROUNDS = 20  # of the loop without anything new, after which nothing comes any more


@dataclass
class Faults:
    """How often what goes wrong, a chance for each piece of up to 16 kB.

    Attributes
    ----------
    drop : of a new connection being closed at once.
    delay : of a piece being held back, up to `longest` seconds.
    cut : of the connection ending within a piece.
    garble : of a byte being changed.
    pace : seconds that each piece takes, to both sides.
    """

    drop: float = 0.0
    delay: float = 0.0
    longest: float = 0.2
    cut: float = 0.0
    garble: float = 0.0
    pace: float = 0.0


class BadConnection:
    """A proxy for TCP; its `faults` and `target` may be changed at any time."""

    def __init__(self, target: tuple[str, int], faults: Faults, seed: int = 0) -> None:
        self.target, self.faults = target, faults
        self.counts = {"drop": 0, "delay": 0, "cut": 0, "garble": 0, "refused": 0}
        self.port = 0
        self._chance = random.Random(seed)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        # a connection that was accepted just now becomes a task some rounds later, and
        # what is broken off is closed some rounds later, too
        n_quiet = 0
        told: set[asyncio.Task[None]] = set()
        while n_quiet < _ROUNDS:
            await asyncio.sleep(0)
            n_quiet = 0 if self._tasks else n_quiet + 1
            for task in self._tasks - told:
                task.cancel()  # once: the second time would break off its tidying up
            told |= self._tasks

    def _strikes(self, kind: str) -> bool:
        if self._chance.random() >= getattr(self.faults, kind):
            return False
        self.counts[kind] += 1
        return True

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not self._strikes("drop"):
                await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            there, back = await asyncio.open_connection(*self.target)
        except OSError:
            self.counts["refused"] += 1
            return
        ways = [
            asyncio.ensure_future(self._pass(reader, back)),
            asyncio.ensure_future(self._pass(there, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            back.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            await self._pass_on(reader, writer)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while piece := await reader.read(16 * 1024):
            if self.faults.pace:
                await asyncio.sleep(self.faults.pace)
            if self._strikes("delay"):
                await asyncio.sleep(self._chance.random() * self.faults.longest)
            if self._strikes("garble"):
                damaged = bytearray(piece)
                place = self._chance.randrange(len(piece))
                damaged[place] ^= 1 << self._chance.randrange(8)
                piece = bytes(damaged)
            if self._strikes("cut"):
                writer.write(piece[: self._chance.randrange(len(piece))])
                await writer.drain()
                return
            writer.write(piece)
            await writer.drain()


@contextmanager
def bad_connection(
    target: tuple[str, int], faults: Faults, seed: int = 0
) -> Iterator[BadConnection]:
    """Run such a connection."""
    proxy = BadConnection(target, faults, seed)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()

"""What stands before all routes: ids, logs, figures, and what must not go on too long.

Requests whose body is not read to its end are answered with ``Connection: close``, so
that nobody goes on sending it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orangecontrib.imagemining.server.logs import Log
from orangecontrib.imagemining.server.metrics import Metrics
from orangecontrib.imagemining.server.refusals import GONE, Refusal, content_of
from orangecontrib.imagemining.server.settings import Settings

__all__ = ["Guard", "Held", "Note", "note_of", "read_body"]

_DRAIN_SECONDS = 5.0  # that the rest of a refused body is waited for


@dataclass
class Note:
    """What is known of a request while it is answered.

    Attributes
    ----------
    id : given by this server, in the log and in the answer's X-Request-Id.
    route : as the routes are written, without what a client filled in.
    network : one of those offered, if one was asked for.
    images : of the request.
    received : bytes of its body.
    body_done : whether all of it was read.
    status : that was sent.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    route: str = "other"
    network: str | None = None
    images: int | None = None
    received: int = 0
    body_done: bool = False
    status: int = 0


def note_of(request: Request) -> Note:
    """Return what is known of a request."""
    note: Note = request.scope["note"]
    return note


class Held:
    """The bytes of all bodies that are in memory.

    Parameters
    ----------
    room
        How many there may be.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self.used = 0

    def take(self, n: int) -> bool:
        """Count n bytes; False, and nothing counted, if there is no room."""
        if self.used + n > self._room:
            return False
        self.used += n
        return True

    def give_back(self, n: int) -> None:
        """Count n bytes no more."""
        self.used -= n


class Guard:
    """Calls an application, and sees to it that its answers are noted.

    Parameters
    ----------
    app
        That answers.
    metrics, log
        Told of each request.
    is_closing
        Whether no new work is taken in.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        log: Log,
        is_closing: Callable[[], bool],
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log
        self._is_closing = is_closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        note = scope["note"] = Note()
        started = time.monotonic()
        answer = self._noting(scope, note, receive, send)
        try:
            if scope["method"] == "POST" and self._is_closing():
                raise Refusal(503, "closing", "This server is being stopped", 5)
            await self._app(scope, receive, answer)
        except Refusal as ex:
            await _refuse(ex, answer)
        except Exception as ex:
            self._log.failure(ex, id=note.id, route=note.route)
            if not note.status:
                text = "Something unforeseen went wrong; the log has this request's id"
                await _refuse(Refusal(500, "failed", text), answer)
        finally:
            self._metrics.requests.add(1, note.route, str(note.status or GONE))
            self._metrics.received.add(note.received)
            self._log.write(
                "request",
                id=note.id,
                method=_method(scope),
                route=note.route,
                status=note.status or GONE,
                seconds=round(time.monotonic() - started, 4),
                bytes=note.received,
                images=note.images,
                network=note.network,
            )

    def _noting(
        self, scope: Scope, note: Note, receive: Receive, send: Send
    ) -> Callable[[Message], Awaitable[None]]:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                note.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = note.id
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
                if _has_body(scope) and not note.body_done:
                    is_over = note.status != 408 and await _drain(scope, receive)
                    if not is_over:
                        headers["Connection"] = "close"
            await send(message)

        return answer


async def read_body(request: Request, settings: Settings, held: Held) -> bytes:
    """Return a request's body; the caller gives its bytes back to `held`.

    Raises
    ------
    Refusal
        If it is too large, declared so or not; too slow; or there is no room for it.
    """
    note = note_of(request)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refusal(415, "encoded", "Compressed requests are not understood")
    declared = request.headers.get("Content-Length", "")
    if declared.isdigit() and int(declared[:18]) > settings.max_body:
        raise _too_large(settings)
    chunks: list[bytes] = []
    deadline = time.monotonic() + settings.arrive_seconds
    try:
        while not note.body_done:
            rest = deadline - time.monotonic()
            try:
                message = await asyncio.wait_for(request.receive(), max(rest, 0.001))
            except asyncio.TimeoutError:
                raise Refusal(
                    408,
                    "too-slow",
                    f"It did not arrive within {settings.arrive_seconds:g} seconds",
                ) from None
            if message["type"] == "http.disconnect":
                raise Refusal(GONE, "gone", "The client has gone")
            chunk = message.get("body", b"")
            note.body_done = not message.get("more_body", False)
            if note.received + len(chunk) > settings.max_body:
                raise _too_large(settings)
            if not held.take(len(chunk)):
                raise Refusal(429, "busy", "Too much is arriving at once", 2)
            note.received += len(chunk)
            chunks.append(chunk)
    except BaseException:
        held.give_back(note.received)
        raise
    return b"".join(chunks)


async def _drain(scope: Scope, receive: Receive) -> bool:
    """Let the client finish sending what is refused: else it may miss the answer.

    Returns
    -------
    Whether it has finished.
    """
    if Headers(scope=scope).get("Expect", "").lower() == "100-continue":
        return False
    deadline = time.monotonic() + _DRAIN_SECONDS
    more = True
    while more:
        rest = deadline - time.monotonic()
        try:
            message = await asyncio.wait_for(receive(), max(rest, 0.001))
        except asyncio.TimeoutError:
            return False
        more = bool(message.get("more_body", False))
    return True


async def _refuse(ex: Refusal, send: Callable[[Message], Awaitable[None]]) -> None:
    if ex.status == GONE:
        return
    content = content_of(ex)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    if ex.retry_after is not None:
        headers.append((b"retry-after", str(ex.retry_after).encode()))
    start = {"type": "http.response.start", "status": ex.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": content})


def _has_body(scope: Scope) -> bool:
    names = {name for name, _ in scope["headers"]}
    return b"content-length" in names or b"transfer-encoding" in names


def _method(scope: Scope) -> str:
    method = scope["method"]
    return method if method in ("GET", "HEAD", "POST") else "other"


def _too_large(settings: Settings) -> Refusal:
    megabytes = settings.max_body / 2**20
    return Refusal(
        413, "too-large", f"A request has {megabytes:.4g} MB at most on this server"
    )

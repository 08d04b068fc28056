"""Runs the application: sockets, connections, signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
import warnings
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from orangecontrib.imagemining.exceptions import ServerError
from orangecontrib.imagemining.server.app import create_app
from orangecontrib.imagemining.server.logs import quieten_uvicorn
from orangecontrib.imagemining.server.refusals import Refusal, content_of
from orangecontrib.imagemining.server.service import Service

__all__ = ["Server", "serve"]

_MAX_HEAD = 16 * 1024  # bytes of a request's first line and headers
_LINGER = 2.0  # seconds that a client has to finish saying what makes no sense
_MORE_FILES = 256  # that a process needs besides its connections


class _Connection(H11Protocol):
    """A connection that holds nothing up: heads and answers have their time.

    uvicorn waits for heads for ever, measures only those that are not whole, and waits
    for ever for clients that do not take their answers.
    """

    header_seconds = 10.0
    stall_seconds = 60.0
    _waiting: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _n_head = 0
    _is_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_stalling()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        if self.conn.their_state is h11.IDLE:
            if self._waiting is None:
                self._await_head()
            self._n_head += len(data)
            head = data.find(b"\r\n\r\n")
            if self._n_head > _MAX_HEAD and not 0 <= head <= _MAX_HEAD:
                self._unset_keepalive_if_required()
                self.send_400_response("The request's head is too long")
                return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE and not self._is_over:
            self._stop_waiting()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, and hear the client out.

        Closed while it still sends, the connection would be reset, and the answer lost.
        """
        self._stop_waiting()
        self._is_over = True
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()  # in the middle of another answer
            return
        content = content_of(Refusal(400, "bad-request", msg))
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(content))),
            ("Connection", "close"),
        ]
        answer = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (answer, h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()
            self._waiting = self.loop.call_later(_LINGER, self.transport.abort)
        else:
            self.transport.close()

    def shutdown(self) -> None:
        if self._is_over:
            self.transport.abort()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_stalling()
        abort = self.transport.abort
        self._stalled = self.loop.call_later(self.stall_seconds, abort)

    def resume_writing(self) -> None:
        self._stop_stalling()
        super().resume_writing()

    def _await_head(self) -> None:
        self._n_head = 0
        self._waiting = self.loop.call_later(self.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        self._n_head = 0
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _stop_stalling(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _give_up(self) -> None:
        self._waiting = None
        if not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """A server that finishes what it has accepted before it stops.

    Parameters
    ----------
    service
        What is served.
    """

    def __init__(self, service: Service) -> None:
        settings = service.settings
        seconds = {
            "header_seconds": settings.header_seconds,
            "stall_seconds": settings.arrive_seconds,
        }
        connection = type("Connection", (_Connection,), seconds)
        super().__init__(
            uvicorn.Config(
                create_app(service),
                host=settings.host,
                port=settings.port,
                http=connection,
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=settings.proxy_headers,
                forwarded_allow_ips="127.0.0.1,::1",
                limit_concurrency=settings.max_connections,
                backlog=min(settings.max_connections, 1024),
                timeout_keep_alive=round(settings.idle_seconds),
                timeout_graceful_shutdown=round(settings.grace_seconds),
                h11_max_incomplete_event_size=_MAX_HEAD,
                ssl_certfile=settings.certfile,
                ssl_keyfile=settings.keyfile,
            )
        )
        self._service = service
        self._last_moment = 0.0
        self._is_told = False

    @property
    def port(self) -> int:
        """Where it listens, once it has started."""
        number: int = self.servers[0].sockets[0].getsockname()[1]
        return number

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        if self.started:
            settings = self._service.settings
            scheme = "https" if settings.certfile else "http"
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            self._service.log.write("started", address=f"{scheme}://{host}:{self.port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take in no new work soon; the second signal ends it at once."""
        # nothing more: this may interrupt the log, or whatever else holds a lock
        if self._is_told:
            self.force_exit = True
        self._is_told = True

    def close(self) -> None:
        """Take in no new work, and stop when what was accepted is done."""
        if not self._service.closing:
            self._service.closing = True
            self._last_moment = time.monotonic() + self._service.settings.grace_seconds
            self._service.log.write("closing", open_requests=self._service.n_open)

    async def on_tick(self, counter: int) -> bool:
        """Tell, ten times a second, whether to stop."""
        if self._is_told:
            self.close()
        if self._service.closing:
            late = time.monotonic() > self._last_moment
            if not self._service.n_open or late or self.force_exit:
                self.should_exit = True
                if late or self.force_exit:
                    # what is still at work is given up
                    self.config.timeout_graceful_shutdown = 0
        return await super().on_tick(counter)


def serve(service: Service) -> None:
    """Serve until a signal says stop.

    Raises
    ------
    ServerError
        If it cannot listen there.
    """
    quieten_uvicorn(service.log)
    # what Pillow thinks of strangers' files is told to them; it is not for the log
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    logging.getLogger("PIL").propagate = False
    _allow_files(service.settings.max_connections + _MORE_FILES)
    server = Server(service)
    try:
        server.run()
    except SystemExit as ex:
        raise ServerError(
            f"The server cannot listen at {service.settings.host},"
            f" port {service.settings.port}; is another program there?"
        ) from ex
    except OSError as ex:
        raise ServerError(f"The server cannot start: {ex}") from ex
    service.log.write("stopped")


def _allow_files(number: int) -> None:
    """Ask the system for so many open files and connections."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

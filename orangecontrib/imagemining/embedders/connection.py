"""A connection to an embedding server that outlasts bad days of the network.

What may succeed later is tried again, with growing waits: time-outs, broken
connections, damaged requests and answers, and the statuses 429, 502, 503 and 504.
Nothing else is. How much is under way at once adapts to what server and line bear.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from orangecontrib.imagemining._version import __version__
from orangecontrib.imagemining.embedders.answers import (
    PassingError,
    Reply,
    TooMuchError,
    about_of,
    check,
    trouble_of,
)
from orangecontrib.imagemining.embedders.line import Line
from orangecontrib.imagemining.embedders.protocol import (
    EMBED_PATH,
    MEDIA_TYPE,
    VERSION,
    Answer,
    Request,
    pack_request,
    unpack_answer,
)
from orangecontrib.imagemining.exceptions import ProtocolError, ServerError

if TYPE_CHECKING:
    import httpx

__all__ = ["Connection", "address_of"]

_T = TypeVar("_T")

_N_STRANGE = 3  # times that an answer is taken for an accident
_N_BROKEN = 2  # times that a request does not get through before it is made smaller
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 20.0  # seconds
_CONNECT, _WRITE, _READ = 10.0, 20.0, 170.0  # seconds
_SLOWEST = 16 * 2**10  # bytes a second that count as sending, not as a broken line
_PATIENCE_BUSY = 10  # times as long for a server that says that it is busy
_HERE = ("localhost", "127.0.0.1", "[::1]")
_ABOUT_BYTES, _SPARE_BYTES = 16 * 2**20, 2**20  # that answers have at most


def address_of(text: str) -> str:
    """Return a server's address as it is used, of what a person typed.

    Raises
    ------
    ServerError
        If it is none.
    """
    text = text.strip()
    if "://" not in text:
        text = f"http://{text}"
    text = text.rstrip("/")
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname
        _ = parts.port
    except ValueError:
        good = None
    if not good or parts.query or parts.fragment or parts.username is not None:
        # a part of what was typed may be a password
        shown = text.rpartition("@")[2].partition("?")[0]
        raise ServerError(
            f"'{shown}' is no address of a server; it should look like"
            " https://server.example:8742"
        )
    return text


class Connection:
    """Asks a server; to be used in an ``async with`` statement.

    Proxies are those of the environment or the system. Certificates are checked against
    the authorities of the system, those that come with Python's package certifi, and
    what the environment variables SSL_CERT_FILE and SSL_CERT_DIR name. Where the server
    says that it has moved, nothing is sent to the other place.

    Parameters
    ----------
    address
        Of the server, as `address_of` returns it.
    token
        For servers that need one.
    patience
        Seconds without any success after which the server counts as gone; ten times as
        many if it answers, but that it is busy.
    most
        Requests under way at once at most.

    Attributes
    ----------
    most : requests under way at once at most.
    line : how much is under way at once.
    waiting : why it waits and tries again now, in words; "" while all is well.

    Raises
    ------
    ServerError
        If the token cannot be one, or what the environment says of proxies or
        certificates makes no sense.
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        patience: float = 120.0,
        most: int = 8,
    ) -> None:
        self._address = address
        self._patience = patience
        self._headers = _authorization(token)
        self.most = most
        self._is_known = False
        self._last_good = time.monotonic()
        self._not_before = 0.0
        self.line = Line(most)
        self.waiting = ""

    async def __aenter__(self) -> Connection:
        self._client = _new_client(self.most + 1)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def about(self) -> dict[str, Any]:
        """Return what the server offers: its ``/networks``.

        Raises
        ------
        ServerError
            If it cannot be reached, or is no such server.
        """

        async def ask() -> dict[str, Any]:
            return about_of(await self._send("GET", "/networks", _ABOUT_BYTES))

        found = await self._persistently(ask)
        if found["protocol"] != VERSION:
            raise ServerError(
                f"The server {self._address} speaks version {found['protocol']} of the"
                f" protocol, this program version {VERSION}; one of them has to be"
                " renewed"
            )
        self._is_known = True
        return found

    async def embed(self, request: Request, sizes: Mapping[str, int]) -> Answer:
        """Return what becomes of the request's images.

        Parameters
        ----------
        request
            At least one image.
        sizes
            Lengths of the layers' vectors, in the request's order.

        Raises
        ------
        ServerError
            If the server refuses, or cannot be reached any more; TooMuchError if these
            images are too many or too large for it.
        """
        content = pack_request(request)
        n = len(request.images)
        most = 4 * n * sum(sizes.values()) + _SPARE_BYTES

        async def ask() -> Answer:
            async with self.line.place():
                started = time.monotonic()
                reply = await self._send("POST", EMBED_PATH, most, content)
                try:
                    found = unpack_answer(reply.content, sizes, n)
                except ProtocolError as ex:
                    text = f"its answer makes no sense ({ex})"
                    raise PassingError(text, "broken") from ex
                if found.network != request.network:
                    raise ServerError(
                        f"The server {self._address} answered by another network"
                        f" ({found.network})"
                    )
                self.line.went_well(time.monotonic() - started, n)
                return found

        return await self._persistently(ask, len(content), n > 1)

    async def _send(
        self, method: str, path: str, most: int, content: bytes | None = None
    ) -> Reply:
        """Return what the server answers, if it is what was asked for.

        Raises
        ------
        PassingError, ServerError
            As `answers.check` and `answers.trouble_of`.
        """
        import httpx

        n_bytes = 0 if content is None else len(content)
        impatient = max(self._patience, 1.0)
        timeout = httpx.Timeout(
            min(_READ, impatient),
            connect=min(_CONNECT, impatient),
            # the whole of it is one piece, which a slow line takes its time for
            write=_WRITE + n_bytes / _SLOWEST,
            pool=None,
        )
        headers = dict(self._headers)
        if content is not None:
            headers["Content-Type"] = MEDIA_TYPE
        try:
            async with self._client.stream(
                method,
                f"{self._address}{path}",
                content=content,
                headers=headers,
                timeout=timeout,
            ) as response:
                received = bytearray()
                async for piece in response.aiter_raw():
                    received += piece
                    if len(received) > most:
                        raise PassingError("its answer does not end", "strange")
        except httpx.InvalidURL as ex:
            raise ServerError(f"{self._address} is no proper address") from ex
        except httpx.HTTPError as ex:
            raise trouble_of(ex, self._address, self._is_known) from ex
        reply = Reply(response.status_code, response.headers, bytes(received))
        check(reply, self._address, self._is_known)
        return reply

    async def _persistently(
        self,
        ask: Callable[[], Awaitable[_T]],
        n_bytes: int = 0,
        can_be_less: bool = False,
    ) -> _T:
        """Ask until it works, or cannot work, or patience is at an end.

        `n_bytes` are sent; on a connection that breaks often, less at once gets
        through, if it can be less.
        """
        started = time.monotonic()
        n = n_strange = 0
        while True:
            # what one request was told, the others obey
            await _rest(self._not_before - time.monotonic())
            try:
                result = await ask()
            except PassingError as ex:
                trouble = ex
            else:
                self._last_good = time.monotonic()
                self.waiting = ""
                return result
            n += 1
            n_strange += trouble.kind == "strange"
            if trouble.kind in ("busy", "slow"):
                self.line.went_badly()
            is_too_much = trouble.kind == "slow" or (
                trouble.kind == "broken" and n >= _N_BROKEN
            )
            if n_bytes and is_too_much:
                self.line.was_too_much(n_bytes)
                if can_be_less:
                    raise TooMuchError(f"It does not get through: {trouble}")
            left = self._left(trouble, started)
            if left < 0 or n_strange >= _N_STRANGE:
                raise self._gone(trouble) from trouble
            self.waiting = str(trouble)
            wait = min(_FIRST_WAIT * 2.0 ** min(n - 1, 10), _LONGEST_WAIT)
            # not all clients at once, and once more before it counts as gone
            wait = min(wait * random.uniform(0.5, 1), max(left, 0.05))
            if trouble.wait:
                wait = max(wait, trouble.wait * random.uniform(1, 1.1))
                self._not_before = time.monotonic() + wait
            await _rest(wait)

    def _left(self, trouble: PassingError, started: float) -> float:
        """Return the seconds until patience is at an end."""
        patience = self._patience
        if trouble.kind == "busy":
            patience *= _PATIENCE_BUSY
        return max(self._last_good, started) + patience - time.monotonic()

    def _gone(self, trouble: PassingError) -> ServerError:
        any_more = ", or not used, any more" if self._is_known else ""
        return ServerError(
            f"The server {self._address} cannot be reached{any_more}: {trouble}"
        )


async def _rest(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


def _authorization(token: str | None) -> dict[str, str]:
    token = (token or "").strip()
    if not token:
        return {}
    # others cannot be sent, and httpx would say which one could not
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ServerError(
            "The token has letters that no token has; was it copied whole, and alone?"
        )
    return {"Authorization": f"Bearer {token}"}


def _new_client(n_connections: int) -> httpx.AsyncClient:
    import httpx

    try:
        # those of certifi or the environment, and the system's besides
        authorities = httpx.create_ssl_context()
        authorities.load_default_certs()
        return httpx.AsyncClient(
            verify=authorities,
            limits=httpx.Limits(max_connections=n_connections),
            follow_redirects=False,
            # what is for this computer is nobody else's, whatever the environment says
            mounts={f"all://{name}": None for name in _HERE},
            headers={
                "User-Agent": f"Orange3-ImageMining/{__version__}",
                "Accept-Encoding": "identity",
            },
        )
    except OSError as ex:  # ssl's are of these
        raise ServerError(
            "The certificates that the environment variable SSL_CERT_FILE or"
            f" SSL_CERT_DIR names cannot be used: {ex.strerror or ex}"
        ) from ex
    except (ImportError, ValueError, httpx.InvalidURL) as ex:
        # its text would show the proxy's password
        raise ServerError(
            "The proxy that the environment names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY)"
            " cannot be used: its address is none, or of a kind that is not known here"
        ) from ex

"""A connection to an embedding server that outlasts bad days of the network.

What may succeed later is tried again, with growing waits: time-outs, broken
connections, garbled answers, and the statuses 429, 502, 503 and 504. Nothing else is.
How many requests are under way at once adapts to what the server bears.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orangecontrib.imagemining._version import __version__
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

__all__ = ["Connection", "TooMuchError", "address_of"]

_AGAIN = (429, 502, 503, 504)
_N_GARBLED = 4  # times that such an answer is taken for an accident
_N_BROKEN = 3  # times that a request does not get through before it is made smaller
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 20.0
_CONNECT, _READ, _WRITE = 10.0, 170.0, 60.0  # seconds


class TooMuchError(ServerError):
    """The request is too large for this server; smaller ones may do."""


class _PassingError(Exception):
    """What may go well the next time."""

    def __init__(self, text: str, wait: float = 0.0, busy: bool = False) -> None:
        super().__init__(text)
        self.wait = wait
        self.busy = busy


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
        raise ServerError(
            f"'{text}' is no address of a server; it should look like"
            " https://server.example:8742"
        )
    return text


class Line:
    """Lets a number of requests through at once: more while all goes well.

    Parameters
    ----------
    most
        At once, at the very most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.limit = min(2.0, most)
        self._n = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for one's turn, and have it for the length of the block."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._n < int(self.limit))
            self._n += 1
        try:
            yield
        finally:
            self._n -= 1
            async with self._changed:
                self._changed.notify_all()

    def went_well(self) -> None:
        """Allow more: one more a round."""
        self.limit = min(self._most, self.limit + 1 / self.limit)

    def went_badly(self) -> None:
        """Allow half."""
        self.limit = max(1.0, self.limit / 2)


class Connection:
    """Asks a server; to be used in an ``async with`` statement.

    Proxies and certificates are those of the environment.

    Parameters
    ----------
    address
        Of the server, as `address_of` returns it.
    token
        For servers that need one.
    patience
        Seconds without any success after which the server counts as gone.
    most
        Requests under way at once at most.
    client
        Asks instead of one of its own, which the caller closes.
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        patience: float = 120.0,
        most: int = 8,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self._address = address
        self._patience = patience
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._line = Line(most)
        self._given = client
        self._most = most
        self._last_good = time.monotonic()

    async def __aenter__(self) -> Connection:
        import httpx

        self._client = self._given or httpx.AsyncClient(
            timeout=httpx.Timeout(_READ, connect=_CONNECT, write=_WRITE, pool=None),
            limits=httpx.Limits(max_connections=self._most + 1),
            headers={"User-Agent": f"Orange3-ImageMining/{__version__}"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._given is None:
            await self._client.aclose()

    async def about(self) -> dict[str, Any]:
        """Return what the server offers: its ``/networks``.

        Raises
        ------
        ServerError
            If it cannot be reached, or is no such server.
        """

        async def ask() -> dict[str, Any]:
            answer = await self._client.get(
                f"{self._address}/networks", headers=self._headers
            )
            self._check(answer)
            try:
                found = answer.json()
                found["networks"], found["protocol"]
            except (ValueError, KeyError, TypeError) as ex:
                raise _PassingError("It does not answer as such a server does") from ex
            return dict(found)

        found: dict[str, Any] = await self._persistently(ask)
        if found["protocol"] != VERSION:
            raise ServerError(
                f"The server speaks version {found['protocol']} of the protocol, this"
                f" program version {VERSION}; one of them has to be renewed"
            )
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

        async def ask() -> Answer:
            async with self._line.place():
                answer = await self._client.post(
                    f"{self._address}{EMBED_PATH}",
                    content=content,
                    headers={**self._headers, "Content-Type": MEDIA_TYPE},
                )
            self._check(answer)
            try:
                found = unpack_answer(answer.content, sizes, len(request.images))
            except ProtocolError as ex:
                raise _PassingError(f"Its answer makes no sense ({ex})") from ex
            if found.network != request.network:
                raise _PassingError("It answered by another network")
            return found

        answer: Answer = await self._persistently(ask, len(request.images) > 1)
        self._line.went_well()
        return answer

    async def _persistently(self, ask: Any, can_be_less: bool = False) -> Any:
        """Ask until it works, or cannot work, or patience is at an end.

        `can_be_less`: on a connection that breaks often, less at once gets through.
        """
        import httpx

        started = time.monotonic()
        n, n_garbled = 0, 0
        while True:
            try:
                result = await ask()
                self._last_good = time.monotonic()
                return result
            except httpx.InvalidURL as ex:
                raise ServerError(f"{self._address} is no proper address") from ex
            except httpx.HTTPError as ex:
                _raise_if_certificate(ex, self._address)
                busy = isinstance(ex, httpx.TimeoutException)
                trouble = _PassingError(_words(ex), busy=busy)
            except _GarbledError as ex:
                n_garbled += 1
                if n_garbled >= _N_GARBLED:
                    raise ServerError(str(ex)) from ex
                trouble = ex
            except _PassingError as ex:
                trouble = ex
            if trouble.busy:
                self._line.went_badly()
            elif can_be_less and n + 1 >= _N_BROKEN:
                raise TooMuchError(f"It does not get through: {trouble}")
            if time.monotonic() - max(self._last_good, started) > self._patience:
                raise ServerError(
                    f"The server {self._address} cannot be reached, or not used, any"
                    f" more: {trouble}"
                ) from trouble
            # at random between half and all of it, so that clients do not come at once
            wait = min(_FIRST_WAIT * 2**n, _LONGEST_WAIT) * random.uniform(0.5, 1)
            await asyncio.sleep(max(wait, trouble.wait))
            n = min(n + 1, 10)

    def _check(self, answer: httpx.Response) -> None:
        """Raise what a status means."""
        status = answer.status_code
        if status == 200:
            return
        code, message = _told(answer)
        if status == 413 or code == "too-long":
            raise TooMuchError(message)
        if status in _AGAIN:
            wait = answer.headers.get("Retry-After", "")
            seconds = float(wait) if wait.isdigit() and len(wait) < 5 else 0.0
            raise _PassingError(message, min(seconds, 60.0), busy=True)
        if status in (401, 403):
            raise ServerError(f"The server wants another token: {message}")
        if code in ("unknown-name", "network-not-here", "precision"):
            raise ServerError(f"The server cannot do this: {message}")
        raise _GarbledError(f"The server {self._address} refuses: {message}")


class _GarbledError(_PassingError):
    """A refusal of what was right when it left; a few of them are an accident."""


def _told(answer: httpx.Response) -> tuple[str, str]:
    """Return code and message of a refusal."""
    try:
        error = answer.json()["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "", f"status {answer.status_code}"


def _raise_if_certificate(ex: BaseException, address: str) -> None:
    """Raise ServerError if a certificate is not to be trusted: it will not be later."""
    cause: BaseException | None = ex
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = cause.verify_message or cause.reason or "not trusted"
            raise ServerError(
                f"The certificate of {address} is not to be trusted ({why}). Nothing"
                " was sent. Ask the server's administrator; an authority of your own"
                " can be named in the environment variable SSL_CERT_FILE"
            ) from ex
        cause = cause.__cause__ or cause.__context__


def _words(ex: Exception) -> str:
    return str(ex) or {"ReadTimeout": "it does not answer in time"}.get(
        type(ex).__name__, type(ex).__name__
    )

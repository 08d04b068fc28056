"""What an answer of an embedding server means: good, try again, with less, or never."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from orangecontrib.imagemining.exceptions import ServerError

if TYPE_CHECKING:
    import httpx

__all__ = [
    "PassingError",
    "Reply",
    "TooMuchError",
    "about_of",
    "check",
    "trouble_of",
]

#: Why it may go well the next time. away: nobody answers; busy: it has too much to do;
#: slow: it took too long; broken: the connection broke off, or damaged what it carried;
#: strange: a refusal that the server cannot have meant, so that it is damage, too.
Kind = Literal["away", "busy", "slow", "broken", "strange"]

_BUSY = (429, 502, 503, 504)
_LONGEST_ASKED = 600.0  # seconds that a server may ask for at most
_ALL = (400, 401, 403, 404, 405, 415)


class TooMuchError(ServerError):
    """The request is too large for this server or line; smaller ones may do."""


class PassingError(Exception):
    """What may go well the next time.

    Parameters
    ----------
    text
        In words.
    kind
        See `Kind`.
    wait
        Seconds that the server asks for.
    """

    def __init__(self, text: str, kind: Kind, wait: float = 0.0) -> None:
        super().__init__(text)
        self.kind: Kind = kind
        self.wait = wait


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes
    ----------
    status : HTTP's number.
    headers : names do not depend on capitals.
    content : the body.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


def check(reply: Reply, address: str, is_known: bool) -> None:
    """Raise what a refusal means; return if it is none.

    What the server itself says is wrong with the request, or the asker, is final, and
    so is the first answer of all. Later on a refusal that no such server would give to
    this request (another path than was asked for, no HTTP) comes of a request that was
    damaged on its way.

    Parameters
    ----------
    reply
        What came back.
    address
        Of the server, for messages.
    is_known
        Whether it has shown before that it is such a server.

    Raises
    ------
    ServerError
        If it is final; TooMuchError if less may do.
    PassingError
        If it is not.
    """
    status = reply.status
    if status == 200:
        return
    code, message = _told(reply)
    if 300 <= status < 400:
        raise ServerError(
            f"The server {address} says that it has moved to"
            f" {_place_of(reply.headers.get('location', ''))}. Nothing was sent there;"
            " if that is right, use that address"
        )
    if status == 413 or code == "too-long":
        raise TooMuchError(message)
    if status == 408:
        raise PassingError("what is sent arrives too slowly", "slow")
    if status in _BUSY:
        wait = _seconds(reply.headers.get("retry-after", ""))
        raise PassingError(message, "busy", wait)
    if code == "damaged":
        raise PassingError("what is sent arrives damaged", "broken")
    if status in (401, 403):
        raise ServerError(f"The server {address} wants another token: {message}")
    is_meant = code not in ("", "not-found", "wrong-method", "encoded")
    if is_known and not is_meant and status in _ALL:
        raise PassingError(
            f"it answers what makes no sense (status {status})", "strange"
        )
    if is_meant:
        raise ServerError(f"The server {address} cannot do this: {message}")
    raise ServerError(
        f"What answers at {address} is no embedding server, or another version of it"
        f" (status {status})"
    )


def about_of(reply: Reply) -> dict[str, Any]:
    """Return what a server says of itself, in the form that is documented.

    Raises
    ------
    PassingError
        If it is of no such form.
    """
    try:
        found = dict(json.loads(reply.content))
        found["protocol"] = int(found["protocol"])
        for network in found["networks"]:
            network["name"] = str(network["name"])
            network["layers"] = [
                {"name": str(layer["name"]), "size": int(layer["size"])}
                for layer in network["layers"]
            ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as ex:
        raise PassingError(
            "it does not answer as such a server does", "strange"
        ) from ex
    return found


def trouble_of(ex: httpx.HTTPError, address: str, is_known: bool) -> PassingError:
    """Return what a failed exchange means.

    Parameters
    ----------
    ex
        As httpx raised it.
    address, is_known
        As for `check`.

    Raises
    ------
    ServerError
        If it will fail the next time, too: the certificate, or no https at all.
    """
    import httpx

    _raise_if_untrusted(ex, address, is_known)
    if isinstance(ex, httpx.ConnectTimeout):
        return PassingError("nobody answers", "away")
    if isinstance(ex, httpx.ConnectError | httpx.ProxyError):
        return PassingError(str(ex) or "nobody answers", "away")
    if isinstance(ex, httpx.WriteTimeout):
        return PassingError("the connection is too slow", "slow")
    if isinstance(ex, httpx.TimeoutException):
        return PassingError("it does not answer in time", "slow")
    # what httpx says here may show what was sent
    return PassingError("the connection breaks off", "broken")


def _told(reply: Reply) -> tuple[str, str]:
    """Return code and message of a refusal, "" and the status if it has none."""
    try:
        error = json.loads(reply.content)["error"]
        return str(error["code"]), str(error["message"])[:500]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", f"status {reply.status}"


def _seconds(text: str) -> float:
    """Return what ``Retry-After`` asks for: seconds, or a date."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(float(text), _LONGEST_ASKED)
    try:
        wait = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(wait, 0.0), _LONGEST_ASKED)


def _place_of(location: str) -> str:
    """Return the server of an address, without what may be secret behind it."""
    try:
        parts = urlsplit(location)
        if parts.scheme in ("http", "https") and parts.hostname:
            port = f":{parts.port}" if parts.port else ""
            return f"{parts.scheme}://{parts.hostname}{port}"
    except ValueError:
        pass
    return "another place"


def _raise_if_untrusted(ex: BaseException, address: str, is_known: bool) -> None:
    cause: BaseException | None = ex
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = cause.verify_message or cause.reason or "not trusted"
            raise ServerError(
                f"The certificate of {address} is not to be trusted ({why}). Nothing"
                " was sent. Ask the server's administrator; an authority of your own"
                " can be named in the environment variable SSL_CERT_FILE"
            ) from ex
        if isinstance(cause, ssl.SSLError) and not is_known:
            raise ServerError(
                f"What answers at {address} does not speak https"
                f" ({cause.reason or 'no handshake'}). Nothing was sent"
            ) from ex
        cause = cause.__cause__ or cause.__context__

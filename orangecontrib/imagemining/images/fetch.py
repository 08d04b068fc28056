"""Fetch an image from its address."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from http import HTTPStatus

import httpx

from orangecontrib.imagemining._version import __version__
from orangecontrib.imagemining.exceptions import (
    FetchError,
    ImageNotFoundError,
    ImageTooLargeError,
)
from orangecontrib.imagemining.images.limits import Limits

__all__ = ["fetch", "new_client"]

_CHUNK = 64 * 1024


def new_client(limits: Limits) -> httpx.Client:
    """Return a client for many images, to be closed by the caller.

    Proxies and certificates are those of the environment. The server learns this
    program's name and version, nothing else.
    """
    return httpx.Client(
        timeout=limits.timeout,
        follow_redirects=True,
        headers={"User-Agent": f"Orange3-ImageMining/{__version__}"},
    )


def fetch(url: str, limits: Limits, client: httpx.Client) -> bytes:
    """Return what `url` (http, https, ftp or data) holds.

    Raises
    ------
    ImageNotFoundError
        If the server says that there is nothing.
    ImageTooLargeError
        If there are more than ``limits.max_bytes``; no more than these are read.
    FetchError
        If the server cannot be reached, refuses, breaks off or is too slow.
    """
    if url[:4].lower() == "http":
        return _fetch_http(url, limits, client)
    return _fetch_other(url, limits)


def _fetch_http(url: str, limits: Limits, client: httpx.Client) -> bytes:
    try:
        with client.stream("GET", url) as response:
            if response.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                raise ImageNotFoundError(
                    f"The server has no image at this address ({response.status_code})"
                )
            if not response.is_success:
                raise FetchError(
                    f"The server answers with error {response.status_code}"
                    f" ({response.reason_phrase or 'no explanation'})"
                )
            length = response.headers.get("Content-Length", "")
            if length.isdigit() and int(length) > limits.max_bytes:
                raise _too_large(limits)
            # in pieces as they come: asked for a size, it would wait for so many bytes
            return _collect(response.iter_bytes(), limits)
    except httpx.TimeoutException as ex:
        raise FetchError("The server does not answer in time") from ex
    except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict) as ex:
        raise FetchError(f"The address cannot be reached: {ex}") from ex
    except ValueError as ex:  # idna and port errors of malformed addresses
        raise FetchError(f"This is not a proper address: {ex}") from ex


def _fetch_other(url: str, limits: Limits) -> bytes:
    # urllib reads ftp: and data:, which httpx does not
    try:
        with urllib.request.urlopen(url, timeout=limits.timeout) as response:
            return _collect(iter(lambda: response.read1(_CHUNK), b""), limits)
    except urllib.error.URLError as ex:
        if "550" in str(ex.reason):  # FTP's 404
            raise ImageNotFoundError("The server has no image at this address") from ex
        raise FetchError(f"The address cannot be reached: {ex.reason}") from ex
    except TimeoutError as ex:
        raise FetchError("The server does not answer in time") from ex
    except (OSError, ValueError) as ex:
        raise FetchError(f"The address cannot be read: {ex}") from ex


def _collect(chunks: Iterable[bytes], limits: Limits) -> bytes:
    # the client's own time-out starts anew with each piece, so that a server which
    # sends a byte a second would hold us for ever
    deadline = time.monotonic() + limits.timeout
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > limits.max_bytes:
            raise _too_large(limits)
        if time.monotonic() > deadline:
            raise FetchError("The server sends the image too slowly")
    return bytes(content)


def _too_large(limits: Limits) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"The file is larger than {limits.max_bytes / 2**20:.4g} MB"
        " (the limit for images from the internet)"
    )

"""Fetches a published file: it can be cancelled, goes on after a cut, is never half.

By httpx, which this package depends on for images: it streams, goes by the system's
proxies and certificates, and leaves resuming and cancelling to its caller, which pooch
and torch.hub do not.
"""

from __future__ import annotations

import json
import queue
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import filelock
import httpx

from orangecontrib.imagemining._version import __version__
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.specs import Progress
from orangecontrib.imagemining.weights.folders import raise_disk_error
from orangecontrib.imagemining.weights.readers import MAX_FILE, looks_like_a_page

__all__ = ["Refused", "download", "locked"]

_TIMEOUT = 30.0  # seconds without a byte
_POLL = 0.1  # seconds after which it is looked whether the user wants to stop
_MAX_ATTEMPTS = 50
_MAX_IDLE_ATTEMPTS = 3  # that brought nothing
_MB = 2**20


class Refused(WeightsError):
    """What came is not what was asked for; none of it is kept."""


class _Cut(Exception):
    """The connection broke off; what came can be gone on with."""


class _StartOver(Exception):
    """What came before does not fit what comes now."""


@dataclass
class _Head:
    status: int
    headers: httpx.Headers
    url: httpx.URL


class _Stream:
    """An answer, received in a thread of its own, so that nothing here waits for it."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        self._headers = headers
        self._queue: queue.Queue[_Head | bytes | Exception | None] = queue.Queue(16)
        self._stop = threading.Event()
        # a server that says nothing more must not keep the program from ending
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with (
                httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client,
                client.stream("GET", self._url, headers=self._headers) as response,
            ):
                self._put(_Head(response.status_code, response.headers, response.url))
                for chunk in response.iter_raw():
                    if self._stop.is_set():
                        return
                    self._put(chunk)
            self._put(None)
        # ValueError: idna and port errors of malformed addresses and proxies
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as ex:
            self._put(ex)

    def _put(self, item: _Head | bytes | Exception | None) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL)
                return
            except queue.Full:
                continue

    def get(self, on_wait: Callable[[], None]) -> _Head | bytes | None:
        """Return what comes next: the head, pieces of the body, then None.

        Parameters
        ----------
        on_wait
            Called now and then; what it raises is passed on.
        """
        while True:
            try:
                item = self._queue.get(timeout=_POLL)
            except queue.Empty:
                on_wait()
                continue
            if isinstance(item, Exception):
                raise item
            return item

    def close(self) -> None:
        self._stop.set()


@contextmanager
def locked(target: Path, progress: Progress) -> Iterator[None]:
    """Keep other programs from fetching the same file; wait for one that does.

    Parameters
    ----------
    target
        The file to be.
    progress
        Asked while waiting.

    Raises
    ------
    WeightsError
        If its folder cannot be written to.
    """
    lock = filelock.FileLock(target.with_name(f".{target.name}.lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        wait = 0.0
        while not lock.is_locked:
            try:
                # the system gives it back should this program end in between
                lock.acquire(timeout=wait)
            except filelock.Timeout:
                progress(0, f"Waiting for another program that fetches {target.name}")
                wait = _POLL
    except OSError as ex:
        raise_disk_error(ex, target)
    except NotImplementedError as ex:
        raise WeightsError(
            f"The folder {target.parent} is on a disk where programs cannot keep out of"
            " each other's way; choose another by the environment variable"
            " IMAGEMINING_HOME"
        ) from ex
    try:
        yield
    finally:
        lock.release()


def download(
    url: str,
    target: Path,
    check: Callable[[Path], None],
    progress: Progress,
    expected: int | None = None,
) -> None:
    """Fetch a file, having `locked` it.

    What came of it stays beside it, under another name, when the connection breaks off
    or the user stops, and is gone on with the next time.

    Parameters
    ----------
    url
        Its address.
    target
        Where it goes; it is there whole and checked, or not at all.
    check
        Raises `Refused` if the file given to it is not the right one.
    progress
        Told how much has come; what it raises ends the work.
    expected
        Its size in bytes, if known, for `progress` alone.

    Raises
    ------
    WeightsError
        If it cannot be fetched, or the disk is full.
    """
    part = _Part(target, url)
    idle = 0
    started_over = False
    for _ in range(_MAX_ATTEMPTS):
        before = part.size()
        try:
            _attempt(part, progress, expected)
        except _StartOver:
            part.remove()
            continue
        except _Cut as ex:
            idle = 0 if part.size() > before else idle + 1
            if idle >= _MAX_IDLE_ATTEMPTS:
                came = part.size() / _MB
                raise WeightsError(
                    f"The connection broke off ({ex}). The {came:.1f} MB that came are"
                    " kept: try again to go on"
                ) from ex
            continue
        except Refused:
            part.remove()
            raise
        except OSError as ex:
            part.remove()
            raise_disk_error(ex, target)
        try:
            check(part.path)
        except Refused:
            resumed = before > 0
            part.remove()
            if resumed and not started_over:
                started_over = True  # the parts may be of two different files
                continue
            raise
        try:
            part.finish()
        except OSError as ex:
            part.remove()
            raise_disk_error(ex, target)
        return
    raise WeightsError("The connection breaks off again and again; try later")


class _Part:
    """What has come of a file, with a note of which file it is a part of."""

    def __init__(self, target: Path, url: str) -> None:
        self.target = target
        self.url = url
        # the ending is kept: it tells what kind of file it is
        self.path = target.with_name(f".part-{target.name}")
        self._note = target.with_name(f".part-{target.name}.json")

    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def validator(self) -> str:
        """Return what the server knows the file's version by, "" if nothing does."""
        try:
            note = json.loads(self._note.read_text(encoding="utf8"))
            return str(note["version"]) if note["url"] == self.url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def note(self, version: str) -> None:
        content = json.dumps({"url": self.url, "version": version})
        self._note.write_text(content, encoding="utf8")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        self.path.replace(self.target)
        self._note.unlink(missing_ok=True)


def _attempt(part: _Part, progress: Progress, expected: int | None) -> None:
    """Fetch what is missing."""
    offset = part.size()
    version = part.validator()
    if offset and not version:
        part.remove()  # nothing tells whether the rest would fit
        offset = 0
    headers = {
        "User-Agent": f"Orange3-ImageMining/{__version__}",
        # the file as it is: ranges are counted in its bytes
        "Accept-Encoding": "identity",
    }
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": version}
    host = httpx.URL(part.url).host
    came = [offset]
    size = [expected or 0]

    def report() -> None:
        done, total = came[0], size[0]
        text = f"{done / _MB:.1f}"
        text += f" of {total / _MB:.1f} MB" if total else " MB"
        progress(min(0.95, 0.95 * done / total) if total else 0, f"{text} from {host}")

    report()
    stream = _Stream(part.url, headers)
    try:
        head = stream.get(report)
        assert isinstance(head, _Head)
        offset, total = _judge(head, part, offset)
        came[0] = offset
        size[0] = total or size[0]
        if total and shutil.disk_usage(part.path.parent).free < total - offset:
            raise Refused(
                f"There is not enough room on the disk: {part.target.name} takes"
                f" {total / _MB:.0f} MB in {part.target.parent}. Make some and try"
                " again"
            )
        _receive(stream, part, came, total, report)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as ex:
        raise WeightsError(f"{host} cannot be reached ({ex})") from ex
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError) as ex:
        raise WeightsError(f"This is not a proper address ({ex})") from ex
    except httpx.TooManyRedirects as ex:
        raise WeightsError(f"The server sends us round in circles ({ex})") from ex
    except httpx.TimeoutException as ex:
        raise _Cut("the server does not answer in time") from ex
    except httpx.HTTPError as ex:
        raise _Cut(str(ex) or type(ex).__name__) from ex
    finally:
        stream.close()


def _judge(head: _Head, part: _Part, offset: int) -> tuple[int, int]:
    """Return where the answer begins in the file, and the file's size (0: unknown)."""
    status = head.status
    if part.url.startswith("https:") and head.url.scheme != "https":
        raise Refused(f"The server sends us on to an address without cover: {head.url}")
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
        raise _StartOver
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise WeightsError(f"The server has no such file any more (error {status})")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise WeightsError(f"The server does not give the file out (error {status})")
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        raise WeightsError(f"The proxy asks for a name and password (error {status})")
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500:
        raise WeightsError(
            f"The server is overloaded or out of order (error {status}); try later"
        )
    if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise WeightsError(f"The server answers with error {status}")
    version = _version(head.headers)
    if status == HTTPStatus.PARTIAL_CONTENT:
        given = head.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", given.strip())
        if not found or int(found[1]) != offset:
            raise _StartOver
        if version and version != part.validator():
            raise _StartOver
        total = 0 if found[3] == "*" else int(found[3])
    else:
        offset = 0
        length = head.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else 0
        part.remove()
        part.note(version)
    if total > MAX_FILE:
        raise Refused(f"The file is larger than {MAX_FILE >> 30} GB")
    return offset, total


def _version(headers: httpx.Headers) -> str:
    tag = str(headers.get("ETag", ""))
    # weak tags say that files mean the same, not that they are
    return tag if tag.startswith('"') else str(headers.get("Last-Modified", ""))


def _receive(
    stream: _Stream,
    part: _Part,
    came: list[int],
    total: int,
    report: Callable[[], None],
) -> None:
    with part.path.open("ab" if came[0] else "wb") as file:
        while (chunk := stream.get(report)) is not None:
            assert isinstance(chunk, bytes)
            if came[0] == 0 and looks_like_a_page(chunk[:512]):
                raise Refused(
                    "The server sent a web page instead of the file; this network may"
                    " ask to log in first"
                )
            file.write(chunk)
            came[0] += len(chunk)
            if came[0] > (total or MAX_FILE):
                raise Refused("The server sent more than it had promised")
            report()
    if total and came[0] < total:
        raise _Cut("it ended early")

"""What the client tries again, and when, and what never; what it keeps to itself."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from answering import ABOUT, Asked, Said, about, answering, certificate, refusal

from orangecontrib.imagemining.embedders import connection as connection_module
from orangecontrib.imagemining.embedders.answers import TooMuchError
from orangecontrib.imagemining.embedders.connection import Connection, address_of
from orangecontrib.imagemining.embedders.protocol import (
    Answer,
    ImageBody,
    Request,
    pack_answer,
)
from orangecontrib.imagemining.embedders.remote import about_server
from orangecontrib.imagemining.exceptions import ServerError, TaskCancelled

_T = TypeVar("_T")

TOKEN = "a-token-of-the-tests"
SIZES = {"features": 2}
_SOON = 5.0  # a second, and much more on a busy computer; it would be a minute


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Note waits between tries instead of waiting; nobody else's."""
    noted: list[float] = []

    async def rest(seconds: float) -> None:
        if seconds > 0:
            noted.append(seconds)

    monkeypatch.setattr(connection_module, "_rest", rest)
    yield noted


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def within(
    address: str, do: Callable[[Connection], Awaitable[_T]], **options: Any
) -> _T:
    async def main() -> _T:
        async with Connection(address, **options) as line:
            return await do(line)

    return asyncio.run(main())


def ask(address: str, **options: Any) -> dict[str, Any]:
    return within(address, lambda line: line.about(), **options)


def embed(address: str, n_images: int = 2, **options: Any) -> Answer:
    """Ask what it is, then have images embedded."""
    images = tuple(ImageBody(bytes([n])) for n in range(n_images))
    request = Request("net", ("features",), images)

    async def both(line: Connection) -> Answer:
        await line.about()
        return await line.embed(request, SIZES)

    return within(address, both, **options)


def vectors(n: int = 2, network: str = "net") -> Said:
    rows = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    return Said(content=pack_answer(Answer({"features": rows}, [None] * n, network)))


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_is_tried_again(status: int, waits: list[float]) -> None:
    with answering([*[refusal(status)] * 3, about()]) as server:
        assert ask(server.address) == ABOUT
    assert len(server.asked) == 4
    assert len(waits) == 3
    for number, wait in enumerate(waits):
        assert 0.125 * 2**number <= wait <= 0.25 * 2**number


def test_waits_grow_up_to_a_bound_and_differ(waits: list[float]) -> None:
    for _ in range(2):
        with answering([*[refusal(503)] * 12, about()]) as server:
            assert ask(server.address) == ABOUT
    first, second = waits[:12], waits[12:]
    assert max(first) <= 20 and min(first[7:]) >= 10
    assert first != second  # not all clients at once


def test_what_the_server_asks_for_is_waited(waits: list[float]) -> None:
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=90), True)
    for asked, least, most in (
        ("7", 7.0, 7.7),
        (date, 80.0, 99.1),
        ("100000", 600.0, 660.0),
        ("soon", 0.0, 0.25),
        ("-5", 0.0, 0.25),
    ):
        waits.clear()
        with answering([refusal(429, Retry_After=asked), about()]) as server:
            assert ask(server.address) == ABOUT
        assert least <= waits[0] <= most
        # all requests wait, not this one alone: here no time has passed
        assert len(waits) == (2 if least else 1)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (refusal(400), "no embedding server"),
        (refusal(400, "bad-request"), "cannot do this: bad-request"),
        (refusal(401, "token"), "wants another token"),
        (refusal(401), "wants another token"),
        (refusal(403), "wants another token"),
        (refusal(404), "no embedding server"),
        (refusal(404, "not-found"), "no embedding server"),
        (refusal(413), "413"),
        (refusal(500, "failed"), "cannot do this: failed"),
        (refusal(302, Location="https://other.example/t/secret"), "https://other.ex"),
    ],
)
def test_what_is_not_tried_again(said: Said, text: str, waits: list[float]) -> None:
    with answering([said]) as server:
        with pytest.raises(ServerError, match=text) as caught:
            ask(server.address)
    assert (len(server.asked), waits) == (1, [])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        refusal(400, "bad-request"),
        refusal(401, "token"),
        refusal(404, "unknown-name"),
        refusal(404, "network-not-here"),
        refusal(413, "too-large"),
        refusal(500, "failed"),
        vectors(network="another"),
    ],
)
def test_images_are_not_sent_again(said: Said, waits: list[float]) -> None:
    with answering([about(), said]) as server:
        with pytest.raises(ServerError):
            embed(server.address)
    assert (len(server.asked), waits) == (2, [])


@pytest.mark.parametrize(
    "said",
    [
        refusal(400, "damaged"),
        refusal(400),  # no HTTP any more when it arrived
        refusal(404, "not-found"),  # its path was another one when it arrived
        Said(content=vectors(1).content[:-1]),
        Said(content=vectors(1).content[:-1] + b"\1"),
    ],
)
def test_what_was_damaged_on_its_way(said: Said, waits: list[float]) -> None:
    with answering([about(), said, said, vectors(1)]) as server:
        answer = embed(server.address, 1)
    np.testing.assert_array_equal(answer.vectors["features"], [[0, 1]])
    assert (len(server.asked), len(waits)) == (4, 2)
    assert len({asked.body for asked in server.asked[1:]}) == 1


def test_what_is_damaged_often_is_sent_in_parts() -> None:
    with answering([about(), refusal(400, "damaged")]) as server:
        with pytest.raises(TooMuchError):
            embed(server.address)
    assert len(server.asked) == 3


def test_refusals_that_make_no_sense_come_to_an_end() -> None:
    with answering([about(), refusal(404, "not-found")]) as server:
        with pytest.raises(ServerError, match="makes no sense"):
            embed(server.address)
    assert len(server.asked) == 4


def test_answer_without_end() -> None:
    with answering([Said(content=b"x" * 17 * 2**20)]) as server:
        with pytest.raises(ServerError, match="does not end"):
            ask(server.address)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"protocol": 1}', b"[" * 9999])
def test_another_server(content: bytes, waits: list[float]) -> None:
    with answering([Said(content=content)]) as server:
        with pytest.raises(ServerError, match="does not answer as such a server"):
            ask(server.address)
    assert len(server.asked) == 3


def test_other_version_of_the_protocol() -> None:
    with answering([about(protocol=2)]) as server:
        with pytest.raises(ServerError, match="version 2"):
            ask(server.address)
    assert len(server.asked) == 1


def test_too_slow_is_sent_in_parts() -> None:
    with answering([about(), refusal(408, "too-slow")]) as server:
        with pytest.raises(TooMuchError):
            embed(server.address)
        assert len(server.asked) == 2
    # what cannot be less is sent again
    with answering([about(), refusal(408, "too-slow"), vectors(1)]) as server:
        assert embed(server.address, 1).reasons == [None]


def test_silence_is_not_waited_for_without_end() -> None:
    with answering([Said(hangs=True)]) as server:
        with pytest.raises(ServerError, match="cannot be reached"):
            ask(server.address, patience=0.01)


def test_busy_server_is_waited_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()

    async def rest(seconds: float) -> None:
        clock.now += max(seconds, 0.0)

    monkeypatch.setattr(connection_module, "time", clock)
    monkeypatch.setattr(connection_module, "_rest", rest)
    with answering([refusal(503)]) as server:
        with pytest.raises(ServerError, match="cannot be reached"):
            ask(server.address, patience=30)
    assert 300 <= clock.now <= 301
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    clock.now = 0.0
    with pytest.raises(ServerError, match="cannot be reached"):
        ask(f"http://127.0.0.1:{port}", patience=30)
    assert 30 <= clock.now <= 31


@pytest.mark.parametrize(
    "answer",
    [
        Said(hangs=True),
        refusal(429, Retry_After="60"),
        None,  # nobody listens
    ],
    ids=["silent", "busy", "gone"],
)
def test_cancelled_within_a_second(
    answer: Said | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # it waits in earnest
    rounds, stopped = 0, 0.0

    def progress(fraction: float, status: str = "") -> None:
        nonlocal rounds, stopped
        rounds += 1
        if rounds == 3:
            stopped = time.monotonic()
            raise TaskCancelled

    with answering([answer or about()]) as server:
        address = server.address
        if answer is None:
            with socket.create_server(("127.0.0.1", 0)) as free:
                address = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(TaskCancelled):
            about_server(address, patience=60, progress=progress)
        assert time.monotonic() - stopped < _SOON
    for thread in threading.enumerate():
        if thread.name == "ask-server":
            thread.join(60)  # on a busy computer it may take its time
            assert not thread.is_alive()


# What is kept to itself ------------------------------------------------------------


def test_token_goes_to_its_server_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with answering([about()]) as other:
        elsewhere = refusal(307, Location=f"{other.address}/networks")
        with answering([elsewhere]) as server:
            with pytest.raises(ServerError, match="moved") as caught:
                ask(server.address, token=TOKEN)
    assert other.asked == []
    (asked,) = server.asked
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in asked.path
    assert TOKEN not in str(caught.value) and TOKEN not in caplog.text


@pytest.mark.parametrize("token", ["two words", "bräsig", "a\nb", "a\0b"])
def test_token_that_is_none(token: str) -> None:
    with pytest.raises(ServerError, match="token") as caught:
        Connection("http://server", token)
    assert token not in str(caught.value)
    assert caught.value.__cause__ is None


def test_token_is_trimmed() -> None:
    with answering([about()]) as server:
        ask(server.address, token=f" {TOKEN}\n")
        ask(server.address, token=" ")
    first, second = server.asked
    assert first.headers["authorization"] == f"Bearer {TOKEN}"
    assert "authorization" not in second.headers


def test_server_learns_the_program_and_no_more() -> None:
    with answering([about()]) as server:
        ask(server.address)
    names = set(server.asked[0].headers)
    assert names == {"host", "accept", "accept-encoding", "connection", "user-agent"}
    agent = server.asked[0].headers["user-agent"]
    assert agent.startswith("Orange3-ImageMining/")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("server.example:8742", "http://server.example:8742"),
        (" https://server.example/ ", "https://server.example"),
        ("https://server.example/images/", "https://server.example/images"),
        ("ftp://server.example", None),
        ("", None),
        ("http://", None),
        ("http://server:port", None),
        ("http://name:word@server", None),
        ("http://server/?a=word", None),
    ],
)
def test_addresses(text: str, address: str | None) -> None:
    if address is None:
        with pytest.raises(ServerError, match="no address") as caught:
            address_of(text)
        assert "word" not in str(caught.value)
    else:
        assert address_of(text) == address


# Proxies and certificates ------------------------------------------------------------


def test_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering([about()]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.address)
        assert ask("http://server.invalid:8742") == ABOUT
        assert proxy.asked[0].path == "http://server.invalid:8742/networks"
        with answering([about()]) as server:
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert ask(server.address) == ABOUT
            assert len(server.asked) == 1
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_no_proxy_gets_what_is_for_this_computer(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with answering([about()]) as server, answering([about()]) as proxy:
        for variable in ("HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.address)
        assert ask(server.address.replace("127.0.0.1", name)) == ABOUT
        assert (len(server.asked), len(proxy.asked)) == (1, 0)


def test_proxy_for_https_sees_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering([refusal(502)]) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address)
        with pytest.raises(ServerError, match="502"):
            ask("https://server.invalid", token=TOKEN, patience=0.01)
    assert {(asked.method, asked.path) for asked in proxy.asked} == {
        ("CONNECT", "server.invalid:443")
    }
    assert TOKEN not in str(proxy.asked)


def test_proxy_of_no_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://me:password@proxy")
    with pytest.raises(ServerError, match="proxy") as caught:
        ask("http://server.invalid")
    assert "password" not in str(caught.value)


def test_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with answering([about()], context) as server:
        with pytest.raises(ServerError, match="certificate of https://127.* Nothing"):
            ask(server.address, token=TOKEN)
        assert server.asked == []
        # an authority of one's own
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        assert ask(server.address) == ABOUT
        # of another name
        name = server.address.replace("127.0.0.1", "localhost")
        with pytest.raises(ServerError, match="certificate of https://localhost"):
            ask(name)
        assert len(server.asked) == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ServerError, match="SSL_CERT_FILE"):
        ask("https://127.0.0.1:9")


def test_no_https_there(waits: list[float]) -> None:
    def nothing(asked: Asked) -> Said:
        return refusal(400)

    with answering(nothing) as server:
        with pytest.raises(ServerError, match="does not speak https"):
            ask(server.address.replace("http:", "https:"), token=TOKEN)
    assert waits == []

"""What should do no harm: each has its status, and the server serves on."""

from __future__ import annotations

import io
import json
import random
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image
from servers import SECONDS, Running, asking, encoded, png, running

from orangecontrib.imagemining.embedders.protocol import EMBED_PATH, pack_request

MAX_BODY = 300_000


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(
        max_body=MAX_BODY,
        arrive_seconds=0.5,
        header_seconds=0.5,
        idle_seconds=1,
        max_connections=2000,
    ) as run:
        yield run


@pytest.fixture(autouse=True)
def _serves_on(server: Running) -> Iterator[None]:
    yield
    assert server.is_serving()
    assert server.client.get("/ready").is_success


def said_to(server: Running, content: bytes) -> bytes:
    """Send bytes, and return what comes until the server closes the connection."""
    with server.connect() as raw:
        try:
            raw.sendall(content)
            return raw.makefile("rb").read()
        except ConnectionError:
            return b""


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


# Bodies --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/image/squeezenet1_1", EMBED_PATH])
def test_too_large_as_declared(server: Running, path: str) -> None:
    answer = server.client.post(path, content=bytes(MAX_BODY + 1))
    assert (answer.status_code, code_of(answer)) == (413, "too-large")


def test_too_large_is_not_waited_for(server: Running) -> None:
    for length in (b"999999999", b"9" * 400):
        answer = said_to(
            server,
            b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: " + length + b"\r\n\r\n",
        )
        assert status_of(answer) in (400, 413)
        assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("path", ["/image/squeezenet1_1", EMBED_PATH])
def test_too_large_and_not_declared(server: Running, path: str) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(20_000)

    answer = server.client.post(path, content=pieces())
    assert (answer.status_code, code_of(answer)) == (413, "too-large")


def test_too_much_at_once() -> None:
    with running(max_held=50_000) as run:
        answer = run.client.post("/image/squeezenet1_1", content=bytes(60_000))
        assert (answer.status_code, code_of(answer)) == (429, "busy")
        assert run.service._held.used == 0
        assert run.is_serving()


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 1000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_slow_sender(server: Running, head: bytes) -> None:
    answer = said_to(
        server, b"POST /image/squeezenet1_1 HTTP/1.1\r\nHost: x\r\n" + head
    )
    assert status_of(answer) == 408
    assert b"too-slow" in answer


def test_head_that_does_not_come(server: Running) -> None:
    assert said_to(server, b"") == b""
    assert said_to(server, b"GET /health HTTP/1.1\r\nHost:") == b""


def test_next_head_that_does_not_come(server: Running) -> None:
    with server.connect() as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nG")
        answer = raw.makefile("rb").read()
    assert status_of(answer) == 200


def test_body_that_breaks_off(server: Running) -> None:
    with server.connect() as raw:
        raw.sendall(
            b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nOIM"
        )
    server.log.wait_for("request", status=499, route=EMBED_PATH)


def test_compressed_body(server: Running) -> None:
    answer = server.client.post(
        EMBED_PATH, content=zlib.compress(b"x"), headers={"Content-Encoding": "deflate"}
    )
    assert (answer.status_code, code_of(answer)) == (415, "encoded")


# Heads ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flood",
    [
        b"".join(b"X-%d: %s\r\n" % (n, b"y" * 80) for n in range(2000)),
        b"X: " + b"y" * 1_000_000,
        b"Authorization: Bearer " + b"t" * 40_000 + b"\r\n",
        b"A: b\r\n" * 100_000,
    ],
)
def test_header_flood(server: Running, flood: bytes) -> None:
    answer = said_to(server, b"GET /health HTTP/1.1\r\nHost: x\r\n" + flood + b"\r\n")
    assert answer == b"" or status_of(answer) == 400


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Content-Length: 6\r\n\r\nhello",
        b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"zz\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_no_http(server: Running, content: bytes) -> None:
    answer = said_to(server, content)
    assert answer == b"" or status_of(answer) == 400


@pytest.mark.parametrize(
    "path",
    [
        "/image/..%2f..%2f..%2fetc%2fpasswd",
        "/image/../../etc/passwd",
        "/image/%2e%2e",
        "/image/onnx:%2Fetc%2Fpasswd",
        "/image/onnx:/etc/passwd",
        "/image/timm:resnet18.a1_in1k",
        "/image/squeezenet1_1%00.png",
        "/image/" + "a" * 5000,
        "/image/%ff%fe",
        "//image/squeezenet1_1",
        "/t/..%2f/image/squeezenet1_1/..",
    ],
)
def test_path_like_names(server: Running, path: str) -> None:
    content = png(0)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    answer = said_to(
        server, f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
    )
    assert status_of(answer) == 404
    assert b"root:" not in answer


@pytest.mark.parametrize(
    "network", ["../x", "onnx:/etc/passwd", "timm:hf-hub:a/b", "\ud800", "", "a" * 9999]
)
def test_path_like_names_in_our_protocol(server: Running, network: str) -> None:
    answer = server.client.post(
        EMBED_PATH, content=pack_request(asking([png(0)], network))
    )
    assert answer.status_code == 404


# Images --------------------------------------------------------------------------


def bomb(side: int) -> bytes:
    """Return a PNG of one colour; of 40,000² pixels it has 200 kB."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    pixels = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def html_and_gif() -> bytes:
    return b"GIF89a/*" + b"<script>alert(1)</script>*/=1;" + b"\0" * 40


def images() -> dict[str, bytes]:
    whole = encoded(1, "JPEG", (200, 150))
    wide = io.BytesIO()
    Image.new("L", (65000, 1)).save(wide, "PNG")
    return {
        "empty": b"",
        "truncated jpeg": whole[: len(whole) // 2],
        "truncated png": png(1)[:100],
        "head of a png": png(1)[:33],
        "html in a gif": html_and_gif(),
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc'/></svg>",
        "svg in xml": b"<?xml version='1.0'?><!DOCTYPE svg SYSTEM 'file:///etc'><svg/>",
        "html": b"<!doctype html><p>not found",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "pdf": b"%PDF-1.7\n",
        "zip": b"PK\x03\x04" + bytes(99),
        "path": b"/etc/passwd",
        "address": b"http://127.0.0.1/x.png",
        "zero size": png(1)[:16] + bytes(8) + png(1)[24:],
        "huge bmp": b"BM"
        + struct.pack(
            "<IIIIiiHHIIIIII", 99, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0
        ),
        "tiff that points at itself": b"II*\0"
        + struct.pack("<IHHHIII", 8, 1, 0xFFFF, 4, 1, 8, 8),
    }


@pytest.mark.parametrize("name", list(images()))
def test_what_is_no_image(server: Running, name: str) -> None:
    content = images()[name]
    answer = server.client.post("/image/squeezenet1_1", content=content)
    assert (answer.status_code, code_of(answer)) == (422, "no-image")
    reason = answer.json()["error"]["message"]
    assert server.embed(asking([content]), {"features": 512}).reasons == [reason]
    assert "log says" not in reason


def test_bomb_is_refused_before_it_is_decoded() -> None:
    content = bomb(40_000)
    assert len(content) < 300_000
    with running() as run:
        answer = run.client.post("/image/squeezenet1_1", content=content)
        assert (answer.status_code, code_of(answer)) == (422, "no-image")
        assert "40000 × 40000 pixels" in answer.json()["error"]["message"]
        line = run.log.wait_for("request")
        assert line["seconds"] < 5  # decoding takes many times as long
        assert "imagemining_decode_seconds_count 0" in run.client.get("/metrics").text


def test_picture_with_something_behind_it_is_a_picture(server: Running) -> None:
    content = png(3) + b"PK\x03\x04<script>alert(1)</script>"
    good = server.client.post("/image/squeezenet1_1", content=png(3)).json()
    assert server.client.post("/image/squeezenet1_1", content=content).json() == good


def test_prepared_pixels_of_another_size(server: Running) -> None:
    from orangecontrib.imagemining.embedders.protocol import ImageBody, Request

    wrong = [
        png(0),
        encoded(0, "JPEG", (227, 227)),
        b"",
        bomb(2000),
        png(1, (227, 227)),
    ]
    bodies = tuple(ImageBody(each, "prepared") for each in wrong)
    answer = server.embed(
        Request("squeezenet1_1", ("features",), bodies), {"features": 512}
    )
    assert [reason is None for reason in answer.reasons] == [False] * 4 + [True]


def test_too_many_images(server: Running) -> None:
    answer = server.client.post(EMBED_PATH, content=pack_request(asking([b""] * 257)))
    assert (answer.status_code, code_of(answer)) == (400, "bad-request")


@pytest.mark.filterwarnings("ignore:::PIL")  # as `serve` does
def test_fuzz(server: Running) -> None:
    chance = random.Random(3)
    good = [
        encoded(seed, kind)
        for seed, kind in enumerate(("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"))
    ]
    sent = []
    for content in good * 20:
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 12)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        sent.append(bytes(damaged[: chance.randint(1, 2 * len(damaged))]))
    answer = server.embed(asking(sent), {"features": 512})
    n_good = answer.reasons.count(None)
    assert 0 < n_good < len(sent)
    assert not server.log.lines("failure")
    request = pack_request(asking(good[:2]))
    for _ in range(60):
        damaged = bytearray(request)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(12, 200)] = chance.randrange(256)
        # with a checksum that fits, or nothing else would be looked at
        damaged[8:12] = struct.pack("<I", zlib.crc32(damaged[12:]))
        status = server.client.post(EMBED_PATH, content=bytes(damaged)).status_code
        assert status in (200, 400, 404)
    assert not server.log.lines("failure")


# Many ----------------------------------------------------------------------------


def test_a_thousand_connections(server: Running) -> None:
    content = png(0)
    head = b"POST /image/squeezenet1_1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(content) + content
    raws: list[socket.socket] = []
    try:
        for _ in range(1000):
            raws.append(server.connect())
        # every fiftieth asks for something
        askers = raws[::50]
        for raw in askers:
            raw.sendall(request)
        answers = [raw.makefile("rb").read() for raw in askers]
    finally:
        for raw in raws:
            raw.close()
    assert [status_of(answer) for answer in answers] == [200] * 20
    bodies = {answer.split(b"\r\n\r\n", 1)[1] for answer in answers}
    assert all(len(json.loads(body)["embedding"]) == 512 for body in bodies)


def test_more_connections_than_allowed() -> None:
    with running(max_connections=10) as run:
        raws = [run.connect() for _ in range(12)]
        try:
            answer = httpx.get(run.address + "/health", timeout=SECONDS)
            assert answer.status_code == 503
        finally:
            for raw in raws:
                raw.close()
        alone = threading.Event()
        while len(run.server.server_state.connections) > 1:
            alone.wait(0.01)
        assert run.is_serving()


def test_wrong_tokens_by_the_hundred() -> None:
    from orangecontrib.imagemining.server.tokens import Tokens

    with running(tokens=Tokens(["a-token-of-the-tests"])) as run:
        for number in range(200):
            headers: dict[str, Any] = {"Authorization": f"Bearer {number:020}"}
            assert run.client.get("/networks", headers=headers).status_code == 401
        good = {"Authorization": "Bearer a-token-of-the-tests"}
        assert run.client.get("/networks", headers=good).is_success

"""What should do no harm: each has its status, and the server serves on."""

from __future__ import annotations

import io
import json
import os
import random
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import picture
from PIL import Image, ImageFile, features
from servers import SECONDS, Running, asking, encoded, png, running, wait_until

from orangecontrib.imagemining.embedders.protocol import (
    EMBED_PATH,
    ImageBody,
    Request,
    pack_request,
)
from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import ImageReader, Limits
from orangecontrib.imagemining.server.compute import pixels_of
from orangecontrib.imagemining.server.tokens import Tokens
from orangecontrib.imagemining.specs import EmbedderSpec

MAX_BODY = 300_000
N_FUZZED = int(os.environ.get("IMAGEMINING_FUZZ", "700"))


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(max_body=MAX_BODY, max_connections=2000) as run:
        yield run


@pytest.fixture(scope="module")
def hasty() -> Iterator[Running]:
    """Run a server that waits for nobody."""
    with running(arrive_seconds=0.3, header_seconds=0.3, idle_seconds=1) as run:
        yield run


@pytest.fixture(autouse=True)
def _serves_on(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for name in {"server", "hasty"}.intersection(request.fixturenames):
        run = request.getfixturevalue(name)
        # the hasty one may take this computer for slow, but not for long
        wait_until(run.is_serving) if name == "hasty" else check(run.is_serving())


def check(condition: bool) -> None:
    assert condition, "it does not serve any more"


def said_to(server: Running, content: bytes) -> bytes:
    """Send bytes, and return what comes until the server closes the connection."""
    with server.connect() as raw:
        raw.sendall(content)
        return said_by(raw)


def said_by(raw: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    with raw.makefile("rb") as stream:
        return stream.read()


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
            b"POST /v1/embed HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
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
def test_slow_sender(hasty: Running, head: bytes) -> None:
    answer = said_to(
        hasty, b"POST /image/squeezenet1_1 HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head
    )
    assert status_of(answer) == 408
    assert b"too-slow" in answer


def test_head_that_does_not_come(hasty: Running) -> None:
    assert said_to(hasty, b"") == b""
    assert said_to(hasty, b"GET /health HTTP/1.1\r\nHost:") == b""


def test_next_head_that_does_not_come(hasty: Running) -> None:
    with hasty.connect() as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nG")
        answer = raw.makefile("rb").read()
    assert status_of(answer) == 200


def test_body_that_breaks_off(server: Running) -> None:
    with server.connect() as raw:
        raw.sendall(
            b"POST /v1/embed HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Length: 99\r\n\r\nOIM"
        )
    server.log.wait_for("request", status=499, route=EMBED_PATH)


def test_compressed_body(server: Running) -> None:
    answer = server.client.post(
        EMBED_PATH, content=zlib.compress(b"x"), headers={"Content-Encoding": "deflate"}
    )
    assert (answer.status_code, code_of(answer)) == (415, "encoded")


def test_slow_reader(hasty: Running) -> None:
    # it asks for a thousand pages and takes none of them
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", hasty.server.port))
        me = raw.getsockname()
        raw.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 1000)
        wait_until(lambda: me in peers(hasty))
        wait_until(lambda: me not in peers(hasty))


def peers(server: Running) -> list[Any]:
    """Return the clients' ends of all connections."""
    return [each.client for each in list(server.server.server_state.connections)]


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
    answer = said_to(
        server, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n" + flood + b"\r\n"
    )
    assert status_of(answer) == 400
    assert b"bad-request" in answer


def test_header_flood_on_an_open_connection(server: Running) -> None:
    with server.connect() as raw:
        answers = raw.makefile("rb")
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert answers.readline().startswith(b"HTTP/1.1 200")
        raw.sendall(b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 100_000)
        assert b"HTTP/1.1 400" in answers.read()


def test_flood_without_an_end_is_cut_off(server: Running) -> None:
    with server.connect() as raw:
        raw.settimeout(SECONDS)
        end = time.monotonic() + SECONDS
        with pytest.raises(ConnectionError):
            while time.monotonic() < end:
                raw.sendall(b"A: b\r\n" * 1000)
    connections = server.server.server_state.connections
    wait_until(lambda: not any(each._is_over for each in list(connections)))


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/embed HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/embed HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n"
        b"Content-Length: 6\r\n\r\nhello",
        b"POST /v1/embed HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_no_http(server: Running, content: bytes) -> None:
    answer = said_to(server, content)
    assert status_of(answer) == 400
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]


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
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
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


def sized(content: bytes, place: int, form: str, side: int = 65500) -> bytes:
    """Return an image that says it is `side` pixels wide and high."""
    numbers = struct.pack(form, side, side)
    changed = content[:place] + numbers + content[place + len(numbers) :]
    if changed.startswith(b"\x89PNG"):
        check = struct.pack(">I", zlib.crc32(changed[12:29]))
        changed = changed[:29] + check + changed[33:]
    return changed


def huge_tiff() -> bytes:
    """Return a TIFF of 65,500² pixels of 16 bits, in one strip of a few bytes."""
    packed = zlib.compress(bytes(99))
    tags = [
        (256, 4, 65500),
        (257, 4, 65500),
        (258, 3, 16),
        (259, 3, 8),
        (262, 3, 1),
        (273, 4, 200),
        (277, 3, 1),
        (278, 4, 65500),
        (279, 4, len(packed)),
    ]
    entries = b"".join(struct.pack("<HHII", t, kind, 1, v) for t, kind, v in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head.ljust(200, b"\0") + packed


def text_bomb() -> bytes:
    """Return a PNG whose text is longer than all that it may be."""
    text = b"Comment\0\0" + zlib.compress(bytes(9_000_000), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + text))
    whole = png(1)
    return whole[:33] + chunk + whole[33:]


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
        "huge jpeg": sized(whole, whole.index(b"\xff\xc0") + 5, ">HH"),
        "huge png": sized(png(1), 16, ">II"),
        "huge gif": sized(encoded(1, "GIF"), 6, "<HH"),
        "huge webp": sized(encoded(1, "WEBP"), 26, "<HH", 16383),
        "huge tiff": huge_tiff(),
        "text that unpacks to 9 MB": text_bomb(),
    }


@pytest.mark.parametrize("name", list(images()))
def test_what_is_no_image(server: Running, name: str) -> None:
    content = images()[name]
    answer = server.client.post("/image/squeezenet1_1", content=content)
    assert (answer.status_code, code_of(answer)) == (422, "no-image")
    reason = answer.json()["error"]["message"]
    assert server.embed(asking([content]), {"features": 512}).reasons == [reason]
    assert "log says" not in reason


def test_bomb_is_refused_before_it_is_decoded(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[tuple[int, int]] = []
    load = ImageFile.ImageFile.load

    def noted(image: ImageFile.ImageFile) -> Any:
        decoded.append(image.size)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", noted)
    content = bomb(40_000)
    assert len(content) < MAX_BODY
    answer = server.client.post("/image/squeezenet1_1", content=content)
    assert (answer.status_code, code_of(answer)) == (422, "no-image")
    assert "40000 × 40000 pixels" in answer.json()["error"]["message"]
    assert decoded == []
    assert server.is_serving()
    assert decoded  # that picture was


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_picture_with_something_behind_it_is_a_picture(
    server: Running, kind: str
) -> None:
    whole = encoded(3, kind)
    content = whole + b"PK\x03\x04%PDF-1.7<script>alert(1)</script><svg/>"
    good = server.client.post("/image/squeezenet1_1", content=whole)
    answer = server.client.post("/image/squeezenet1_1", content=content)
    assert (answer.status_code, answer.json()) == (200, good.json())
    # nor is the answer ever taken for what was sent
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_prepared_pixels_of_another_size(server: Running) -> None:
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


def kinds() -> list[bytes]:
    """Return small images of all formats that are decoded, in many ways of writing."""
    base = picture(1)
    deep = Image.fromarray(np.asarray(base.convert("L"), np.uint16) * 200)
    ways: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (base, "PNG", {}),
        (base.convert("P"), "PNG", {"transparency": 3}),
        (base.convert("1"), "PNG", {}),
        (deep, "PNG", {}),
        (base, "JPEG", {}),
        (base, "JPEG", {"progressive": True, "subsampling": 0}),
        (base.convert("CMYK"), "JPEG", {}),
        (base, "GIF", {"save_all": True, "append_images": [picture(2)]}),
        (base, "BMP", {}),
        (base.convert("P"), "BMP", {}),
        (base, "WEBP", {"lossless": True}),
        (base, "WEBP", {"save_all": True, "append_images": [picture(2)]}),
        (base, "TIFF", {}),
        (base, "TIFF", {"compression": "tiff_lzw"}),
        (base, "TIFF", {"compression": "jpeg"}),
        (base.convert("1"), "TIFF", {"compression": "group4"}),
        (deep, "TIFF", {"compression": "tiff_adobe_deflate"}),
    ]
    if features.check("avif"):
        ways.append((base, "AVIF", {}))
    found = []
    for image, kind, options in ways:
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        found.append(stream.getvalue())
    return found


@pytest.mark.filterwarnings("ignore:::PIL")  # as `serve` does
def test_decoders_raise_nothing_unforeseen() -> None:
    chance = random.Random(11)
    way = EmbedderSpec("squeezenet1_1", "features")
    good, n_refused = kinds(), 0
    with ImageReader(Limits(max_pixels=10**6)) as reader:
        for number in range(N_FUZZED):
            damaged = bytearray(good[number % len(good)])
            for _ in range(chance.choice((1, 1, 2, 4, 16))):
                place = chance.randrange(len(damaged))
                how = chance.random()
                if how < 0.7:
                    # heads are where harm is done
                    place = chance.randrange(min(len(damaged), 200))
                    damaged[place] = chance.choice((0, 1, 127, 128, 255, place % 256))
                elif how < 0.85:
                    del damaged[place : place + chance.randint(1, 40)]
                else:
                    damaged[place:place] = chance.randbytes(chance.randint(1, 40))
                damaged = damaged or bytearray(1)
            try:
                pixels = pixels_of(ImageBody(bytes(damaged)), way, reader)
                assert (pixels.shape, pixels.dtype) == ((227, 227, 3), np.uint8)
            except ImageError as ex:
                assert str(ex)
                n_refused += 1
    assert 0.2 * N_FUZZED < n_refused < 0.95 * N_FUZZED


@pytest.mark.filterwarnings("ignore:::PIL")
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
    head = b"POST /image/squeezenet1_1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += b"Connection: close\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(content) + content
    short = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    raws: list[socket.socket] = []
    try:
        for _ in range(1000):
            raws.append(server.connect())
        # all ask for something, every fiftieth for a vector
        for place, raw in enumerate(raws):
            raw.sendall(short if place % 50 else request)
        answers = [said_by(raw) for raw in raws]
    finally:
        for raw in raws:
            raw.close()
    assert [status_of(answer) for answer in answers] == [200] * 1000
    vectors = {answer.partition(b"\r\n\r\n")[2] for answer in answers[::50]}
    assert [len(json.loads(vector)["embedding"]) for vector in vectors] == [512]


def test_more_connections_than_allowed() -> None:
    with running(max_connections=10) as run:
        raws = [run.connect() for _ in range(12)]
        try:
            answer = httpx.get(run.address + "/health", timeout=SECONDS)
            assert answer.status_code == 503
        finally:
            for raw in raws:
                raw.close()
        wait_until(lambda: len(run.server.server_state.connections) < 2)
        assert run.is_serving()


def test_wrong_tokens_by_the_hundred() -> None:
    with running(tokens=Tokens(["a-token-of-the-tests"])) as run:
        for number in range(200):
            headers: dict[str, Any] = {"Authorization": f"Bearer {number:020}"}
            assert run.client.get("/networks", headers=headers).status_code == 401
        good = {"Authorization": "Bearer a-token-of-the-tests"}
        assert run.client.get("/networks", headers=good).is_success

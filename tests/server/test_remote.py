"""The client: the same vectors, through good days of the network and bad ones."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import picture
from faults import Faults, bad_connection
from servers import Running, make_up_weights, running

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders import connection as connection_module
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.embedders.connection import Connection, address_of
from orangecontrib.imagemining.embedders.remote import RemoteEmbedder, about_server
from orangecontrib.imagemining.embedders.remotestore import StoredVectors
from orangecontrib.imagemining.exceptions import (
    ServerError,
    TaskCancelled,
    UnknownNameError,
)
from orangecontrib.imagemining.server import works as works_module
from orangecontrib.imagemining.server.tokens import Tokens
from orangecontrib.imagemining.specs import EmbedderSpec

SPEC = EmbedderSpec("squeezenet1_1", "features")
TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    file = make_up_weights("resnet18")
    names = ("squeezenet1_1", "squeezenet_imageanalytics", "resnet18")
    with running(networks=names) as run:
        yield run
    file.unlink()


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    found = []
    for number in range(40):
        path = tmp_path / f"{number}.{('png', 'jpg', 'tif')[number % 3]}"
        picture(number, (100 + 9 * number, 80 + number)).save(path)
        found.append(str(path))
    return found


def locally(spec: EmbedderSpec, paths: Sequence[str | None]) -> np.ndarray:
    return LocalEmbedder(spec, cache=VectorStore.in_memory())(paths).vectors


def assert_same(got: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.nanmax(np.abs(expected)))


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        EmbedderSpec("squeezenet1_1", "stages", 2, "pad"),
        EmbedderSpec("squeezenet1_1", "probabilities", 8, "crop"),
        EmbedderSpec("squeezenet1_1", "features", 10, "crop"),
        EmbedderSpec("squeezenet_imageanalytics", "logits"),
        EmbedderSpec("resnet18", "features", 1, "crop"),
    ],
)
def test_same_as_local(server: Running, paths: list[str], spec: EmbedderSpec) -> None:
    some = paths[:7]
    result = RemoteEmbedder(server.address, spec)(some)
    assert (result.reasons, result.trouble) == ([None] * 7, "")
    assert_same(result.vectors, locally(spec, some))


def test_each_image_has_its_outcome(server: Running, paths: list[str]) -> None:
    folder = Path(paths[0]).parent
    (folder / "text.png").write_text("hello")
    images = [
        paths[0],
        None,
        str(folder / "text.png"),
        "",
        str(folder / "no"),
        paths[1],
    ]
    told: list[float] = []
    result = RemoteEmbedder(server.address, SPEC)(
        images, lambda f, s="": told.append(f)
    )
    assert [reason is None for reason in result.reasons] == [
        True,
        False,
        False,
        False,
        False,
        True,
    ]
    assert np.isnan(result.vectors[1:5]).all()
    assert told == sorted(told) and told[-1] == 1


class Kept:
    """Vectors that are known, by source."""

    def __init__(self) -> None:
        self.vectors: dict[str, np.ndarray] = {}
        self.n_kept = 0

    def lookup(self, images: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
        nothing = np.full(512, np.nan, np.float32)
        vectors = [self.vectors.get(image or "", nothing) for image in images]
        return np.array(vectors), np.array([image in self.vectors for image in images])

    def keep(self, images: Sequence[str], vectors: np.ndarray) -> None:
        self.n_kept += len(images)
        self.vectors.update(zip(images, vectors, strict=True))


def test_what_is_known_is_not_sent(server: Running, paths: list[str]) -> None:
    known = Kept()
    RemoteEmbedder(server.address, SPEC, known=known)(paths[:10])
    assert known.n_kept == 10
    before = server.service.metrics.images.total()
    result = RemoteEmbedder(server.address, SPEC, known=known)(paths[:12])
    assert server.service.metrics.images.total() - before == 2
    assert known.n_kept == 12
    assert_same(result.vectors, locally(SPEC, paths[:12]))


def test_all_known_needs_no_server(paths: list[str]) -> None:
    known = Kept()
    known.keep(paths[:1], np.ones((1, 512), np.float32))
    result = RemoteEmbedder("http://127.0.0.1:9", SPEC, known=known)(paths[:1])
    assert (result.vectors == 1).all()


def test_token(paths: list[str]) -> None:
    with running(tokens=Tokens([TOKEN])) as run:
        good = RemoteEmbedder(run.address, SPEC, TOKEN)(paths[:2])
        assert good.reasons == [None, None]
        for wrong in (None, "wrong"):
            with pytest.raises(ServerError, match="token"):
                RemoteEmbedder(run.address, SPEC, wrong)(paths[:2])


def test_network_is_never_another_one(
    server: Running, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServerError, match="does not offer ResNet-34"):
        RemoteEmbedder(server.address, EmbedderSpec("resnet34", "features"))(paths[:1])
    with pytest.raises(UnknownNameError):
        RemoteEmbedder(server.address, EmbedderSpec("nothing", "features"))
    offered = server.service.catalogue.describe()
    offered[0]["tensors_sha256"] = "0" * 64
    monkeypatch.setattr(server.service.catalogue, "describe", lambda: offered)
    with pytest.raises(ServerError, match="other weights"):
        RemoteEmbedder(server.address, SPEC)(paths[:1])


def test_server_that_is_not_there(paths: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    embedder = RemoteEmbedder(f"127.0.0.1:{port}", SPEC, patience=0.1)
    with pytest.raises(ServerError, match="cannot be reached"):
        embedder(paths[:1])
    with pytest.raises(ServerError, match="cannot be reached"):
        about_server(f"127.0.0.1:{port}", patience=0.1)


def test_about(server: Running) -> None:
    about = about_server(server.address + "/")
    assert [each["name"] for each in about["networks"]][0] == "squeezenet1_1"


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
        ("http://server/?a=b", None),
    ],
)
def test_addresses(text: str, address: str | None) -> None:
    if address is None:
        with pytest.raises(ServerError, match="no address"):
            address_of(text)
    else:
        assert address_of(text) == address


def test_cancel_within_a_second(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, began = threading.Event(), threading.Event()

    class Stuck:
        def run(self, pixels: np.ndarray, layers: list[str]) -> Any:
            began.set()
            gate.wait(60)
            return {name: np.zeros((len(pixels), 512), np.float32) for name in layers}

    monkeypatch.setattr(works_module, "engine_of", lambda way: Stuck())
    stopped: list[float] = []

    def progress(fraction: float, status: str = "") -> None:
        if began.is_set():
            stopped.append(time.monotonic())
            raise TaskCancelled

    with running() as run:
        with pytest.raises(TaskCancelled):
            RemoteEmbedder(run.address, SPEC)(paths, progress)
        assert time.monotonic() - stopped[0] < 1.5
        run.log.wait_for("request", status=499)
        gate.set()


@pytest.mark.parametrize(
    "faults",
    [
        Faults(drop=0.5),
        Faults(cut=0.03),
        Faults(garble=0.03),
        Faults(delay=0.3),
        Faults(drop=0.1, cut=0.01, garble=0.01, delay=0.1),
    ],
    ids=["drop", "cut", "garble", "delay", "all"],
)
def test_bad_connections_lose_nothing(
    paths: list[str], faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "_FIRST_WAIT", 0.02)
    # answers whose length was garbled are waited for
    monkeypatch.setattr(connection_module, "_READ", 3.0)
    with running(arrive_seconds=1, idle_seconds=1) as run:
        target = ("127.0.0.1", run.server.port)
        with bad_connection(target, faults, 5) as proxy:
            while not sum(proxy.counts.values()):  # else nothing was tried
                known = Kept()
                embedder = RemoteEmbedder(proxy.address, SPEC, known=known)
                result = embedder(paths[:24])
        assert (result.trouble, result.reasons) == ("", [None] * 24)
        assert known.n_kept == 24
    assert_same(result.vectors, locally(SPEC, paths[:24]))


def test_server_that_goes_leaves_what_is_done(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "_FIRST_WAIT", 0.02)
    known = Kept()
    with running() as run:
        target = ("127.0.0.1", run.server.port)
        with bad_connection(target, Faults()) as proxy:

            def break_it(fraction: float, status: str = "") -> None:
                if known.n_kept:
                    proxy.target = ("127.0.0.1", 9)
                    proxy.faults = Faults(drop=1.0, cut=1.0)

            embedder = RemoteEmbedder(
                proxy.address, SPEC, known=known, patience=0.3, most=1
            )
            first = embedder(paths, break_it)
            n_done = first.reasons.count(None)
            assert 0 < n_done < len(paths)
            assert known.n_kept == n_done
            assert "cannot be reached" in first.trouble
            waiting = [reason for reason in first.reasons if reason]
            assert all("send again" in reason for reason in waiting)
            # it comes back, and the rest is done
            proxy.target, proxy.faults = target, Faults()
            second = embedder(paths)
            assert (second.trouble, second.reasons) == ("", [None] * len(paths))
            assert known.n_kept == len(paths)
    assert_same(second.vectors, locally(SPEC, paths))


# Answers by the letter ------------------------------------------------------------


def ask(handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> Any:
    import asyncio

    async def main() -> Any:
        transport = httpx.MockTransport(handler)
        async with httpx.AsyncClient(transport=transport) as client:
            async with Connection("http://server", client=client, **options) as line:
                return await line.about()

    return asyncio.run(main())


def one_after_the_other(
    answers: list[httpx.Response],
) -> Callable[[httpx.Request], httpx.Response]:
    left = iter(answers)
    return lambda request: next(left)


def test_what_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(connection_module.asyncio, "sleep", sleep)
    about = {"protocol": 1, "networks": []}
    for status in (429, 502, 503, 504):
        answers = [httpx.Response(status)] * 3 + [httpx.Response(200, json=about)]
        waits.clear()
        assert ask(one_after_the_other(answers)) == about
        assert len(waits) == 3
        assert 0.12 < waits[0] <= 0.25 < waits[2] <= 1.0
    answers = [
        httpx.Response(429, headers={"Retry-After": "7"}),
        httpx.Response(200, json=about),
    ]
    waits.clear()
    assert ask(one_after_the_other(answers)) == about
    assert waits == [7.0]


@pytest.mark.parametrize("status", [401, 403])
def test_what_is_not_tried_again(status: int) -> None:
    n = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal n
        n += 1
        return httpx.Response(status)

    with pytest.raises(ServerError):
        ask(answer)
    assert n == 1


def test_other_version_of_the_protocol() -> None:
    with pytest.raises(ServerError, match="version 2"):
        ask(lambda _: httpx.Response(200, json={"protocol": 2, "networks": []}))


def test_line_adapts() -> None:
    line = connection_module.Line(8)
    assert line.limit == 2
    for _ in range(60):
        line.went_well()
    assert line.limit == 8
    line.went_badly()
    assert line.limit == 4
    for _ in range(5):
        line.went_badly()
    assert line.limit == 1


def test_spec_is_kept(server: Running) -> None:
    embedder = RemoteEmbedder(server.address, SPEC)
    assert (embedder.spec, embedder.size) == (SPEC, 512)
    assert dataclasses.asdict(embedder.spec)["network"] == "squeezenet1_1"


def test_store_of_this_computer(server: Running, paths: list[str]) -> None:
    store = VectorStore.in_memory()
    remote = RemoteEmbedder(server.address, SPEC, known=StoredVectors(SPEC, store))
    first = remote(paths[:5])
    before = server.service.metrics.images.total()
    again = remote(paths[:5])
    assert server.service.metrics.images.total() == before
    np.testing.assert_array_equal(again.vectors, first.vectors)
    # what the server computed, this computer need not
    local = LocalEmbedder(SPEC, cache=store)(paths[:6])
    assert local.n_known == 5
    np.testing.assert_array_equal(local.vectors[:5], first.vectors)

"""The client: the same vectors, through good days of the network and bad ones."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import Said, about, answering, refusal
from conftest import picture
from faults import Faults, bad_connection
from PIL import Image
from servers import Running, make_up_weights, running

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders import connection as connection_module
from orangecontrib.imagemining.embedders import remoteimages as images_module
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.embedders.pipeline import FileContent
from orangecontrib.imagemining.embedders.remote import (
    RemoteEmbedder,
    RemoteEmbeddings,
    about_server,
)
from orangecontrib.imagemining.embedders.remoterun import Order, Outcome, Run
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
SOON = 5.0  # a second, and much more on a busy computer; it would be a minute


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

    def lookup(
        self, images: Sequence[str | None], progress: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        nothing = np.full(512, np.nan, np.float32)
        vectors = [self.vectors.get(image or "", nothing) for image in images]
        return np.array(vectors), np.array([image in self.vectors for image in images])

    def find(self, file: FileContent, layers: Sequence[str]) -> dict[str, np.ndarray]:
        return {}

    def keep(
        self, files: Sequence[FileContent], vectors: Mapping[str, np.ndarray]
    ) -> None:
        self.n_kept += len(files)
        for file, vector in zip(files, vectors["features"], strict=True):
            assert file.source not in self.vectors  # none twice
            self.vectors[file.source] = vector


def test_what_is_known_is_not_sent(server: Running, paths: list[str]) -> None:
    known = Kept()
    RemoteEmbedder(server.address, SPEC, known=known)(paths[:10])
    assert known.n_kept == 10
    before = server.service.metrics.images.total()
    result = RemoteEmbedder(server.address, SPEC, known=known)(paths[:12])
    assert server.service.metrics.images.total() - before == 2
    assert (known.n_kept, result.n_known) == (12, 10)
    assert_same(result.vectors, locally(SPEC, paths[:12]))


def test_all_known_needs_no_server(paths: list[str]) -> None:
    known = Kept()
    known.keep([FileContent(paths[0])], {"features": np.ones((1, 512), np.float32)})
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


class Canceller:
    """A progress that ends the work, soon after an event."""

    def __init__(self) -> None:
        self.when = threading.Event()
        self.stopped = 0.0

    def __call__(self, fraction: float, status: str = "") -> None:
        if self.when.is_set():
            self.stopped = time.monotonic()
            raise TaskCancelled

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.stopped


def test_cancel_while_the_server_computes(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, cancel = threading.Event(), Canceller()

    class Stuck:
        def run(self, pixels: np.ndarray, layers: list[str]) -> Any:
            cancel.when.set()
            gate.wait(60)
            return {name: np.zeros((len(pixels), 512), np.float32) for name in layers}

    monkeypatch.setattr(works_module, "engine_of", lambda way: Stuck())
    with running() as run:
        with pytest.raises(TaskCancelled):
            RemoteEmbedder(run.address, SPEC)(paths, cancel)
        assert cancel.seconds < SOON
        run.log.wait_for("request", status=499)
        gate.set()


@pytest.mark.parametrize("said", [Said(hangs=True), refusal(429, Retry_After="60")])
def test_cancel_while_waiting_for_the_server(paths: list[str], said: Said) -> None:
    cancel = Canceller()
    networks = [
        {"name": "squeezenet1_1", "layers": [{"name": "features", "size": 512}]}
    ]
    with answering([about(networks=networks), said]) as server:

        def progress(fraction: float, status: str = "") -> None:
            if len(server.asked) > 1:
                cancel.when.set()
            cancel(fraction, status)

        with pytest.raises(TaskCancelled):
            RemoteEmbedder(server.address, SPEC)(paths, progress)
        assert cancel.seconds < SOON


def test_cancel_while_images_are_read(
    server: Running, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, cancel = threading.Event(), Canceller()

    def read(*arguments: Any) -> FileContent:
        cancel.when.set()
        gate.wait(60)
        return FileContent(paths[0], reason="too late")

    monkeypatch.setattr(images_module.ImageSender, "read", read)
    with pytest.raises(TaskCancelled):
        RemoteEmbedder(server.address, SPEC)(paths, cancel)
    assert cancel.seconds < SOON
    gate.set()


def test_cancelled_work_is_kept(server: Running, paths: list[str]) -> None:
    known = Kept()

    def progress(fraction: float, status: str = "") -> None:
        if known.n_kept:
            raise TaskCancelled

    embedder = RemoteEmbedder(server.address, SPEC, known=known, most=1)
    with pytest.raises(TaskCancelled):
        embedder(paths, progress)
    n_kept = known.n_kept
    result = embedder(paths)
    assert (result.n_known, result.reasons) == (n_kept, [None] * len(paths))
    assert_same(result.vectors, locally(SPEC, paths))


def test_what_came_while_it_was_stopped_is_not_lost() -> None:
    def connect() -> Any:
        raise ServerError("not here")

    order = Order(connect, lambda about: None, lambda file: {}, SPEC, "", {})
    run, outcome = Run(order, []), Outcome(0, FileContent("a.png"), is_new=True)
    run.start()
    run._outcomes.put([outcome])
    assert run.stop() == [outcome]


def until_done(
    embedder: RemoteEmbedder, paths: Sequence[str], known: Kept
) -> RemoteEmbeddings:
    """Call again, as one may when a refusal that was garbled ended a run."""
    for _ in range(20):
        n_kept = known.n_kept
        try:
            result = embedder(paths)
        except ServerError as ex:
            assert known.n_kept == n_kept, ex
            continue
        # what is done is here, and kept
        assert result.reasons.count(None) == known.n_kept
        if not result.trouble:
            return result
    raise AssertionError("it does not come to an end")


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
    monkeypatch.setattr(connection_module, "_READ", 2.0)
    with running(arrive_seconds=1, idle_seconds=1) as run:
        target = ("127.0.0.1", run.server.port)
        with bad_connection(target, faults, 5) as proxy:
            while not sum(proxy.counts.values()):  # else nothing was tried
                known = Kept()
                embedder = RemoteEmbedder(proxy.address, SPEC, known=known)
                result = until_done(embedder, paths[:24], known)
        assert (result.trouble, result.reasons) == ("", [None] * 24)
        assert known.n_kept == 24
    assert_same(result.vectors, locally(SPEC, paths[:24]))


def test_slow_line(tmp_path: Path) -> None:
    # 155 kB each: three of them take longer than the server waits for a request
    rng = np.random.default_rng(0)
    paths = []
    for number in range(6):
        paths.append(str(tmp_path / f"noise {number}.png"))
        noise = rng.integers(0, 256, (227, 227, 3), np.uint8)
        Image.fromarray(noise).save(paths[-1])
    with running(arrive_seconds=0.9) as run:
        target = ("127.0.0.1", run.server.port)
        with bad_connection(target, Faults(pace=0.04)) as proxy:
            result = RemoteEmbedder(proxy.address, SPEC, most=1)(paths)
        assert (result.trouble, result.reasons) == ("", [None] * 6)
        run.log.wait_for("request", status=408)
    assert_same(result.vectors, locally(SPEC, paths))


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


def test_spec_is_kept(server: Running) -> None:
    embedder = RemoteEmbedder(server.address, SPEC)
    assert (embedder.spec, embedder.size) == (SPEC, 512)


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


def test_moved_images_are_known_by_their_content(
    server: Running, paths: list[str], tmp_path: Path
) -> None:
    store = VectorStore.in_memory()
    remote = RemoteEmbedder(server.address, SPEC, known=StoredVectors(SPEC, store))
    first = remote(paths[:4])
    copies = [
        shutil.copy(path, tmp_path / f"copy of {Path(path).name}") for path in paths
    ]
    before = server.service.metrics.images.total()
    moved = remote([str(copy) for copy in copies[:4]])
    assert server.service.metrics.images.total() == before
    assert moved.n_known == 4
    np.testing.assert_array_equal(moved.vectors, first.vectors)


def test_image_that_changes_is_not_kept_as_what_it_was(
    server: Running, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = VectorStore.in_memory()
    plain = images_module.ImageSender.read

    def read(self: Any, source: str, contents: Any) -> FileContent:
        file = plain(self, source, contents)
        shutil.copy(paths[1], paths[0])  # just after
        return file

    monkeypatch.setattr(images_module.ImageSender, "read", read)
    old = locally(SPEC, paths[:1])
    remote = RemoteEmbedder(server.address, SPEC, known=StoredVectors(SPEC, store))
    assert_same(remote(paths[:1]).vectors, old)
    monkeypatch.undo()
    assert_same(remote(paths[:1]).vectors, locally(SPEC, paths[1:2]))


def test_other_layers_in_the_same_go(server: Running, paths: list[str]) -> None:
    store = VectorStore.in_memory()
    likely = EmbedderSpec("squeezenet1_1", "probabilities")
    known = StoredVectors(SPEC, store)
    remote = RemoteEmbedder(server.address, SPEC, known=known, also=["probabilities"])
    remote(paths[:5])
    before = server.service.metrics.images.total()
    later = RemoteEmbedder(server.address, likely, known=StoredVectors(likely, store))
    result = later(paths[:5])
    assert server.service.metrics.images.total() == before
    assert_same(result.vectors, locally(likely, paths[:5]))


def test_what_is_too_large_for_the_server(paths: list[str]) -> None:
    # of a square of noise more is left than the server takes
    rng = np.random.default_rng(0)
    noise = Path(paths[0]).parent / "noise.png"
    Image.fromarray(rng.integers(0, 256, (300, 300, 3), np.uint8)).save(noise)
    images = [*paths[:3], str(noise), *paths[3:6]]
    with running(max_body=100_000) as run:
        result = RemoteEmbedder(run.address, SPEC)(images)
    assert [reason is None for reason in result.reasons] == [True] * 3 + [False] + [
        True
    ] * 3
    assert "refuses it" in (result.reasons[3] or "")
    assert result.trouble == ""


def test_waiting_is_told(paths: list[str]) -> None:
    told: list[str] = []
    with answering([refusal(503, "closing")]) as server:
        with pytest.raises(ServerError):
            RemoteEmbedder(server.address, SPEC, patience=0.05)(
                paths[:2], lambda fraction, status="": told.append(status)
            )
    assert f"0 of 2 images; {server.address}: closing" in told

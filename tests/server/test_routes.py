"""What the server answers to those who ask properly, and to those who may not."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hmac import compare_digest
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from servers import (
    SECONDS,
    Running,
    asking,
    encoded,
    png,
    running,
    wait_until,
)

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.protocol import EMBED_PATH, pack_request
from orangecontrib.imagemining.exceptions import ServerError, WeightsError
from orangecontrib.imagemining.server import service as service_module
from orangecontrib.imagemining.server import tokens as tokens_module
from orangecontrib.imagemining.server import works as works_module
from orangecontrib.imagemining.server.settings import Settings
from orangecontrib.imagemining.server.tokens import Tokens
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.weights import WEIGHTS

TOKEN, OTHER = "a-token-of-the-tests", "another_token_of_theirs"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(networks=("squeezenet1_1", "squeezenet_imageanalytics")) as run:
        yield run


@pytest.fixture(scope="module")
def locked() -> Iterator[Running]:
    with running(tokens=Tokens([TOKEN, OTHER])) as run:
        yield run


def error_of(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error["message"]
    return str(error["code"])


def test_networks_are_told(server: Running) -> None:
    about = server.client.get("/networks").json()
    assert about["protocol"] == 1
    first, old = about["networks"]
    assert first["name"] == "squeezenet1_1"
    assert first["layers"][0] == {"name": "features", "size": 512}
    assert first["layers"][-1] == {"name": "probabilities", "size": 1000}
    assert first["tensors_sha256"].startswith("40371f97")
    assert "MIT" in first["licence"]
    assert {"views": 144, "fits": ["stretch"]} in first["views"]
    assert first["imagenet"] and first["classes"] == []
    assert old["old_names"] == ["squeezenet"]
    for told in (first, old):
        card = WEIGHTS[told["name"]]
        layers = {layer.name: layer.size for layer in card.layers}
        assert {each["name"]: each["size"] for each in told["layers"]} == {
            **layers,
            "probabilities": 1000,
        }
        hashes = ("sha256", "tensors_sha256", "source_sha256")
        assert [told[name] for name in hashes] == [getattr(card, n) for n in hashes]
        assert any(told[name] for name in hashes)
        assert told["licence"] == card.license
        assert told["title"] == card.title


def test_own_networks_hide_their_folder(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orangecontrib.imagemining.embedders.catalog import ONNX
    from orangecontrib.imagemining.server.catalogue import _public

    assert _public(f"{ONNX}/home/somebody/painters.onnx") == "onnx:painters"
    assert _public("vgg16") == "vgg16"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/image/vgg16", 404, "network-not-here"),
        ("/image/inception-v3", 404, "network-not-here"),
        ("/image/painters", 404, "network-not-here"),
        ("/image/openface", 404, "network-not-here"),
        ("/image/nothing", 404, "unknown-name"),
        ("/image/squeezenet/more", 404, "not-found"),
        ("/text/sbert", 404, "not-found"),
        ("/networks", 405, "wrong-method"),
    ],
)
def test_what_is_not_there(server: Running, path: str, status: int, code: str) -> None:
    answer = server.client.post(path, content=png(0))
    assert (answer.status_code, error_of(answer)) == (status, code)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"network": "vgg16"}, 404, "network-not-here"),
        ({"network": "nothing"}, 404, "unknown-name"),
        ({"layers": ("fc6",)}, 404, "unknown-name"),
        ({"views": 3}, 404, "unknown-name"),
        ({"views": "dense"}, 404, "unknown-name"),
        ({"fit": "squeeze"}, 404, "unknown-name"),
        ({"precision": "half"}, 404, "unknown-name"),
    ],
)
def test_what_cannot_be_computed(
    server: Running, changes: dict[str, Any], status: int, code: str
) -> None:
    content = pack_request(asking([png(0)], **changes))
    answer = server.client.post(EMBED_PATH, content=content)
    assert (answer.status_code, error_of(answer)) == (status, code)


def test_each_image_has_its_outcome(server: Running) -> None:
    images = [png(0), b"", b"<svg xmlns='x'/>", png(1)[:80], b"hello", png(2)]
    answer = server.embed(asking(images), {"features": 512})
    told = [reason or "" for reason in answer.reasons]
    assert [not reason for reason in told] == [True, False, False, False, False, True]
    assert "0 bytes" in told[1] and "SVG" in told[2] and "JPEG" in told[4]
    assert np.isnan(answer.vectors["features"]).all(axis=1).tolist() == [
        bool(reason) for reason in told
    ]


def test_no_images_are_no_trouble(server: Running) -> None:
    answer = server.embed(asking([]), {"features": 512})
    assert answer.vectors["features"].shape == (0, 512)


def test_unreadable_image_of_an_old_client(server: Running) -> None:
    answer = server.client.post("/image/squeezenet", content=b"no image")
    assert (answer.status_code, error_of(answer)) == (422, "no-image")
    assert "embedding" not in answer.json()


def test_health_and_readiness(server: Running) -> None:
    assert server.client.get("/health").json() == {"alive": True}
    assert server.client.get("/ready").json() == {"ready": True, "reason": ""}


def test_why_it_is_not_ready_is_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(way: EmbedderSpec) -> None:
        raise WeightsError("/home/somebody/x.safetensors cannot be read")

    with running() as run:
        monkeypatch.setattr(service_module, "engine_of", fail)
        run.service._load()
        answer = run.client.get("/ready")
    assert answer.status_code == 503
    assert "log" in answer.json()["reason"] and "somebody" not in answer.text
    assert "somebody" in run.log.wait_for("network-failed")["reason"]


def test_figures(server: Running) -> None:
    def count(name: str) -> float:
        text = server.client.get("/metrics").text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    route = f'imagemining_requests_total{{route="{EMBED_PATH}",status="200"}}'
    names = [
        route,
        'imagemining_images_total{outcome="vector"}',
        'imagemining_images_total{outcome="refused"}',
        "imagemining_batch_images_sum",
        "imagemining_wait_seconds_count",
    ]
    before = list(map(count, names))
    server.embed(asking([png(0), png(1), b"none"]), {"features": 512})
    grown = [now - then for now, then in zip(map(count, names), before, strict=True)]
    assert grown == [1, 2, 1, 2, 2]
    assert count("imagemining_queue_images") == 0
    assert count("imagemining_held_bytes") == 0


def test_every_answer_has_an_id_that_the_log_has_too(server: Running) -> None:
    for path in ("/health", "/nowhere"):
        answer = server.client.get(path, headers={"X-Request-Id": "of-the-client"})
        line = server.log.wait_for("request", id=answer.headers["x-request-id"])
        assert line["status"] == answer.status_code
    assert "of-the-client" not in server.log.text


def test_log_has_nothing_of_the_client() -> None:
    image = png(0) + b"bytes-of-the-file"
    with running(tokens=Tokens([TOKEN])) as run:
        for path, headers in (
            ("/image/squeezenet1_1?machine=MACHINE&session=SESSION", {}),
            (f"/t/{TOKEN}/image/squeezenet1_1?machine=MACHINE&session=SESSION", {}),
            (f"/t/{TOKEN}/image/PATH-OF-ITS", {}),
            ("/PATH-OF-ITS?machine=MACHINE", {"Authorization": f"Bearer {TOKEN}"}),
            (EMBED_PATH, {"Authorization": f"Bearer {TOKEN}", "X-Name": "HEADER"}),
            (EMBED_PATH, {"Authorization": "Bearer WRONG-TOKEN"}),
        ):
            run.client.post(path, content=image, headers=headers)
        run.client.request("METHOD-OF-ITS", "/health")
        raw = run.connect()
        with raw:
            raw.sendall(b"GARBLED-LINE\x00 MACHINE\r\n\r\n")
            assert raw.makefile("rb").read().startswith(b"HTTP/1.1 400")
        figures = run.client.get(
            "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        ).text
        # the last line is written once the answer is out
        run.log.wait_for("request", 8)
        log = run.log.text
    # the log tells each request all the same
    assert sum(json.loads(line)["event"] == "request" for line in log.splitlines()) == 8
    for text in (log, figures):
        for secret in (
            TOKEN,
            "WRONG-TOKEN",
            "MACHINE",
            "SESSION",
            "PATH-OF-ITS",
            "METHOD-OF-ITS",
            "HEADER",
            "GARBLED",
            "bytes-of-the-file",
            "PNG",
            "127.0.0.1:",
        ):
            if secret == "127.0.0.1:":
                # where it listens is told, who came is not
                assert text.count(secret) <= 1
            else:
                assert secret not in text


def test_nothing_is_written() -> None:
    written: list[str] = []
    kinds = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
    images = [*(encoded(seed, kind) for seed, kind in enumerate(kinds)), b"none"]
    with running() as run:
        run.embed(asking(images[:1]), {"features": 512})  # what is loaded once
        with watching(written):
            answer = run.embed(asking(images), {"features": 512})
            run.client.post("/image/squeezenet1_1", content=images[1])
            run.client.post("/image/squeezenet1_1", content=bytes(2_000_000))
        assert [reason is None for reason in answer.reasons] == [True] * 6 + [False]
    assert written == []
    # and that would have been seen
    with watching(written), tempfile.TemporaryFile() as stream:
        stream.write(images[0])
    assert written


_watched: list[list[str]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched and event == "open" and isinstance(arguments[2], int):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            _watched[-1].append(str(arguments[0]))


@contextmanager
def watching(written: list[str]) -> Iterator[None]:
    """Have the names of files that are opened for writing noted, by any thread."""
    if not _watched:
        sys.addaudithook(_note)  # it cannot be removed again
    _watched.append(written)
    try:
        yield
    finally:
        _watched.append([])


# Tokens -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/networks", "/metrics", "/status"])
def test_token_is_asked_for(locked: Running, path: str) -> None:
    get = locked.client.get
    assert get(path).status_code == 401
    assert get(path).headers["www-authenticate"] == "Bearer"
    for wrong in (
        "",
        TOKEN,
        "Bearer",
        "Bearer x",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
    ):
        assert get(path, headers={"Authorization": wrong}).status_code == 401
    for right in (TOKEN, OTHER):
        assert get(path, headers={"Authorization": f"bearer {right}"}).is_success


def test_all_tokens_are_compared_whatever_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return compare_digest(a, b)

    monkeypatch.setattr(tokens_module.hmac, "compare_digest", compare)
    tokens = Tokens([TOKEN, OTHER])
    for shown in (TOKEN, OTHER, TOKEN[:-1], "", "x" * 9999):
        compared.clear()
        tokens.find(shown)
        # digests: not even the lengths of tokens show
        assert [(len(a), len(b)) for a, b in compared] == [(32, 32)] * 2


def test_strange_letters_are_no_token(locked: Running) -> None:
    answer = locked.client.get(
        "/networks", headers={"Authorization": b"Bearer \xff\xfe"}
    )
    assert answer.status_code == 401


def test_images_need_a_token(locked: Running) -> None:
    content = pack_request(asking([png(0)]))
    answer = locked.client.post(EMBED_PATH, content=content)
    assert (answer.status_code, error_of(answer)) == (401, "token")
    answer = locked.client.post("/image/squeezenet1_1", content=png(0))
    assert answer.status_code == 401
    answer = locked.client.post("/t/wrong/image/squeezenet1_1", content=png(0))
    assert answer.status_code == 401
    answer = locked.client.post(f"/t/{TOKEN}/image/squeezenet1_1", content=png(0))
    assert len(answer.json()["embedding"]) == 512


def test_open_to_all(locked: Running) -> None:
    for path in ("/", "/health", "/ready", "/classes"):
        assert locked.client.get(path).status_code == 200


def test_other_computers_only_with_tokens() -> None:
    for settings in (Settings(host="0.0.0.0"), Settings(proxy_headers=True)):
        with pytest.raises(ServerError, match="--token-file"):
            settings.check()
    Settings(host="0.0.0.0", tokens=Tokens([TOKEN])).check()
    Settings(host="0.0.0.0", no_auth=True).check()
    for host in ("127.0.0.1", "::1", "localhost"):
        Settings(host=host).check()
    for host in ("", "192.168.0.7", "::", "example.org", "127.0.0.1.example.org"):
        with pytest.raises(ServerError):
            Settings(host=host).check()


def test_token_file(tmp_path: Any) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# of the laboratory\n\n  {TOKEN}  \n{OTHER}\n")
    tokens = Tokens.from_file(file)
    assert (tokens.find(TOKEN), tokens.find(OTHER), tokens.find("#")) == (0, 1, None)
    for encoding in ("utf-16", "utf-8-sig"):  # as on Windows
        file.write_text(f"{TOKEN}\n{OTHER}\n", encoding)
        assert Tokens.from_file(file).find(TOKEN) == 0
    for content in ("", "# none\n", "short\n", "with spaces in between it\n", "\0"):
        file.write_text(content)
        with pytest.raises(ServerError):
            Tokens.from_file(file)
    with pytest.raises(ServerError, match="make one by: python -c"):
        Tokens.from_file(tmp_path / "missing")
    with pytest.raises(ServerError, match="cannot be read"):
        Tokens.from_file(tmp_path)


# Many at once -------------------------------------------------------------------


class Gate:
    """A network that waits until it is told to go on."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.began = threading.Semaphore(0)
        self.n_images = 0

    def run(self, pixels: np.ndarray, layers: list[str]) -> dict[str, np.ndarray]:
        self.n_images += len(pixels)
        self.began.release()
        assert self.open.wait(SECONDS)
        return {name: np.ones((len(pixels), 512), np.float32) for name in layers}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(works_module, "engine_of", lambda way: gate)
    yield gate
    gate.open.set()


def in_thread(work: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    return thread


def test_full_queue_is_told_at_once(gate: Gate) -> None:
    with running(threads=1, max_batch=1, queue=4, max_images=4) as run:
        statuses: list[int] = []
        content = pack_request(asking([png(0)] * 4))

        def ask() -> None:
            answer = httpx.post(
                run.address + EMBED_PATH, content=content, timeout=SECONDS
            )
            statuses.append(answer.status_code)

        thread = in_thread(ask)
        assert gate.began.acquire(timeout=SECONDS)
        # one image is at work and two are ready for it, so that one waits
        refused = run.client.post(EMBED_PATH, content=content)
        assert (refused.status_code, error_of(refused)) == (429, "queue-full")
        assert int(refused.headers["retry-after"]) >= 1
        gate.open.set()
        thread.join()
        assert statuses == [200]
        assert run.is_serving()


def test_old_clients_wait_before_a_full_queue(gate: Gate) -> None:
    with running(threads=1, max_batch=1, queue=2, max_images=1) as run:
        found: list[int] = []

        def ask() -> None:
            answer = httpx.post(
                f"{run.address}/image/squeezenet1_1", content=png(0), timeout=SECONDS
            )
            found.append(answer.status_code)

        threads = [in_thread(ask) for _ in range(12)]
        assert gate.began.acquire(timeout=SECONDS)
        gate.open.set()
        for thread in threads:
            thread.join()
        assert found == [200] * 12


def test_patience_of_old_clients_has_an_end(gate: Gate) -> None:
    settings = {"threads": 1, "max_batch": 1, "queue": 1, "max_images": 1}
    with running(**settings, patience=0.0) as run:
        works = run.service.works
        path = f"{run.address}/image/squeezenet1_1"

        def ask() -> None:
            httpx.post(path, content=png(0), timeout=SECONDS)

        threads = []
        # one at work, two ready for it, one in the queue
        for state in ((0, 1), (0, 2), (0, 3), (1, 3)):
            threads.append(in_thread(ask))
            wait_until(lambda now=state: (works.n_waiting, works.n_working) == now)
        refused = run.client.post("/image/squeezenet1_1", content=png(0))
        assert (refused.status_code, error_of(refused)) == (429, "queue-full")
        assert int(refused.headers["retry-after"]) >= 1
        gate.open.set()
        for thread in threads:
            thread.join()


def test_answer_of_more_than_a_request_may_have() -> None:
    layers = ("logits", "probabilities", "features", "stages")
    with running(max_body=100_000) as run:
        content = pack_request(asking([b""] * 12, layers=layers))
        answer = run.client.post(EMBED_PATH, content=content)
        assert (answer.status_code, error_of(answer)) == (413, "too-large")
        content = pack_request(asking([b""] * 12, layers=layers[:1]))
        assert run.client.post(EMBED_PATH, content=content).is_success


def test_client_that_goes_leaves_no_work(gate: Gate) -> None:
    with running(threads=1, max_batch=1) as run:
        content = pack_request(asking([png(0)] * 50))
        head = f"POST {EMBED_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += f"Content-Length: {len(content)}"
        raw = run.connect()
        raw.sendall(head.encode() + b"\r\n\r\n" + content)
        assert gate.began.acquire(timeout=SECONDS)
        raw.close()
        line = run.log.wait_for("request", status=499)
        assert (line["route"], line["images"]) == (EMBED_PATH, 50)
        gate.open.set()
        run.client.post("/image/squeezenet1_1", content=png(0))
        assert gate.n_images == 2
        assert run.service.works.n_waiting == 0


def test_request_that_takes_too_long(gate: Gate) -> None:
    with running(request_seconds=0.2) as run:
        answer = run.client.post("/image/squeezenet1_1", content=png(0))
        assert (answer.status_code, error_of(answer)) == (504, "too-long")
        gate.open.set()


def test_clients_take_turns(gate: Gate) -> None:
    tokens = Tokens([TOKEN, OTHER])
    with running(threads=1, max_batch=1, tokens=tokens) as run:
        order: list[str] = []

        def ask(name: str, n: int, token: str) -> None:
            httpx.post(
                run.address + EMBED_PATH,
                content=pack_request(asking([png(0)] * n)),
                headers={"Authorization": f"Bearer {token}"},
                timeout=SECONDS,
            )
            order.append(name)

        greedy = in_thread(ask, "greedy", 40, TOKEN)
        assert gate.began.acquire(timeout=SECONDS)
        modest = in_thread(ask, "modest", 2, OTHER)
        # both are in the queue, but for what is decoded ahead
        wait_until(
            lambda: run.service.works.n_waiting + run.service.works.n_working == 42
        )
        gate.open.set()
        modest.join()
        greedy.join()
        assert order == ["modest", "greedy"]


def test_local_embedder_is_not_disturbed(server: Running, tmp_path: Any) -> None:
    # the server's threads compute on one core each; others keep theirs
    import torch

    n_threads = torch.get_num_threads()
    server.embed(asking([png(0)]), {"features": 512})
    assert torch.get_num_threads() == n_threads
    Image.new("RGB", (30, 30)).save(tmp_path / "a.png")
    embedder = LocalEmbedder(EmbedderSpec("squeezenet1_1", "features"))
    assert embedder([str(tmp_path / "a.png")]).reasons == [None]

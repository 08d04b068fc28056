"""`orange-imagemining serve`, as a process of its own."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import SECONDS, asking, png

from orangecontrib.imagemining.__main__ import main
from orangecontrib.imagemining.embedders.protocol import (
    EMBED_PATH,
    pack_request,
    unpack_answer,
)
from orangecontrib.imagemining.embedders.remote import RemoteEmbedder
from orangecontrib.imagemining.exceptions import ServerError
from orangecontrib.imagemining.specs import EmbedderSpec

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")


class Process:
    """The command, and what it logs."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orangecontrib.imagemining", "serve", *options],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # all of it is read as it comes: a full pipe would hold up the server
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.address = str(self.wait_for("started")["address"])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put("")

    def wait_for(self, event: str) -> dict[str, Any]:
        while True:
            line = self._lines.get(timeout=SECONDS)
            assert line, f"it ended without {event}"
            found = json.loads(line)
            if found["event"] == event:
                return dict(found)


@contextmanager
def command(*options: str) -> Iterator[Process]:
    process = Process("--port", "0", "--threads", "1", *options)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.wait()
        for stream in (process.process.stdout, process.process.stderr):
            if stream is not None:
                stream.close()


@posix_only
def test_sigterm_finishes_what_was_accepted() -> None:
    with command("--networks", "squeezenet1_1", "--max-batch", "1") as run:
        found: list[httpx.Response] = []
        images = [png(seed) for seed in range(40)]

        def ask() -> None:
            content = pack_request(asking(images))
            found.append(
                httpx.post(run.address + EMBED_PATH, content=content, timeout=SECONDS)
            )

        with httpx.Client(base_url=run.address, timeout=SECONDS) as client:
            # some connection that is open already, to ask more on
            assert client.get("/ready").status_code in (200, 503)
            thread = threading.Thread(target=ask)
            thread.start()
            waiting = threading.Event()
            while not client.get("/status").json()["waiting"]:
                waiting.wait(0.01)
            run.process.send_signal(signal.SIGTERM)
            assert run.wait_for("closing")["open_requests"] == 1
            late = client.post("/image/squeezenet1_1", content=png(0))
            assert late.status_code == 503
            assert late.headers["retry-after"]
            assert client.get("/ready").status_code == 503
        thread.join()
        (answer,) = found
        assert answer.status_code == 200
        assert (
            unpack_answer(answer.content, {"features": 512}, 40).reasons == [None] * 40
        )
        run.wait_for("stopped")
        assert run.process.wait(SECONDS) == 0


@posix_only
def test_grace_has_an_end() -> None:
    with command("--max-batch", "1", "--grace-seconds", "0") as run:
        content = pack_request(asking([png(0)] * 200))
        found: list[int] = []

        def ask() -> None:
            try:
                answer = httpx.post(
                    run.address + EMBED_PATH, content=content, timeout=SECONDS
                )
                found.append(answer.status_code)
            except httpx.HTTPError:
                found.append(0)

        thread = threading.Thread(target=ask)
        thread.start()
        waiting = threading.Event()
        while not httpx.get(run.address + "/status").json()["waiting"]:
            waiting.wait(0.01)
        run.process.send_signal(signal.SIGTERM)
        run.wait_for("stopped")
        assert run.process.wait(SECONDS) == 0
        thread.join()
        assert found in ([0], [500])  # broken off, not half an answer


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--host", "0.0.0.0"], "--token-file"),
        (["--proxy-headers"], "--token-file"),
        (["--token-file", "missing"], "cannot be read"),
        (["--keyfile", __file__], "--certfile"),
        (["--certfile", "missing.pem"], "missing.pem"),
        (["--networks", "nothing"], "nothing"),
    ],
)
def test_refuses_to_start(
    options: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *options]) == (2 if "nothing" in options else 1)
    assert text in capsys.readouterr().err


def test_port_that_is_taken(capfd: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    assert f"port {port}" in capfd.readouterr().err


def test_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openssl = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    try:
        subprocess.run(
            [*openssl.split(), *names, *files], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as ex:
        pytest.skip(f"openssl makes no certificate ({ex})")
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    with command("--certfile", cert, "--keyfile", key) as run:
        assert run.address.startswith("https://")
        import ssl

        context = ssl.create_default_context(cafile=cert)
        answer = httpx.get(run.address + "/health", verify=context)
        assert answer.json() == {"alive": True}
        with pytest.raises(httpx.ConnectError, match="(?i)certificate"):
            httpx.get(run.address + "/health")
        spec = EmbedderSpec("squeezenet1_1", "features")
        path = tmp_path / "image.png"
        path.write_bytes(png(0))
        with pytest.raises(ServerError, match="certificate of https://127.0.0.1"):
            RemoteEmbedder(run.address, spec)([str(path)])
        monkeypatch.setenv("SSL_CERT_FILE", cert)
        assert RemoteEmbedder(run.address, spec)([str(path)]).reasons == [None]

"""`orange-imagemining serve`, as a process of its own."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import SECONDS, asking, png, wait_until

from orangecontrib.imagemining import embedders
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


@contextmanager
def half_sent(address: str, content: bytes) -> Iterator[socket.socket]:
    """Begin a request, which the server has accepted then; give what can end it."""
    port = int(address.rpartition(":")[2])
    head = f"POST {EMBED_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    head += f"Content-Length: {len(content)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), SECONDS) as raw:
        raw.sendall(head.encode() + content[:-10])
        with httpx.Client(base_url=address, timeout=SECONDS, trust_env=False) as client:
            wait_until(lambda: "open_requests 1" in client.get("/metrics").text)
        yield raw


@posix_only
def test_sigterm_finishes_what_was_accepted() -> None:
    # this computer may be slow: nothing is to end for want of time
    patience = ["--grace-seconds", "3600", "--request-seconds", "3600"]
    with command("--networks", "squeezenet1_1", "--max-batch", "1", *patience) as run:
        run.wait_for("ready")
        content = pack_request(asking([png(seed) for seed in range(20)]))
        with (
            half_sent(run.address, content) as raw,
            httpx.Client(base_url=run.address, timeout=SECONDS) as client,
        ):
            # some connection that is open already, to ask more on
            assert client.get("/health").is_success
            run.process.send_signal(signal.SIGTERM)
            assert run.wait_for("closing")["open_requests"] == 1
            late = client.post("/image/squeezenet1_1", content=png(0))
            assert late.status_code == 503
            assert late.headers["retry-after"]
            assert client.get("/ready").status_code == 503
            # now the server is to compute what it has accepted, and to answer
            raw.sendall(content[-10:])
            with raw.makefile("rb") as stream:
                head, _, answer = stream.read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        vectors = unpack_answer(answer, {"features": 512}, 20)
        assert vectors.reasons == [None] * 20
        run.wait_for("stopped")
        assert run.process.wait(SECONDS) == 0


@posix_only
def test_grace_has_an_end() -> None:
    with command("--grace-seconds", "0") as run:
        content = pack_request(asking([png(0)]))
        with half_sent(run.address, content) as raw, raw.makefile("rb") as stream:
            run.process.send_signal(signal.SIGTERM)
            run.wait_for("stopped")
            assert run.process.wait(SECONDS) == 0
            answer = stream.read()
        # broken off, not half an answer
        assert not answer or answer.startswith(b"HTTP/1.1 500")


@posix_only
def test_second_signal_ends_it_at_once() -> None:
    with command("--grace-seconds", "3600") as run:
        content = pack_request(asking([png(0)]))
        with half_sent(run.address, content):
            run.process.send_signal(signal.SIGTERM)
            run.wait_for("closing")
            run.process.send_signal(signal.SIGTERM)
            assert run.process.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--host", "0.0.0.0"], "--token-file"),
        (["--proxy-headers"], "--token-file"),
        (["--token-file", "missing"], "no file missing"),
        (["--keyfile", __file__], "--certfile"),
        (["--certfile", "missing.pem"], "missing.pem"),
        (["--networks", "nothing"], "nothing"),
        (["--networks", "missing.safetensors"], "missing"),
        (["--device", "gpu"], "no graphics processor"),
    ],
)
def test_refuses_to_start(
    options: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "gpu" in options:
        pytorch = pytest.importorskip(f"{embedders.__name__}.engines.pytorch")
        if any(map(pytorch.device_is_here, ("cuda", "mps"))):
            pytest.skip("there is one here")
    assert main(["serve", *options]) == (2 if "nothing" in options else 1)
    assert text in capsys.readouterr().err


def test_port_that_is_taken(capfd: pytest.CaptureFixture[str]) -> None:
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
        answer = httpx.get(run.address + "/health", verify=context, timeout=SECONDS)
        assert answer.json() == {"alive": True}
        with pytest.raises(httpx.ConnectError, match="(?i)certificate"):
            httpx.get(run.address + "/health", timeout=SECONDS)
        spec = EmbedderSpec("squeezenet1_1", "features")
        path = tmp_path / "image.png"
        path.write_bytes(png(0))
        with pytest.raises(ServerError, match="certificate of https://127.0.0.1"):
            RemoteEmbedder(run.address, spec)([str(path)])
        monkeypatch.setenv("SSL_CERT_FILE", cert)
        assert RemoteEmbedder(run.address, spec)([str(path)]).reasons == [None]

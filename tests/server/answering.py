"""A small real web server that answers what the test tells it to."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ABOUT: dict[str, Any] = {"protocol": 1, "networks": []}


@dataclass(frozen=True)
class Asked:
    """A request that came: its first line's words, headers and body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Said:
    """An answer; `hangs`: none is given until the end of the test."""

    status: int = 200
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False


def about(**more: Any) -> Said:
    return Said(content=json.dumps({**ABOUT, **more}).encode())


def refusal(status: int, code: str = "", **headers: str) -> Said:
    """An answer as our server gives it; without a code, as any other does."""
    content = b"<html>no</html>"
    if code:
        content = json.dumps({"error": {"code": code, "message": code}}).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Said(status, content, names)


class Answering:
    """What came, and where to."""

    def __init__(self, answer: Callable[[Asked], Said]) -> None:
        self.asked: list[Asked] = []
        self.hung = threading.Event()
        self.end = threading.Event()
        self._answer = answer
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True  # the client has gone

            def do_GET(self) -> None:
                outer.handle(self)

            do_POST = do_CONNECT = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a handshake that the client broke off

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}"

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        n = int(handler.headers.get("Content-Length", 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, handler.path, headers, handler.rfile.read(n))
        self.asked.append(asked)
        said = self._answer(asked)
        if said.hangs:
            self.hung.set()
            self.end.wait(60)
            handler.close_connection = True
            return
        handler.send_response(said.status)
        for name, value in said.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(said.content)))
        # each connection ends with its answer: no thread waits for more
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(said.content)


@contextmanager
def answering(
    answer: Callable[[Asked], Said] | list[Said], context: ssl.SSLContext | None = None
) -> Iterator[Answering]:
    """Run such a server: by a function, or one after the other; the last stays."""
    if isinstance(answer, list):
        left = list(answer)

        def said(asked: Asked) -> Said:
            return left.pop(0) if len(left) > 1 else left[0]
    else:
        said = answer
    run = Answering(said)
    if context is not None:
        run.server.socket = context.wrap_socket(
            run.server.socket, server_side=True, do_handshake_on_connect=False
        )
        run.address = f"https://127.0.0.1:{run.port}"
    thread = threading.Thread(target=run.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield run
    finally:
        run.end.set()
        run.server.shutdown()
        thread.join()
        run.server.server_close()


def certificate(folder: Path, name: str = "own") -> tuple[Path, Path]:
    """Make a certificate of 127.0.0.1 and its key, or skip the test."""
    cert, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(
            [*command.split(), *names, "-keyout", str(key), "-out", str(cert)],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError) as ex:
        pytest.skip(f"openssl makes no certificate ({ex})")
    return cert, key

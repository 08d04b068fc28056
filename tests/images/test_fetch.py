"""Images from addresses, fetched from real servers on this computer."""

from __future__ import annotations

import base64
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from orangecontrib.imagemining.exceptions import (
    FetchError,
    ImageNotFoundError,
    ImageTooLargeError,
    NotAnImageError,
)
from orangecontrib.imagemining.images import ImageReader, Limits


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (5, 4), (1, 2, 3)).save(stream, "PNG")
    return stream.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answers with what the path says."""

    agents: list[str]

    def do_GET(self) -> None:
        self.server.agents.append(self.headers["User-Agent"])  # type: ignore[attr-defined]
        name = self.path.strip("/")
        if name == "moved.png":
            self.send_response(302)
            self.send_header("Location", "/good.png")
            self.end_headers()
        elif name.isdigit():
            self.send_error(int(name))
        elif name == "announced":
            self.send_response(200)
            self.send_header("Content-Length", str(100 * 2**20))
            self.end_headers()
        elif name in ("endless", "dripping"):
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 if name == "dripping" else 65536))
                    self.wfile.flush()
                    time.sleep(0.05 if name == "dripping" else 0)
            except OSError:
                pass  # the client had enough
        elif name == "broken":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
        else:
            content = b"<html>Log in</html>" if name == "login" else png()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.agents = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def read(server: ThreadingHTTPServer, name: str, **limits: float) -> Image.Image:
    bounds = Limits(**{"timeout": 5, **limits})  # type: ignore[arg-type]
    with ImageReader(bounds) as reader:
        return reader.read(f"http://127.0.0.1:{server.server_port}/{name}")


@pytest.mark.parametrize("name", ["good.png", "moved.png", "a%20b.png"])
def test_image_is_fetched(server: ThreadingHTTPServer, name: str) -> None:
    image = read(server, name)
    assert image.size == (5, 4)
    assert image.getpixel((0, 0)) == (1, 2, 3)


def test_only_the_programs_name_is_told(server: ThreadingHTTPServer) -> None:
    read(server, "good.png")
    (agent,) = server.agents  # type: ignore[attr-defined]
    assert agent.startswith("Orange3-ImageMining/")
    assert socket.gethostname() not in agent


@pytest.mark.parametrize("status", [404, 410])
def test_missing_image(server: ThreadingHTTPServer, status: int) -> None:
    with pytest.raises(ImageNotFoundError, match=str(status)):
        read(server, str(status))


@pytest.mark.parametrize("status", [403, 500, 503])
def test_error_of_the_server(server: ThreadingHTTPServer, status: int) -> None:
    with pytest.raises(FetchError, match=str(status)):
        read(server, str(status))


@pytest.mark.parametrize("name", ["announced", "endless"])
def test_too_large(server: ThreadingHTTPServer, name: str) -> None:
    with pytest.raises(ImageTooLargeError, match="1 MB"):
        read(server, name, max_bytes=2**20)


def test_too_slow(server: ThreadingHTTPServer) -> None:
    with pytest.raises(FetchError, match="slowly"):
        read(server, "dripping", timeout=0.3)


def test_broken_connection(server: ThreadingHTTPServer) -> None:
    with pytest.raises(FetchError, match="cannot be reached"):
        read(server, "broken")


def test_web_page_in_place_of_an_image(server: ThreadingHTTPServer) -> None:
    with pytest.raises(NotAnImageError, match="web page"):
        read(server, "login")


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_dead_server() -> None:
    with silent_port() as port, ImageReader(Limits(timeout=0.3)) as reader:
        with pytest.raises(FetchError, match="in time"):
            reader.read(f"http://127.0.0.1:{port}/a.png")
    with ImageReader() as reader, pytest.raises(FetchError, match="cannot be reached"):
        reader.read(f"http://127.0.0.1:{port}/a.png")  # closed by now


@pytest.mark.parametrize(
    "url", ["http://", "http://[bad/a.png", "http://host:port/a.png", "ftp://"]
)
def test_malformed_address(url: str) -> None:
    with ImageReader(Limits(timeout=1)) as reader, pytest.raises(FetchError):
        reader.read(url)


def test_data_url() -> None:
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    with ImageReader() as reader:
        assert reader.read(url).size == (5, 4)
    with ImageReader() as reader, pytest.raises(NotAnImageError):
        reader.read("data:,hello")
    with ImageReader(Limits(max_bytes=20)) as reader:
        with pytest.raises(ImageTooLargeError):
            reader.read(url)


@contextmanager
def ftp_server(content: bytes) -> Iterator[int]:
    """A server of just the FTP that fetching one file needs."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            data = socket.create_server(("127.0.0.1", 0))
            connection.sendall(b"220 hello\r\n")
            for line in lines:
                command = line.split()[0].upper()
                if command == b"EPSV":
                    port = data.getsockname()[1]
                    answer = f"229 Extended passive (|||{port}|)".encode()
                elif command == b"PASV":
                    high, low = divmod(data.getsockname()[1], 256)
                    answer = f"227 Passive (127,0,0,1,{high},{low})".encode()
                elif command == b"RETR":
                    connection.sendall(b"150 here it comes\r\n")
                    stream, _ = data.accept()
                    with stream:
                        stream.sendall(content)
                    answer = b"226 done"
                elif command == b"QUIT":
                    connection.sendall(b"221 bye\r\n")
                    break
                else:
                    answer = {b"USER": b"230 in", b"TYPE": b"200 ok"}.get(
                        command, b"250 ok"
                    )
                connection.sendall(answer + b"\r\n")
            data.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(timeout=5)
    listener.close()


def test_ftp() -> None:
    with ftp_server(png()) as port, ImageReader(Limits(timeout=5)) as reader:
        assert reader.read(f"ftp://127.0.0.1:{port}/a.png").size == (5, 4)

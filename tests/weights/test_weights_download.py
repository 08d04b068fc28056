"""Fetching, from a server of the tests' own that misbehaves in every way."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import made_up
import pytest

from orangecontrib.imagemining.exceptions import TaskCancelled, WeightsError
from orangecontrib.imagemining.specs import Weights
from orangecontrib.imagemining.weights import checksum, fetch, is_here, load_weights
from orangecontrib.imagemining.weights import download as module
from orangecontrib.imagemining.weights.tensors import Tensors

NAME = "made-up.pth"


class Handler(BaseHTTPRequestHandler):
    """Does what the next step of the server's plan says; the last one stays."""

    server: Server

    def do_GET(self) -> None:
        self.server.seen.append(SimpleNamespace(path=self.path, headers=self.headers))
        plan = self.server.plan
        step = plan.pop(0) if len(plan) > 1 else plan[0]
        step(self)

    def log_message(self, *_: object) -> None:
        pass

    def head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[SimpleNamespace] = []
        self.plan: list[Callable[[Handler], None]] = []
        self.go_on = threading.Event()

    def handle_error(self, *_: object) -> None:
        pass  # clients that hang up are what is tested

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/models/{NAME}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _plain_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("IMAGEMINING_WEIGHTS", raising=False)


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return made_up.tensors_of()


@pytest.fixture(scope="module")
def content(tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("published") / NAME
    return made_up.save_torch(path, tensors).read_bytes()


@pytest.fixture
def card(server: Server, content: bytes) -> Weights:
    return made_up.card(server.url, hashlib.sha256(content).hexdigest()[:8])


# what the server does -----------------------------------------------------------


def whole(content: bytes, tag: str = '"one"') -> Callable[[Handler], None]:
    """Give the file, or the part of it that is asked for."""

    def step(handler: Handler) -> None:
        asked = handler.headers.get("Range", "")
        if asked and handler.headers.get("If-Range") == tag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            part = f"bytes {start}-{len(content) - 1}/{len(content)}"
            handler.head(206, len(content) - start, ETag=tag, Content_Range=part)
            handler.wfile.write(content[start:])
        else:
            handler.head(200, len(content), ETag=tag)
            handler.wfile.write(content)

    return step


def cut(content: bytes, tag: str = '"one"') -> Callable[[Handler], None]:
    """Promise all of the file, give half of what is asked for, hang up."""

    def step(handler: Handler) -> None:
        asked = handler.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        rest = content[start:]
        part = f"bytes {start}-{len(content) - 1}/{len(content)}"
        extra = {"Content_Range": part} if start else {}
        handler.head(206 if start else 200, len(rest), ETag=tag, **extra)
        handler.wfile.write(rest[: len(rest) // 2])

    return step


def error(status: int) -> Callable[[Handler], None]:
    def step(handler: Handler) -> None:
        handler.head(status, 5)
        handler.wfile.write(b"sorry")

    return step


def raises(words: str) -> pytest.RaisesExc:
    return pytest.raises(WeightsError, match=words)


def left(folder: Path) -> list[str]:
    """Return what is in a folder, but for locks, which are empty."""
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


# tests --------------------------------------------------------------------------


def test_file_is_fetched_checked_and_used(
    server: Server, card: Weights, content: bytes, tensors: Tensors, tmp_path: Path
) -> None:
    server.plan = [whole(content)]
    reports: list[tuple[float, str]] = []
    path = fetch(card, lambda part, text="": reports.append((part, text)), tmp_path)
    assert path == tmp_path / NAME and path.read_bytes() == content
    assert left(tmp_path) == [NAME, f"{NAME}.sha256"]
    assert is_here(card, tmp_path)
    assert checksum(load_weights(card, tmp_path)) == checksum(tensors)
    parts = [part for part, _ in reports]
    assert parts[0] == 0 and parts[-1] == 1 and max(parts) == 1
    assert sorted(parts[:-1]) == parts[:-1]
    megabytes = f"{len(content) / 2**20:.1f}"
    texts = {text for _, text in reports}
    assert f"{megabytes} of {megabytes} MB from 127.0.0.1" in texts
    # nothing is told but who asks; nothing is fetched a second time
    (seen,) = server.seen
    assert seen.headers["User-Agent"].startswith("Orange3-ImageMining/")
    fetch(card, folder=tmp_path)
    assert len(server.seen) == 1


def test_load_asks_before_it_fetches(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    server.plan = [whole(content)]
    with raises("not on this computer"):
        load_weights(card, tmp_path)
    assert not server.seen
    assert load_weights(card, tmp_path, download=True)


def test_goes_on_after_cuts(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    server.plan = [cut(content), cut(content), whole(content)]
    assert fetch(card, folder=tmp_path).read_bytes() == content
    ranges = [request.headers.get("Range") for request in server.seen]
    half = len(content) // 2
    quarter = half + (len(content) - half) // 2
    assert ranges == [None, f"bytes={half}-", f"bytes={quarter}-"]
    assert server.seen[1].headers["If-Range"] == '"one"'
    assert left(tmp_path) == [NAME, f"{NAME}.sha256"]


def test_an_end_that_looks_like_one_but_comes_too_soon(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    def short(handler: Handler) -> None:
        start = int(handler.headers["Range"][6:-1])
        handler.send_response(206)  # without a length: all until the connection ends
        handler.send_header("ETag", '"one"')
        part = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.send_header("Content-Range", part)
        handler.end_headers()
        handler.wfile.write(content[start : start + 1000])

    server.plan = [cut(content), short, whole(content)]
    assert fetch(card, folder=tmp_path).read_bytes() == content
    last = server.seen[2].headers["Range"]
    assert last == f"bytes={len(content) // 2 + 1000}-"


def test_what_came_is_kept_for_the_next_time(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    def hang_up(handler: Handler) -> None:
        handler.close_connection = True

    server.plan = [cut(content), hang_up]
    with raises("broke off .* are kept: try again"):
        fetch(card, folder=tmp_path)
    assert not is_here(card, tmp_path)
    server.seen.clear()
    server.plan = [whole(content)]
    assert fetch(card, folder=tmp_path).read_bytes() == content
    assert server.seen[0].headers["Range"] == f"bytes={len(content) // 2}-"


@pytest.mark.parametrize(
    "how", ["ignores ranges", "changed", "changed in secret", "another part"]
)
def test_a_rest_that_does_not_fit_is_not_put_to_the_beginning(
    server: Server, card: Weights, content: bytes, tmp_path: Path, how: str
) -> None:
    def always_whole(handler: Handler) -> None:
        handler.head(200, len(content), ETag='"one"')
        handler.wfile.write(content)

    def from_the_beginning(handler: Handler) -> None:
        part = f"bytes 0-{len(content) - 1}/{len(content)}"
        handler.head(206, len(content), ETag='"one"', Content_Range=part)
        handler.wfile.write(content)

    other = bytes(len(content))
    server.plan, asked = {
        "ignores ranges": ([cut(content), always_whole], [False, True]),
        # another file at first, of another version
        "changed": ([cut(other, '"old"'), whole(content)], [False, True]),
        # parts of the new one are given out as if they were of the old one
        "changed in secret": (
            [cut(other, '"old"'), cut(content), whole(content)],
            [False, True, False],
        ),
        "another part": (
            [cut(content), from_the_beginning, whole(content)],
            [False, True, False],
        ),
    }[how]
    assert fetch(card, folder=tmp_path).read_bytes() == content
    assert left(tmp_path) == [NAME, f"{NAME}.sha256"]
    assert ["Range" in request.headers for request in server.seen] == asked


def test_parts_of_two_files_under_one_name_are_fetched_anew(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    server.plan = [cut(bytes(len(content))), whole(content)]
    assert fetch(card, folder=tmp_path).read_bytes() == content
    assert [bool(request.headers.get("Range")) for request in server.seen] == [
        False,
        True,
        False,
    ]


def test_part_as_long_as_the_file_is_started_over(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    def none_left(handler: Handler) -> None:
        handler.head(416, 0)

    server.plan = [cut(content), none_left, whole(content)]
    assert fetch(card, folder=tmp_path).read_bytes() == content


def test_without_a_version_nothing_is_gone_on_with(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    server.plan = [cut(content, 'W/"weak"'), whole(content)]
    assert fetch(card, folder=tmp_path).read_bytes() == content
    assert all("Range" not in request.headers for request in server.seen)


def test_wrong_file_is_refused(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    server.plan = [whole(content[:-1] + b"!")]
    with raises("not the published file") as caught:
        fetch(card, folder=tmp_path)
    assert card.sha256 in str(caught.value) and card.url in str(caught.value)
    assert not left(tmp_path)


def test_other_network_without_checksum_is_refused(
    server: Server, card: Weights, tmp_path: Path
) -> None:
    other = made_up.save_torch(tmp_path / "x", made_up.tensors_of("squeezenet1_1"))
    server.plan = [whole(other.read_bytes())]
    with raises("another network: squeezenet1_1"):
        fetch(replace(card, sha256=""), folder=tmp_path / "own")
    assert not left(tmp_path / "own")


def test_web_page_is_named(server: Server, card: Weights, tmp_path: Path) -> None:
    server.plan = [whole(b"<!doctype html><title>Log in to this network</title>")]
    with raises("web page"):
        fetch(card, folder=tmp_path)
    assert not left(tmp_path)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "no such file"),
        (410, "no such file"),
        (403, "does not give"),
        (503, "overloaded"),
        (429, "overloaded"),
        (418, "error 418"),
    ],
)
def test_refusals_are_told_with_address_and_folder(
    server: Server, card: Weights, tmp_path: Path, status: int, words: str
) -> None:
    server.plan = [error(status)]
    with raises(words) as caught:
        fetch(card, folder=tmp_path)
    text = str(caught.value)
    assert str(status) in text and card.url in text and str(tmp_path) in text
    assert len(server.seen) == 1 and not left(tmp_path)


def test_refusal_costs_nothing_of_what_came(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    server.plan = [cut(content), error(503)]
    with raises("overloaded"):
        fetch(card, folder=tmp_path)
    server.plan = [whole(content)]
    fetch(card, folder=tmp_path)
    assert "Range" in server.seen[-1].headers


def test_nobody_there(card: Weights, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/{NAME}"
        with raises("cannot be reached") as caught:
            fetch(replace(card, url=url), folder=tmp_path)
    assert url in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x.pth", "http://[/x.pth"])
def test_odd_addresses(card: Weights, tmp_path: Path, url: str) -> None:
    with raises("not a proper address|cannot be reached"):
        fetch(replace(card, url=url), folder=tmp_path)


def test_slow_server_can_be_left_and_come_back_to(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    sent = 300_000

    def stall(handler: Handler) -> None:
        handler.head(200, len(content), ETag='"one"')
        handler.wfile.write(content[:sent])
        handler.wfile.flush()
        handler.server.go_on.wait()

    def progress(part: float, text: str = "") -> None:
        if part >= 0.95 * sent / len(content):
            raise TaskCancelled

    server.plan = [stall]
    with pytest.raises(TaskCancelled):
        fetch(card, progress, tmp_path)
    assert not is_here(card, tmp_path)
    server.plan = [whole(content)]
    assert fetch(card, folder=tmp_path).read_bytes() == content
    assert server.seen[1].headers["Range"] == f"bytes={sent}-"


def test_silent_server_can_be_left(
    server: Server, card: Weights, tmp_path: Path
) -> None:
    def progress(part: float, text: str = "") -> None:
        if server.seen:
            raise TaskCancelled

    server.plan = [lambda handler: handler.server.go_on.wait() and None]
    with pytest.raises(TaskCancelled):
        fetch(card, progress, tmp_path)
    assert len(server.seen) == 1  # it was not waited for, to be asked again
    assert not left(tmp_path)


def test_server_that_falls_silent_is_given_up(
    server: Server,
    card: Weights,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.1)
    server.plan = [lambda handler: handler.server.go_on.wait() and None]
    with raises("does not answer in time"):
        fetch(card, folder=tmp_path)


def test_damaged_file_is_replaced_once_the_new_one_is_good(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    kept = tmp_path / NAME
    kept.write_bytes(content[:1000])
    server.plan = [error(503)]
    with raises("overloaded"):
        load_weights(card, tmp_path, download=True)
    assert kept.read_bytes() == content[:1000]
    server.plan = [whole(content)]
    load_weights(card, tmp_path, download=True)
    assert kept.read_bytes() == content


def test_proxies_of_the_system_are_used(
    server: Server,
    card: Weights,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_port}")
    server.plan = [whole(content)]
    url = f"http://weights.example/{NAME}"
    fetch(replace(card, url=url), folder=tmp_path)
    assert server.seen[0].path == url


def test_redirects_are_followed_but_not_out_of_cover(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    def elsewhere(handler: Handler) -> None:
        handler.head(302, 0, Location="/other")

    server.plan = [elsewhere, whole(content)]
    fetch(card, folder=tmp_path)
    assert server.seen[1].path == "/other"
    head = module._Head(200, module.httpx.Headers(), module.httpx.URL(server.url))
    part = module._Part(tmp_path / NAME, "https://weights.example/x.pth")
    with raises("without cover"):
        module._judge(head, part, 0)


def test_disk_without_room_is_told_before(
    server: Server,
    card: Weights,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = SimpleNamespace(free=len(content) // 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    server.plan = [whole(content)]
    with raises("not enough room"):
        fetch(card, folder=tmp_path)
    assert not left(tmp_path)


def test_folder_that_cannot_be_written(
    server: Server, card: Weights, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with raises("cannot be written"):
        fetch(card, folder=tmp_path / "file")
    assert not server.seen


# other processes ------------------------------------------------------------------

_SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import made_up
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights import fetch

def progress(part, text=""):
    if text.startswith("Waiting"):
        print("waiting", flush=True)

{before}
try:
    fetch(made_up.card({url!r}, {sha!r}), progress, Path({folder!r}))
    print("done", flush=True)
except WeightsError as ex:
    print("failed:", ex, flush=True)
"""


def start(card: Weights, folder: Path, before: str = "") -> subprocess.Popen[str]:
    code = _SCRIPT.format(
        tests=str(Path(__file__).parent),
        url=card.url,
        sha=card.sha256,
        folder=str(folder),
        before=before,
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )


def test_two_processes_fetch_once(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    def patient(handler: Handler) -> None:
        handler.server.go_on.wait()  # until the other one waits too
        whole(content)(handler)

    server.plan = [patient]
    processes = [start(card, tmp_path) for _ in range(2)]
    outputs: list[list[str]] = [[], []]

    def listen(number: int) -> None:
        stream = processes[number].stdout
        assert stream is not None
        for line in stream:
            outputs[number].append(line.strip())
            if line.strip() == "waiting":
                server.go_on.set()

    listeners = [threading.Thread(target=listen, args=(number,)) for number in range(2)]
    for thread in listeners:
        thread.start()
    for process, thread in zip(processes, listeners, strict=True):
        assert process.wait(timeout=120) == 0
        thread.join()
        assert process.stdout is not None
        process.stdout.close()
    assert [lines[-1] for lines in outputs] == ["done", "done"]
    assert sorted("waiting" in lines for lines in outputs) == [False, True]
    assert len(server.seen) == 1
    assert (tmp_path / NAME).read_bytes() == content
    assert left(tmp_path) == [NAME, f"{NAME}.sha256"]


def test_process_that_is_killed_leaves_the_way_free(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    came = threading.Event()

    def stall(handler: Handler) -> None:
        handler.head(200, len(content), ETag='"one"')
        handler.wfile.write(content[:300_000])
        handler.wfile.flush()
        came.set()
        handler.server.go_on.wait()

    server.plan = [stall, whole(content)]
    with start(card, tmp_path) as process:
        assert came.wait(120)
        process.kill()
    assert not is_here(card, tmp_path)
    assert fetch(card, folder=tmp_path).read_bytes() == content


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_full_disk(
    server: Server, card: Weights, content: bytes, tmp_path: Path
) -> None:
    # no file may grow beyond a megabyte: writing fails in the middle, as on a full disk
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))"
    server.plan = [whole(content)]
    with start(card, tmp_path, limit) as process:
        output, _ = process.communicate(timeout=120)
    assert "not enough room on the disk" in output
    assert not left(tmp_path)

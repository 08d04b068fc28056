"""The command line: networks, weights and cache."""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from orangecontrib.imagemining.__main__ import main
from orangecontrib.imagemining.commands import talking
from orangecontrib.imagemining.commands.talking import in_bytes, mb, meter
from orangecontrib.imagemining.embedders import Embedder, check_spec
from orangecontrib.imagemining.embedders.cache import shared_store
from orangecontrib.imagemining.embedders.cache.database import Database
from orangecontrib.imagemining.embedders.catalog import card_of, network_names
from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.weights import WEIGHTS, is_here, load_weights

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder that has nothing in it yet."""
    monkeypatch.setenv("IMAGEMINING_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


# networks ----------------------------------------------------------------------


def test_all_networks_as_json(capsys: Capture) -> None:
    assert main(["networks", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in content] == network_names()
    for each in content:
        for layer in each["layers"]:
            spec = EmbedderSpec(each["name"], layer["name"])
            assert check_spec(spec).size == layer["size"]
        assert each["licence"] == card_of(each["name"]).license
    here = {each["name"] for each in content if each["weights_are_here"]}
    assert "squeezenet1_1" in here and "vgg16" not in here


def test_networks_for_people(capsys: Capture) -> None:
    assert main(["networks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("vgg16: VGG-16")
    assert lines[at + 1].startswith("    weights are to be fetched (528 MB); BSD-3-")
    assert lines[at + 2].startswith("    layers: features (4,096), stages (1,472), ")
    assert lines[at + 2].endswith(", and 10 more")
    assert lines[1].startswith("    weights are here; MIT")


def test_one_network(capsys: Capture) -> None:
    assert main(["networks", "squeezenet1_1"]) == 0
    out = capsys.readouterr().out
    assert "Checked:    Checked by the published checksum\n" in out
    assert "Images:     227 x 227 pixels\n" in out
    for layer in WEIGHTS["squeezenet1_1"].layers:
        assert f"{layer.size:,} numbers: {layer.description}" in out
    assert main(["networks", "resnet18", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["name"] == "resnet18" and content["top1"] == 0.69758


def test_network_that_there_is_not(capsys: Capture) -> None:
    assert main(["networks", "resnet-18"]) == 2
    captured = capsys.readouterr()
    assert "did you mean 'resnet18'?" in captured.err and captured.out == ""


# weights -----------------------------------------------------------------------


def test_list_of_weights(home: Path, capsys: Capture) -> None:
    assert main(["weights"]) == 0
    as_default = capsys.readouterr().out
    assert main(["weights", "list"]) == 0
    assert capsys.readouterr().out == as_default
    lines = {line.split()[0]: line.split() for line in as_default.splitlines()}
    assert list(lines) == list(WEIGHTS)
    assert lines["squeezenet1_1"][1] == "here"
    assert lines["vgg16"][1:3] == ["528", "MB"]


def test_where_weights_are(home: Path, capsys: Capture) -> None:
    assert main(["weights", "where"]) == 0
    assert capsys.readouterr().out == f"{home / 'weights'}\n"


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A loopback server that has squeezenet1_0's file; returns the file."""
    from safetensors.numpy import save

    folder = tmp_path / "server"
    folder.mkdir()
    # the numbers of another version, in its shapes, stand in for the published ones
    from orangecontrib.imagemining.weights.tensors import shapes_of

    shapes = shapes_of("squeezenet1_0", 1000)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    file = folder / "model.safetensors"
    file.write_bytes(save(tensors))
    handler = partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/{file.name}"
    card = replace(
        WEIGHTS["squeezenet1_0"],
        url=url,
        sha256="",
        name="squeezenet1_0",
        tensors_sha256="",
    )
    monkeypatch.setitem(WEIGHTS, "squeezenet1_0", card)
    yield file
    server.shutdown()
    server.server_close()
    thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def test_fetch_and_remove(home: Path, published: Path, capsys: Capture) -> None:
    card = WEIGHTS["squeezenet1_0"]
    assert main(["weights", "fetch", "squeezenet1_0"]) == 0
    kept = home / "weights" / "squeezenet1_0.safetensors"
    captured = capsys.readouterr()
    assert captured.out == f"{card.title}: {kept}\n" and captured.err == ""
    assert kept.read_bytes() == published.read_bytes()
    assert set(load_weights(card)) and is_here(card)

    # nobody to ask: nothing is deleted
    assert main(["weights", "remove", "squeezenet1_0"]) == 1
    captured = capsys.readouterr()
    assert f"Delete {kept.name} (" in captured.err and "say --yes" in captured.err
    assert kept.exists()
    assert main(["weights", "remove", "squeezenet1_0", "--yes"]) == 0
    assert f"Deleted {kept.name} (" in capsys.readouterr().out
    assert not is_here(card) and not kept.exists()
    # what tells the same file the next time stays
    assert kept.with_name(f"{kept.name}.sha256").exists()
    assert main(["weights", "remove", "squeezenet1_0", "--yes"]) == 0
    assert "nothing is kept here" in capsys.readouterr().out


def test_begun_downloads_are_removed_and_shared_folders_left(
    home: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("IMAGEMINING_WEIGHTS", str(shared))
    (shared / "squeezenet1_0.safetensors").write_bytes(published.read_bytes())
    own = home / "weights"
    own.mkdir(parents=True)
    for name in (".part-squeezenet1_0.safetensors", "vgg16-397923af.pth"):
        (own / name).write_bytes(b"x")
    assert main(["weights", "remove", "squeezenet1_0", "--yes"]) == 0
    assert not (own / ".part-squeezenet1_0.safetensors").exists()
    assert (own / "vgg16-397923af.pth").exists()
    assert (shared / "squeezenet1_0.safetensors").exists()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer, status", [("y\n", 0), ("\n", 1), ("no\n", 1)])
def test_remove_asks(
    home: Path,
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    answer: str,
    status: int,
) -> None:
    kept = home / "weights" / "squeezenet1_0.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x")
    monkeypatch.setattr(sys, "stdin", _Terminal(answer))
    assert main(["weights", "remove", "squeezenet1_0"]) == status
    assert kept.exists() == bool(status)
    captured = capsys.readouterr()
    assert captured.err.endswith("? [y/N] ")
    assert ("Nothing was deleted." in captured.out) == bool(status)


def test_import_of_weights(
    home: Path, published: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["weights", "import", "squeezenet1_0", str(published)]) == 0
    assert f"kept in {home / 'weights'}" in capsys.readouterr().out
    assert is_here(WEIGHTS["squeezenet1_0"]) and published.exists()
    assert main(["weights", "import", "vgg16", str(published)]) == 1
    assert main(["weights", "import", "vgg16", str(tmp_path / "none")]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 2 and "Traceback" not in error


@pytest.mark.parametrize(
    "arguments",
    [["fetch", "squeezenet1_0", "vgg"], ["remove", "vgg"], ["import", "vgg", "x"]],
)
def test_weights_of_what_there_is_not(
    home: Path, capsys: Capture, arguments: list[str]
) -> None:
    assert main(["weights", *arguments]) == 2
    assert "no network with published weights 'vgg'" in capsys.readouterr().err
    assert not home.exists()


# cache -------------------------------------------------------------------------


def test_cache(home: Path, make_folder: Callable[..., Path], capsys: Capture) -> None:
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.startswith("No vectors are kept yet; ")
    assert not home.exists()  # asking makes nothing
    Embedder("squeezenet1_1")(make_folder({"a": 3}))
    assert main(["cache", "where"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.is_file() and path.is_relative_to(home)
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.startswith("3 vectors, 0.")
    assert main(["cache", "info", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["vectors"] == 3 and content["path"] == str(path)
    assert 3 * 512 * 4 < content["bytes"] < 2**20

    assert main(["cache", "clear"]) == 1
    assert "Throw out 3 vectors" in capsys.readouterr().err
    assert shared_store().n_vectors() == 3
    assert main(["cache", "clear", "--yes"]) == 0
    assert capsys.readouterr().out == "3 vectors thrown out\n"
    assert shared_store().n_vectors() == 0
    assert main(["cache", "clear", "--yes"]) == 0
    assert capsys.readouterr().out == "No vectors are kept.\n"
    shared_store().close()


def test_cache_that_a_full_disk_does_not_even_let_open(
    home: Path,
    make_folder: Callable[..., Path],
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare = Database._prepare

    def fail(self: Database) -> None:
        if self.path.stat().st_size:
            raise sqlite3.OperationalError("disk I/O error")
        prepare(self)  # there is room for a new one

    Embedder()(make_folder({"a": 2}))
    store = shared_store()
    store.close()
    monkeypatch.setattr(Database, "_prepare", fail)
    assert main(["cache", "clear"]) == 1
    assert "Throw out all vectors? There is nobody to ask" in capsys.readouterr().err
    assert main(["cache", "clear", "--yes"]) == 0
    assert capsys.readouterr().out == "All vectors thrown out\n"
    monkeypatch.undo()
    store.close()


def test_limit_of_the_cache(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert main(["cache", "limit", "500MB"]) == 0
    assert capsys.readouterr().out == "Up to 500 MB of vectors are kept\n"
    assert shared_store().limit == 500 * 2**20
    assert main(["cache", "limit", "much"]) == 1
    assert "'much' is no size" in capsys.readouterr().err
    monkeypatch.setenv("IMAGEMINING_CACHE_BYTES", "1000")
    assert main(["cache", "limit", "1GB"]) == 1
    assert "IMAGEMINING_CACHE_BYTES" in capsys.readouterr().err
    shared_store().close()


# helpers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, n",
    [("0", 0), ("1000", 1000), ("500MB", 500 << 20), ("2 gb", 2 << 30), ("1.5K", 1536)],
)
def test_sizes(text: str, n: int) -> None:
    assert in_bytes(text) == n


@pytest.mark.parametrize("text", ["", "MB", "-1", "1 mile", "nan"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ImageMiningError):
        in_bytes(text)


def test_sizes_in_words() -> None:
    assert [mb(n) for n in (0, 2**20, 50 * 2**20, 3 * 2**29)] == [
        "0.0 MB",
        "1.0 MB",
        "50 MB",
        "1.5 GB",
    ]


def test_lines_where_there_is_no_terminal(capsys: Capture) -> None:
    now = [100.0]
    with meter(20_000, clock=lambda: now[0]) as progress:
        for seconds, fraction in ((0, 0), (20, 0.1), (31, 0.2), (50, 0.3), (90, 0.5)):
            now[0] = 100.0 + seconds
            progress(fraction, "8 of 10 images")
    assert capsys.readouterr().err.splitlines() == [
        "4,000 of 20,000 images, 129 images/s, 2:04 left",
        "10,000 of 20,000 images, 111 images/s, 1:30 left",
    ]
    with meter(5, quiet=True, clock=lambda: now[0]) as progress:
        now[0] += 1000
        progress(0.5)
    assert capsys.readouterr().err == ""


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with meter(400) as progress:
        progress(0.0, "Loading the network")
        progress(0.25, "100 of 400 images")
        progress(1.0)
    text = screen.getvalue()
    assert "Loading the network" in text
    assert "0 of 400 images, ? images/s, ? left" in text
    assert text.rstrip(" ").endswith("\r")  # the line is left empty


def test_durations() -> None:
    assert talking._duration(59.6) == "1:00"
    assert talking._duration(3725) == "1:02:05"


@pytest.mark.parametrize("command", ["embed", "networks", "weights", "cache"])
def test_help_loads_nothing_heavy(command: str) -> None:
    program = (
        "import sys\n"
        "from orangecontrib.imagemining.__main__ import main\n"
        f"try: main(['{command}', '--help'])\n"
        "except SystemExit: pass\n"
        "names = {'torch', 'Orange', 'matplotlib', 'PIL', 'numpy', 'httpx'}\n"
        "print(sorted(names & set(sys.modules)))\n"
    )
    lines = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert lines.splitlines()[-1] == "[]"
    assert f"usage: orange-imagemining {command}" in lines

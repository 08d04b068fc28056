"""Everything that users' folders and tables hold: each a row with a reason."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from Orange.data import Domain, StringVariable, Table
from PIL import Image

from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import embed_table, table_from_folder

FEATURES = EmbedderSpec("squeezenet1_1", "features")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A web server of the folder ``www``."""
    folder = tmp_path / "www"
    folder.mkdir()
    handler = partial(QuietHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def unused_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        return f"http://127.0.0.1:{closed_soon.getsockname()[1]}"


def test_folder_of_horrors(tmp_path: Path) -> None:
    folder = tmp_path / "horrors"
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    (folder / " spaces around ").mkdir()
    good = ["a/same.png", "b/same.png", "a/with space.png", "a/microbe 🦠.png"]
    good += ["a/" + "n" * 196 + ".png", "a/one.png", "a/disguised.jpg"]
    good += [" spaces around /in front.png"]
    for seed, name in enumerate(good):
        size = (1, 1) if name == "a/one.png" else (30, 20)
        picture(seed, size).save(folder / name, "PNG")
    whole = (folder / good[0]).read_bytes()
    bad = {
        "a/empty.png": (b"", "empty"),
        "a/cut.png": (whole[: len(whole) // 2], "breaks off"),
        "b/words.jpg": (b"Dear diary, today I saw a cell.", "text file"),
    }
    for name, (content, _) in bad.items():
        (folder / name).write_bytes(content)
    Image.new("1", (40_000, 40_000)).save(folder / "a" / "huge.png")
    (folder / "a" / "dangling.png").symlink_to(folder / "gone.png")
    reasons = {name: reason for name, (_, reason) in bad.items()}
    reasons |= {"a/huge.png": "100 million", "a/dangling.png": "no file"}

    table = table_from_folder(folder).table
    result = embed_table(table, table.domain["image"], FEATURES)
    assert {str(row["image"]) for row in result.embedded} == set(good)
    assert np.isfinite(result.embedded.X).all()
    told = {str(row["image"]): str(row["reason"]) for row in result.skipped}
    assert told.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in told[name]


def test_table_of_addresses(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(1).save(tmp_path / "www" / "good image.png")
    with open(tmp_path / "www" / "large.png", "wb") as stream:
        stream.truncate(100 * 2**20)
    monkeypatch.setenv("IMAGEMINING_TIMEOUT", "5")
    column = StringVariable("image")
    column.attributes = {"type": "image", "origin": address}
    rows = {
        "good image.png": "",
        "missing.png": "404",
        "large.png": "larger than 64 MB",
        unused_address() + "/a.png": "cannot be reached",
        str(tmp_path / "gone.png"): "no file",
        "": "No image is given",
    }
    table = Table.from_list(Domain([], None, [column]), [[value] for value in rows])
    result = embed_table(table, column, FEATURES)
    assert [str(row["image"]) for row in result.embedded] == ["good image.png"]
    reasons = [str(row["reason"]) for row in result.skipped]
    for reason, expected in zip(reasons, list(rows.values())[1:], strict=True):
        assert expected in reason


def test_all_images_skipped() -> None:
    column = StringVariable("image")
    column.attributes = {"type": "image"}
    table = Table.from_list(Domain([], None, [column]), [["/gone.png"], [""]])
    result = embed_table(table, column, FEATURES)
    assert result.embedded is None
    assert len(result.skipped) == 2

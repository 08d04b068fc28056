from __future__ import annotations

import sys
from pathlib import Path

import pytest
from AnyQt.QtCore import QUrl
from AnyQt.QtGui import QDesktopServices, QImage

from orangecontrib.imagemining.widgets.utils import desktop


def test_addresses() -> None:
    assert desktop.url_of("http://h/a.png").toString() == "http://h/a.png"
    assert desktop.url_of("/p/a b.png") == QUrl.fromLocalFile("/p/a b.png")
    assert desktop.url_of("file:///p/a.png") == QUrl.fromLocalFile("/p/a.png")


def test_mime() -> None:
    image = QImage(3, 2, QImage.Format.Format_RGB32)
    data = desktop.mime_of(["/p/a.png", "http://h/b.png"], image)
    assert [url.toString() for url in data.urls()] == [
        "file:///p/a.png",
        "http://h/b.png",
    ]
    assert data.text() == "/p/a.png\nhttp://h/b.png"
    assert data.hasImage()
    # of planes, other programs get the file, once
    words = ["/p/a.tif#z=1", "/p/a.tif#z=2&contrast=full", "http://h/b.tif#stack=max"]
    data = desktop.mime_of([*words, "/p/odd#z=1#"])
    assert data.text() == "/p/a.tif\nhttp://h/b.tif\n/p/odd#z=1"
    assert [url.toString() for url in data.urls()] == [
        "file:///p/a.tif",
        "http://h/b.tif",
        "file:///p/odd%23z=1",
    ]
    assert not desktop.mime_of(["/p/a.png"]).hasImage()


@pytest.mark.parametrize(
    "platform, program, last",
    [
        ("win32", "explorer.exe", "\\p\\a b.png"),
        ("darwin", "open", "/p/a b.png"),
        ("linux", "dbus-send", "array:string:file:///p/a%20b.png"),
    ],
)
def test_reveal_command(
    monkeypatch: pytest.MonkeyPatch, platform: str, program: str, last: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(desktop.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/x")
    command = desktop._reveal_command("/p/a b.png")
    assert command is not None and command[0] == program and last in command


def test_reveal_opens_the_folder_where_nothing_selects(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr(desktop, "_reveal_command", lambda path: None)
    monkeypatch.setattr(
        QDesktopServices, "openUrl", lambda url: opened.append(url) or True
    )
    assert desktop.reveal(str(tmp_path / "a.png"))
    assert desktop.open_in_viewer("http://h/a.png")
    assert opened == [QUrl.fromLocalFile(str(tmp_path)), QUrl("http://h/a.png")]

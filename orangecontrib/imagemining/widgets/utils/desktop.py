"""Images handed to other programs: opened, shown in their folder, copied, dragged."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from AnyQt.QtCore import QMimeData, QProcess, Qt, QUrl
from AnyQt.QtGui import QDesktopServices, QDrag, QImage, QPixmap
from AnyQt.QtWidgets import QWidget

from orangecontrib.imagemining.images import local_path
from orangecontrib.imagemining.images.sources import escaped, split_source

__all__ = ["drag_away", "mime_of", "open_in_viewer", "reveal", "url_of"]

_MANAGER = "org.freedesktop.FileManager1"  # what Linux desktops agree on
_DRAGGED_SIDE = 96  # of the picture under the mouse


def url_of(source: str) -> QUrl:
    """Return the address of the file that an image is in, or the address itself."""
    path = local_path(source)
    if path is None:
        return QUrl(split_source(source)[0])
    return QUrl.fromLocalFile(os.path.abspath(path))


def open_in_viewer(source: str) -> bool:
    """Open an image in the program that the system has for it."""
    return bool(QDesktopServices.openUrl(url_of(source)))


def reveal(source: str) -> bool:
    """Show a file in its folder; False if that cannot be done."""
    path = local_path(source)
    if path is None:
        return open_in_viewer(source)
    path = os.path.abspath(path)
    command = _reveal_command(path)
    if command is not None and QProcess.startDetached(command[0], command[1:])[0]:
        return True
    folder = QUrl.fromLocalFile(os.path.dirname(path))
    return bool(QDesktopServices.openUrl(folder))


def _reveal_command(path: str) -> list[str] | None:
    """Return the command that shows `path` selected, None if there is none."""
    if sys.platform == "win32":
        return ["explorer.exe", "/select,", path.replace("/", "\\")]
    if sys.platform == "darwin":
        return ["open", "-R", path]
    if shutil.which("dbus-send") and os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return [
            "dbus-send",
            "--session",
            "--type=method_call",
            f"--dest={_MANAGER}",
            "/org/freedesktop/FileManager1",
            f"{_MANAGER}.ShowItems",
            f"array:string:{Path(path).as_uri()}",
            "string:",
        ]
    return None


def mime_of(sources: Sequence[str], image: QImage | None = None) -> QMimeData:
    """Return images as the clipboard and other programs take them.

    Parameters
    ----------
    sources
        Of the images; of parts of a file, the file is given.
    image
        The pixels of the only one, for programs that want these.
    """
    data = QMimeData()
    # other programs do not know our words for a plane: they get its file, once
    places = dict.fromkeys(local_path(s) or split_source(s)[0] for s in sources)
    data.setUrls([url_of(escaped(place)) for place in places])
    data.setText("\n".join(places))
    if image is not None:
        data.setImageData(image)
    return data


def drag_away(widget: QWidget, sources: Sequence[str], image: QImage | None) -> None:
    """Let the user drag images into another program, which gets copies."""
    drag = QDrag(widget)
    drag.setMimeData(mime_of(sources))
    if image is not None:
        picture = QPixmap.fromImage(image)
        drag.setPixmap(
            picture.scaled(
                _DRAGGED_SIDE,
                _DRAGGED_SIDE,
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
        )
    drag.exec(Qt.DropAction.CopyAction)

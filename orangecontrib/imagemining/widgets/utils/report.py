"""Pictures in reports."""

from __future__ import annotations

import base64

from AnyQt.QtCore import QBuffer, QIODevice
from AnyQt.QtWidgets import QWidget

__all__ = ["picture_of"]


def picture_of(widget: QWidget) -> str:
    """Return what is seen of a widget, as HTML for a report."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    widget.grab().save(buffer, "PNG")
    content = base64.b64encode(bytes(buffer.data())).decode()
    return f'<img src="data:image/png;base64,{content}"/>'

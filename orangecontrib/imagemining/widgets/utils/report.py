"""Pictures and tables in reports."""

from __future__ import annotations

import base64
import html

from AnyQt.QtCore import QBuffer, QIODevice, Qt
from AnyQt.QtWidgets import QTableView, QWidget

__all__ = ["picture_of", "texts_of"]


def picture_of(widget: QWidget) -> str:
    """Return what is seen of a widget, as HTML for a report."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    widget.grab().save(buffer, "PNG")
    content = base64.b64encode(bytes(buffer.data())).decode()
    return f'<img src="data:image/png;base64,{content}"/>'


def texts_of(table: QTableView) -> list[list[str]]:
    """Return titles and cells for ``report_table(…, header_rows=1)``.

    Given the view itself, it would open the report's window to ask for fonts.
    """
    model = table.model()
    columns = range(model.columnCount())
    titles = [model.headerData(each, Qt.Orientation.Horizontal) for each in columns]
    rows = [
        [model.index(row, column).data() for column in columns]
        for row in range(model.rowCount())
    ]
    return [[html.escape(str(text or "")) for text in row] for row in [titles, *rows]]

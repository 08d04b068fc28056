"""Items, pictures and tables in reports."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable

from AnyQt.QtCore import QBuffer, QIODevice, Qt
from AnyQt.QtWidgets import QTableView, QWidget

__all__ = ["as_html", "picture_of", "texts_of"]


def as_html(items: Iterable[tuple[str, object]]) -> list[tuple[str, str]]:
    """Return names and values for ``report_items``, which takes HTML.

    What users named stays as it is (a folder called ``<b>``), lines stay lines. Values
    of None are left out, an empty one is told as none.
    """
    return [
        (html.escape(name), html.escape(str(value)).replace("\n", "<br/>") or "none")
        for name, value in items
        if value is not None
    ]


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

"""What Image Viewer and Image Grid share: columns, the selection that goes out."""

from __future__ import annotations

from AnyQt.QtWidgets import QFormLayout
from Orange.data import Table, Variable
from Orange.widgets import gui
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin
from Orange.widgets.widget import OWWidget

from orangecontrib.imagemining.tables import image_columns
from orangecontrib.imagemining.widgets.utils.captions import TableCaptions
from orangecontrib.imagemining.widgets.utils.combos import ColumnCombo
from orangecontrib.imagemining.widgets.utils.forms import new_form
from orangecontrib.imagemining.widgets.utils.oneimage import OneImage
from orangecontrib.imagemining.widgets.utils.sending import (
    Selection,
    SelectionSender,
)
from orangecontrib.imagemining.widgets.utils.thumbnailview import ThumbnailView

__all__ = ["ImageWidget"]


class ImageWidget(
    OWWidget,
    ConcurrentWidgetMixin,
    openclass=True,  # type: ignore[call-arg]  # has no name: it is no widget yet
):
    """A widget that shows a table's images and sends those selected.

    Its class has the outputs `selected_data` and `data`, the setting `column` with its
    `column_combo`, and a `view`, which it gives to `set_view`.
    """

    def __init__(self) -> None:
        OWWidget.__init__(self)
        ConcurrentWidgetMixin.__init__(self)
        self.data: Table | None = None
        self.captions: TableCaptions | None = None
        self.sender_of_tables = SelectionSender(self, self._send)

    def set_view(self, view: ThumbnailView) -> None:
        """Show the current image of `view` in full size when asked for."""
        self.view = view
        view.setAccessibleName("Images")
        self.one_image = OneImage(self, view, self.source_of, self._title_of)

    def source_of(self, row: int) -> str | None:
        """Return a row's path or address."""
        raise NotImplementedError

    def _title_of(self, row: int) -> str:
        return self.captions.title(row) if self.captions else ""

    def new_form(self, title: str) -> QFormLayout:
        """Return a form in a box of its own in the control area."""
        form = new_form()
        gui.vBox(self.controlArea, title).layout().addLayout(form)
        return form

    def show_image_columns(self) -> list[Variable]:
        """Offer the columns of images; return all columns, texts first, to choose from.

        There are none to choose from where there is no column of images.
        """
        domain = self.data.domain if self.data is not None else None
        images = image_columns(domain, self.column) if domain is not None else []
        self.column_combo.set_columns(images)
        if domain is None or not images:
            return []
        return [*domain.metas, *domain.class_vars, *domain.attributes]

    @property
    def image_column(self) -> Variable | None:
        """The column of images that is shown, None if there is none."""
        return self.variable(self.column_combo)

    def variable(self, combo: ColumnCombo) -> Variable | None:
        """Return the column that a combo shows, None for none."""
        if self.data is None or not combo.column:
            return None
        return self.data.domain[combo.column]

    def _send(self, selection: Selection) -> None:
        self.Outputs.selected_data.send(selection.selected)
        self.Outputs.data.send(selection.annotated)
        self.setInvalidated(self.task is not None)

    def setInvalidated(self, state: bool) -> None:
        # what is downstream waits for the tables too
        super().setInvalidated(state or self.sender_of_tables.task is not None)

    def onDeleteWidget(self) -> None:
        self.view.loader.close()
        self.one_image.close()
        self.sender_of_tables.shutdown()
        self.shutdown()
        super().onDeleteWidget()

"""Opens all widgets and tells what can be read on them, and what they are called.

`test_translated.py` runs it in an interpreter of its own with a translated package,
which has the name of the real one, and compares: ``PYTHONPATH=FOLDER python
translated_walk.py`` with the folder that holds the translated ``orangecontrib``. It
prints a line of JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QDialog,
    QGroupBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QTableView,
    QTabWidget,
    QWidget,
)
from Orange.data import Table
from Orange.widgets import gui
from Orange.widgets.settings import Setting
from Orange.widgets.tests import base
from Orange.widgets.widget import Output, OWWidget
from orangewidget.utils.messages import UnboundMsg

import orangecontrib.imagemining as package

WIDGETS = [
    "owimportimages.OWImportImages",
    "owimageembedding.OWImageEmbedding",
    "owimageviewer.OWImageViewer",
    "owimagegrid.OWImageGrid",
    "owsaveimages.OWSaveImages",
    "owtrainnetwork.OWTrainNetwork",
    "owsavenetwork.OWSaveNetwork",
    "owloadnetwork.OWLoadNetwork",
    "owevaluatenetworks.OWEvaluateNetworks",
    "owcompressnetwork.OWCompressNetwork",
    "ownetworkinfo.OWNetworkInfo",
]
WITH_IMAGES = {"OWImageEmbedding", "OWImageViewer", "OWSaveImages"}


def texts_of(widget: QWidget) -> Iterator[tuple[str, str]]:
    """Return all that somebody could read on a widget, with the kind of the part."""
    for part in [widget, *widget.findChildren(QWidget)]:
        yield "tooltip", part.toolTip()
        yield "what's this", part.whatsThis()
        yield "accessible name", part.accessibleName()
        for action in part.actions():
            yield "action", action.text()
            yield "tooltip of action", action.toolTip()
        if isinstance(part, QDialog):
            yield "title", part.windowTitle()
        if isinstance(part, (QLabel, QAbstractButton)):
            yield type(part).__name__, part.text()
        elif isinstance(part, QGroupBox):
            yield "box", part.title()
        elif isinstance(part, QLineEdit):
            yield "placeholder", part.placeholderText()
        elif isinstance(part, QPlainTextEdit):
            yield "placeholder", part.placeholderText()
        elif isinstance(part, QAbstractSpinBox):
            yield "special value", part.specialValueText()
            for affix in ("prefix", "suffix"):
                if hasattr(part, affix):
                    yield affix, getattr(part, affix)()
        elif isinstance(part, QComboBox):
            for index in range(part.count()):
                yield "combo", part.itemText(index)
                yield (
                    "tooltip of combo",
                    str(part.itemData(index, Qt.ItemDataRole.ToolTipRole) or ""),
                )
        elif isinstance(part, QTabWidget):
            for index in range(part.count()):
                yield "tab", part.tabText(index)
                yield "tooltip of tab", part.tabToolTip(index)
        elif isinstance(part, QTableView) and part.model() is not None:
            model, across = part.model(), Qt.Orientation.Horizontal
            for column in range(model.columnCount()):
                yield "column", str(model.headerData(column, across) or "")


def messages_of(kind: type[OWWidget]) -> Iterator[tuple[str, str]]:
    """Return the texts of a widget class: its messages, name and description."""
    for group in ("Error", "Warning", "Information"):
        own = vars(kind).get(group)
        for name, message in vars(own).items() if own else ():
            if isinstance(message, UnboundMsg):
                yield f"{group}.{name}", re.sub(r"\{[^{}]*\}", "", str(message))
    yield "name", kind.name
    yield "description", kind.description


class Bare(OWWidget):
    """Has nothing of ours."""

    name = "bare"

    class Outputs:
        nothing = Output("Nothing", Table)

    auto_apply = auto_send = Setting(True)

    def __init__(self) -> None:
        super().__init__()
        gui.auto_apply(self.buttonsArea, self, "auto_apply")
        gui.auto_send(self.buttonsArea, self, "auto_send")
        self.graph_name = "controlArea"

    @gui.deferred
    def commit(self) -> None: ...

    def send_report(self) -> None: ...


class Walk(base.WidgetTest):
    def runTest(self) -> None: ...


def tell() -> dict[str, Any]:
    """Open all widgets, embed some images, and tell what can be read and what came."""
    from orangecontrib.imagemining.specs import EmbedderSpec
    from orangecontrib.imagemining.tables import embed_table, table_from_folder

    Walk.setUpClass()
    walk = Walk()
    walk.setUp()
    folder = Path(package.__file__).parent / "samples" / "synthetic-yeast"
    images = table_from_folder(str(folder)).table[::40]
    found: list[tuple[str, str, str]] = []
    signals: dict[str, list[str]] = {}
    settings: dict[str, list[str]] = {}
    # what Orange says on each widget is Orange's to translate
    orange = {text for _, text in texts_of(walk.create_widget(Bare))}
    for path in WIDGETS:
        module, name = path.split(".")
        module = f"orangecontrib.imagemining.widgets.{module}"
        kind = getattr(import_module(module), name)
        widget = walk.create_widget(kind)
        for table in (None, images):
            if table is not None:
                if name not in WITH_IMAGES:
                    break
                (data,) = (
                    each for each in widget.get_signals("inputs") if each.type is Table
                )
                walk.send_signal(data.name, table, widget=widget)
            texts = [*texts_of(widget), *messages_of(kind)]
            found += [
                (name, *each) for each in texts if each[1] and each[1] not in orange
            ]
        both = (*widget.get_signals("inputs"), *widget.get_signals("outputs"))
        signals[name] = [each.name for each in both]
        settings[name] = sorted(
            f"{key}: {value}"
            for key, value in widget.settingsHandler.pack_data(widget).items()
            if isinstance(value, (str, bool, int, float))
        )
        widget.cancel() if hasattr(widget, "cancel") else None
    spec = EmbedderSpec("squeezenet1_1", "features")
    embedded = embed_table(images, images.domain["image"], spec).embedded
    domain = embedded.domain
    return {
        "package": package.__file__,
        "texts": sorted(set(found)),
        "signals": signals,
        "settings": settings,
        "columns": [each.name for each in (*domain.variables, *domain.metas)],
        "vectors": embedded.X[:, :8].tolist(),
    }


if __name__ == "__main__":
    print(json.dumps(tell()))
    sys.stdout.flush()
    os._exit(0)  # what the widgets began need not end

"""Words, tooltips, sizes, icons and the dark theme of all widgets."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from AnyQt.QtCore import QRectF, QSize, Qt
from AnyQt.QtGui import QColor, QFont, QImage, QPainter, QPalette
from AnyQt.QtSvg import QSvgRenderer
from AnyQt.QtTest import QTest
from AnyQt.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QDialog,
    QGraphicsView,
    QLabel,
    QLineEdit,
    QListWidget,
    QMenuBar,
    QScrollBar,
    QStyle,
    QStyleOptionComboBox,
    QTabBar,
    QTableView,
    QWidget,
)
from Orange.widgets.tests import base
from Orange.widgets.tests.base import GuiTest
from Orange.widgets.visualize.utils.plotutils import PlotWidget
from Orange.widgets.widget import OWWidget
from orangecanvas.styles import breeze_dark
from test_all_widgets import NAMES, widget_class
from test_keyboard import used_twice

from orangecontrib.imagemining import widgets
from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.embedders.engines.onnx import NetworkFile, Port
from orangecontrib.imagemining.widgets.utils.cells import faint_text
from orangecontrib.imagemining.widgets.utils.colours import blended, contrast, text_on
from orangecontrib.imagemining.widgets.utils.compresspanel import PlanDialog
from orangecontrib.imagemining.widgets.utils.compressplot import CompressPlot
from orangecontrib.imagemining.widgets.utils.compresssteps import StepDialog, new_step
from orangecontrib.imagemining.widgets.utils.compresstexts import offered_steps
from orangecontrib.imagemining.widgets.utils.gridview import group_colour
from orangecontrib.imagemining.widgets.utils.infodrawing import _HUES, _Colours
from orangecontrib.imagemining.widgets.utils.ownnetwork import OwnNetworkDialog
from orangecontrib.imagemining.widgets.utils.serverdialog import ServerDialog
from orangecontrib.imagemining.widgets.utils.thumbnailview import ThumbnailView
from orangecontrib.imagemining.widgets.utils.trainchoices import Choices
from orangecontrib.imagemining.widgets.utils.trainconfusion import ConfusionView
from orangecontrib.imagemining.widgets.utils.traincurves import (
    TRAINING,
    VALIDATION,
    Curves,
)
from orangecontrib.imagemining.widgets.utils.trainnumbers import NumbersDialog

_SVG = "{http://www.w3.org/2000/svg}"
FOLDER = Path(widgets.__file__).parent
ROOT = Path(__file__).parents[2]
ICONS = FOLDER / "icons"


# words -----------------------------------------------------------------------


def unused_words() -> dict[str, str]:
    """Return what the glossary has in its last column, by the word used instead."""
    words = {}
    for line in (ROOT / "doc" / "glossary.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[2] and not set(cells[2]) <= {"-"}:
            words.update({each.strip(): cells[0] for each in cells[2].split(",")})
    words.pop("not used for it")
    return words


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what a module may show: its strings but docstrings, names and keywords."""
    tree = ast.parse(path.read_text("utf-8"))
    other: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):  # docstrings
            other.add(id(node.value))
        if isinstance(node, ast.Assign):
            names = {getattr(target, "id", "") for target in node.targets}
            if names & {"keywords", "replaces", "__all__"}:
                other.update(id(each) for each in ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.strip()
            shown = " " in text or text[:1].isupper()
            if shown and id(node) not in other:
                yield node.lineno, node.value.replace("&", "")


def test_widgets_keep_to_the_glossary() -> None:
    words = unused_words()
    assert len(words) > 50  # the table was understood
    either = "|".join(re.escape(word) for word in [*words, "please"])
    expression = re.compile(rf"(?<![\w-])({either})(?![\w-])", re.IGNORECASE)
    texts = [
        (path, line, text)
        for path in sorted(FOLDER.rglob("*.py"))
        for line, text in texts_of(path)
    ]
    for page in sorted((ROOT / "doc" / "widgets").glob("*.md")):
        lines = page.read_text("utf-8").splitlines()
        # names in code are what they are
        texts += [(page, n, re.sub("`.*?`", "", s)) for n, s in enumerate(lines, 1)]
    assert {path.suffix for path, _, _ in texts} == {".py", ".md"}
    found = [
        f"{path.relative_to(ROOT)}:{line}: “{word}”: {text}"
        for path, line, text in texts
        for word in expression.findall(text)
    ]
    assert found == []


# icons -----------------------------------------------------------------------


def test_icons_are_one_family() -> None:
    paths = sorted(ICONS.glob("*.svg"))
    names = {path.stem for path in paths}
    kinds = [widget_class(name) for name in NAMES]
    own = [kind.icon.removeprefix("icons/").removesuffix(".svg") for kind in kinds]
    assert len(set(own)) == len(kinds)  # each has one of its own
    assert {*own, "Category-ImageMining"} == names
    assert widgets.ICON == "icons/Category-ImageMining.svg"
    for path in paths:
        text = path.read_text("utf-8")
        assert len(text) < 2000, path.name
        root = ElementTree.fromstring(text)
        assert root.get("viewBox") == "0 0 48 48", path.name
        parts = [each for each in root.iter() if each is not root]
        tags = {each.tag.removeprefix(_SVG) for each in [root, *parts]}
        assert tags <= {"svg", "g", "path", "circle", "rect"}, path.name
        used = {each.get(name) for each in parts for name in ("fill", "stroke")}
        assert used - {None} <= {"#333", "#8a8a8a", "#d9571f", "#fff"}, path.name
        assert {"#333", "#d9571f", "#fff"} <= used, path.name
        widths = {each.get("stroke-width") for each in parts} - {None}
        assert widths <= {"2", "3", "6"}, path.name
        # straight from the corner of one drawing to that of the next
        assert root.get("stroke-linejoin") == root.get("stroke-linecap") == "round"
        rounds = {each.get("rx") for each in parts if each.tag == f"{_SVG}rect"}
        assert rounds <= {"2", "3"}, path.name


def test_icons_fill_their_square() -> None:
    """Of 48 pixels, each reaches within 6 of the edges that it is nearest to."""
    GuiTest.setUpClass()
    for path in sorted(ICONS.glob("*.svg")):
        image = QImage(48, 48, QImage.Format.Format_ARGB32)
        image.fill(Qt.GlobalColor.transparent)
        painter = QPainter(image)
        QSvgRenderer(str(path)).render(painter, QRectF(0, 0, 48, 48))
        painter.end()
        drawn = [
            (x, y)
            for x in range(48)
            for y in range(48)
            if QColor.fromRgba(image.pixel(x, y)).alpha() > 128
            and QColor.fromRgba(image.pixel(x, y)).lightness() < 200
        ]
        columns, rows = {x for x, _ in drawn}, {y for _, y in drawn}
        assert min(columns) <= 6 and max(columns) >= 41, path.name
        assert max(rows) - min(rows) >= 30, path.name


# windows ---------------------------------------------------------------------


CONTROLS = (
    *(QAbstractButton, QComboBox, QLineEdit, QAbstractSpinBox, QAbstractSlider),
    QListWidget,
)


def own_parts(window: QWidget, kinds: tuple[type, ...]) -> Iterator[QWidget]:
    """Yield a window's parts that are ours, not Orange's or a part of Qt's own."""
    for part in window.findChildren(QWidget):
        theirs = type(part).__module__.startswith(("orangewidget", "orangecanvas"))
        inner = isinstance(
            part.parent(),
            (QComboBox, QAbstractSpinBox, QLineEdit, QMenuBar, QTabBar, QTableView),
        )
        if isinstance(part, kinds) and not (
            theirs or inner or isinstance(part, QScrollBar) or part.window() != window
        ):
            yield part


def is_orange_auto(part: QWidget) -> bool:
    """Tell whether it is the tick of Orange's own Send Automatically."""
    return isinstance(part, QCheckBox) and not part.text()


def _name(part: QWidget) -> str:
    text = part.text() if hasattr(part, "text") else ""
    inside = type(part.parent()).__name__
    return f"{type(part).__name__} {part.accessibleName() or text} in {inside}"


def without_tooltip(window: QWidget) -> Iterator[str]:
    """Yield what can be changed, and does not say what it does."""
    for part in own_parts(window, CONTROLS):
        if not part.toolTip() and not is_orange_auto(part):
            yield _name(part)


def without_name(window: QWidget) -> Iterator[str]:
    """Yield what a screen reader has no word for."""
    views = (QAbstractItemView, QGraphicsView, ThumbnailView)
    for part in own_parts(window, (*CONTROLS, *views)):
        has_words = isinstance(part, QAbstractButton) and len(part.text()) > 1
        if not (part.accessibleName() or has_words or is_orange_auto(part)):
            yield _name(part)


def cut_texts(window: QWidget) -> Iterator[str]:
    """Yield what there is no room for, of labels, buttons and boxes."""
    for part in own_parts(window, (QLabel, QAbstractButton)):
        text = part.text().replace("&", "")
        if not part.isVisible() or not text or "<" in text:
            continue
        if isinstance(part, QLabel) and part.wordWrap():
            if part.heightForWidth(part.width()) > part.height():
                yield text
            continue
        needs = max(map(part.fontMetrics().horizontalAdvance, text.split("\n")))
        if needs > part.width() or part.fontMetrics().height() > part.height():
            yield text


def cut_fields(window: QWidget) -> Iterator[str]:
    """Yield what there is no room for, of boxes' entries and hints in fields."""
    for box in own_parts(window, (QComboBox,)):
        option = QStyleOptionComboBox()
        box.initStyleOption(option)
        room = box.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            box,
        )
        texts = [box.itemText(place) for place in range(box.count())]
        needs = box.fontMetrics().horizontalAdvance
        if box.isVisible():
            yield from (text for text in texts if needs(text) > room.width())
    for edit in own_parts(window, (QLineEdit,)):
        hint = edit.placeholderText()
        if edit.isVisible() and edit.fontMetrics().horizontalAdvance(hint) > (
            edit.width() - 8
        ):
            yield hint


def dialogs() -> Iterator[QDialog]:
    """Yield our dialogs, as they open; those with pages once for each page."""
    for each in (
        lambda: NumbersDialog(None, Choices(start="nothing")),
        lambda: PlanDialog(None, CompressionPlan()),
    ):
        for page in range(each().tabs.count()):
            dialog = each()
            dialog.tabs.setCurrentIndex(page)
            yield dialog
    for kind in offered_steps():
        yield StepDialog(None, new_step(kind), [("features.0", (64, 3, 3, 3))])
    yield ServerDialog(None)
    image, vector = Port("image", "float", (None, 3, 32, 32)), (None, 8)
    outputs = (Port("features", "float", vector),)
    path = Path("own.onnx")
    yield OwnNetworkDialog(
        None, NetworkFile(path, "0", {}, image, outputs, (32, 32), "NCHW", 3, 0)
    )


class TestDialogs(GuiTest):
    def test_dialogs(self) -> None:
        """Nothing is cut off, each letter leads to one part, and Escape closes."""
        kinds = set()
        for dialog in dialogs():
            with self.subTest(type(dialog).__name__, title=dialog.windowTitle()):
                dialog.show()
                QApplication.processEvents()
                self.assertEqual([*cut_texts(dialog)], [])
                self.assertEqual([*cut_fields(dialog)], [])
                self.assertEqual(used_twice(dialog), [])
                QTest.keyClick(dialog, Qt.Key.Key_Escape)
                self.assertFalse(dialog.isVisible())
                self.assertEqual(dialog.result(), QDialog.DialogCode.Rejected)
                kinds.add(type(dialog))
        self.assertEqual(len(kinds), 5)


class TestWindows(base.WidgetTest):
    def check(self, look: Callable[[OWWidget], None]) -> None:
        """Look at each widget's window as it opens."""
        for name in NAMES:
            with self.subTest(name):
                window = self.create_widget(widget_class(name))
                window.show()
                QApplication.processEvents()
                look(window)
                window.close()

    def test_windows_as_they_open(self) -> None:
        def look(window: OWWidget) -> None:
            self.assertEqual([*without_tooltip(window)], [])
            self.assertEqual([*without_name(window)], [])
            self.look_at_cancel(window)
            # of 1366 × 768 pixels, titles and the task bar take some
            self.look_at_sizes(window, QSize(1366, 690))

        self.check(look)

    def test_windows_with_larger_letters(self) -> None:
        before = QApplication.font()
        self.addCleanup(QApplication.setFont, before)
        font = QFont(before)
        font.setPointSizeF(before.pointSizeF() * 1.5)
        QApplication.setFont(font)
        self.check(lambda window: self.look_at_sizes(window, QSize(1920, 1000)))

    def look_at_sizes(self, window: OWWidget, screen: QSize) -> None:
        least = window.minimumSizeHint()
        for size in (least, window.sizeHint().expandedTo(least)):
            self.assertLessEqual(size.width(), screen.width())
            self.assertLessEqual(size.height(), screen.height())
            window.resize(size)
            QApplication.processEvents()
            self.assertEqual([*cut_texts(window)], [])

    def look_at_cancel(self, window: OWWidget) -> None:
        buttons = own_parts(window, (QAbstractButton,))
        for button in (b for b in buttons if b.text().replace("&", "") == "Cancel"):
            self.assertFalse(button.isEnabled())  # there is nothing to cancel
            self.assertTrue(window.buttonsArea.isAncestorOf(button))


# the dark theme --------------------------------------------------------------


class TestDark(GuiTest):
    def palettes(self) -> Iterator[QPalette]:
        yield QApplication.style().standardPalette()
        yield breeze_dark()

    def test_captions_are_read_on_what_is_selected(self) -> None:
        for palette in self.palettes():
            grounds = [palette.highlight().color()]
            grounds += [group_colour(number) for number in range(1, 9)]
            for ground in grounds:
                self.assertGreaterEqual(contrast(text_on(ground, palette), ground), 3)

    def test_drawings_and_tables_are_read(self) -> None:
        for palette in self.palettes():
            colours = _Colours.of(palette)
            for kind in (*_HUES, "another"):
                fill = colours.fill(kind)
                self.assertGreaterEqual(contrast(colours.text, fill), 4.5, kind)
            base, text = palette.base().color(), palette.text().color()
            frame = blended(colours.frame(), base)
            self.assertGreaterEqual(contrast(text, frame), 4.5)
            view = ConfusionView()
            view.show_counts(("a", "b"), np.array([[9, 0], [4, 1]]))
            for row, column in ((0, 0), (1, 0), (1, 1)):
                index = view.model().index(row, column)
                cell = index.data(Qt.ItemDataRole.BackgroundRole)
                self.assertGreaterEqual(contrast(text, blended(cell, base)), 4.5)
            for colour in (TRAINING, VALIDATION):  # of lines
                self.assertGreaterEqual(contrast(QColor(colour), base), 2.9)
            for opacity in (140, 150):  # of hints and reasons
                faint = blended(faint_text(palette, opacity), base)
                self.assertGreaterEqual(contrast(faint, base), 3)

    def test_axes_have_the_colour_of_text(self) -> None:
        before = QApplication.palette()
        self.addCleanup(QApplication.setPalette, before)
        for palette in self.palettes():
            QApplication.setPalette(palette)
            curves = Curves()
            plots = [CompressPlot(), *curves.findChildren(PlotWidget)]
            self.assertEqual(len(plots), 4)
            for plot in plots:
                base = plot.palette().base().color()
                for side in ("left", "bottom"):
                    pen = plot.getPlotItem().getAxis(side).textPen()
                    self.assertGreaterEqual(contrast(pen.color(), base), 4.5)

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from AnyQt.QtCore import QPoint, QPointF, QSize, Qt
from AnyQt.QtGui import QWheelEvent
from AnyQt.QtTest import QTest
from AnyQt.QtWidgets import QApplication, QWidget
from conftest import wait_for
from Orange.widgets.tests import base
from PIL import Image

from orangecontrib.imagemining.widgets.utils.preview import Preview

LEFT = Qt.MouseButton.LeftButton
NONE = Qt.KeyboardModifier.NoModifier


class TestPreview(base.GuiTest):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.parent = QWidget()
        self.addCleanup(self.parent.close)
        self.preview = Preview(self.parent)
        self.addCleanup(self.preview.close)
        self.addCleanup(self.preview.close_loader)

    def show(self, size: tuple[int, int]) -> None:
        image = Image.new("RGB", size, "red")
        image.paste((0, 0, 255), (size[0] // 2, 0, size[0], size[1]))
        path = self.folder / "a.png"
        image.save(path)
        self.preview.show_image(str(path), "a.png")
        wait_for(lambda: self.preview._loader.image(0) is not None)
        QApplication.processEvents()

    def colour(self, x: int, y: int) -> str:
        shot = self.preview.grab().toImage()
        return str(shot.pixelColor(QPoint(x, y) * shot.devicePixelRatio()).name())

    def test_fits_the_window_at_first(self) -> None:
        self.show((400, 300))
        self.preview.resize(200, 200)
        self.assertEqual(self.preview.zoom(), 0.5)
        self.assertIn("400 × 300 pixels", self.preview.windowTitle())
        self.assertIn("50 %", self.preview.windowTitle())
        self.assertEqual(self.colour(50, 100), "#ff0000")
        self.assertEqual(self.colour(150, 100), "#0000ff")

    def test_wheel_zooms_at_the_mouse(self) -> None:
        self.show((400, 400))
        self.preview.resize(200, 200)
        for _ in range(12):
            self.wheel(QPointF(90, 100), 120)
        # what was left of the middle stays under the mouse, the middle is far right
        self.assertGreater(self.preview.zoom(), 4)
        self.assertEqual(self.colour(90, 100), "#ff0000")
        self.assertEqual(self.colour(190, 100), "#ff0000")
        for _ in range(30):
            self.wheel(QPointF(90, 100), -120)
        self.assertEqual(self.preview.zoom(), 0.5)

    def wheel(self, place: QPointF, turn: int) -> None:
        event = QWheelEvent(
            place,
            place,
            QPoint(),
            QPoint(0, turn),
            Qt.MouseButton.NoButton,
            NONE,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(self.preview, event)

    def test_drag_moves_but_not_out_of_the_window(self) -> None:
        self.show((400, 400))
        self.preview.resize(200, 200)
        self.preview.set_zoom(1.0)
        self.assertEqual(self.colour(80, 100), "#ff0000")
        QTest.mousePress(self.preview, LEFT, NONE, QPoint(100, 100))
        QTest.mouseMove(self.preview, QPoint(60, 100))
        QTest.mouseRelease(self.preview, LEFT, NONE, QPoint(60, 100))
        self.assertEqual(self.colour(80, 100), "#0000ff")
        QTest.mousePress(self.preview, LEFT, NONE, QPoint(0, 0))
        QTest.mouseMove(self.preview, QPoint(5000, 5000))
        self.assertEqual(self.preview._target().topLeft(), QPointF(0, 0))

    def test_keys(self) -> None:
        self.show((400, 400))
        self.preview.resize(200, 200)
        QTest.keyClick(self.preview, Qt.Key.Key_1)
        self.assertEqual(self.preview.zoom(), 1)
        QTest.keyClick(self.preview, Qt.Key.Key_Plus)
        self.assertEqual(self.preview.zoom(), 1.25)
        QTest.keyClick(self.preview, Qt.Key.Key_0)
        self.assertEqual(self.preview.zoom(), 0.5)
        steps: list[int] = []
        self.preview.step.connect(steps.append)
        QTest.keyClick(self.preview, Qt.Key.Key_Down)
        QTest.keyClick(self.preview, Qt.Key.Key_Left)
        self.assertEqual(steps, [1, -1])
        QTest.keyClick(self.preview, Qt.Key.Key_Escape)
        self.assertFalse(self.preview.isVisible())

    def test_zooming_in_brings_all_pixels(self) -> None:
        screen = self.preview.screen().availableSize()
        size = (screen.width() * 2, 200)
        self.show(size)
        self.assertLess(self.preview._best_image().width(), size[0])
        self.assertEqual(self.preview.image_size(), QSize(*size))
        self.preview.set_zoom(2.0)
        wait_for(lambda: self.preview._best_image().width() == size[0])

    def test_unreadable(self) -> None:
        (self.folder / "a.txt").write_text("words")
        self.preview.show_image(str(self.folder / "a.txt"), "a")
        wait_for(lambda: self.preview._loader.reason(0))
        self.preview.set_zoom(2.0)
        self.assertEqual(self.preview.zoom(), 1.0)
        self.assertIn("text file", self.preview._loader.reason(0))

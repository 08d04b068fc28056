from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from AnyQt.QtCore import QPoint, Qt
from AnyQt.QtTest import QTest
from AnyQt.QtWidgets import QApplication
from conftest import picture, wait_for
from Orange.widgets.tests import base
from PIL import Image

from orangecontrib.imagemining.widgets.utils.gridmouse import regroup
from orangecontrib.imagemining.widgets.utils.gridview import GridView, group_colour
from orangecontrib.imagemining.widgets.utils.thumbnailview import Captions

LEFT = Qt.MouseButton.LeftButton
MIDDLE = Qt.MouseButton.MiddleButton
NONE = Qt.KeyboardModifier.NoModifier
CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
ALT = Qt.KeyboardModifier.AltModifier


def test_regroup() -> None:
    groups = np.array([1, 2, 0, 0])
    assert regroup(groups, [2], NONE).tolist() == [0, 0, 1, 0]
    assert regroup(groups, [2, 0], SHIFT).tolist() == [3, 2, 3, 0]
    assert regroup(groups, [2], SHIFT | CONTROL).tolist() == [1, 2, 2, 0]
    assert regroup(groups, [0, 3], ALT).tolist() == [0, 2, 0, 0]
    assert regroup(groups, [0, 3], CONTROL).tolist() == [2, 2, 0, 2]
    assert regroup(groups, [0, 1], CONTROL).tolist() == [0, 0, 0, 0]
    nothing = np.zeros(2, int)
    assert regroup(nothing, [1], SHIFT).tolist() == [0, 1]
    assert regroup(nothing, [1], SHIFT | CONTROL).tolist() == [0, 1]
    assert nothing.tolist() == [0, 0]


class TestGridView(base.GuiTest):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.view = GridView()
        self.addCleanup(self.view.loader.close)
        self.addCleanup(self.view.close)
        self.changes: list[list[int]] = []
        self.view.selection_changed.connect(
            lambda: self.changes.append(self.view.groups.tolist())
        )

    def show(self, n: int = 6, rows: int = 2, columns: int = 4) -> None:
        """Show images line by line, from the second cell on."""
        sources = []
        for index in range(n):
            path = self.folder / f"{index}.png"
            picture(index, (60, 40)).save(path)
            sources.append(str(path))
        self.view.set_images(sources)
        self.cells = np.stack(np.divmod(np.arange(n) + 1, columns), axis=1)
        self.view.arrange(self.cells, rows, columns)
        self.view.resize(420, 220)
        self.view.show()
        QTest.qWaitForWindowExposed(self.view)

    def centre(self, row: int) -> QPoint:
        return self.view.rect_of(row).center()

    def click(self, row: int, modifier: Qt.KeyboardModifier = NONE) -> None:
        QTest.mouseClick(self.view.viewport(), LEFT, modifier, self.centre(row))

    def drag(
        self,
        start: QPoint,
        end: QPoint,
        modifier: Qt.KeyboardModifier = NONE,
        button: Qt.MouseButton = LEFT,
    ) -> None:
        viewport = self.view.viewport()
        QTest.mousePress(viewport, button, modifier, start)
        for step in (0.3, 0.7, 1.0):
            QTest.mouseMove(viewport, start + (end - start) * step)
        QTest.mouseRelease(viewport, button, modifier, end)

    def test_each_image_lies_in_its_cell(self) -> None:
        self.show()
        window = self.view.viewport().rect()
        for row in range(6):
            rect = self.view.rect_of(row)
            self.assertTrue(window.contains(rect), rect)
            self.assertEqual(self.view.row_at(rect.center()), row)
            self.assertEqual(self.view.rows_in(rect).tolist(), [row])
        # the first cell is empty
        left = self.view.rect_of(0).center() - QPoint(self.view.rect_of(0).width(), 0)
        self.assertEqual(self.view.row_at(left), -1)
        self.assertEqual(self.view.row_at(QPoint(-5, -5)), -1)

    def test_images_without_a_cell_are_not_shown(self) -> None:
        self.show()
        self.cells[2] = -1
        self.view.arrange(self.cells, 2, 4)
        self.assertTrue(self.view.rect_of(2).isNull())
        self.view.select_all()
        self.assertEqual(self.view.groups.tolist(), [1, 1, 0, 1, 1, 1])

    def test_mouse_makes_groups(self) -> None:
        self.show()
        self.click(0)
        self.click(1, SHIFT)
        self.click(2, SHIFT | CONTROL)
        self.click(2, ALT)
        self.click(5, CONTROL)
        self.click(0, ALT)
        self.assertEqual(
            self.changes,
            [
                [1, 0, 0, 0, 0, 0],
                [1, 2, 0, 0, 0, 0],
                [1, 2, 2, 0, 0, 0],
                [1, 2, 0, 0, 0, 0],
                [1, 2, 0, 0, 0, 2],
                [0, 1, 0, 0, 0, 1],  # numbers without a gap
            ],
        )
        QTest.mouseClick(self.view.viewport(), LEFT, NONE, QPoint(3, 3))
        self.assertFalse(self.view.groups.any())

    def test_rubber_band(self) -> None:
        self.show()
        self.drag(self.centre(0), self.centre(1))
        self.assertEqual(self.changes, [[1, 1, 0, 0, 0, 0]])
        self.drag(self.centre(3), self.centre(1), SHIFT)
        # nothing is left of the first group
        self.assertEqual(self.changes[-1], [1, 1, 0, 1, 1, 1])
        self.assertTrue(self.view.band.isNull())

    def test_keyboard(self) -> None:
        self.show()
        for key in (Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Right):
            QTest.keyClick(self.view, key)
        # the first, below it, to the right of that
        self.assertEqual([np.argmax(c) for c in self.changes], [0, 4, 5])
        QTest.keyClick(self.view, Qt.Key.Key_Left, SHIFT)
        self.assertEqual(self.changes[-1], [0, 0, 0, 0, 1, 1])
        QTest.keyClick(self.view, Qt.Key.Key_Right, CONTROL)
        QTest.keyClick(self.view, Qt.Key.Key_Space, CONTROL)
        self.assertEqual(self.changes[-1], [0, 0, 0, 0, 1, 0])
        QTest.keyClick(self.view, Qt.Key.Key_A, CONTROL)
        self.assertEqual(self.changes[-1], [1] * 6)
        QTest.keyClick(self.view, Qt.Key.Key_Escape)
        self.assertEqual(self.changes[-1], [0] * 6)

    def test_zoom_and_pan(self) -> None:
        self.show()
        small = self.view.rect_of(2)
        self.view.zoom(4)
        large = self.view.rect_of(2)
        self.assertGreater(large.width(), 3 * small.width())
        middle = self.view.viewport().rect().center()
        self.assertTrue(self.view.row_at(middle) in (0, 1, 4, 5))
        bar = self.view.horizontalScrollBar()
        before = bar.value()
        self.drag(middle, middle - QPoint(50, 0), button=MIDDLE)
        self.assertEqual(bar.value(), before + 50)
        self.view.go_to(5)
        self.assertTrue(
            self.view.viewport().rect().intersects(self.view.rect_of(5)),
        )
        QTest.keyClick(self.view, Qt.Key.Key_0, CONTROL)
        self.assertEqual(self.view.rect_of(2), small)
        self.view.zoom(0.1)
        self.assertEqual(self.view.rect_of(2), small)

    def test_zoom_keeps_what_is_at_the_mouse(self) -> None:
        self.show()
        at = self.centre(3)
        for _ in range(5):
            self.view.zoom(1.5, at)
            QApplication.processEvents()
            self.assertEqual(self.view.row_at(at), 3)

    def test_step_goes_line_by_line(self) -> None:
        self.show()
        self.view.arrange(self.cells[::-1].copy(), 2, 4)
        self.view.go_to(5)
        order = [5]
        while self.view.step(1):
            order.append(self.view.current_row)
        self.assertEqual(order, [5, 4, 3, 2, 1, 0])

    def colour(self, place: QPoint) -> tuple[int, ...]:
        shot = self.view.viewport().grab().toImage()
        return shot.pixelColor(place * shot.devicePixelRatio()).getRgb()[:3]

    def test_groups_and_subset_are_seen(self) -> None:
        self.show()
        self.click(1)
        self.click(2, SHIFT)
        edge = QPoint(3, 3)
        for row, group in ((1, 1), (2, 2)):
            place = self.view.rect_of(row).topLeft() + edge
            self.assertEqual(self.colour(place), group_colour(group).getRgb()[:3])
        wait_for(lambda: all(self.view.loader.image(row) for row in range(6)))
        before = self.colour(self.centre(4)), self.colour(self.centre(5))
        self.view.set_subset(np.arange(6) != 5)
        after = self.colour(self.centre(4)), self.colour(self.centre(5))
        self.assertEqual(before[0], after[0])
        self.assertGreater(sum(after[1]), sum(before[1]))

    def test_crop_fills_the_cell(self) -> None:
        image = Image.new("RGB", (90, 30), "red")
        image.paste((0, 0, 255), (30, 0, 60, 30))
        image.save(self.folder / "long.png")
        self.show()
        self.view.set_images([str(self.folder / "long.png")] * 6)
        self.view.arrange(self.cells, 2, 4)
        top = self.view.rect_of(0).topLeft() + QPoint(50, 12)
        wait_for(lambda: self.view.loader.image(0))
        self.assertEqual(self.colour(top), (255, 255, 255))
        self.view.set_crop(True)
        self.assertEqual(self.colour(top)[2], 255)

    def show_many(self) -> None:
        """Show so many that they are drawn as one picture; 0 red, the others blue."""
        for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
            Image.new("RGB", (40, 40), colour).save(self.folder / f"{name}.png")
        n = 40 * 40
        sources = [str(self.folder / "blue.png")] * n
        sources[0] = str(self.folder / "red.png")
        sources[1] = "/nowhere.png"
        self.view.set_images(sources)
        cells = np.stack(np.divmod(np.arange(n), 40), axis=1)
        self.view.arrange(cells, 40, 40)
        self.view.resize(420, 420)
        self.view.show()
        QTest.qWaitForWindowExposed(self.view)

    def test_many_images_are_all_drawn(self) -> None:
        self.show_many()
        self.assertTrue(self.view._is_overview())
        wait_for(lambda: self.view._on_mosaic.all())
        self.assertEqual(self.colour(self.centre(0)), (255, 0, 0))
        for row in (2, 777, 1599):
            self.assertEqual(self.colour(self.centre(row)), (0, 0, 255))
        self.assertNotEqual(self.colour(self.centre(1))[2], 0)

    def test_many_images_have_groups_subset_and_frames(self) -> None:
        self.show_many()
        wait_for(lambda: self.view._on_mosaic.all())
        groups = np.zeros(1600, int)
        groups[777] = 2
        groups[778] = 1
        self.view.set_groups(groups)
        tinted = self.colour(self.centre(777))
        self.assertNotEqual(tinted, (0, 0, 255))
        self.assertNotEqual(tinted, self.colour(self.centre(778)))
        self.assertEqual(self.colour(self.centre(800)), (0, 0, 255))
        self.view.set_subset(np.arange(1600) != 800)
        self.assertGreater(self.colour(self.centre(800))[0], 100)
        colours = np.zeros((1600, 3), np.uint8)
        colours[:, 1] = 255
        self.view.set_colours(colours)
        self.assertEqual(self.colour(self.view.rect_of(900).topLeft()), (0, 255, 0))

    def test_captions_where_there_is_room(self) -> None:
        self.show()
        captions = Captions(lambda r: ["x"], 1, lambda r: "", lambda r: None)
        self.view.set_captions(captions)
        rect = self.view.rect_of(0)
        self.assertGreater(rect.height(), rect.width())
        self.show_many()
        self.assertFalse(self.view.has_room_for_captions())

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from AnyQt.QtCore import QPoint, QPointF, Qt
from AnyQt.QtGui import QWheelEvent
from AnyQt.QtTest import QTest
from AnyQt.QtWidgets import QApplication
from conftest import picture, wait_for
from Orange.widgets.tests import base

from orangecontrib.imagemining.tables.arrange import Group
from orangecontrib.imagemining.widgets.utils.gallery import ImageGallery
from orangecontrib.imagemining.widgets.utils.gallerylayout import GalleryLayout
from orangecontrib.imagemining.widgets.utils.thumbnailview import Captions

LEFT = Qt.MouseButton.LeftButton
NONE = Qt.KeyboardModifier.NoModifier
CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def layouts() -> list[GalleryLayout]:
    groups = [Group("a", 0, 5), Group("b", 5, 6), Group("c", 6, 13)]
    return [
        GalleryLayout(13, [], 330, (100, 120), 30),
        GalleryLayout(13, groups, 330, (100, 120), 30),
        GalleryLayout(13, groups, 60, (100, 120), 30),
        GalleryLayout(1, [], 1000, (100, 120), 30),
    ]


def test_layout_places_each_image_once() -> None:
    for layout in layouts():
        corners = [layout.corner(position) for position in range(layout.n)]
        assert len(set(corners)) == layout.n
        for position, (x, y) in enumerate(corners):
            assert layout.position_at(x, y) == position
            assert layout.position_at(x + 99, y + 119) == position
            assert 0 <= y and y + 120 <= layout.height
        everything = layout.positions_in(0, 0, 5000, layout.height)
        assert everything.tolist() == list(range(layout.n))


def test_layout_of_groups() -> None:
    layout = layouts()[1]
    assert layout.columns == 3 and layout.left == 15
    assert layout.headings_between(0, layout.height) == [(0, 0), (1, 270), (2, 420)]
    assert layout.heading_at(29) == 0 and layout.heading_at(30) == -1
    assert layout.position_at(15, 10) == -1
    assert layout.position_at(315, 30) == -1
    assert layout.corner(6) == (15, 450)
    assert layout.height == 420 + 30 + 3 * 120
    # beside the last image of a group there is none
    assert layout.position_at(15 + 200, 30 + 120) == -1


def test_layout_finds_what_a_rectangle_touches() -> None:
    for layout in layouts():
        corners = np.array([layout.corner(position) for position in range(layout.n)])
        rng = np.random.default_rng(0)
        for _ in range(50):
            left, right = np.sort(rng.integers(-20, 350, 2))
            top, bottom = np.sort(rng.integers(0, layout.height, 2))
            touched = (
                (corners[:, 0] <= right)
                & (corners[:, 0] + 99 >= left)
                & (corners[:, 1] <= bottom)
                & (corners[:, 1] + 119 >= top)
            )
            found = layout.positions_in(left, top, right, bottom)
            assert found.tolist() == np.flatnonzero(touched).tolist()


def test_layout_moves_by_lines() -> None:
    layout = layouts()[1]
    down = [2]
    while layout.above_or_below(down[-1], 1) != down[-1]:
        down.append(layout.above_or_below(down[-1], 1))
    assert down == [2, 4, 5, 6, 9, 12]
    assert layout.above_or_below(2, 100) == 12
    assert layout.above_or_below(12, -1) == 9
    assert layout.above_or_below(6, -1) == 5
    assert layout.above_or_below(5, -2) == 0


class TestImageGallery(base.GuiTest):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.sources = []
        for index in range(13):
            picture(index, (60, 40)).save(self.folder / f"{index}.png")
            self.sources.append(str(self.folder / f"{index}.png"))
        self.gallery = ImageGallery()
        self.addCleanup(self.gallery.loader.close)
        self.addCleanup(self.gallery.close)
        self.gallery.set_image_size(90)
        self.gallery.set_images(self.sources)
        self.gallery.arrange(np.arange(13), [])
        self.gallery.resize(340, 420)  # three columns, three lines and a bit
        self.gallery.show()
        QTest.qWaitForWindowExposed(self.gallery)
        self.changes: list[list[int]] = []
        self.gallery.selection_changed.connect(
            lambda: self.changes.append(self.gallery.selected_rows().tolist())
        )

    def beside(self, row: int) -> QPoint:
        """Return a point of the cell that is not on the image."""
        return self.gallery.rect_of(row).topLeft() + QPoint(2, 2)

    def centre(self, row: int) -> QPoint:
        return self.gallery.rect_of(row).center()

    def click(self, row: int, modifier: Qt.KeyboardModifier = NONE) -> None:
        QTest.mouseClick(self.gallery.viewport(), LEFT, modifier, self.centre(row))

    def drag(
        self, start: QPoint, end: QPoint, modifier: Qt.KeyboardModifier = NONE
    ) -> None:
        viewport = self.gallery.viewport()
        QTest.mousePress(viewport, LEFT, modifier, start)
        for step in (0.3, 0.7, 1.0):
            QTest.mouseMove(viewport, start + (end - start) * step)
        QTest.mouseRelease(viewport, LEFT, modifier, end)

    def key(self, key: Qt.Key, modifier: Qt.KeyboardModifier = NONE) -> None:
        QTest.keyClick(self.gallery, key, modifier)

    def test_clicks(self) -> None:
        self.click(2)
        self.click(0, CONTROL)
        self.click(2, CONTROL)
        self.click(4, CONTROL)
        self.click(6, SHIFT)
        self.click(1, SHIFT | CONTROL)
        self.click(3)
        self.assertEqual(
            self.changes,
            [[2], [0, 2], [0], [0, 4], [4, 5, 6], [1, 2, 3, 4, 5, 6], [3]],
        )
        QTest.mouseClick(self.gallery.viewport(), LEFT, NONE, QPoint(3, 3))
        self.assertEqual(self.changes[-1], [])

    def test_ranges_follow_what_is_shown(self) -> None:
        self.gallery.arrange(np.array([5, 3, 9, 1]), [])
        self.click(3)
        self.click(1, SHIFT)
        self.assertEqual(self.changes[-1], [1, 3, 9])

    def test_rubber_band(self) -> None:
        self.drag(self.beside(0), self.centre(4))
        self.assertEqual(self.changes, [[0], [0, 1, 3, 4]])
        self.assertTrue(self.gallery.band.isNull())
        self.drag(self.beside(7), self.centre(8), CONTROL)
        self.assertEqual(self.changes[-1], [0, 1, 3, 4, 7, 8])
        # with Shift also from the middle of an image
        self.drag(self.centre(2), self.centre(5), SHIFT)
        self.assertEqual(self.changes[-1], [0, 1, 2, 3, 4, 5, 7, 8])
        self.drag(self.beside(6), self.centre(6))
        self.assertEqual(self.changes[-1], [6])

    def test_dragging_an_image_takes_the_selected_along(self) -> None:
        dragged: list[list[int]] = []
        self.gallery.drag_requested.connect(
            lambda: dragged.append(self.gallery.selected_rows().tolist())
        )
        self.gallery.select_rows([1, 2])
        self.drag(self.centre(2), self.centre(5))
        self.drag(self.centre(4), self.centre(5))
        self.assertEqual(dragged, [[1, 2], [4]])
        # a click, without moving, selects that one alone
        self.gallery.select_rows([1, 2])
        self.click(2)
        self.assertEqual(self.changes[-1], [2])

    def test_keyboard(self) -> None:
        keys = Qt.Key
        self.key(keys.Key_Right)
        self.key(keys.Key_Right)
        self.key(keys.Key_Down)
        self.assertEqual(self.changes, [[0], [1], [4]])
        self.key(keys.Key_Left, SHIFT)
        self.assertEqual(self.changes[-1], [3, 4])
        self.key(keys.Key_End, CONTROL)
        self.assertEqual(self.changes[-1], [3, 4])
        self.assertEqual(self.gallery.current_row, 12)
        bar = self.gallery.verticalScrollBar()
        self.assertEqual(bar.value(), bar.maximum())
        self.key(keys.Key_Space, CONTROL)
        self.assertEqual(self.changes[-1], [3, 4, 12])
        self.key(keys.Key_I, CONTROL)
        self.assertEqual(self.changes[-1], [0, 1, 2, 5, 6, 7, 8, 9, 10, 11])
        self.key(keys.Key_A, CONTROL)
        self.assertEqual(self.changes[-1], list(range(13)))
        self.key(keys.Key_Escape)
        self.assertEqual(self.changes[-1], [])
        self.key(keys.Key_Home)
        self.assertEqual((self.changes[-1], bar.value()), ([0], 0))
        self.key(keys.Key_PageDown)
        self.assertEqual(self.changes[-1], [12])
        self.key(keys.Key_Up)
        self.assertEqual(self.changes[-1], [9])

    def test_all_and_inverse_are_of_those_shown(self) -> None:
        self.gallery.select_rows([0, 7])
        self.gallery.arrange(np.array([5, 3, 7]), [])
        self.assertEqual(self.gallery.selected_rows().tolist(), [0, 7])
        self.gallery.invert_selection()
        self.assertEqual(self.gallery.selected_rows().tolist(), [3, 5])
        self.gallery.select_all()
        self.assertEqual(self.gallery.selected_rows().tolist(), [3, 5, 7])

    def test_headings_select_their_images(self) -> None:
        groups = [Group("a", 0, 4), Group("b", 4, 13)]
        self.gallery.arrange(np.arange(13)[::-1], groups)
        viewport = self.gallery.viewport()
        QTest.mouseClick(viewport, LEFT, NONE, QPoint(20, 8))
        self.assertEqual(self.changes[-1], [9, 10, 11, 12])
        y = self.gallery.layout_.headings_between(0, 2000)[1][1] + 8
        QTest.mouseClick(viewport, LEFT, CONTROL, QPoint(20, y))
        self.assertEqual(self.changes[-1], list(range(13)))

    def test_wheel_zooms_with_control_and_keeps_the_place(self) -> None:
        sizes: list[int] = []
        self.gallery.size_changed.connect(sizes.append)
        self.gallery.verticalScrollBar().setValue(40)
        row = self.gallery.row_at(self.gallery.viewport().rect().center())
        place = self.gallery.rect_of(row).top()
        self.wheel(120, CONTROL)
        self.assertGreater(sizes[0], 90)
        self.assertEqual(self.gallery.rect_of(row).top(), place)
        self.wheel(-120, CONTROL)
        self.assertLess(sizes[1], sizes[0])
        before = self.gallery.offset()
        self.wheel(120, NONE)
        self.assertLess(self.gallery.offset(), before)
        self.assertEqual(len(sizes), 2)

    def wheel(self, turn: int, modifier: Qt.KeyboardModifier) -> None:
        place = QPointF(self.gallery.viewport().rect().center())
        event = QWheelEvent(
            place,
            QPointF(self.gallery.viewport().mapToGlobal(place.toPoint())),
            QPoint(),
            QPoint(0, turn),
            Qt.MouseButton.NoButton,
            modifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(self.gallery.viewport(), event)

    def test_nearest_to_the_view_come_first(self) -> None:
        order: list[int] = []
        self.gallery.loader.loaded.connect(order.append)
        many = self.sources * 100
        asked: list[list[int]] = []
        look_at = self.gallery.loader.look_at

        def record(rows: list[int], side: int) -> None:
            asked.append(rows)
            look_at(rows, side)

        self.gallery.loader.look_at = record
        self.gallery.set_images(many)
        self.gallery.arrange(np.arange(len(many)), [])
        self.gallery.go_to(600)
        wait_for(lambda: asked and 600 in asked[-1])
        rows = asked[-1]
        top = self.gallery.offset()
        height = self.gallery.viewport().height()
        seen = self.gallery.layout_.positions_between(top, top + height - 1)
        self.assertEqual(set(rows[: len(seen) - 3]) - set(seen.tolist()), set())
        self.assertLess(len(rows), 4 * len(seen))
        self.assertNotIn(0, rows)
        wait_for(lambda: all(self.gallery.loader.image(row) for row in seen))
        self.assertNotIn(1200, order)

    def test_thumbnails_fill_the_cell(self) -> None:
        side = round(90 * self.gallery.viewport().devicePixelRatioF())
        images = self.gallery.loader._images

        def width() -> int:
            return images[0].image.width() if 0 in images else 0

        wait_for(lambda: width() == side)
        self.gallery.set_image_size(45)
        wait_for(lambda: width() < side)
        self.assertEqual(width(), round(side / 2))

    def test_reasons_are_written_in_the_cell_and_its_tooltip(self) -> None:
        self.gallery.set_images(["/nowhere/at/all.png"] * 2)
        captions = Captions(lambda r: ["x"], 1, lambda r: "values", lambda r: None)
        self.gallery.set_captions(captions)
        self.gallery.arrange(np.arange(2), [])
        loader = self.gallery.loader
        wait_for(lambda: loader.image(0) is None and loader.reason(0))
        empty = self.gallery.grab().toImage()
        loader._reasons[0] = ""
        self.assertNotEqual(empty, self.gallery.grab().toImage())

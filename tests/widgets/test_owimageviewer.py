from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
from AnyQt.QtCore import QPoint, QSize, Qt
from AnyQt.QtGui import QImage
from AnyQt.QtTest import QTest
from AnyQt.QtWidgets import QApplication
from conftest import picture
from Orange.data import Table
from Orange.widgets.tests import base
from PIL import Image

from orangecontrib.imagemining.tables import table_from_folder
from orangecontrib.imagemining.widgets.owimageviewer import OWImageViewer, file_name
from orangecontrib.imagemining.widgets.utils import thumbnails
from orangecontrib.imagemining.widgets.utils.thumbnails import ImageLoader, to_qimage


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    """Run the event loop until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        QApplication.processEvents()
        time.sleep(0.005)


class TestOWImageViewer(base.WidgetTest):
    def setUp(self) -> None:
        self.widget = self.create_widget(OWImageViewer)
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        for index in range(6):
            category = self.folder / "ab"[index % 2]
            category.mkdir(exist_ok=True)
            picture(index, (60, 40)).save(category / f"{index}.png")
        self.data = table_from_folder(self.folder).table

    def send(self, data: Table | None) -> None:
        self.send_signal(self.widget.Inputs.data, data)

    def selected(self) -> Table | None:
        return self.get_output(self.widget.Outputs.selected_data)

    def show(self) -> None:
        self.widget.resize(700, 500)
        self.widget.show()
        QTest.qWaitForWindowExposed(self.widget)

    def centre(self, row: int) -> QPoint:
        view = self.widget.view
        return view.visualRect(view.model().index(row, 0)).center()

    def test_titles(self) -> None:
        self.send(self.data)
        model = self.widget.view.model()
        titles = [model.index(row, 0).data() for row in range(model.rowCount())]
        self.assertEqual(titles, [f"{i}.png" for i in (0, 2, 4, 1, 3, 5)])
        combo = self.widget.title_combo
        combo.setCurrentIndex(combo.findData("category"))
        combo.activated.emit(combo.currentIndex())
        self.assertEqual(model.index(5, 0).data(), "b")

    def test_selection_goes_out(self) -> None:
        self.send(self.data)
        self.assertIsNone(self.selected())
        self.widget.view.select_rows([1, 4])
        np.testing.assert_array_equal(self.selected().ids, self.data.ids[[1, 4]])
        annotated = self.get_output(self.widget.Outputs.data)
        column = annotated.get_column("Selected")
        self.assertEqual(column.tolist(), [0, 1, 0, 0, 1, 0])
        self.widget.view.select_rows([])
        self.assertIsNone(self.selected())

    def test_mouse_selects(self) -> None:
        self.send(self.data)
        self.show()
        viewport = self.widget.view.viewport()
        click = (Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
        QTest.mouseClick(viewport, *click, self.centre(2))
        self.assertEqual(self.widget.view.selected_rows(), [2])
        control = (Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier)
        QTest.mouseClick(viewport, *control, self.centre(0))
        self.assertEqual(self.widget.view.selected_rows(), [0, 2])
        self.assertEqual(len(self.selected()), 2)

    def test_keyboard_selects_all(self) -> None:
        self.send(self.data)
        self.show()
        key, control = Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier
        QTest.keyClick(self.widget.view, key, control)
        self.assertEqual(len(self.selected()), 6)

    def test_images_are_drawn(self) -> None:
        red = Image.new("RGB", (300, 200), (250, 0, 0))
        red.save(self.folder / "a" / "0.png")
        self.send(self.data)
        self.show()
        loader = self.widget.view.loader
        wait_for(lambda: all(loader.image(row) is not None for row in range(6)))
        shot = self.widget.view.viewport().grab().toImage()
        colour = shot.pixelColor(self.centre(0) * shot.devicePixelRatio())
        self.assertEqual((colour.red(), colour.green(), colour.blue()), (250, 0, 0))

    def test_unreadable_image_says_why(self) -> None:
        (self.folder / "a" / "2.png").write_text("words")
        self.send(self.data)
        self.show()
        loader = self.widget.view.loader
        wait_for(lambda: loader.image(1) is None and loader.reason(1) is not None)
        self.assertIn("text file", loader.reason(1))
        index = self.widget.view.model().index(1, 0)
        self.assertIn("text file", index.data(Qt.ItemDataRole.ToolTipRole))

    def test_size_slider(self) -> None:
        self.send(self.data)
        self.show()
        before = self.widget.view.visualRect(self.widget.view.model().index(0, 0))
        self.widget.size_slider.setValue(300)
        QApplication.processEvents()
        after = self.widget.view.visualRect(self.widget.view.model().index(0, 0))
        self.assertGreater(after.width(), before.width())
        self.assertGreater(after.width(), 300)
        self.assertEqual(self.widget.image_size, 300)

    def test_space_shows_the_full_size(self) -> None:
        self.send(self.data)
        self.show()
        view = self.widget.view
        QTest.keyClick(view, Qt.Key.Key_Space)
        self.assertIsNone(self.widget._preview)
        view.setCurrentIndex(view.model().index(1, 0))
        QTest.keyClick(view, Qt.Key.Key_Space)
        preview = self.widget._preview
        self.assertTrue(preview.isVisible())
        self.assertEqual(preview.windowTitle(), "2.png")
        wait_for(lambda: preview._loader.image(0) is not None)
        self.assertEqual(preview._loader.image(0).size(), QSize(60, 40))
        QTest.keyClick(preview, Qt.Key.Key_Right)
        self.assertEqual(preview.windowTitle(), "4.png")
        self.assertEqual(view.currentIndex().row(), 2)
        QTest.keyClick(preview, Qt.Key.Key_Space)
        self.assertFalse(preview.isVisible())

    def test_selection_is_stored_by_image_and_restored(self) -> None:
        self.send(self.data)
        self.widget.view.select_rows([1, 5])
        settings = self.widget.settingsHandler.pack_data(self.widget)
        self.assertEqual(settings["selected_images"], [("a/2.png", 0), ("b/5.png", 0)])
        widget = self.create_widget(OWImageViewer, stored_settings=settings)
        turned = self.data[::-1]
        self.send_signal(widget.Inputs.data, turned, widget=widget)
        self.assertEqual(widget.view.selected_rows(), [0, 4])
        selected = self.get_output(widget.Outputs.selected_data, widget=widget)
        np.testing.assert_array_equal(selected.ids, turned.ids[[0, 4]])

    def test_equal_images_are_selected_apart(self) -> None:
        self.send(Table.concatenate([self.data, self.data]))
        self.widget.view.select_rows([1, 8])
        combo = self.widget.title_combo
        combo.setCurrentIndex(combo.findData("category"))
        combo.activated.emit(combo.currentIndex())
        self.assertEqual(self.widget.view.selected_rows(), [1, 8])
        self.widget.view.select_rows([8])
        self.send(Table.concatenate([self.data, self.data]))
        self.assertEqual(self.widget.view.selected_rows(), [8])

    def test_choice_of_title_outlives_data_without_it(self) -> None:
        self.send(self.data)
        combo = self.widget.title_combo
        combo.setCurrentIndex(combo.findData("category"))
        combo.activated.emit(combo.currentIndex())
        self.send(self.data[:, self.data.domain.metas])
        self.assertEqual(combo.currentText(), "(file name)")
        self.send(self.data)
        self.assertEqual(combo.currentText(), "category")

    def test_closing_does_not_wait_for_a_silent_server(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}/a.png"
            data = self.data.copy()
            with data.unlocked(data.metas):
                data.metas[:, 1] = address
            self.send(data)
            self.show()
            loader = self.widget.view.loader
            wait_for(lambda: loader._busy)
            loader.close()
            # the window is gone, while the threads still wait for the server
            self.assertTrue(any(thread.is_alive() for thread in loader._threads))

    def test_unexpected_error_costs_one_image_only(self) -> None:
        loader = self.widget.view.loader
        read = loader._reader.read

        def failing(source: str) -> Image.Image:
            if source.endswith(("0.png", "2.png", "4.png")):
                raise RuntimeError("something new")
            return read(source)

        with (
            patch.object(loader._reader, "read", failing),
            self.assertLogs(level="ERROR"),
        ):
            self.send(self.data)
            self.show()
            wait_for(lambda: loader.image(5) is not None and loader.reason(0))
        self.assertIn("something new", loader.reason(0))

    def test_many_small_images_are_all_loaded(self) -> None:
        self.send(Table.concatenate([self.data] * 60))
        self.widget.size_slider.setValue(48)
        self.widget.resize(1700, 1000)
        self.widget.show()
        view = self.widget.view
        last = view.indexAt(view.viewport().rect().bottomLeft() + QPoint(40, -40)).row()
        self.assertGreater(last, 200)
        wait_for(lambda: len(view.loader._images) > last)

    def test_other_data_do_not_keep_the_selection(self) -> None:
        self.send(self.data)
        self.widget.view.select_rows([0])
        self.send(self.data[3:])
        self.assertIsNone(self.selected())
        self.send(None)
        self.assertIsNone(self.get_output(self.widget.Outputs.data))
        self.assertEqual(self.widget.view.model().rowCount(), 0)

    def test_table_without_images(self) -> None:
        self.send(Table("iris"))
        self.assertTrue(self.widget.Error.no_image_column.is_shown())
        self.assertIsNone(self.selected())
        self.send(self.data[:0])
        self.assertFalse(self.widget.Error.no_image_column.is_shown())
        self.assertTrue(self.widget.Information.no_rows.is_shown())

    def test_missing_images_are_shown_as_such(self) -> None:
        data = self.data.copy()
        with data.unlocked(data.metas):
            data.metas[:, 1] = ""
        self.send(data)
        self.show()
        self.assertIn("No image", self.widget.view.loader.reason(0))

    def test_report(self) -> None:
        self.send(self.data)
        self.show()
        self.widget.view.select_rows([1])
        self.widget.send_report()
        self.assertIn("data:image/png;base64", self.widget.report_html)

    def test_new_data_while_loading(self) -> None:
        self.show()
        for start in (0, 3, 1):
            self.send(self.data[start:])
            QApplication.processEvents()
        loader = self.widget.view.loader
        wait_for(lambda: all(loader.image(row) is not None for row in range(5)))
        self.assertEqual(self.widget.view.model().rowCount(), 5)


class TestImageLoader(base.GuiTest):
    def test_memory_is_bounded(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        picture(0, (100, 100)).save(folder / "a.png")
        loader = ImageLoader()
        self.addCleanup(loader.close)
        limit, thumbnails._MAX_BYTES = thumbnails._MAX_BYTES, 5 * 100 * 300
        self.addCleanup(setattr, thumbnails, "_MAX_BYTES", limit)
        loader.set_sources([str(folder / "a.png")] * 20, QSize(100, 100))
        done: list[int] = []
        loader.loaded.connect(done.append)
        for row in range(20):
            loader.image(row)
        wait_for(lambda: len(done) == 20)
        self.assertEqual(len(loader._images), 5)

    def test_conversion_keeps_pixels(self) -> None:
        for mode, size in (("RGB", (5, 3)), ("L", (7, 2)), ("L", (1, 1))):
            values = np.random.default_rng(0).integers(
                0, 256, (size[1], size[0]) + ((3,) if mode == "RGB" else ()), np.uint8
            )
            converted = to_qimage(Image.fromarray(values))
            self.assertIsInstance(converted, QImage)
            for y in range(size[1]):
                for x in range(size[0]):
                    colour = converted.pixelColor(x, y)
                    seen = (colour.red(), colour.green(), colour.blue())
                    expected = np.broadcast_to(values[y, x], 3)
                    self.assertEqual(seen, tuple(expected))


def test_file_name() -> None:
    assert file_name("a/b/c.png") == "c.png"
    assert file_name("C:\\x\\y.png") == "y.png"
    assert file_name("http://h/p/") == "p"
    assert file_name("one") == "one"

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
from AnyQt.QtCore import QPoint, QSize, Qt
from AnyQt.QtGui import QImage
from AnyQt.QtTest import QTest
from AnyQt.QtWidgets import QApplication, QComboBox, QMenu
from conftest import picture, wait_for
from Orange.data import Domain, StringVariable, Table
from Orange.widgets.tests import base
from PIL import Image

from orangecontrib.imagemining.tables import table_from_folder
from orangecontrib.imagemining.widgets.owimageviewer import OWImageViewer
from orangecontrib.imagemining.widgets.utils import thumbnails
from orangecontrib.imagemining.widgets.utils.gallery import ImageGallery
from orangecontrib.imagemining.widgets.utils.thumbnails import ImageLoader, to_qimage


def choose(combo: QComboBox, key: str) -> None:
    """Choose an entry as a user does."""
    place = combo.findData(key)
    assert place >= 0, f"no entry {key!r}"
    combo.setCurrentIndex(place)
    combo.activated.emit(place)


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

    @property
    def view(self) -> ImageGallery:
        return self.widget.view

    def send(self, data: Table | None) -> None:
        self.send_signal(self.widget.Inputs.data, data)
        self.settle()

    def settle(self) -> None:
        wait_for(lambda: not self.widget.isInvalidated())

    def selected(self) -> Table | None:
        return self.get_output(self.widget.Outputs.selected_data)

    def show(self) -> None:
        self.widget.resize(900, 560)
        self.widget.show()
        QTest.qWaitForWindowExposed(self.widget)

    def titles(self) -> list[str]:
        lines = self.view.captions.lines
        return [lines(row)[0] for row in self.view.order]

    def test_titles(self) -> None:
        self.send(self.data)
        self.assertEqual(self.titles(), [f"{i}.png" for i in (0, 2, 4, 1, 3, 5)])
        choose(self.widget.title_combo, "category")
        self.assertEqual(self.titles(), list("aaabbb"))
        choose(self.widget.subtitle_combo, "width")
        self.assertEqual(self.view.captions.lines(5), ["b", "60"])

    def test_selection_goes_out(self) -> None:
        self.send(self.data)
        self.assertIsNone(self.selected())
        self.view.select_rows([1, 4])
        np.testing.assert_array_equal(self.selected().ids, self.data.ids[[1, 4]])
        annotated = self.get_output(self.widget.Outputs.data)
        column = annotated.get_column("Selected")
        self.assertEqual(column.tolist(), [0, 1, 0, 0, 1, 0])
        self.view.select_rows([])
        self.assertIsNone(self.selected())

    def test_images_are_drawn(self) -> None:
        red = Image.new("RGB", (300, 200), (250, 0, 0))
        red.save(self.folder / "a" / "0.png")
        self.send(self.data)
        self.show()
        loader = self.view.loader
        wait_for(lambda: all(loader.image(row) is not None for row in range(6)))
        shot = self.view.viewport().grab().toImage()
        centre = self.view.rect_of(0).center()
        colour = shot.pixelColor(centre * shot.devicePixelRatio())
        self.assertEqual((colour.red(), colour.green(), colour.blue()), (250, 0, 0))

    def test_unreadable_image_says_why(self) -> None:
        (self.folder / "a" / "2.png").write_text("words")
        self.send(self.data)
        self.show()
        loader = self.view.loader
        wait_for(lambda: loader.image(1) is None and loader.reason(1) is not None)
        self.assertIn("text file", loader.reason(1))

    def test_size_slider(self) -> None:
        self.send(self.data)
        self.show()
        before = self.view.rect_of(0).width()
        self.widget.size_slider.setValue(300)
        self.assertGreater(self.view.rect_of(0).width(), max(before, 300))
        self.assertEqual(self.widget.image_size, 300)
        self.view.zoom(1.5)
        self.assertEqual(self.widget.size_slider.value(), 450)
        self.assertEqual(self.widget.image_size, 450)

    def test_order_and_groups(self) -> None:
        self.send(self.data)
        choose(self.widget.sort_combo, "image name")
        self.settle()
        self.assertEqual(self.view.order.tolist(), [0, 3, 1, 4, 2, 5])
        self.widget.descending_box.click()
        self.settle()
        self.assertEqual(self.view.order.tolist(), [5, 2, 4, 1, 3, 0])
        choose(self.widget.group_combo, "category")
        self.settle()
        self.assertEqual(self.view.order.tolist(), [2, 1, 0, 5, 4, 3])
        self.assertEqual([group.title for group in self.view._groups], ["a", "b"])
        # the order shown is not that of the output
        self.view.select_rows([5, 2])
        np.testing.assert_array_equal(self.selected().ids, self.data.ids[[2, 5]])

    def test_order_chosen_while_images_are_found(self) -> None:
        self.send_signal(self.widget.Inputs.data, self.data)
        choose(self.widget.sort_combo, "image name")
        self.settle()
        self.assertEqual(self.view.order.tolist(), [0, 3, 1, 4, 2, 5])
        self.assertEqual(len(self.widget.sources), 6)

    def test_filter_hides_and_keeps_the_selection(self) -> None:
        self.send(self.data)
        self.view.select_rows([0, 5])
        self.widget.filter_edit.setText("b")
        wait_for(lambda: len(self.view.order) == 3)
        self.settle()
        self.assertEqual(self.view.order.tolist(), [3, 4, 5])
        self.assertEqual(len(self.selected()), 2)
        text = self.widget.info_label.text()
        self.assertIn("3 of 6 images, 2 selected (1 of them not shown)", text)
        self.view.select_all()
        self.assertEqual(len(self.selected()), 3)
        self.widget.filter_edit.clear()
        wait_for(lambda: len(self.view.order) == 6)

    def test_colours_and_legend(self) -> None:
        self.send(self.data)
        choose(self.widget.color_combo, "category")
        self.show()
        variable = self.data.domain["category"]
        colour = self.view.captions.colour(3)
        self.assertEqual(colour.getRgb()[:3], tuple(variable.colors[1]))
        self.assertIn(colour.name(), self.widget.legend.text())
        wait_for(lambda: self.view.loader.image(3) is not None)
        shot = self.view.viewport().grab().toImage()
        rect = self.view.rect_of(3)
        edges = {
            shot.pixelColor(x, rect.center().y()).name()
            for x in range(rect.left(), rect.center().x())
        }
        self.assertIn(colour.name(), edges)
        choose(self.widget.color_combo, "size")
        low, high = (
            self.view.captions.colour(row).name()
            for row in (
                int(np.argmin(self.data.get_column("size"))),
                int(np.argmax(self.data.get_column("size"))),
            )
        )
        self.assertNotEqual(low, high)
        self.assertIn(low, self.widget.legend.text())
        self.assertIn(high, self.widget.legend.text())
        choose(self.widget.color_combo, "")
        self.assertIsNone(self.view.captions.colour(3))
        self.assertFalse(self.widget.legend.isVisible())

    def test_tooltip_names_values(self) -> None:
        data = self.data.copy()
        with data.unlocked(data.metas):
            data.metas[0, 0] = "<b>"
        self.send(data)
        text = self.view.captions.tooltip(0)
        self.assertIn("&lt;b&gt;", text)
        self.assertIn("category:", text)
        self.assertIn("<td>60</td>", text)

    def test_space_shows_the_full_size(self) -> None:
        self.send(self.data)
        self.show()
        view = self.view
        QTest.keyClick(view, Qt.Key.Key_Space)
        self.assertIsNone(self.widget.one_image.preview)
        view.go_to(1)
        QTest.keyClick(view, Qt.Key.Key_Space)
        preview = self.widget.one_image.preview
        self.assertTrue(preview.isVisible())
        self.assertTrue(preview.windowTitle().startswith("2.png"))
        wait_for(lambda: preview._loader.image(0) is not None)
        self.assertEqual(preview.image_size(), QSize(60, 40))
        QTest.keyClick(preview, Qt.Key.Key_Right)
        self.assertTrue(preview.windowTitle().startswith("4.png"))
        self.assertEqual(view.current_row, 2)
        QTest.keyClick(preview, Qt.Key.Key_Space)
        self.assertFalse(preview.isVisible())

    def test_menu_copies_the_image(self) -> None:
        self.send(self.data)
        self.show()
        self.view.select_rows([1, 2])
        self.view.current_row = 1
        self.widget._open_menu(QPoint(0, 0))
        menu = QApplication.activePopupWidget()
        self.assertIsInstance(menu, QMenu)
        entries = {a.text().replace("&", ""): a for a in menu.actions()}
        entries["Copy paths"].trigger()
        clipboard = QApplication.clipboard()
        paths = [url.toLocalFile() for url in clipboard.mimeData().urls()]
        folder = Path(paths[0]).parent
        self.assertEqual(folder.name, "a")
        self.assertEqual([Path(path).name for path in paths], ["2.png", "4.png"])
        entries["Copy image"].trigger()
        wait_for(lambda: clipboard.mimeData().hasImage())
        self.assertEqual(clipboard.image().size(), QSize(60, 40))
        menu.close()

    def test_selection_is_stored_by_image_and_restored(self) -> None:
        self.send(self.data)
        self.view.select_rows([1, 5])
        settings = self.widget.settingsHandler.pack_data(self.widget)
        self.assertEqual(settings["selected_images"], [("a/2.png", 0), ("b/5.png", 0)])
        widget = self.create_widget(OWImageViewer, stored_settings=settings)
        turned = self.data[::-1]
        self.send_signal(widget.Inputs.data, turned, widget=widget)
        selected = self.get_output(widget.Outputs.selected_data, widget=widget)
        self.assertEqual(widget.view.selected_rows().tolist(), [0, 4])
        np.testing.assert_array_equal(selected.ids, turned.ids[[0, 4]])

    def test_stored_before_images_are_found(self) -> None:
        settings = {"selected_images": [("a/2.png", 0)], "__version__": 3}
        widget = self.create_widget(OWImageViewer, stored_settings=settings)
        self.send_signal(widget.Inputs.data, self.data, widget=widget)
        packed = widget.settingsHandler.pack_data(widget)
        self.assertEqual(packed["selected_images"], [("a/2.png", 0)])

    def test_equal_images_are_selected_apart(self) -> None:
        twice = Table.concatenate([self.data, self.data])
        self.send(twice)
        self.view.select_rows([1, 8])
        choose(self.widget.title_combo, "category")
        self.assertEqual(self.view.selected_rows().tolist(), [1, 8])
        self.view.select_rows([8])
        self.send(twice)
        self.assertEqual(self.view.selected_rows().tolist(), [8])

    def test_choice_of_title_outlives_data_without_it(self) -> None:
        self.send(self.data)
        combo = self.widget.title_combo
        choose(combo, "category")
        self.send(self.data[:, self.data.domain.metas])
        self.assertEqual(combo.currentText(), "(file name)")
        self.assertEqual(self.titles()[0], "0.png")
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
            loader = self.view.loader
            wait_for(lambda: loader._busy)
            loader.close()
            # the window is gone, while the threads still wait for the server
            self.assertTrue(any(thread.is_alive() for thread in loader._threads))

    def test_unexpected_error_costs_one_image_only(self) -> None:
        loader = self.view.loader
        read = loader._reader.read_near

        def failing(source: str, side: int) -> tuple[Image.Image, tuple[int, int]]:
            if source.endswith(("0.png", "2.png", "4.png")):
                raise RuntimeError("something new")
            return read(source, side)

        with (
            patch.object(loader._reader, "read_near", failing),
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
        view = self.view
        corner = view.viewport().rect().bottomLeft() + QPoint(40, -40)
        last = view.row_at(corner)
        self.assertGreater(last, 200)
        wait_for(lambda: len(view.loader._images) > last)

    def test_other_data_do_not_keep_the_selection(self) -> None:
        self.send(self.data)
        self.view.select_rows([0])
        self.settle()
        self.send(self.data[3:])
        self.assertIsNone(self.selected())
        self.send(None)
        self.assertIsNone(self.get_output(self.widget.Outputs.data))
        self.assertEqual(len(self.view.order), 0)

    def test_table_without_images(self) -> None:
        self.send(Table("iris"))
        self.assertTrue(self.widget.Error.no_image_column.is_shown())
        self.assertIsNone(self.selected())
        self.assertEqual(len(self.get_output(self.widget.Outputs.data)), 150)
        self.send(self.data[:0])
        self.assertFalse(self.widget.Error.no_image_column.is_shown())
        self.assertTrue(self.widget.Information.no_rows.is_shown())

    def test_two_image_columns(self) -> None:
        second = StringVariable("mask")
        second.attributes = {"type": "image", "origin": str(self.folder / "b")}
        domain = self.data.domain
        both = Domain([], domain.class_vars, (*domain.metas, second))
        data = self.data.transform(both)
        with data.unlocked(data.metas):
            data.metas[:, -1] = "1.png"
        self.send(data)
        self.assertEqual(self.widget.column_combo.column, "image")
        self.view.select_rows([2])
        choose(self.widget.column_combo, "mask")
        self.settle()
        self.assertEqual(Path(self.widget.sources[0]), self.folder / "b" / "1.png")
        self.assertEqual(self.widget.column, "mask")
        self.assertIsNone(self.selected())

    def test_missing_images_are_shown_as_such(self) -> None:
        data = self.data.copy()
        with data.unlocked(data.metas):
            data.metas[:, 1] = ""
        self.send(data)
        self.show()
        self.assertIn("No image", self.view.loader.reason(0))

    def test_report(self) -> None:
        self.send(self.data)
        self.show()
        self.view.select_rows([1])
        self.widget.send_report()
        self.assertIn("data:image/png;base64", self.widget.report_html)

    def test_new_data_while_loading(self) -> None:
        self.show()
        for start in (0, 3, 1):
            self.send_signal(self.widget.Inputs.data, self.data[start:])
            QApplication.processEvents()
        self.settle()
        loader = self.view.loader
        wait_for(lambda: all(loader.image(row) is not None for row in range(5)))
        self.assertEqual(len(self.view.order), 5)


class TestImageLoader(base.GuiTest):
    def test_memory_is_bounded(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        picture(0, (100, 100)).save(folder / "a.png")
        loader = ImageLoader()
        self.addCleanup(loader.close)
        limit, thumbnails._MAX_BYTES = thumbnails._MAX_BYTES, 5 * 100 * 400
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

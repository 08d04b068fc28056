from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
from AnyQt.QtCore import Qt
from AnyQt.QtGui import QContextMenuEvent
from AnyQt.QtTest import QTest
from AnyQt.QtWidgets import QApplication, QComboBox, QMenu
from conftest import picture, wait_for
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
)
from Orange.widgets.tests import base

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.widgets.owimagegrid import OWImageGrid, run


def choose(combo: QComboBox, key: object) -> None:
    """Choose an entry as a user does."""
    place = combo.findData(key)
    assert place >= 0, f"no entry {key!r}"
    combo.setCurrentIndex(place)
    combo.activated.emit(place)


class GridTest(base.WidgetTest):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        image = StringVariable("image")
        image.attributes = {"type": "image", "origin": str(self.folder)}
        domain = Domain(
            [ContinuousVariable(f"n{i}") for i in range(5)],
            DiscreteVariable("kind", ["a", "b"]),
            [image],
        )
        rng = np.random.default_rng(0)
        kinds = np.arange(16) % 2
        names = [f"{index}.png" for index in range(16)]
        for index, name in enumerate(names):
            picture(index, (40, 30)).save(self.folder / name)
        features = rng.normal(size=(16, 5)) + 20 * kinds[:, None]
        self.data = Table.from_numpy(
            domain, features, kinds, np.array(names, object)[:, None]
        )


class TestRun(GridTest):
    def test_cancel(self) -> None:
        state = Mock()
        state.is_interruption_requested.return_value = True
        with self.assertRaises(TaskCancelled):
            run(self.data, self.data.domain["image"], "pca", None, None, state)

    def test_similar_images_are_neighbours(self) -> None:
        state = Mock()
        state.is_interruption_requested.return_value = False
        column = self.data.domain["image"]
        for projection in ("tsne", "mds", "pca"):
            grid = run(self.data, column, projection, (4, 4), None, state)
            cells = {tuple(cell) for cell in grid.layout.cells.tolist()}
            self.assertEqual(len(cells), 16)
            owner = np.empty((4, 4))
            owner[tuple(grid.layout.cells.T)] = self.data.Y
            # two blocks of eight: few neighbours are of different kinds
            borders = np.abs(np.diff(owner, axis=0)).sum()
            borders += np.abs(np.diff(owner, axis=1)).sum()
            self.assertLessEqual(borders, 8, projection)


class TestOWImageGrid(GridTest):
    def setUp(self) -> None:
        super().setUp()
        self.widget = self.create_widget(OWImageGrid)

    def send(self, data: Table | None) -> None:
        self.send_signal(self.widget.Inputs.images, data)
        self.settle()

    def settle(self) -> None:
        wait_for(lambda: not self.widget.isInvalidated())

    def select(self, groups: dict[int, int]) -> None:
        numbers = np.zeros(len(self.widget.view.groups), int)
        for row, group in groups.items():
            numbers[row] = group
        self.widget.view.set_groups(numbers)

    def output(self, name: str) -> Table | None:
        return self.get_output(getattr(self.widget.Outputs, name))

    def test_grid_is_filled(self) -> None:
        self.send(self.data)
        layout = self.widget.grid.layout
        self.assertEqual((layout.rows, layout.columns), (4, 4))
        self.assertIn("16 images on 4 × 4 cells", self.widget.info_label.text())
        self.assertEqual(self.widget.columns_spin.value(), 4)
        self.assertFalse(self.widget.columns_spin.isEnabled())

    def test_one_group_goes_out(self) -> None:
        self.send(self.data)
        self.assertIsNone(self.output("selected_data"))
        self.select({3: 1, 1: 1})
        selected = self.output("selected_data")
        np.testing.assert_array_equal(selected.ids, self.data.ids[[1, 3]])
        self.assertEqual(selected.domain, self.data.domain)
        column = self.output("data").get_column("Selected")
        self.assertEqual(np.flatnonzero(column).tolist(), [1, 3])
        self.select({})
        self.assertIsNone(self.output("selected_data"))

    def test_several_groups_go_out_with_a_column(self) -> None:
        self.send(self.data)
        self.select({3: 1, 1: 2, 9: 2})
        selected = self.output("selected_data")
        np.testing.assert_array_equal(selected.ids, self.data.ids[[1, 3, 9]])
        group = selected.domain["Group"]
        names = [group.values[int(v)] for v in selected.get_column(group)]
        self.assertEqual(names, ["G2", "G1", "G2"])
        everything = self.output("data")
        self.assertEqual(len(everything), 16)
        column = everything.domain["Selected"]
        value = everything.get_column(column)[1]
        self.assertEqual(column.values[int(value)], "G2")

    def test_subset_shows_the_others_faintly(self) -> None:
        self.send(self.data)
        self.send_signal(self.widget.Inputs.subset, self.data[2:5])
        subset = self.widget.view._subset
        self.assertEqual(np.flatnonzero(subset).tolist(), [2, 3, 4])
        self.send_signal(self.widget.Inputs.subset, Table("iris"))
        self.assertTrue(self.widget.Warning.no_subset.is_shown())
        self.assertIsNone(self.widget.view._subset)
        self.send_signal(self.widget.Inputs.subset, None)
        self.assertFalse(self.widget.Warning.no_subset.is_shown())

    def test_subset_before_images(self) -> None:
        self.send_signal(self.widget.Inputs.subset, self.data[:1])
        self.send(self.data)
        self.assertEqual(np.flatnonzero(self.widget.view._subset).tolist(), [0])

    def test_given_size(self) -> None:
        self.send(self.data)
        before = self.widget.grid.positions
        self.widget.auto_box.click()
        self.widget.columns_spin.setValue(8)
        self.widget.rows_spin.setValue(3)
        self.settle()
        layout = self.widget.grid.layout
        self.assertEqual((layout.rows, layout.columns), (3, 8))
        # the projection is not computed again
        self.assertIs(self.widget.grid.positions, before)
        self.select({2: 1, 3: 2})
        self.widget.rows_spin.setValue(1)
        self.settle()
        self.assertTrue(self.widget.Error.failed.is_shown())
        self.assertIn("16", str(self.widget.Error.failed))
        # the grid that was there stays, with what is selected
        self.assertEqual(len(self.output("selected_data")), 2)
        self.assertEqual(self.widget.view.n_rows, 3)
        self.widget.auto_box.click()
        self.settle()
        self.assertFalse(self.widget.Error.failed.is_shown())
        self.assertEqual(self.widget.grid.layout.columns, 4)

    def test_other_projection_keeps_the_selection(self) -> None:
        self.send(self.data)
        self.select({5: 1})
        before = self.widget.grid.positions
        choose(self.widget.projection_combo, "pca")
        self.settle()
        self.assertFalse(np.array_equal(self.widget.grid.positions, before))
        self.assertEqual(np.flatnonzero(self.widget.view.groups).tolist(), [5])

    def test_frames_have_the_colours_of_the_class(self) -> None:
        self.send(self.data)
        colours = self.data.domain.class_var.colors
        np.testing.assert_array_equal(
            self.widget.view._colours, colours[self.data.Y.astype(int)]
        )
        self.assertIn("kind", self.widget.legend.text())
        choose(self.widget.color_combo, "")
        self.assertIsNone(self.widget.view._colours)
        self.send(self.data)
        self.assertIsNone(self.widget.view._colours)
        choose(self.widget.color_combo, "n1")
        self.assertEqual(self.widget.view._colours.shape, (16, 3))

    def test_zoom_slider(self) -> None:
        self.send(self.data)
        self.widget.show()
        before = self.widget.view.rect_of(3).width()
        self.widget.zoom_slider.setValue(50)
        after = self.widget.view.rect_of(3).width()
        self.assertAlmostEqual(after / before, 32**0.5, delta=0.5)
        self.widget.view.zoom(2)
        self.assertEqual(self.widget.zoom_slider.value(), 70)
        self.send(self.data)
        self.assertEqual(self.widget.zoom_slider.value(), 0)

    def test_labels(self) -> None:
        self.send(self.data)
        self.assertEqual(self.widget.view.captions.n_lines, 0)
        choose(self.widget.label_combo, "kind")
        self.assertEqual(self.widget.view.captions.lines(3), ["b"])
        self.assertIn("3.png", self.widget.view.captions.tooltip(3))

    def test_rows_without_numbers_are_left_out(self) -> None:
        data = self.data.copy()
        with data.unlocked(data.X):
            data.X[4:6] = np.nan
        self.send(data)
        self.assertTrue(self.widget.Warning.left_out.is_shown())
        self.assertIn("2 of 16", str(self.widget.Warning.left_out))
        self.assertTrue(self.widget.view.rect_of(4).isNull())
        with data.unlocked(data.X):
            data.X[:] = np.nan
        self.send(data)
        self.assertIn("None of the images has numbers", str(self.widget.Error.failed))
        self.assertEqual(len(self.output("data")), 16)

    def test_data_that_cannot_be_placed(self) -> None:
        self.send(Table("iris"))
        self.assertTrue(self.widget.Error.no_image_column.is_shown())
        no_numbers = self.data[:, self.data.domain.metas]
        self.send(no_numbers)
        self.assertTrue(self.widget.Error.no_features.is_shown())
        self.assertFalse(self.widget.Error.no_image_column.is_shown())
        self.assertEqual(len(self.output("data")), 16)
        self.send(self.data[:0])
        self.assertTrue(self.widget.Information.no_rows.is_shown())
        self.send(self.data[:1])
        self.assertFalse(self.widget.Information.no_rows.is_shown())
        self.assertEqual(self.widget.grid.layout.cells.tolist(), [[0, 0]])
        self.send(None)
        self.assertIsNone(self.output("data"))

    def test_selection_is_stored_and_restored(self) -> None:
        self.send(self.data)
        self.select({3: 1, 1: 2})
        settings = self.widget.settingsHandler.pack_data(self.widget)
        self.assertEqual(settings["selection"], [("1.png", 0, 2), ("3.png", 0, 1)])
        widget = self.create_widget(OWImageGrid, stored_settings=settings)
        self.send_signal(widget.Inputs.images, self.data[::-1], widget=widget)
        wait_for(lambda: not widget.isInvalidated())
        groups = widget.view.groups
        self.assertEqual((groups[14], groups[12], groups.sum()), (2, 1, 3))

    def test_cancel_and_start_again(self) -> None:
        self.send_signal(self.widget.Inputs.images, self.data)
        self.widget.cancel_button.click()
        self.assertTrue(self.widget.Information.cancelled.is_shown())
        self.assertIsNone(self.widget.grid)
        self.widget.cancel_button.click()
        self.settle()
        self.assertIsNotNone(self.widget.grid)
        self.assertFalse(self.widget.Information.cancelled.is_shown())
        self.assertFalse(self.widget.cancel_button.isEnabled())

    def test_cancelled_new_data_send_no_old_ones(self) -> None:
        self.send(self.data)
        self.select({2: 1})
        self.assertIsNotNone(self.output("selected_data"))
        self.send_signal(self.widget.Inputs.images, self.data[:9])
        self.widget.cancel_button.click()
        self.assertIsNone(self.output("data"))
        self.assertIsNone(self.output("selected_data"))
        self.assertIn("No images yet", self.widget.info_label.text())

    def test_size_is_not_what_new_widgets_begin_with(self) -> None:
        self.widget.auto_box.click()
        self.widget.settingsHandler.update_defaults(self.widget)
        self.assertTrue(self.create_widget(OWImageGrid).auto_size)

    def test_right_button_leaves_the_groups(self) -> None:
        self.send(self.data)
        self.select({2: 1, 3: 2})
        self.widget.show()
        QTest.qWaitForWindowExposed(self.widget)
        place = self.widget.view.rect_of(7).center()
        viewport = self.widget.view.viewport()
        event = QContextMenuEvent(
            QContextMenuEvent.Reason.Mouse, place, viewport.mapToGlobal(place)
        )
        QApplication.sendEvent(viewport, event)
        self.assertEqual(self.widget.view.current_row, 7)
        self.assertEqual(np.flatnonzero(self.widget.view.groups).tolist(), [2, 3])
        QApplication.activePopupWidget().close()

    def test_space_and_menu(self) -> None:
        self.send(self.data)
        self.widget.show()
        QTest.qWaitForWindowExposed(self.widget)
        self.widget.view.go_to(4)
        QTest.keyClick(self.widget.view, Qt.Key.Key_Space)
        preview = self.widget.one_image.preview
        self.assertTrue(preview.windowTitle().startswith("4.png"))
        preview.close()
        self.select({2: 1, 3: 1})
        self.widget._open_menu(self.widget.pos())
        menu = QApplication.activePopupWidget()
        self.assertIsInstance(menu, QMenu)
        entries = {a.text().replace("&", ""): a for a in menu.actions()}
        entries["Copy paths"].trigger()
        urls = QApplication.clipboard().mimeData().urls()
        self.assertEqual([url.fileName() for url in urls], ["2.png", "3.png"])
        menu.close()

    def test_report(self) -> None:
        self.send(self.data)
        self.widget.show()
        self.widget.send_report()
        self.assertIn("16 images on 4 × 4 cells", self.widget.report_html)
        self.assertIn("data:image/png;base64", self.widget.report_html)

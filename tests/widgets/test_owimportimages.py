from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from unittest.mock import Mock, patch

import numpy as np
import pytest
from AnyQt.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from AnyQt.QtGui import QDragEnterEvent, QDropEvent, QKeyEvent
from AnyQt.QtTest import QTest
from conftest import picture
from Orange.data import ContinuousVariable, Domain, StringVariable, Table
from Orange.widgets.tests import base
from orangecanvas.registry import CategoryDescription, WidgetDescription, WidgetRegistry
from orangecanvas.scheme.readwrite import scheme_load
from orangewidget.workflow.widgetsscheme import WidgetsScheme
from PIL import Image

from orangecontrib.imagemining.exceptions import FolderNotFoundError, TaskCancelled
from orangecontrib.imagemining.tables import image_sources
from orangecontrib.imagemining.tables.folder import FolderMemory, FolderOptions
from orangecontrib.imagemining.widgets.owimportimages import OWImportImages
from orangecontrib.imagemining.widgets.utils import folders as folders_module
from orangecontrib.imagemining.widgets.utils.drop import ImportImagesDropHandler
from orangecontrib.imagemining.widgets.utils.filetypes import FILE_TYPES
from orangecontrib.imagemining.widgets.utils.folders import (
    moved_folder,
    name_of,
    nearest_folder,
    remember,
    resolve,
    to_store,
)
from orangecontrib.imagemining.widgets.utils.forms import NoteLabel
from orangecontrib.imagemining.widgets.utils.importwork import FolderJob, run_folder

SAMPLES = (
    Path(__file__).parents[2] / "orangecontrib/imagemining/samples/synthetic-yeast"
)


class TestOWImportImages(base.WidgetTest):
    def setUp(self) -> None:
        self.widget = self.create_widget(OWImportImages)
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        self.folder = self.home / "cells"
        for name in ("b/2.png", "b/10.png", "a/1.png"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            picture(1).save(self.folder / name)

    def choose(self, folder: Path) -> None:
        self.widget.choose(str(folder))
        self.wait_until_finished()

    def output(self) -> Table | None:
        return self.get_output(self.widget.Outputs.data)

    def images(self) -> list[str]:
        table = self.output()
        return [] if table is None else [str(row["image"]) for row in table]

    def type_into(self, field: str, text: str) -> None:
        """Type into a field, and press Enter."""
        edit = {
            "include": self.widget.files_panel.include_edit,
            "exclude": self.widget.files_panel.exclude_edit,
            "pattern": self.widget.categories_panel.pattern_edit,
        }[field]
        edit.setText(text)
        QTest.keyClick(edit, Qt.Key.Key_Return)
        self.wait_until_finished()

    def take_categories_from(self, key: str) -> None:
        combo = self.widget.categories_panel.combo
        index = combo.findData(key)
        self.assertGreaterEqual(index, 0)
        combo.setCurrentIndex(index)
        combo.activated.emit(index)
        self.wait_until_finished()

    def tick_type(self, name: str) -> None:
        (action,) = [
            action
            for action in self.widget.files_panel.types_button.menu().actions()
            if action.data() == name and not action.isSeparator()
        ]
        action.trigger()
        self.wait_until_finished()

    def ticked(self) -> list[str]:
        actions = self.widget.files_panel.types_button.menu().actions()
        return [action.data() for action in actions if action.isChecked()]

    def send(self, data: Table | None) -> None:
        self.send_signal(self.widget.Inputs.data, data)
        self.wait_until_finished()

    def test_nothing_is_chosen_at_first(self) -> None:
        self.assertIsNone(self.output())
        self.assertIn("Choose a folder", self.widget.info_label.text())
        self.assertFalse(self.widget.reload_button.isEnabled())

    def test_folder_becomes_a_table(self) -> None:
        self.choose(self.folder)
        table = self.output()
        self.assertEqual(
            [str(row["image"]) for row in table], ["a/1.png", "b/2.png", "b/10.png"]
        )
        self.assertIn("3 images in 2 categories", self.widget.info_label.text())
        self.assertFalse(self.widget.cancel_button.isEnabled())

    def test_bad_folders_give_a_message_and_no_output(self) -> None:
        self.choose(self.folder)
        empty = self.home / "empty"
        empty.mkdir()
        errors = self.widget.Error
        for folder, error in (
            (empty, errors.failed),
            (self.home / "gone", errors.missing),
            (self.folder / "a" / "1.png", errors.failed),
        ):
            self.choose(folder)
            self.assertEqual(list(errors.active), [error])
            self.assertIn(folder.name, str(error))
            self.assertIsNone(self.output())
        self.choose(self.folder)
        self.assertEqual(list(errors.active), [])

    def test_reload_sees_new_images(self) -> None:
        self.choose(self.folder)
        picture(2).save(self.folder / "a" / "3.png")
        self.widget.reload_button.click()
        self.wait_until_finished()
        self.assertEqual(len(self.output()), 4)

    def test_cancel(self) -> None:
        self.widget.choose(str(self.folder))
        self.assertTrue(self.widget.cancel_button.isEnabled())
        self.widget.cancel_button.click()
        self.assertTrue(self.widget.Information.cancelled.is_shown())
        self.assertIsNone(self.output())
        self.widget.reload_button.click()
        self.wait_until_finished()
        self.assertEqual(len(self.output()), 3)

    def test_recent_folders(self) -> None:
        other = self.home / "other"
        shutil.copytree(self.folder, other)
        self.choose(self.folder)
        self.choose(other)
        recent = [str(other), str(self.folder)]
        self.assertEqual(self.widget.recent_folders, recent)
        self.widget.folder_combo.setCurrentIndex(1)
        self.widget.folder_combo.activated.emit(1)
        self.wait_until_finished()
        self.assertEqual(self.widget.current_folder, str(self.folder))
        self.assertEqual(self.widget.recent_folders, recent[::-1])

    def test_folder_can_be_dropped_and_a_file_cannot(self) -> None:
        def drop(path: Path) -> bool:
            data = QMimeData()
            data.setUrls([QUrl.fromLocalFile(str(path))])
            options = (
                Qt.DropAction.CopyAction,
                data,
                Qt.MouseButton.LeftButton,
                Qt.KeyboardModifier.NoModifier,
            )
            enter = QDragEnterEvent(QPointF(1, 1).toPoint(), *options)
            enter.ignore()
            self.widget.dragEnterEvent(enter)
            if enter.isAccepted():
                self.widget.dropEvent(QDropEvent(QPointF(1, 1), *options))
            return enter.isAccepted()

        self.assertFalse(drop(self.folder / "a" / "1.png"))
        self.assertTrue(drop(self.folder))
        self.wait_until_finished()
        self.assertEqual(len(self.output()), 3)

    def stored(self, workflow_folder: Path) -> dict:
        self.widget.workflowEnv = lambda: {"basedir": str(workflow_folder)}
        return self.widget.settingsHandler.pack_data(self.widget)

    def test_folder_beside_the_workflow_is_stored_relative(self) -> None:
        self.choose(self.folder)
        settings = self.stored(self.home)
        self.assertEqual(settings["folder"], "./cells")
        moved = self.home / "moved"
        moved.mkdir()
        self.folder.rename(moved / "cells")

        env = {"basedir": str(moved)}
        with patch.object(OWImportImages, "workflowEnv", lambda self: env):
            widget = self.create_widget(OWImportImages, stored_settings=settings)
        self.wait_until_finished(widget)
        self.assertEqual(len(self.get_output("Data", widget)), 3)

    def test_recent_folders_stay_out_of_workflows_and_in_the_users_settings(
        self,
    ) -> None:
        self.choose(self.folder)
        self.assertNotIn("recent_folders", self.stored(self.home))
        handler = self.widget.settingsHandler
        with patch.object(handler, "write_defaults"):
            handler.update_defaults(self.widget)
        self.assertEqual(handler.defaults["recent_folders"], [str(self.folder)])

    def test_title_of_the_window_is_the_nodes(self) -> None:
        self.widget.setCaption("My cells")
        self.choose(self.folder)
        self.assertEqual(self.widget.windowTitle(), "My cells")

    def test_folder_elsewhere_is_stored_absolute(self) -> None:
        self.choose(self.folder)
        self.assertEqual(self.stored(Path("/nowhere"))["folder"], str(self.folder))

    def test_samples_are_stored_by_name(self) -> None:
        self.choose(SAMPLES)
        settings = self.stored(self.home)
        self.assertEqual(settings["folder"], "samples:synthetic-yeast")
        widget = self.create_widget(OWImportImages, stored_settings=settings)
        self.wait_until_finished(widget)
        self.assertEqual(widget.current_folder, str(SAMPLES))

    # filters

    def test_include_and_exclude(self) -> None:
        self.choose(self.folder)
        self.type_into("include", "?.png")
        self.assertEqual(self.images(), ["a/1.png", "b/2.png"])
        self.type_into("exclude", "b/")
        self.assertEqual(self.images(), ["a/1.png"])
        text = self.widget.info_label.text()
        self.assertIn("Left out: 1 folder (b)", text)
        self.type_into("exclude", "")
        self.assertIn(
            "Left out: 1 image by name; 1 other file (.txt)",
            self.with_notes().info_label.text(),
        )

    def with_notes(self) -> OWImportImages:
        (self.folder / "notes.txt").write_text("x")
        self.widget.reload()
        self.wait_until_finished()
        return self.widget

    def test_filters_that_leave_nothing_say_so(self) -> None:
        self.choose(self.folder)
        self.type_into("include", "*.jpg")
        self.assertIsNone(self.output())
        self.assertIn("left out: 3 images by name", str(self.widget.Error.failed))
        self.assertIn("left out: 3 images by name", self.widget.info_label.text())
        self.type_into("include", "")
        self.assertEqual(len(self.images()), 3)
        self.assertFalse(self.widget.Error.failed.is_shown())

    def test_typing_lists_only_after_a_while(self) -> None:
        self.choose(self.folder)
        with patch.object(self.widget, "start") as start:
            self.widget.files_panel.include_edit.setText("1")
            self.widget.files_panel.include_edit.setText("1.")
            start.assert_not_called()
            self.assertTrue(self.widget._timer.isActive())
        self.assertEqual(self.widget.include, "1.")
        self.widget._timer.timeout.emit()
        self.wait_until_finished()
        self.assertEqual(self.images(), ["a/1.png"])
        self.assertFalse(self.widget._timer.isActive())

    def test_filters_do_not_look_at_the_disk_again(self) -> None:
        self.choose(self.folder)
        with patch.object(os, "scandir") as scandir:
            self.type_into("include", "1")
            scandir.assert_not_called()
        self.assertEqual(self.images(), ["a/1.png", "b/10.png"])

    def test_types(self) -> None:
        picture(1).save(self.folder / "a" / "3.jpg")
        picture(1).save(self.folder / "a" / "4.JPEG")
        self.choose(self.folder)
        button = self.widget.files_panel.types_button
        texts = [a.text() for a in button.menu().actions() if not a.isSeparator()]
        self.assertEqual(
            texts, ["&All types", "JPEG (.jpg, .jpeg): 2", "PNG (.png): 3"]
        )
        self.tick_type("JPEG")
        self.assertEqual(self.images(), ["a/3.jpg", "a/4.JPEG"])
        self.assertEqual(self.widget.file_types, list(FILE_TYPES["JPEG"]))
        self.assertEqual(button.text(), "JPEG")
        self.assertIn("3 images by type", self.widget.info_label.text())
        self.tick_type("PNG")
        self.assertEqual(len(self.images()), 5)
        self.assertEqual(button.text(), "JPEG, PNG")
        self.tick_type("")
        self.assertEqual(self.widget.file_types, [])
        self.assertEqual(len(self.images()), 5)
        self.assertEqual(button.text(), "All types")
        self.tick_type("PNG")
        self.assertEqual(self.ticked(), ["PNG"])
        self.tick_type("PNG")  # none is all again
        self.assertEqual(self.widget.file_types, [])
        self.assertEqual(self.ticked(), [""])

    def test_types_that_are_not_there_are_still_shown(self) -> None:
        widget = self.create_widget(
            OWImportImages,
            stored_settings={"folder": str(self.folder), "file_types": [".qoi", ".x"]},
        )
        self.wait_until_finished(widget)
        self.assertIn("left out: 3 images by type", str(widget.Error.failed))
        self.assertEqual(widget.files_panel.types_button.text(), "QOI, .x")

    def test_menu_of_types_stays_open(self) -> None:
        self.choose(self.folder)
        menu = self.widget.files_panel.types_button.menu()
        menu.popup(QPoint(0, 0))
        png = menu.actions()[-1]
        place = menu.actionGeometry(png).center()
        QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=place)
        self.assertEqual(self.widget.file_types, [".png"])
        self.assertEqual(self.ticked(), ["PNG"])
        menu.setActiveAction(png)
        key = (Qt.Key.Key_Space, Qt.KeyboardModifier.NoModifier)
        menu.keyPressEvent(QKeyEvent(QEvent.Type.KeyPress, *key))
        self.assertEqual(self.widget.file_types, [])
        self.assertTrue(menu.isVisible())
        menu.hide()
        self.wait_until_finished()

    # categories

    def test_categories(self) -> None:
        (self.folder / "a" / "deep").mkdir()
        picture(1).save(self.folder / "a" / "deep" / "5.png")
        self.choose(self.folder)
        self.assertEqual(self.output().domain.class_var.values, ("a", "b"))
        self.take_categories_from("path")
        self.assertEqual(self.output().domain.class_var.values, ("a", "a/deep", "b"))
        self.take_categories_from("none")
        self.assertIsNone(self.output().domain.class_var)
        self.assertFalse(self.widget.categories_panel.pattern_edit.isEnabled())

    def test_pattern_with_its_example(self) -> None:
        for name in ("img_cat_1.png", "img_dog_1.png", "img_eel_1.png"):
            picture(1).save(self.folder / name)
        self.choose(self.folder)
        panel = self.widget.categories_panel
        self.take_categories_from("pattern")
        self.assertTrue(panel.pattern_edit.isEnabled())
        self.assertIsNone(self.output())
        self.assertTrue(self.widget.Error.bad_pattern.is_shown())
        self.assertIn("Write {category}", panel.example_label.text())
        # while it is typed
        panel.pattern_edit.setText("img_{category}_*")
        example = "img_cat_1.png → cat\nimg_dog_1.png → dog"
        self.assertEqual(panel.example_label.text(), example)
        panel.pattern_edit.setText("{category}*")
        self.assertIn("Put a letter or sign", panel.example_label.text())
        panel.pattern_edit.setText("x{category}")
        self.assertEqual(panel.example_label.text(), "1.png does not fit")
        # when it is done
        self.type_into("pattern", "img_{category}_*")
        self.assertEqual(panel.example_label.text(), f"{example}\n3 of 6 names fit")
        self.assertEqual(self.output().domain.class_var.values, ("cat", "dog", "eel"))
        self.assertIn("3 images without a category", self.widget.info_label.text())
        self.assertFalse(self.widget.Error.bad_pattern.is_shown())
        # examples with folders, where the pattern has them
        self.type_into("pattern", "{category}/1*")
        self.assertIn("a/1.png → a", panel.example_label.text())

    def test_pattern_that_fits_nothing(self) -> None:
        self.choose(self.folder)
        self.widget.category_pattern = "q_{category}"
        self.take_categories_from("pattern")
        self.assertIsNone(self.output())
        self.assertIn("fits none of the 3 names", str(self.widget.Error.failed))
        self.assertEqual(
            self.widget.categories_panel.example_label.text(), "1.png does not fit"
        )

    def test_source_of_categories_that_is_not_known(self) -> None:
        widget = self.create_widget(
            OWImportImages,
            stored_settings={"folder": str(self.folder), "category_from": "stars"},
        )
        self.wait_until_finished(widget)
        self.assertIn("stars", str(widget.Error.bad_pattern))
        self.assertIsNone(self.get_output("Data", widget))

    def test_many_categories_are_doubted(self) -> None:
        self.choose(self.folder)
        self.widget.category_pattern = "{category}"
        with patch("orangecontrib.imagemining.widgets.owimportimages._MANY", 2):
            self.take_categories_from("pattern")
            self.assertTrue(self.widget.Warning.many_categories.is_shown())
            self.take_categories_from("folder")
            self.assertFalse(self.widget.Warning.many_categories.is_shown())

    # more

    def test_sample(self) -> None:
        self.choose(self.folder)
        self.widget.more_panel.sample_spin.setValue(1)
        self.widget._timer.stop()
        self.widget.more_panel.sample_box.click()
        self.wait_until_finished()
        self.assertEqual(len(self.images()), 2)
        self.assertIn("2 of 3 images in 2 categories", self.widget.info_label.text())
        self.widget.more_panel.sample_box.click()
        self.wait_until_finished()
        self.assertEqual(len(self.images()), 3)

    def test_camera_columns(self) -> None:
        exif = Image.Exif()
        exif[0x0110] = "D70"
        picture(1).save(self.folder / "a" / "3.jpg", exif=exif)
        self.choose(self.folder)
        self.assertNotIn("camera", self.output().domain)
        self.widget.more_panel.exif_box.click()
        self.wait_until_finished()
        self.assertEqual(
            [str(row["camera"]) for row in self.output()], ["?", "D70", "?", "?"]
        )

    def test_reload_tells_what_changed(self) -> None:
        self.choose(self.folder)
        changed = self.widget.Information.changed
        self.assertFalse(changed.is_shown())
        self.widget.reload_button.click()
        self.wait_until_finished()
        self.assertFalse(changed.is_shown())
        self.assertIn("Nothing changed", self.widget.info_label.text())
        picture(2).save(self.folder / "a" / "3.png")
        (self.folder / "b" / "2.png").unlink()
        self.widget.reload_button.click()
        self.wait_until_finished()
        self.assertEqual(
            str(changed),
            "Since the last look: 1 added (a/3.png), 1 removed (b/2.png)",
        )
        # another filter is no news
        self.type_into("exclude", "3.png")
        self.assertFalse(changed.is_shown())
        self.assertNotIn("Nothing changed", self.widget.info_label.text())

    def test_reload_that_was_overtaken_still_looks_again(self) -> None:
        self.choose(self.folder)
        picture(2).save(self.folder / "a" / "3.png")
        self.widget.reload_button.click()
        self.type_into("include", "3")
        self.assertEqual(self.images(), ["a/3.png"])

    # missing and moved folders

    def open(self, folder: str, basedir: Path | None = None) -> OWImportImages:
        """Return a widget as it is in a workflow at `basedir`."""
        env = {"basedir": str(basedir)} if basedir else {}
        with patch.object(OWImportImages, "workflowEnv", lambda self: env):
            widget = self.create_widget(
                OWImportImages, stored_settings={"folder": folder, "__version__": 1}
            )
            self.wait_until_finished(widget)
        widget.workflowEnv = lambda: env
        return widget

    def test_missing_folder_can_be_found(self) -> None:
        gone = self.home / "gone" / "away"
        with patch.object(folders_module.QFileDialog, "getExistingDirectory") as dialog:
            widget = self.open(str(gone))
            dialog.assert_not_called()
            self.assertIn(str(gone), str(widget.Error.missing))
            panel = widget.folder_panel
            self.assertFalse(panel.find_button.isHidden())
            self.assertIn(f"no folder {gone}", panel.missing_label.text())
            self.assertIsNone(self.get_output("Data", widget))
            # closing the dialog changes nothing
            dialog.return_value = ""
            panel.find_button.click()
            self.assertEqual(widget.current_folder, str(gone))
            dialog.return_value = str(self.folder)
            panel.find_button.click()
        parent, title, start = dialog.call_args.args
        self.assertEqual(
            (title, start), ("Where is the folder away now?", str(self.home))
        )
        self.wait_until_finished(widget)
        self.assertEqual(len(self.get_output("Data", widget)), 3)
        self.assertTrue(panel.find_button.isHidden())
        self.assertFalse(widget.Error.missing.is_shown())
        widget.settingsHandler.pack_data(widget)
        self.assertEqual(widget.folder, str(self.folder))

    def test_folder_that_moved_along_with_the_workflow_is_taken(self) -> None:
        for stored in ("/long/gone/cells", r"C:\Users\me\cells"):
            widget = self.open(stored, self.home)
            self.assertEqual(len(self.get_output("Data", widget)), 3)
            self.assertEqual(widget.current_folder, str(self.folder))
            self.assertIn(stored, str(widget.Information.moved))
            self.assertEqual(
                widget.settingsHandler.pack_data(widget)["folder"], "./cells"
            )

    def test_another_folder_is_not_taken_for_one_chosen_here(self) -> None:
        widget = self.open("/long/gone/others", self.home)
        widget.choose(str(self.home / "gone" / "cells"))
        self.wait_until_finished(widget)
        self.assertTrue(widget.Error.missing.is_shown())

    def test_missing_folder_stays_in_the_workflow(self) -> None:
        for stored in (r"C:\Users\me\gone", "/long/gone", "./gone"):
            widget = self.open(stored, self.home)
            self.assertTrue(widget.Error.missing.is_shown())
            self.assertEqual(widget.settingsHandler.pack_data(widget)["folder"], stored)

    def test_relative_folder_of_a_workflow_without_a_place(self) -> None:
        # not one that happens to lie where Orange was started
        place = os.getcwd()
        os.chdir(self.home)
        self.addCleanup(os.chdir, place)
        widget = self.open("./cells")
        self.assertIn("./cells", str(widget.Error.missing))
        self.assertEqual(widget.settingsHandler.pack_data(widget)["folder"], "./cells")

    def test_folder_beside_the_workflows_folder_is_stored_relative(self) -> None:
        workflows = self.home / "workflows"
        self.choose(self.folder)
        settings = self.stored(workflows)
        self.assertEqual(settings["folder"], "../cells")
        widget = self.open("../cells", workflows)
        self.assertEqual(widget.current_folder, str(self.folder))

    # table

    def table(self, paths: Iterable[str], **attributes: str) -> Table:
        path = StringVariable("path")
        path.attributes.update(attributes)
        domain = Domain([ContinuousVariable("x")], None, [path, StringVariable("name")])
        paths = list(paths)
        metas = np.array([[p, f"no. {i}"] for i, p in enumerate(paths)], object)
        return Table.from_numpy(domain, np.ones((len(paths), 1)), None, metas)

    def test_table_with_paths(self) -> None:
        self.choose(self.folder)
        data = self.table(
            ["a/1.png", '"a\\1.png"', "http://127.0.0.1:1/x.png", "no.png", ""]
        )
        self.widget.table_panel.chosen_base = str(self.folder)
        self.send(data)
        table = self.output()
        self.assertEqual(table.ids.tolist(), data.ids.tolist())
        column = table.domain["path"]
        self.assertEqual(
            column.attributes, {"type": "image", "origin": str(self.folder)}
        )
        image = str(self.folder / "a" / "1.png")
        self.assertEqual(image_sources(table, column)[:2], [image, image])
        self.assertEqual(table.get_column("width")[:2].tolist(), [40, 40])
        warning = self.widget.Warning.not_there
        self.assertEqual(str(warning), "1 of 5 images not there: no.png")
        self.assertEqual(
            self.widget.info_label.text(),
            "2 images of 5 rows\n1 image not there\n"
            "1 address, not looked at here\n1 row without a path",
        )
        # the folder waits
        self.assertTrue(all(box.isHidden() for box in self.widget._folder_boxes))
        self.send(None)
        self.assertEqual(len(self.images()), 3)
        self.assertFalse(warning.is_shown())
        self.assertFalse(any(box.isHidden() for box in self.widget._folder_boxes))
        self.assertTrue(self.widget._table_box.isHidden())

    def test_column_is_guessed_and_can_be_changed(self) -> None:
        self.send(self.table(["a/1.png"], origin=str(self.folder)))
        combo = self.widget.table_panel.column_combo
        self.assertEqual(combo.currentText(), "path")
        self.assertEqual(self.widget.path_column, "")
        self.assertFalse(self.widget.Warning.not_there.is_shown())
        combo.setCurrentIndex(combo.findData("name"))
        combo.activated.emit(combo.currentIndex())
        self.wait_until_finished()
        self.assertEqual(self.widget.path_column, "name")
        self.assertTrue(self.widget.Warning.not_there.is_shown())
        self.assertEqual(self.output().domain["name"].attributes["type"], "image")

    def test_data_without_paths(self) -> None:
        self.send(self.table(["one", "two"]))
        self.assertTrue(self.widget.Error.no_paths.is_shown())
        self.assertIsNone(self.output())
        combo = self.widget.table_panel.column_combo
        self.assertEqual(combo.currentText(), "(choose a column)")
        combo.setCurrentIndex(combo.findData("path"))
        combo.activated.emit(combo.currentIndex())
        self.wait_until_finished()
        self.assertEqual(len(self.output()), 2)
        self.send(Table("iris")[:, :4])
        self.assertTrue(self.widget.Error.no_text.is_shown())
        self.assertIsNone(self.output())
        # the choice is kept for data that have the column
        self.send(self.table(["a.png"]))
        self.assertEqual(combo.currentText(), "path")

    def test_base_folder(self) -> None:
        data = self.table(["a/1.png"])
        panel = self.widget.table_panel
        self.send(data)
        self.assertIn("not known", panel.base_combo.currentText())
        self.assertTrue(self.widget.Information.no_base.is_shown())
        self.assertIn("1 path not whole: choose", self.widget.info_label.text())
        # the workflow's folder, as soon as there is one
        self.widget.workflowEnv = lambda: {"basedir": str(self.folder)}
        self.widget.workflowEnvChanged("basedir", str(self.folder), "")
        self.wait_until_finished()
        self.assertEqual(panel.base_combo.currentText(), "Automatic (cells)")
        self.assertFalse(self.widget.Warning.not_there.is_shown())
        self.assertFalse(self.widget.Information.no_base.is_shown())
        # another one
        with patch.object(folders_module.QFileDialog, "getExistingDirectory") as dialog:
            dialog.return_value = str(self.folder / "b")
            panel.base_button.click()
        self.wait_until_finished()
        self.assertTrue(self.widget.Warning.not_there.is_shown())
        settings = self.widget.settingsHandler.pack_data(self.widget)
        self.assertEqual(settings["base_folder"], "./b")
        # and back
        panel.base_combo.activated.emit(0)
        self.wait_until_finished()
        self.assertFalse(self.widget.Warning.not_there.is_shown())
        # where the column says it is
        self.send(self.table(["1.png"], origin=str(self.folder / "a")))
        self.assertEqual(panel.base_combo.currentText(), "Automatic (a)")
        self.assertFalse(self.widget.Warning.not_there.is_shown())

    def test_stored_base_folder(self) -> None:
        env = {"basedir": str(self.home)}
        with patch.object(OWImportImages, "workflowEnv", lambda self: env):
            widget = self.create_widget(
                OWImportImages, stored_settings={"base_folder": "./cells"}
            )
            self.send_signal("Data", self.table(["b/2.png"]), widget=widget)
            self.wait_until_finished(widget)
        self.assertFalse(widget.Warning.not_there.is_shown())
        self.assertEqual(widget.table_panel.base_combo.currentText(), "cells")

    def test_rows_are_looked_at_again(self) -> None:
        self.widget.table_panel.chosen_base = str(self.folder)
        self.send(self.table(["late.png"]))
        self.assertTrue(self.widget.Warning.not_there.is_shown())
        picture(1).save(self.folder / "late.png")
        self.widget.reload_button.click()
        self.wait_until_finished()
        self.assertFalse(self.widget.Warning.not_there.is_shown())

    def test_cancel_with_a_table(self) -> None:
        self.widget.table_panel.chosen_base = str(self.folder)
        self.send_signal(self.widget.Inputs.data, self.table(["a/1.png"]))
        self.widget.cancel_button.click()
        self.assertTrue(self.widget.Information.cancelled.is_shown())
        self.assertIsNone(self.output())

    def test_folder_cannot_be_dropped_where_a_table_is(self) -> None:
        self.send(self.table(["a/1.png"]))
        event = Mock()
        event.mimeData.return_value.urls.return_value = [
            QUrl.fromLocalFile(str(self.folder))
        ]
        self.widget.dragEnterEvent(event)
        event.acceptProposedAction.assert_not_called()

    # at work

    def test_the_count_is_seen_and_late_ones_are_not(self) -> None:
        self.widget.choose(str(self.folder))
        state = self.widget.task
        state.status_changed.emit("5 images found")
        self.assertEqual(self.widget.info_label.text(), "5 images found")
        self.widget.cancel_button.click()
        state.status_changed.emit("6 images found")
        self.assertEqual(self.widget.info_label.text(), "Cancelled.")

    def test_cancelling_stops_what_is_to_come_too(self) -> None:
        self.choose(self.folder)
        self.widget.reload()
        self.widget.files_panel.include_edit.setText("1")
        self.widget.cancel_button.click()
        self.assertFalse(self.widget._timer.isActive())

    def test_deleting_the_widget_stops_its_thread(self) -> None:
        stopped = threading.Event()

        def endless(*args: object) -> None:
            progress = args[1]
            try:
                while True:
                    progress(0)
            finally:
                stopped.set()

        path = "orangecontrib.imagemining.widgets.utils.importwork.table_from_folder"
        with patch(path, endless):
            self.widget.choose(str(self.folder))
            self.widget.onDeleteWidget()
        self.assertTrue(stopped.is_set())
        with self.assertRaises(RuntimeError):
            self.widget.reload()  # there is no thread any more

    # settings

    def test_settings_of_all_versions(self) -> None:
        for version in (None, 0, 1, 2, 3):
            settings = {"folder": str(self.folder), "recent_folders": ["/a"]}
            if version is not None:
                settings["__version__"] = version
            widget = self.create_widget(OWImportImages, stored_settings=settings)
            self.wait_until_finished(widget)
            self.assertEqual(len(self.get_output("Data", widget)), 3)
            self.assertEqual(widget.recent_folders, ["/a"])
            self.assertEqual(widget.category_from, "folder")

    def test_settings_are_kept(self) -> None:
        self.choose(self.folder)
        self.take_categories_from("pattern")
        self.type_into("pattern", "{category}.*")
        self.type_into("include", "1*")
        self.tick_type("PNG")
        self.widget.more_panel.exif_box.click()
        self.widget.more_panel.sample_box.click()
        self.wait_until_finished()
        settings = self.stored(self.home)
        env = {"basedir": str(self.home)}
        with patch.object(OWImportImages, "workflowEnv", lambda self: env):
            widget = self.create_widget(OWImportImages, stored_settings=settings)
        self.wait_until_finished(widget)
        table = self.get_output("Data", widget)
        self.assertEqual(table.domain.class_var.values, ("1", "10"))
        self.assertIn("camera", table.domain)
        self.assertEqual(widget.files_panel.include_edit.text(), "1*")
        self.assertEqual(widget.categories_panel.pattern_edit.text(), "{category}.*")
        self.assertEqual(widget.files_panel.types_button.text(), "PNG")
        self.assertTrue(widget.more_panel.sample_spin.isEnabled())

    def test_settings_of_the_old_add_on(self) -> None:
        self.assertEqual(
            OWImportImages.replaces,
            ["orangecontrib.imageanalytics.widgets.owimageimport.OWImportImages"],
        )
        settings = {"recent_paths": [], "savedWidgetGeometry": None}
        OWImportImages.migrate_settings(settings, None)
        self.assertNotIn("recent_paths", settings)
        self.assertEqual(settings["category_from"], "path")

    def test_report(self) -> None:
        self.widget.send_report()
        self.assertIn("No images", self.widget.report_html)
        self.choose(self.folder)
        self.widget.report_html = ""
        self.widget.send_report()
        self.assertIn("cells", self.widget.report_html)
        self.assertIn("a, b", self.widget.report_html)
        self.type_into("exclude", "10.*")
        self.widget.report_html = ""
        self.widget.send_report()
        self.assertIn("10.*", self.widget.report_html)
        self.widget.table_panel.chosen_base = str(self.folder)
        self.send(self.table(["a/1.png"]))
        self.widget.report_html = ""
        self.widget.send_report()
        self.assertIn("1 image of 1 row", self.widget.report_html)
        self.assertIn("path", self.widget.report_html)

    def test_folder_dropped_on_the_canvas(self) -> None:
        handler = ImportImagesDropHandler()
        self.assertTrue(handler.canDropFile(str(self.folder)))
        self.assertFalse(handler.canDropFile(str(self.folder / "a" / "1.png")))
        settings = handler.parametersFromFile(None, str(self.folder))
        widget = self.create_widget(OWImportImages, stored_settings=settings)
        self.wait_until_finished(widget)
        self.assertEqual(widget.current_folder, str(self.folder))


def test_remember_keeps_ten_without_repetition() -> None:
    recent: list[str] = []
    for index in (*range(12), 5):
        recent = remember(recent, f"/{index}")
    assert recent == ["/5", "/11", "/10", "/9", "/8", "/7", "/6", "/4", "/3", "/2"]


class TestMovedWorkflow(base.GuiTest):
    """A workflow file, saved and opened as the canvas does."""

    def setUp(self) -> None:
        super().setUp()
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        self.registry = WidgetRegistry()
        self.registry.register_category(CategoryDescription("Image Mining"))
        self.description = WidgetDescription(**OWImportImages.get_widget_description())
        self.description.category = "Image Mining"
        self.registry.register_widget(self.description)

    def scheme(self, folder: Path) -> WidgetsScheme:
        scheme = WidgetsScheme()
        scheme.set_runtime_env("basedir", str(folder))
        self.addCleanup(scheme.clear)
        return scheme

    def widget(self, scheme: WidgetsScheme) -> OWImportImages:
        (node,) = scheme.nodes
        widget = scheme.widget_for_node(node)
        return widget

    def finish(self, widget: OWImportImages) -> None:
        while widget.task is not None:
            QTest.qWait(1)

    def test_folders_beside_it_move_along(self) -> None:
        for place, images, stored in (
            ("project", "project/cells", "./cells"),
            ("project/workflows", "project/cells", "../cells"),
            ("project/workflows", "project", "../."),
        ):
            before = self.home / "before"
            (before / images / "a").mkdir(parents=True)
            (before / place).mkdir(exist_ok=True)
            picture(1).save(before / images / "a" / "1.png")
            scheme = self.scheme(before / place)
            scheme.new_node(self.description)
            widget = self.widget(scheme)
            widget.choose(str(before / images))
            self.finish(widget)
            file = BytesIO()
            scheme.sync_node_properties()
            scheme.save_to(file)
            text = file.getvalue().decode()
            assert f"'folder': '{stored}'" in text
            assert str(self.home) not in text

            after = self.home / "after"
            before.rename(after)
            scheme = self.scheme(after / place)
            scheme_load(scheme, BytesIO(file.getvalue()), registry=self.registry)
            widget = self.widget(scheme)
            self.finish(widget)
            assert widget.current_folder == str(after / images)
            assert widget.listed is not None
            (source,) = image_sources(
                widget.listed.table, widget.listed.table.domain["image"]
            )
            assert source == str(after / images / "a" / "1.png")
            shutil.rmtree(after)


def test_run_can_be_cancelled(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("x")
    state = Mock()
    state.is_interruption_requested.return_value = True
    job = FolderJob(str(tmp_path), "", FolderOptions(), FolderMemory(), True)
    with pytest.raises(TaskCancelled):
        run_folder(job, state)


def test_run_looks_beside_the_workflow_only_when_told(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    picture(1).save(tmp_path / "cells" / "1.png")
    state = Mock()
    state.is_interruption_requested.return_value = False
    job = FolderJob("/gone/cells", "", FolderOptions(), FolderMemory(), True)
    with pytest.raises(FolderNotFoundError):
        run_folder(job, state)
    job.workflow_folder = str(tmp_path)
    assert run_folder(job, state).folder == str(tmp_path / "cells")


class TestNoteLabel(base.GuiTest):
    def test_long_names_wrap(self) -> None:
        label = NoteLabel()
        text = "There is no folder /" + "long_name/" * 30 + "x" * 100
        label.setText(text)
        self.assertEqual(label.text(), text)
        label.resize(380, label.heightForWidth(380))
        label.setWordWrap(True)
        rect = label.fontMetrics().boundingRect(
            label.rect(), int(Qt.TextFlag.TextWordWrap), super(NoteLabel, label).text()
        )
        self.assertLessEqual(rect.width(), 380)


def test_names_of_folders() -> None:
    assert name_of("/a/b c/") == "b c"
    assert name_of("C:\\a\\b") == "b"
    assert name_of("/") == "/"


def test_moved_and_nearest(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    assert moved_folder("/x/cells", str(tmp_path)) == str(tmp_path / "cells")
    assert moved_folder("/x/others", str(tmp_path)) is None
    assert moved_folder("/x/cells", "") is None
    assert nearest_folder(str(tmp_path / "a" / "b")) == str(tmp_path)
    assert nearest_folder("") == os.path.expanduser("~")
    assert nearest_folder("C:\\a") == os.path.expanduser("~")


def test_what_is_not_stored_relative(monkeypatch: pytest.MonkeyPatch) -> None:
    home = os.path.abspath("/users/me")
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("USERPROFILE", home)
    for folder, workflow_folder in (
        ("/users/me/Pictures", "/users/me/Documents"),  # below the user's own folder
        ("/users/you", "/users/me"),
        ("/data", "/jobs"),
        ("/users/me/a/b", "/users/me/a/c/d"),  # two up
    ):
        folder = os.path.abspath(folder)
        assert to_store(folder, os.path.abspath(workflow_folder)) == folder
    # but this is
    place = os.path.abspath("/users/me/project/workflows")
    folder = os.path.abspath("/users/me/project/images/red")
    assert to_store(folder, place) == "../images/red"
    assert resolve("../images/red", place) == folder
    # what comes from another system stays as it is
    assert to_store("C:\\cells", place) == "C:\\cells"


def test_stored_and_resolved() -> None:
    base_folder = os.path.abspath("/jobs")
    for folder in ("/jobs", "/jobs/a/b", "/other", "/jobsite"):
        stored = to_store(os.path.abspath(folder), base_folder)
        assert resolve(stored, base_folder) == os.path.abspath(folder)
        assert stored.startswith("./") == (folder in ("/jobs", "/jobs/a/b"))
    assert to_store("", base_folder) == ""

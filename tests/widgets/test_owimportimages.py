from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

from AnyQt.QtCore import QMimeData, QPointF, Qt, QUrl
from AnyQt.QtGui import QDragEnterEvent, QDropEvent
from conftest import picture
from Orange.widgets.tests import base

from orangecontrib.imagemining.widgets.owimportimages import OWImportImages
from orangecontrib.imagemining.widgets.utils.drop import ImportImagesDropHandler
from orangecontrib.imagemining.widgets.utils.folders import (
    remember,
    resolve,
    to_store,
)

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

    def output(self) -> object:
        return self.get_output(self.widget.Outputs.data)

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
        for folder in (empty, self.home / "gone"):
            self.choose(folder)
            self.assertTrue(self.widget.Error.failed.is_shown())
            self.assertIn(folder.name, str(self.widget.Error.failed))
            self.assertIsNone(self.output())
        self.choose(self.folder)
        self.assertFalse(self.widget.Error.failed.is_shown())

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

    def test_missing_folder_of_a_workflow_is_told(self) -> None:
        widget = self.create_widget(
            OWImportImages, stored_settings={"folder": "/gone/away", "__version__": 1}
        )
        self.wait_until_finished(widget)
        self.assertTrue(widget.Error.failed.is_shown())
        self.assertIn("/gone/away", str(widget.Error.failed))

    def test_report(self) -> None:
        self.widget.send_report()
        self.assertIn("No images", self.widget.report_html)
        self.choose(self.folder)
        self.widget.report_html = ""
        self.widget.send_report()
        self.assertIn("cells", self.widget.report_html)
        self.assertIn("a, b", self.widget.report_html)

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


def test_stored_and_resolved() -> None:
    base_folder = os.path.abspath("/jobs")
    for folder in ("/jobs", "/jobs/a/b", "/other", "/jobsite"):
        stored = to_store(os.path.abspath(folder), base_folder)
        assert resolve(stored, base_folder) == os.path.abspath(folder)
        assert stored.startswith("./") == (folder in ("/jobs", "/jobs/a/b"))
    assert to_store("", base_folder) == ""

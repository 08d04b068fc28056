from __future__ import annotations

import csv
import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import pytest
from AnyQt.QtCore import QMimeData, QPointF, Qt, QTimer, QUrl
from AnyQt.QtGui import QDragEnterEvent, QDropEvent
from AnyQt.QtWidgets import QApplication, QMessageBox
from conftest import picture
from Orange.data import StringVariable, Table
from Orange.widgets.tests import base
from PIL import Image

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.images.saving import write as save
from orangecontrib.imagemining.images.saving.plan import SaveOptions
from orangecontrib.imagemining.tables import table_from_folder
from orangecontrib.imagemining.weights import WEIGHTS
from orangecontrib.imagemining.widgets import owsaveimages
from orangecontrib.imagemining.widgets.owsaveimages import OWSaveImages
from orangecontrib.imagemining.widgets.utils.savework import (
    SaveJob,
    run_check,
    run_plan,
    run_save,
)

Widget = OWSaveImages

_LONG = 60_000  # ms; a busy machine is no reason to fail


class TestOWSaveImages(base.WidgetTest):
    def setUp(self) -> None:
        self.widget: Widget = self.create_widget(OWSaveImages)
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        self.source = self.home / "cells"
        self.out = self.home / "out"
        self.out.mkdir()
        for seed, name in enumerate(("a/1.png", "a/2.png", "b/1.png")):
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            picture(seed).save(self.source / name)
        self.data = table_from_folder(self.source).table

    # helpers -----------------------------------------------------------------

    def send(self, data: Table | None, widget: Widget | None = None) -> None:
        widget = widget or self.widget
        self.send_signal(widget.Inputs.data, data, widget=widget)
        self.finish(widget)

    def finish(self, widget: Widget | None = None) -> None:
        """Wait until nothing is going on, questions included."""
        widget = widget or self.widget
        self.process_events(
            lambda: (
                not widget._stage
                and widget.task is None
                and not widget._next.isActive()
            ),
            _LONG,
        )

    def save(self) -> None:
        self.widget.save_button.click()
        self.finish()

    def choose(self, combo: Any, key: str) -> None:
        index = combo.findData(key)
        self.assertGreaterEqual(index, 0)
        combo.setCurrentIndex(index)
        combo.activated.emit(index)

    def ready(self) -> None:
        """Give the widget data and a folder."""
        self.send(self.data)
        self.widget.choose(str(self.out))

    def files(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.out).as_posix(): path.read_bytes()
            for path in self.out.rglob("*")
            if path.is_file()
        }

    def skipped(self, widget: Widget | None = None) -> Table | None:
        return self.get_output("Skipped Images", widget or self.widget)

    @contextmanager
    def answering(self, answer: str) -> Iterator[list[str]]:
        """Press a button of the question that comes; collect what it says."""
        said: list[str] = []

        def press() -> None:
            box = QApplication.activeModalWidget()
            if isinstance(box, QMessageBox):
                said.append(f"{box.text()}\n{box.informativeText()}")
                buttons = {b.text().replace("&", ""): b for b in box.buttons()}
                said.append(
                    " ".join(sorted(t for t, b in buttons.items() if b.isEnabled()))
                )
                buttons[answer].click()

        timer = QTimer(interval=1)
        timer.timeout.connect(press)
        timer.start()
        try:
            yield said
        finally:
            timer.stop()

    @contextmanager
    def nobody_asked(self) -> Iterator[None]:
        with patch.object(owsaveimages, "ask_about_files", return_value=None) as ask:
            yield
        ask.assert_not_called()

    # what is made ------------------------------------------------------------

    def test_nothing_at_first(self) -> None:
        self.assertFalse(self.widget.save_button.isEnabled())
        self.assertFalse(self.widget.cancel_button.isEnabled())
        self.assertFalse(self.widget.folder_row.open_button.isEnabled())
        self.assertIsNone(self.skipped())

    def test_copies_in_one_folder(self) -> None:
        self.ready()
        with self.nobody_asked():
            self.save()
        files = self.files()
        manifest = files.pop("manifest.csv").decode("utf-8-sig")
        self.assertEqual(
            files,
            {
                "1.png": (self.source / "a/1.png").read_bytes(),
                "2.png": (self.source / "a/2.png").read_bytes(),
                "1 (2).png": (self.source / "b/1.png").read_bytes(),
            },
        )
        self.assertEqual(len(list(csv.reader(manifest.splitlines()))), 4)
        self.assertEqual(
            self.widget.info_label.text(),
            "3 images saved. manifest.csv lists them all.",
        )
        self.assertIsNone(self.skipped())
        self.assertTrue(self.widget.save_button.isEnabled())
        self.assertFalse(self.widget.cancel_button.isEnabled())

    def test_categories_and_names(self) -> None:
        self.ready()
        self.choose(self.widget.category_combo, "category")
        self.choose(self.widget.name_combo, "image")
        self.assertEqual(
            self.widget.preview_label.text(),
            "3 images copied byte for byte, in 2 sub-folders:\na/a_1.png, …",
        )
        self.save()
        self.assertEqual(
            sorted(self.files()),
            ["a/a_1.png", "a/a_2.png", "b/b_1.png", "manifest.csv"],
        )

    def test_formats_and_sizes(self) -> None:
        self.ready()
        panel = self.widget.format_panel
        self.assertFalse(panel.quality_spin.isEnabled())
        self.assertFalse(panel.resize_combo.isEnabled())
        self.choose(panel.format_combo, "jpeg")
        panel.quality_spin.setValue(30)
        self.choose(panel.resize_combo, "size")
        panel.width_spin.setValue(20)
        panel.height_spin.setValue(20)
        self.assertTrue(panel.quality_spin.isEnabled())
        self.assertTrue(panel.width_spin.isVisibleTo(self.widget))
        self.assertFalse(panel.network_combo.isVisibleTo(self.widget))
        text = self.widget.preview_label.text().replace("\u00a0", " ")
        self.assertEqual(
            text,
            "3 images as JPEG of quality 30, fitted into 20 × 20 pixels:\n1.jpg, …",
        )
        self.save()
        with Image.open(self.out / "1.jpg") as image:
            self.assertEqual((image.format, image.size), ("JPEG", (20, 15)))
        panel.aspect_box.click()
        with self.answering("Overwrite"):
            self.save()
        with Image.open(self.out / "1.jpg") as image:
            self.assertEqual(image.size, (20, 20))

    def test_quality_is_used(self) -> None:
        self.ready()
        panel = self.widget.format_panel
        for file_format in ("jpeg", "webp"):
            self.choose(panel.format_combo, file_format)
            sizes = []
            for quality in (5, 95):
                panel.quality_spin.setValue(quality)
                shutil.rmtree(self.out)
                self.out.mkdir()
                self.save()
                sizes.append(sum(map(len, self.files().values())))
            self.assertLess(sizes[0], sizes[1])

    def test_input_of_each_network(self) -> None:
        self.ready()
        panel = self.widget.format_panel
        self.choose(panel.format_combo, "png")
        self.choose(panel.resize_combo, "network")
        self.assertTrue(panel.network_combo.isVisibleTo(self.widget))
        for name, weights in WEIGHTS.items():
            height, width = weights.preprocess.size
            self.choose(panel.network_combo, name)
            self.assertIn(weights.title, panel.network_combo.currentText())
            self.assertIn(f"{width} × {height}", panel.network_combo.currentText())
            shutil.rmtree(self.out)
            self.out.mkdir()
            self.save()
            with Image.open(self.out / "1.png") as image:
                self.assertEqual(image.size, (width, height))

    def test_size_of_copies_is_left_alone(self) -> None:
        self.ready()
        panel = self.widget.format_panel
        self.choose(panel.format_combo, "png")
        self.choose(panel.resize_combo, "network")
        self.choose(panel.format_combo, "original")
        self.assertFalse(panel.network_combo.isVisibleTo(self.widget))
        self.save()
        content = (self.source / "a/1.png").read_bytes()
        self.assertEqual(self.files()["1.png"], content)

    def test_preview_is_short(self) -> None:
        self.ready()
        data = self.data.copy()
        with data.unlocked(data.metas):
            data.metas[0, 0] = "x" * 200
        self.send(data)
        self.choose(self.widget.name_combo, "image name")
        example = self.widget.preview_label.text().splitlines()[-1]
        self.assertLess(len(example), 70)
        self.assertTrue(example.endswith("x.png, …"))

    # the folder --------------------------------------------------------------

    def test_saving_without_a_folder_asks_for_one(self) -> None:
        self.send(self.data)
        with patch.object(owsaveimages, "ask_folder", return_value="") as ask:
            self.save()
        ask.assert_called_once()
        self.assertEqual(self.widget.info_label.text(), "Nothing saved yet.")
        with patch.object(owsaveimages, "ask_folder", return_value=str(self.out)):
            self.save()
        self.assertEqual(len(self.files()), 4)
        self.assertEqual(self.widget.folder_row.edit.text(), str(self.out))
        with patch.object(owsaveimages, "ask_folder", return_value="") as ask:
            self.widget.folder_row.choose_button.click()
        self.assertEqual(ask.call_args.args[-1], str(self.out))
        self.assertEqual(self.widget.current_folder, str(self.out))

    def test_folder_can_be_dropped(self) -> None:
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

        self.send(self.data)
        self.assertFalse(drop(self.source / "a" / "1.png"))
        self.assertTrue(drop(self.out))
        self.assertEqual(self.widget.current_folder, str(self.out))
        self.assertEqual(self.files(), {})  # nobody pressed Save

    def stored(self) -> dict[str, Any]:
        self.widget.workflowEnv = lambda: {"basedir": str(self.home / "flows")}
        return self.widget.settingsHandler.pack_data(self.widget)

    def test_folder_beside_the_workflow_moves_with_it(self) -> None:
        self.ready()
        settings = self.stored()
        self.assertEqual(settings["folder"], "../out")
        moved = self.home / "moved"
        (moved / "out").mkdir(parents=True)
        env = {"basedir": str(moved / "flows")}
        with patch.object(OWSaveImages, "workflowEnv", lambda self: env):
            widget = self.create_widget(OWSaveImages, stored_settings=settings)
        self.finish(widget)
        self.assertEqual(widget.current_folder, str(moved / "out"))
        self.assertFalse(widget.Error.folder_gone.is_shown())

    def test_missing_folder_of_a_workflow_is_told_and_not_made(self) -> None:
        gone = self.home / "gone"
        for stored in (str(gone), "./gone", "C:\\gone", ""):
            settings = {"folder": stored, "__version__": 3}
            widget = self.create_widget(OWSaveImages, stored_settings=settings)
            self.finish(widget)
            self.assertEqual(widget.Error.folder_gone.is_shown(), bool(stored), stored)
        widget = self.create_widget(
            OWSaveImages, stored_settings={"folder": str(gone), "__version__": 3}
        )
        self.send(self.data, widget)
        self.assertTrue(widget.Error.folder_gone.is_shown())
        self.assertIn(str(gone), str(widget.Error.folder_gone))
        widget.choose(str(self.out))
        self.assertFalse(widget.Error.folder_gone.is_shown())
        widget.choose(str(gone))
        widget.save_button.click()
        self.finish(widget)
        self.assertIn("no folder", str(widget.Error.failed))
        self.assertFalse(gone.exists())
        widget.choose(str(self.out))
        widget.save_button.click()
        self.finish(widget)
        self.assertFalse(widget.Error.failed.is_shown())
        self.assertEqual(len(self.files()), 4)

    def test_folder_of_nowhere_in_particular_is_not_saved_into(self) -> None:
        here = Path.cwd()
        os.chdir(self.home)
        self.addCleanup(os.chdir, here)
        widget = self.create_widget(
            OWSaveImages, stored_settings={"folder": "./out", "__version__": 3}
        )
        self.send(self.data, widget)
        widget.save_button.click()
        self.finish(widget)
        self.assertTrue(widget.Error.folder_gone.is_shown())
        self.assertEqual(self.files(), {})

    # what exists already -----------------------------------------------------

    def test_question_and_its_answers(self) -> None:
        self.ready()
        mine = {"1.png": b"mine", "note.txt": b"note", "manifest.csv": b"list"}
        for answer, names in (
            ("Cancel", []),
            ("Keep both", ["1 (2).png", "1 (3).png", "2.png", "manifest (2).csv"]),
            ("Skip these", ["1 (2).png", "2.png", "manifest (2).csv"]),
            ("Overwrite", ["1 (2).png", "2.png"]),
        ):
            with self.subTest(answer):
                shutil.rmtree(self.out)
                self.out.mkdir()
                for name, content in mine.items():
                    (self.out / name).write_bytes(content)
                with self.answering(answer) as said:
                    self.save()
                self.assertEqual(len(said), 2)  # asked once
                self.assertIn("A file of the names to be saved exists", said[0])
                self.assertIn("“out”:\n1.png\n", said[0])
                self.assertIn("manifest.csv exists too", said[0])
                self.assertEqual(said[1], "Cancel Keep both Overwrite Skip these")
                files = self.files()
                self.assertEqual(sorted(files), sorted([*mine, *names]))
                kept = {name: files[name] for name in mine}
                if answer == "Overwrite":
                    content = (self.source / "a/1.png").read_bytes()
                    self.assertEqual(kept.pop("1.png"), content)
                    self.assertNotEqual(kept.pop("manifest.csv"), b"list")
                for name, content in kept.items():
                    self.assertEqual(content, mine[name])
        with self.answering("Skip these"):
            self.save()
        self.assertIn("3 left out", self.widget.info_label.text())
        self.assertEqual(len(self.skipped()), 3)
        self.assertIn("exists already", str(self.skipped()[0]["reason"]))
        with self.answering("Cancel"):
            self.save()
        self.assertEqual(self.widget.info_label.text(), "Nothing was saved.")
        self.assertIsNone(self.skipped())

    def test_user_is_asked_each_time(self) -> None:
        self.ready()
        with self.nobody_asked():
            self.save()
        for _ in range(2):
            with self.answering("Overwrite") as said:
                self.save()
            self.assertIn("3 files of the names to be saved exist already", said[0])

    def test_closing_the_question_saves_nothing(self) -> None:
        self.ready()
        (self.out / "1.png").write_bytes(b"mine")

        def close() -> None:
            box = QApplication.activeModalWidget()
            if box is not None:
                box.close()

        timer = QTimer(interval=1)
        timer.timeout.connect(close)
        timer.start()
        self.save()
        timer.stop()
        self.assertEqual(self.files(), {"1.png": b"mine"})

    def test_only_the_list_exists(self) -> None:
        self.ready()
        (self.out / "manifest.csv").write_bytes(b"list")
        with self.answering("Keep both") as said:
            self.save()
        self.assertIn("A list of saved images exists already", said[0])
        self.assertEqual(said[1], "Cancel Keep both Overwrite")
        self.assertEqual(self.files()["manifest.csv"], b"list")
        self.assertIn("manifest (2).csv", self.widget.info_label.text())

    def test_saving_over_the_images_themselves(self) -> None:
        self.send(self.data)
        self.widget.choose(str(self.source))
        self.choose(self.widget.category_combo, "category")
        before = {path: path.read_bytes() for path in self.source.rglob("*.png")}
        with self.answering("Keep both") as said:
            self.save()
        self.assertIn("They are what is to be saved", said[0])
        self.assertEqual(said[1], "Cancel Keep both Skip these")
        for path, content in before.items():
            self.assertEqual(path.read_bytes(), content)
        self.assertEqual(len(list(self.source.rglob("*.png"))), 6)

    # automatically -----------------------------------------------------------

    def test_new_data_are_saved_but_never_over_files(self) -> None:
        self.widget.choose(str(self.out))
        self.widget.auto_box.click()
        with self.nobody_asked():
            self.send(self.data[:1])
            self.assertEqual(sorted(self.files()), ["1.png", "manifest.csv"])
            (self.out / "1.png").write_bytes(b"mine")
            self.send(self.data)
            self.assertTrue(self.widget.Warning.exist.is_shown())
            self.assertIn("1.png is there", str(self.widget.Warning.exist))
            self.assertEqual(len(self.files()), 2)
            # others do not wait for the list that is there
            self.send(self.data[1:2])
            self.assertFalse(self.widget.Warning.exist.is_shown())
            self.assertEqual(
                sorted(self.files()),
                ["1.png", "2.png", "manifest (2).csv", "manifest.csv"],
            )
            self.send(None)
            self.send(self.data[:0])
        self.send(self.data)
        with self.answering("Keep both"):
            self.save()
        self.assertFalse(self.widget.Warning.exist.is_shown())
        self.assertEqual(self.files()["1.png"], b"mine")

    def test_opened_workflow_waits_if_files_exist(self) -> None:
        settings = {"folder": str(self.out), "auto_save": True, "__version__": 3}
        (self.out / "1.png").write_bytes(b"mine")
        widget = self.create_widget(OWSaveImages, stored_settings=settings)
        with self.nobody_asked():
            self.send(self.data, widget)
        self.assertTrue(widget.Warning.exist.is_shown())
        self.assertEqual(self.files(), {"1.png": b"mine"})
        (self.out / "1.png").unlink()
        widget = self.create_widget(OWSaveImages, stored_settings=settings)
        self.send(self.data, widget)
        self.assertFalse(widget.Warning.exist.is_shown())
        self.assertEqual(len(self.files()), 4)

    def test_automatically_without_a_folder(self) -> None:
        self.widget.auto_box.click()
        with patch.object(owsaveimages, "ask_folder") as ask:
            self.send(self.data)
        ask.assert_not_called()
        self.assertTrue(self.widget.Warning.no_folder.is_shown())
        self.widget.choose(str(self.out))
        self.assertFalse(self.widget.Warning.no_folder.is_shown())

    def test_automatically_is_off_in_new_widgets(self) -> None:
        self.widget.auto_box.click()
        handler = self.widget.settingsHandler
        with patch.object(handler, "write_defaults"):
            handler.update_defaults(self.widget)
        self.assertNotIn("auto_save", handler.defaults)
        self.assertEqual(handler.defaults["file_format"], "original")

    def test_data_that_come_meanwhile_are_saved_after(self) -> None:
        self.ready()
        with self.stopping_at(1) as (reached, go_on):
            self.choose(self.widget.format_panel.format_combo, "png")
            self.widget.save_button.click()
            self.process_events(reached.is_set, _LONG)
            self.widget.auto_box.click()
            other = self.data[2:].copy()
            with other.unlocked(other.metas):
                other.metas[:, 0] = "other"
            self.widget.name_column = "image name"
            self.send_signal(self.widget.Inputs.data, other)
            self.assertFalse(self.widget.save_button.isEnabled())
            go_on.set()
            self.finish()
        files = self.files()
        # the first were saved as they were asked for
        self.assertEqual(
            sorted(files),
            [
                "1 (2).png",
                "1.png",
                "2.png",
                "manifest (2).csv",
                "manifest.csv",
                "other.png",
            ],
        )
        self.assertEqual(len(self.widget.saved.result.images), 1)

    # failing and stopping ----------------------------------------------------

    def test_some_fail(self) -> None:
        (self.source / "a/2.png").write_text("words")
        self.ready()
        self.save()
        self.assertIn("2 images saved, 1 failed", self.widget.info_label.text())
        self.assertIn("text file", str(self.widget.Warning.not_saved))
        self.assertIn("1 of 3", str(self.widget.Warning.not_saved))
        skipped = self.skipped()
        self.assertEqual([str(row["image"]) for row in skipped], ["a/2.png"])
        self.assertIn("text file", str(skipped[0]["reason"]))
        self.send(self.data)
        self.assertFalse(self.widget.Warning.not_saved.is_shown())
        self.assertIsNone(self.skipped())

    def test_all_fail(self) -> None:
        self.ready()
        shutil.rmtree(self.source)
        self.save()
        self.assertIn("no file", str(self.widget.Error.none_saved))
        self.assertEqual(self.files(), {})
        self.assertEqual(len(self.skipped()), 3)

    def test_full_disk(self) -> None:
        self.ready()

        def create(*args: object) -> str:
            raise OSError(errno.ENOSPC, "No space left")

        with patch.object(save._Saving, "_create", create):
            self.save()
        self.assertIn("The disk is full", str(self.widget.Error.failed))

        def move(*args: object) -> None:
            raise OSError(errno.ENOSPC, "No space left")

        with patch.object(save, "_move", move):
            self.save()
        self.assertIn("The disk is full. 0 of 3", str(self.widget.Error.stopped))
        self.assertEqual(self.files(), {})

    @contextmanager
    def stopping_at(
        self, place: int
    ) -> Iterator[tuple[threading.Event, threading.Event]]:
        """Hold the conversion of all images from the one at `place` on."""
        reached, go_on = threading.Event(), threading.Event()
        encode = save.encode
        n = [0]

        def slow(*args: Any) -> bytes:
            n[0] += 1
            if n[0] > place:
                reached.set()
                go_on.wait(60)
            return encode(*args)

        with (
            patch.object(save, "encode", slow),
            patch.object(save, "_MAX_THREADS", 1),
        ):
            try:
                yield reached, go_on
            finally:
                go_on.set()
                for thread in threading.enumerate():
                    if thread.name.startswith("save-images"):
                        thread.join()

    def test_cancel_keeps_what_is_saved(self) -> None:
        self.ready()
        self.choose(self.widget.format_panel.format_combo, "png")
        with self.stopping_at(1) as (reached, _):
            self.widget.save_button.click()
            self.process_events(reached.is_set, _LONG)
            self.assertTrue(self.widget.cancel_button.isEnabled())
            self.assertFalse(self.widget.save_button.isEnabled())
            self.widget.cancel_button.click()
            self.assertFalse(self.widget.cancel_button.isEnabled())
            self.finish()
        self.assertIn(
            "Cancelled: 1 image saved, 2 left out", self.widget.info_label.text()
        )
        self.assertEqual(sorted(self.files()), ["1.png", "manifest.csv"])
        self.assertEqual(len(self.skipped()), 2)
        with self.answering("Skip these"):
            self.save()
        self.assertIn("2 images saved, 1 left out", self.widget.info_label.text())

    def test_cancel_before_anything_is_saved(self) -> None:
        self.ready()
        self.widget.save_button.click()
        self.widget.cancel_button.click()
        self.finish()
        self.assertEqual(self.widget.info_label.text(), "Cancelled. Nothing was saved.")
        self.assertEqual(self.files(), {})
        self.save()
        self.assertEqual(len(self.files()), 4)

    def test_cancel_just_before_the_first_file(self) -> None:
        self.ready()
        with patch.object(self.widget._next, "start"):
            self.widget.save_button.click()
            self.process_events(lambda: self.widget._planned, _LONG)
            self.widget.cancel_button.click()
        self.widget._go_on()
        self.finish()
        self.assertEqual(self.files(), {})

    def test_removing_the_widget_while_it_saves(self) -> None:
        self.ready()
        self.choose(self.widget.format_panel.format_combo, "png")
        with self.stopping_at(1) as (reached, _):
            self.widget.save_button.click()
            self.process_events(reached.is_set, _LONG)
            self.widget.onDeleteWidget()
        self.assertEqual(sorted(self.files()), ["1.png", "manifest.csv"])

    def test_unknown_errors_are_not_hidden(self) -> None:
        self.ready()
        self.widget._stage = "save"
        with self.assertRaises(ZeroDivisionError):
            self.widget.on_exception(ZeroDivisionError())
        self.assertTrue(self.widget.save_button.isEnabled())

    # odd data and settings ---------------------------------------------------

    def test_data_without_images(self) -> None:
        self.send(Table("iris"))
        self.assertTrue(self.widget.Error.no_image_column.is_shown())
        self.assertFalse(self.widget.save_button.isEnabled())
        self.send(self.data[:0])
        self.assertFalse(self.widget.Error.no_image_column.is_shown())
        self.assertTrue(self.widget.Information.no_rows.is_shown())
        self.assertFalse(self.widget.save_button.isEnabled())
        self.send(self.data)
        self.assertFalse(self.widget.Information.no_rows.is_shown())
        self.assertTrue(self.widget.save_button.isEnabled())

    def test_all_missing(self) -> None:
        self.ready()
        data = self.data.copy()
        with data.unlocked(data.metas):
            data.metas[:, 1] = ""
        self.send(data)
        self.save()
        self.assertIn("No image is given", str(self.widget.Error.none_saved))

    def test_two_image_columns(self) -> None:
        second = StringVariable("second")
        second.attributes = {"type": "image", "origin": str(self.source)}
        values = np.array(["b/1.png"] * 3, object)
        data = self.data.add_column(second, values, to_metas=True)
        self.send(data)
        self.widget.choose(str(self.out))
        self.choose(self.widget.column_combo, "second")
        self.save()
        content = (self.source / "b/1.png").read_bytes()
        files = self.files()
        self.assertEqual([files["1.png"], files["1 (2).png"]], [content] * 2)
        settings = self.widget.settingsHandler.pack_data(self.widget)
        widget = self.create_widget(OWSaveImages, stored_settings=settings)
        self.send(data, widget)
        self.assertEqual(widget.column_combo.currentText(), "second")

    def test_what_is_not_available_is_not_replaced(self) -> None:
        for setting, value, words in (
            ("category_column", "stain", "no column “stain”"),
            ("name_column", "label", "no column “label”"),
            ("file_format", "gif", "cannot be saved as 'gif'"),
            ("network", "vgg99", "vgg99 is not available"),
        ):
            settings = {
                "folder": str(self.out),
                "file_format": "png",
                "resizing": "network",
                "__version__": 3,
                setting: value,
            }
            widget = self.create_widget(OWSaveImages, stored_settings=settings)
            self.send(self.data, widget)
            combo = {
                "category_column": widget.category_combo,
                "name_column": widget.name_combo,
                "file_format": widget.format_panel.format_combo,
                "network": widget.format_panel.network_combo,
            }[setting]
            self.assertIn("(not available)", combo.currentText())
            self.assertIn(words, widget.preview_label.text())
            widget.save_button.click()
            self.finish(widget)
            self.assertIn(words, str(widget.Error.failed))
            self.assertEqual(self.files(), {})
            self.assertEqual(getattr(widget, setting), value)

    def test_settings_are_kept(self) -> None:
        self.ready()
        panel = self.widget.format_panel
        self.choose(self.widget.category_combo, "category")
        self.choose(self.widget.name_combo, "image name")
        self.choose(panel.format_combo, "webp")
        self.choose(panel.resize_combo, "size")
        panel.quality_spin.setValue(44)
        panel.width_spin.setValue(55)
        panel.height_spin.setValue(66)
        panel.aspect_box.click()
        self.widget.auto_box.click()
        settings = self.stored()
        expected = {
            "category_column": "category",
            "name_column": "image name",
            "file_format": "webp",
            "quality": 44,
            "resizing": "size",
            "pixel_width": 55,
            "pixel_height": 66,
            "keep_aspect": False,
            "auto_save": True,
        }
        self.assertEqual({name: settings[name] for name in expected}, expected)
        env = {"basedir": str(self.home / "flows")}
        with patch.object(OWSaveImages, "workflowEnv", lambda self: env):
            widget = self.create_widget(OWSaveImages, stored_settings=settings)
        self.send(self.data, widget)
        self.assertEqual(sorted(self.files())[:2], ["a/1.webp", "a/2.webp"])
        with Image.open(self.out / "a/1.webp") as image:
            self.assertEqual(image.size, (55, 66))
        self.assertEqual(widget.preview_label.text(), self.widget.preview_label.text())

    def test_report(self) -> None:
        self.widget.send_report()
        self.ready()
        self.choose(self.widget.category_combo, "category")
        self.save()
        self.widget.report_html = ""
        self.widget.send_report()
        for text in ("category", "byte for byte", str(self.out), "3 images saved"):
            self.assertIn(text, self.widget.report_html)

    # migration ---------------------------------------------------------------

    def migrated(self, version: int | None = None, **settings: Any) -> dict[str, Any]:
        OWSaveImages.migrate_settings(settings, version)
        return settings

    def test_settings_of_the_old_widget(self) -> None:
        old = {
            "auto_save": False,
            "dirname": str(self.out),
            "file_format_index": 1,
            "image_attr_current_index": 0,
            "last_dir": "",
            "scale_index": 1,
            "use_scale": True,
        }
        settings = self.migrated(**old)
        self.assertEqual(settings["file_format"], "jpeg")
        self.assertFalse(settings["keep_aspect"])
        widget = self.create_widget(OWSaveImages, stored_settings=old)
        self.send(self.data, widget)
        self.assertEqual(widget.current_folder, str(self.out))
        self.assertEqual(widget.category_column, "category")
        self.assertEqual(widget.old_choices, {})
        widget.save_button.click()
        self.finish(widget)
        with Image.open(self.out / "a/1.jpg") as image:
            self.assertEqual((image.format, image.size), ("JPEG", (227, 227)))

    def test_settings_without_a_version_and_impossible_ones(self) -> None:
        for version in (None, 0, 3):
            self.assertEqual(self.migrated(version), {})
            settings = self.migrated(
                version,
                quality=500,
                pixel_width=0,
                pixel_height="40",
                file_format="png",
            )
            self.assertEqual(
                settings,
                {
                    "quality": 100,
                    "pixel_width": 1,
                    "pixel_height": 40,
                    "file_format": "png",
                },
            )
            self.assertEqual(
                self.migrated(version, quality=None, pixel_width="wide"), {}
            )
            settings = {"quality": 7, "keep_aspect": True}
            self.assertEqual(self.migrated(version, **settings), settings)


# the work apart from the widget ------------------------------------------------


def state(cancelled: bool = False) -> Mock:
    mock = Mock()
    mock.is_interruption_requested.return_value = cancelled
    return mock


@pytest.fixture
def job(make_folder: Any, tmp_path: Path) -> SaveJob:
    data = table_from_folder(make_folder({"a": 2, "b": 1})).table
    out = tmp_path / "out"
    out.mkdir()
    return SaveJob(
        data,
        data.domain["image"],
        None,
        data.domain["category"],
        str(out),
        SaveOptions("png"),
    )


def test_run_reports_and_can_be_stopped_in_two_ways(job: SaveJob) -> None:
    assert run_check(job.folder, state()).is_there
    assert not run_check(job.folder + "x", state()).is_there
    planned = run_plan(job, state())
    assert os.listdir(job.folder) == []
    watching = state()
    saved = run_save(planned, "refuse", threading.Event(), watching)
    assert (saved.n_saved, saved.n_failed, saved.skipped) == (3, 0, None)
    assert watching.set_status.call_args.args == ("3 of 3 images saved",)
    assert watching.set_progress_value.call_args.args == (100,)
    with pytest.raises(TaskCancelled):
        run_plan(job, state(cancelled=True))
    stop = threading.Event()
    stop.set()
    for event, mock in ((stop, state()), (threading.Event(), state(cancelled=True))):
        saved = run_save(run_plan(job, state()), "replace", event, mock)
        assert saved.result.cancelled
        assert len(saved.skipped) == 3
        assert saved.describe() == "Cancelled: 0 images saved, 3 left out."


def test_main_reasons(job: SaveJob) -> None:
    saved = run_save(run_plan(job, state()), "refuse", threading.Event(), state())
    saved.result.images[:] = [
        save.SavedImage("failed", reason=reason) for reason in "abbccc"
    ] + [save.SavedImage("skipped", reason="d")] * 9
    assert saved.main_reasons() == "c (3 ×); b (2 ×); … see Skipped Images"

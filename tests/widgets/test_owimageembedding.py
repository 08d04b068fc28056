from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from unittest.mock import Mock, patch

import numpy as np
import pytest
from conftest import picture
from Orange.data import Domain, StringVariable, Table
from Orange.widgets.settings import SettingsHandler
from Orange.widgets.tests import base

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import table_from_folder
from orangecontrib.imagemining.widgets.owimageembedding import OWImageEmbedding, run


class TestOWImageEmbedding(base.WidgetTest):
    def setUp(self) -> None:
        self.widget = self.create_widget(OWImageEmbedding)
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        for index in range(3):
            (self.folder / "a").mkdir(exist_ok=True)
            picture(index).save(self.folder / "a" / f"{index}.png")
        self.data = table_from_folder(self.folder).table

    def send(self, data: Table | None) -> None:
        self.send_signal(self.widget.Inputs.images, data)
        self.wait_until_finished()

    def outputs(self) -> tuple[Table | None, Table | None]:
        outputs = self.widget.Outputs
        return self.get_output(outputs.embeddings), self.get_output(outputs.skipped)

    def choose(self, combo: str, key: object) -> None:
        combo = getattr(self.widget, f"{combo}_combo")
        index = combo.findData(key)
        self.assertGreaterEqual(index, 0)
        combo.setCurrentIndex(index)
        combo.activated.emit(index)
        self.wait_until_finished()

    def test_images_are_embedded(self) -> None:
        self.send(self.data)
        embedded, skipped = self.outputs()
        self.assertEqual(embedded.X.shape, (3, 512))
        self.assertIsNone(skipped)
        self.assertIn("3 images embedded", self.widget.info_label.text())
        self.send(None)
        self.assertEqual(self.outputs(), (None, None))

    def test_layer_and_views(self) -> None:
        self.send(self.data)
        self.choose("layer", "logits")
        self.assertEqual(self.outputs()[0].X.shape, (3, 1000))
        self.choose("views", 8)
        name = self.outputs()[0].domain.attributes[0].name
        self.assertEqual(name, "squeezenet1_1_logits_8views_0")

    def test_skipped_images(self) -> None:
        (self.folder / "a" / "1.png").write_text("words")
        self.send(self.data)
        embedded, skipped = self.outputs()
        self.assertEqual((len(embedded), len(skipped)), (2, 1))
        self.assertIn("text file", str(skipped[0]["reason"]))
        self.assertTrue(self.widget.Warning.skipped.is_shown())
        self.assertIn("1 of 3 images skipped", str(self.widget.Warning.skipped))

    def test_all_skipped(self) -> None:
        shutil.rmtree(self.folder / "a")
        self.send(self.data)
        embedded, skipped = self.outputs()
        self.assertIsNone(embedded)
        self.assertEqual(len(skipped), 3)
        self.assertTrue(self.widget.Error.all_skipped.is_shown())
        self.assertIn("no file", str(self.widget.Error.all_skipped))

    def test_one_image(self) -> None:
        self.send(self.data[:1])
        self.assertEqual(len(self.outputs()[0]), 1)
        self.assertIn("1 image embedded", self.widget.info_label.text())

    def test_table_without_image_column(self) -> None:
        self.send(Table("iris"))
        self.assertTrue(self.widget.Error.no_image_column.is_shown())
        self.assertEqual(self.outputs(), (None, None))
        self.send(self.data)
        self.assertFalse(self.widget.Error.no_image_column.is_shown())

    def test_no_rows(self) -> None:
        self.send(self.data[:0])
        self.assertTrue(self.widget.Information.no_rows.is_shown())
        self.assertEqual(self.outputs(), (None, None))

    def test_image_column_with_nothing_in_it(self) -> None:
        data = self.data.copy()
        with data.unlocked(data.metas):
            data.metas[:, 1] = ""
        self.send(data)
        self.assertEqual(len(self.outputs()[1]), 3)
        self.assertIn("No image is given", str(self.widget.Error.all_skipped))

    def test_two_image_columns(self) -> None:
        second = StringVariable("second")
        second.attributes = {"type": "image", "origin": str(self.folder)}
        values = [["a/2.png"]] * 3
        data = self.data.add_column(second, np.array(values)[:, 0], to_metas=True)
        self.send(data)
        self.choose("column", "second")
        vectors = self.outputs()[0].X
        np.testing.assert_allclose(vectors[0], vectors[1])
        settings = self.widget.settingsHandler.pack_data(self.widget)
        self.assertEqual(settings["column"], "second")
        widget = self.create_widget(OWImageEmbedding, stored_settings=settings)
        self.send_signal(widget.Inputs.images, data, widget=widget)
        self.assertEqual(widget.column_combo.currentText(), "second")
        self.wait_until_finished(widget)

    def test_cancel_and_go_on(self) -> None:
        self.send_signal(self.widget.Inputs.images, self.data)
        self.assertTrue(self.widget.cancel_button.isEnabled())
        self.widget.cancel_button.click()
        self.assertTrue(self.widget.Information.cancelled.is_shown())
        self.assertEqual(self.outputs(), (None, None))
        self.assertIn("Go", self.widget.cancel_button.text())
        self.widget.cancel_button.click()
        self.assertIn("Ca", self.widget.cancel_button.text())
        self.wait_until_finished()
        self.assertFalse(self.widget.Information.cancelled.is_shown())
        self.assertEqual(len(self.outputs()[0]), 3)

    def test_settings_are_keys(self) -> None:
        self.choose("layer", "stages")
        self.choose("views", 8)
        settings = self.widget.settingsHandler.pack_data(self.widget)
        self.assertEqual(settings["network"], "squeezenet1_1")
        self.assertEqual(settings["layer"], "stages")
        self.assertEqual(settings["views"], 8)
        widget = self.create_widget(OWImageEmbedding, stored_settings=settings)
        self.assertEqual(widget.layer_combo.currentData(), "stages")

    def test_network_that_is_not_there_is_shown_and_not_replaced(self) -> None:
        widget = self.create_widget(
            OWImageEmbedding, stored_settings={"network": "vgg99", "__version__": 1}
        )
        self.send_signal(widget.Inputs.images, self.data, widget=widget)
        self.wait_until_finished(widget)
        self.assertEqual(widget.network, "vgg99")
        self.assertEqual(widget.network_combo.currentText(), "vgg99 (not available)")
        self.assertTrue(widget.Error.not_available.is_shown())
        self.assertIsNone(self.get_output("Embeddings", widget))
        combo = widget.network_combo
        combo.setCurrentIndex(combo.findData("squeezenet1_1"))
        combo.activated.emit(combo.currentIndex())
        self.wait_until_finished(widget)
        self.assertFalse(widget.Error.not_available.is_shown())
        self.assertEqual(len(self.get_output("Embeddings", widget)), 3)
        # back to it, as long as it is in the list
        combo.setCurrentIndex(combo.findData("vgg99"))
        combo.activated.emit(combo.currentIndex())
        self.assertTrue(widget.Error.not_available.is_shown())
        self.assertIsNone(self.get_output("Embeddings", widget))

    # workflows of Orange3-ImageAnalytics ---------------------------------------------

    def old_widget(self, embedder: int, column: int = 0) -> OWImageEmbedding:
        settings = {
            "_auto_apply": True,
            "cb_embedder_current_id": embedder,
            "cb_image_attr_current_id": column,
            "__version__": 1,
        }
        return self.create_widget(OWImageEmbedding, stored_settings=settings)

    def test_old_embedder_that_is_not_there(self) -> None:
        names = ["Inception v3", "VGG-16", "VGG-19", "Painters", "DeepLoc", "OpenFace"]
        for position, title in zip((0, 2, 3, 4, 5, 6), names, strict=True):
            with self.subTest(title):
                widget = self.old_widget(position)
                self.send_signal(widget.Inputs.images, self.data, widget=widget)
                self.wait_until_finished(widget)
                text = widget.network_combo.currentText()
                self.assertEqual(text, f"{title} (not available)")
                self.assertIn(title, str(widget.Error.not_available))
                self.assertIsNone(self.get_output("Embeddings", widget))
                self.assertNotIn("not available", widget.layer_combo.currentText())
                self.assertFalse(widget.layer_combo.isEnabled())
                # it is still chosen when the workflow is saved and opened again
                settings = widget.settingsHandler.pack_data(widget)
                again = self.create_widget(OWImageEmbedding, stored_settings=settings)
                self.assertEqual(again.network, widget.network)
                self.assertEqual(again.network_combo.currentText(), text)

    def test_old_squeezenet(self) -> None:
        widget = self.old_widget(1)
        self.send_signal(widget.Inputs.images, self.data, widget=widget)
        self.wait_until_finished(widget)
        columns = self.get_output("Embeddings", widget).domain.attributes
        self.assertEqual([columns[0].name, columns[-1].name], ["n0", "n999"])
        self.assertEqual(widget.layer_combo.count(), 1)
        self.assertEqual(widget.views_combo.count(), 1)
        self.assertIn("prefer SqueezeNet 1.1", widget.embedder_label.text())

    def test_old_embedders_do_not_become_the_default(self) -> None:
        with patch.object(SettingsHandler, "update_defaults") as update:
            for embedder in (1, 4):
                self.old_widget(embedder).saveSettings()
            update.assert_not_called()
            # while the choice of one that is here is kept, as everywhere in Orange
            self.widget.saveSettings()
            update.assert_called_once_with(self.widget)

    def test_layer_and_views_follow_the_network_that_is_chosen(self) -> None:
        self.send(self.data)
        self.choose("views", 8)
        self.choose("network", "squeezenet_imageanalytics")
        self.assertEqual((self.widget.layer, self.widget.views), ("logits", 1))
        self.assertEqual(self.outputs()[0].X.shape, (3, 1000))
        self.choose("network", "squeezenet1_1")
        self.assertEqual(self.outputs()[0].domain.attributes[0].name[:8], "squeezen")
        self.choose("layer", "features")
        self.assertEqual(self.outputs()[0].X.shape, (3, 512))

    def test_old_position_of_the_column(self) -> None:
        second = StringVariable("second")
        second.attributes = {"type": "image", "origin": str(self.folder)}
        values = np.array(["a/2.png"] * 3)
        data = self.data.add_column(second, values, to_metas=True)
        widget = self.old_widget(1, column=1)
        self.send_signal(widget.Inputs.images, None, widget=widget)
        self.assertEqual(widget.old_choices, {"column": 1})
        self.send_signal(widget.Inputs.images, data, widget=widget)
        self.wait_until_finished(widget)
        self.assertEqual(widget.column_combo.currentText(), "second")
        vectors = self.get_output("Embeddings", widget).X
        np.testing.assert_allclose(vectors[0], vectors[1])
        settings = widget.settingsHandler.pack_data(widget)
        self.assertEqual((settings["column"], settings["old_choices"]), ("second", {}))

    def test_old_workflow_with_paths_that_are_not_marked_as_images(self) -> None:
        paths = StringVariable("path")
        rows = [[str(path)] for path in sorted((self.folder / "a").iterdir())]
        data = Table.from_list(Domain([], None, [paths]), rows)
        self.send(data)
        self.assertTrue(self.widget.Error.no_image_column.is_shown())
        widget = self.old_widget(1)
        self.send_signal(widget.Inputs.images, data, widget=widget)
        self.wait_until_finished(widget)
        self.assertEqual(widget.column_combo.currentText(), "path")
        self.assertEqual(len(self.get_output("Embeddings", widget)), 3)

    def test_report(self) -> None:
        self.send(self.data)
        self.widget.send_report()
        for text in ("SqueezeNet 1.1", "features", "3 images embedded"):
            self.assertIn(text, self.widget.report_html)

    def test_manual_apply_waits(self) -> None:
        self.send(self.data)
        self.widget.controls.auto_apply.setChecked(False)
        self.choose("layer", "logits")
        self.assertEqual(self.outputs()[0].X.shape[1], 512)
        self.widget.commit.now()
        self.wait_until_finished()
        self.assertEqual(self.outputs()[0].X.shape[1], 1000)


def test_run_reports_and_can_be_cancelled(make_folder: object) -> None:
    data = table_from_folder(make_folder({"a": 2})).table  # type: ignore[operator]
    spec = EmbedderSpec("squeezenet1_1", "features")
    state = Mock()
    state.is_interruption_requested.return_value = False
    assert len(run(data, data.domain["image"], spec, state).embedded) == 2
    assert state.set_progress_value.call_args.args == (100,)
    state.is_interruption_requested.return_value = True
    with pytest.raises(TaskCancelled):
        run(data, data.domain["image"], spec, state)

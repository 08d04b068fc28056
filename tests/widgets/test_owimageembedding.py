from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from conftest import picture
from Orange.data import StringVariable, Table
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
        self.assertIn("vgg99", widget.network_combo.currentText())
        self.assertTrue(widget.Error.failed.is_shown())
        self.assertIsNone(self.get_output("Embeddings", widget))
        combo = widget.network_combo
        combo.setCurrentIndex(combo.findData("squeezenet1_1"))
        combo.activated.emit(combo.currentIndex())
        self.wait_until_finished(widget)
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

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from unittest.mock import Mock, patch

import numpy as np
import pytest
from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import QFileDialog, QInputDialog
from conftest import picture, wait_for
from Orange.data import Domain, StringVariable, Table
from Orange.widgets.settings import SettingsHandler
from Orange.widgets.tests import base
from PIL import Image

from orangecontrib.imagemining.embedders.cache import VectorStore, shared_store
from orangecontrib.imagemining.embedders.catalog import engine_for, inspect_network
from orangecontrib.imagemining.embedders.engines import loading, runtime
from orangecontrib.imagemining.embedders.engines.exported import ExportError
from orangecontrib.imagemining.exceptions import TaskCancelled, WeightsError
from orangecontrib.imagemining.specs import EmbedderSpec, Progress, Weights
from orangecontrib.imagemining.tables import embed_table, table_from_folder
from orangecontrib.imagemining.weights.cards import load_card
from orangecontrib.imagemining.widgets.owimageembedding import OWImageEmbedding
from orangecontrib.imagemining.widgets.utils import embedderwork
from orangecontrib.imagemining.widgets.utils.embedderwork import run
from orangecontrib.imagemining.widgets.utils.ownnetwork import OwnNetworkDialog


def onnx_network(path: Path) -> Path:
    """Write a network of 6 rows and any columns that gives the mean of each colour."""
    helper = pytest.importorskip("onnx.helper")
    value = helper.make_tensor_value_info
    image, vector = (
        value("image", 1, ["n", 3, 6, None]),
        value("vector", 1, ["n", 3]),
    )
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["vector"]),
    ]
    graph = helper.make_graph(nodes, "network", [image], [vector])
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


class TestOWImageEmbedding(base.WidgetTest):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        # the first time a network is prepared for its engine, which takes seconds
        for network in ("squeezenet1_1", "squeezenet_imageanalytics"):
            engine_for(network)

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
        holder = self.widget if combo == "column" else self.widget.panel
        combo = getattr(holder, f"{combo}_combo")
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
        self.assertEqual(widget.panel.layer_combo.currentData(), "stages")

    def test_network_that_is_not_there_is_shown_and_not_replaced(self) -> None:
        widget = self.create_widget(
            OWImageEmbedding, stored_settings={"network": "vgg99", "__version__": 1}
        )
        self.send_signal(widget.Inputs.images, self.data, widget=widget)
        self.wait_until_finished(widget)
        self.assertEqual(widget.network, "vgg99")
        self.assertEqual(
            widget.panel.network_combo.currentText(), "vgg99 (not available)"
        )
        self.assertTrue(widget.Error.not_available.is_shown())
        self.assertIsNone(self.get_output("Embeddings", widget))
        combo = widget.panel.network_combo
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

    def test_old_embedder_whose_weights_are_not_here(self) -> None:
        names = ["Inception-v3", "VGG-16", "VGG-19"]
        for position, title in zip((0, 2, 3), names, strict=True):
            with self.subTest(title):
                widget = self.old_widget(position)
                self.send_signal(widget.Inputs.images, self.data, widget=widget)
                self.wait_until_finished(widget)
                self.assertRegex(
                    widget.panel.network_combo.currentText(),
                    rf"^{title} \(\d+ MB to download\)$",
                )
                self.assertRegex(
                    str(widget.Error.not_here), f"weights of {title} .*Press Download"
                )
                self.assertIsNone(self.get_output("Embeddings", widget))
                self.assertFalse(widget.panel.download_button.isHidden())
                settings = widget.settingsHandler.pack_data(widget)
                again = self.create_widget(OWImageEmbedding, stored_settings=settings)
                self.assertEqual(again.network, widget.network)

    def test_old_embedder_that_is_not_there(self) -> None:
        names = ["Painters", "DeepLoc", "OpenFace"]
        for position, title in zip((4, 5, 6), names, strict=True):
            with self.subTest(title):
                widget = self.old_widget(position)
                self.send_signal(widget.Inputs.images, self.data, widget=widget)
                self.wait_until_finished(widget)
                text = widget.panel.network_combo.currentText()
                self.assertEqual(text, f"{title} (not available)")
                self.assertIn(title, str(widget.Error.not_available))
                self.assertIsNone(self.get_output("Embeddings", widget))
                self.assertNotIn(
                    "not available", widget.panel.layer_combo.currentText()
                )
                self.assertFalse(widget.panel.layer_combo.isEnabled())
                # it is still chosen when the workflow is saved and opened again
                settings = widget.settingsHandler.pack_data(widget)
                again = self.create_widget(OWImageEmbedding, stored_settings=settings)
                self.assertEqual(again.network, widget.network)
                self.assertEqual(again.panel.network_combo.currentText(), text)

    def test_old_squeezenet(self) -> None:
        widget = self.old_widget(1)
        self.send_signal(widget.Inputs.images, self.data, widget=widget)
        self.wait_until_finished(widget)
        columns = self.get_output("Embeddings", widget).domain.attributes
        self.assertEqual([columns[0].name, columns[-1].name], ["n0", "n999"])
        self.assertEqual(widget.panel.layer_combo.count(), 1)
        self.assertEqual(widget.panel.views_combo.count(), 1)
        self.assertIn("prefer SqueezeNet 1.1", widget.panel.note.text())

    def test_old_embedders_do_not_become_the_default(self) -> None:
        with patch.object(SettingsHandler, "update_defaults") as update:
            for embedder in (0, 1, 4):
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

    # fit, views, classes, several embedders ------------------------------------------

    def test_fit_and_views(self) -> None:
        self.send(self.data[:1])
        self.choose("fit", "crop")
        self.choose("views", 10)
        name = self.outputs()[0].domain.attributes[0].name
        self.assertEqual(name, "squeezenet1_1_features_crop_10views_0")
        self.assertIn("10 × the time", self.widget.panel.views_combo.currentText())
        # 144 crops see to the fit themselves; what was chosen comes back with others
        self.choose("views", 144)
        self.assertFalse(self.widget.panel.fit_combo.isEnabled())
        self.assertEqual(self.widget.panel.fit_combo.currentText(), "As these views do")
        name = self.outputs()[0].domain.attributes[0].name
        self.assertEqual(name, "squeezenet1_1_features_144views_0")
        self.choose("views", 1)
        name = self.outputs()[0].domain.attributes[0].name
        self.assertEqual(name, "squeezenet1_1_features_crop_0")
        settings = self.widget.settingsHandler.pack_data(self.widget)
        self.assertEqual(settings["fit"], "crop")

    def test_workflows_from_before_there_was_a_choice(self) -> None:
        # what the user chose last elsewhere, and new widgets begin with, must not come
        # into them: the migration has to say what they had
        settings = {"network": "squeezenet1_1", "layer": "logits"}
        OWImageEmbedding.migrate_settings(settings, 3)
        self.assertEqual((settings["fit"], settings["classes"]), ("stretch", False))
        widget = self.create_widget(OWImageEmbedding, stored_settings=settings)
        self.assertEqual(
            widget.panel.specs(), [EmbedderSpec("squeezenet1_1", "logits")]
        )
        # a new widget's are those of last time
        settings = {}
        OWImageEmbedding.migrate_settings(settings, None)
        self.assertEqual(settings, {})

    def test_classes(self) -> None:
        self.send(self.data)
        self.widget.controls.classes.click()
        self.wait_until_finished()
        domain = self.outputs()[0].domain
        self.assertEqual(len(domain.metas), len(self.data.domain.metas) + 10)
        self.assertEqual(domain.metas[-10].name, "squeezenet1_1_class_1")
        self.assertEqual(len(domain.metas[-10].values), 1000)

    def test_several_embedders(self) -> None:
        panel = self.widget.panel
        self.send(self.data)
        self.assertTrue(panel.list.isHidden() and panel.remove_button.isHidden())
        panel.add_button.click()
        self.assertEqual(panel.list.count(), 2)
        self.choose("layer", "stages")
        self.choose("views", 2)
        self.assertEqual(self.outputs()[0].X.shape, (3, 512 + 1152))
        self.assertIn("3 forward passes", panel.cost_label.text())
        self.assertEqual(panel.list.item(1).text(), "SqueezeNet 1.1 · stages · 2 views")
        # the boxes are those of the one chosen in the list
        panel.list.setCurrentRow(0)
        self.assertEqual(panel.layer_combo.currentData(), "features")
        self.choose("layer", "logits")
        expected = [
            EmbedderSpec("squeezenet1_1", "logits"),
            EmbedderSpec("squeezenet1_1", "stages", 2),
        ]
        self.assertEqual(panel.specs(), expected)
        self.assertEqual(self.outputs()[0].X.shape, (3, 1000 + 1152))
        settings = self.widget.settingsHandler.pack_data(self.widget)
        again = self.create_widget(OWImageEmbedding, stored_settings=settings)
        self.assertEqual(again.panel.specs(), expected)
        self.assertEqual(again.panel.list.currentRow(), 0)
        panel.remove_button.click()
        self.wait_until_finished()
        self.assertEqual(panel.specs(), expected[1:])
        self.assertEqual(panel.layer_combo.currentData(), "stages")
        self.assertTrue(panel.list.isHidden())
        self.assertEqual(self.outputs()[0].X.shape, (3, 1152))

    def test_odd_lists_of_embedders(self) -> None:
        others = [("squeezenet1_1", "stages", 1, "pad"), None, ("x",), (1, 2, 3, 4)]
        settings = {"network": "squeezenet1_1", "others": others, "place": 7}
        widget = self.create_widget(
            OWImageEmbedding, stored_settings={**settings, "__version__": 3}
        )
        self.assertEqual(
            widget.panel.specs(),
            [
                EmbedderSpec("squeezenet1_1", "stages", 1, "pad"),
                EmbedderSpec("squeezenet1_1", "features"),
            ],
        )

    def test_one_of_several_that_is_not_here(self) -> None:
        self.send(self.data)
        self.widget.panel.add_button.click()
        self.choose("network", "vgg16")
        self.assertTrue(self.widget.Error.not_here.is_shown())
        self.assertEqual(self.outputs(), (None, None))

    # engine, fast mode, cache --------------------------------------------------------

    def test_engine_is_passed_on(self) -> None:
        engines = []

        def embed(*args: object, engine: str) -> object:
            engines.append(engine)
            return embed_table(*args)

        with patch.object(embedderwork, "embed_table", embed):
            self.send(self.data)
            for engine in ("torch", "abacus"):
                self.widget.engine = engine
                self.widget.commit.now()
                self.wait_until_finished()
        # what this version does not know is left to the automatic choice
        self.assertEqual(engines, ["auto", "torch", "auto"])
        self.assertEqual(self.outputs()[0].X.shape, (3, 512))

    def test_another_engine_gives_other_numbers_in_fast_mode_only(self) -> None:
        engines = []

        def embed(*args: object, engine: str) -> object:
            engines.append(engine)
            return embed_table(*args)

        combo = self.widget.engine_panel.engine_combo

        def choose(engine: str) -> None:
            combo.setCurrentIndex(combo.findData(engine))
            combo.activated.emit(combo.currentIndex())
            self.wait_until_finished()

        with patch.object(embedderwork, "embed_table", embed):
            self.send(self.data)
            choose("torch")
            self.assertEqual(engines, ["auto"])
            self.widget.engine_panel.fast_box.click()
            self.wait_until_finished()
            choose("onnxruntime")
        self.assertEqual(engines, ["auto", "torch", "onnxruntime"])

    def test_engine_that_fails_is_told(self) -> None:
        error = ExportError("it knows no such part")
        with (
            patch.object(runtime, "load", side_effect=error),
            patch.dict(loading._LOADED, clear=True),
            patch.dict(loading._FAILED, clear=True),
        ):
            self.send(self.data)
        self.assertEqual(len(self.outputs()[0]), 3)
        note = self.widget.engine_panel.note.text()
        self.assertEqual(note, "PyTorch computes instead: it knows no such part.")

    def test_fast_mode_has_columns_of_its_own(self) -> None:
        self.send(self.data)
        exact = self.outputs()[0].X
        box = self.widget.engine_panel.fast_box
        box.click()
        self.wait_until_finished()
        names = [each.name for each in self.outputs()[0].domain.attributes]
        self.assertEqual(names[0], "squeezenet1_1_features_fast_0")
        fast = self.outputs()[0].X
        cosine = (exact * fast).sum(1) / np.linalg.norm(exact, axis=1)
        self.assertGreater(min(cosine / np.linalg.norm(fast, axis=1)), 0.99)
        settings = self.widget.settingsHandler.pack_data(self.widget)
        again = self.create_widget(OWImageEmbedding, stored_settings=settings)
        self.assertTrue(again.engine_panel.fast_box.isChecked())
        self.assertEqual(again.panel.specs()[0].precision, "fast")
        # that add-on's very numbers cannot be had less exactly
        self.choose("network", "squeezenet_imageanalytics")
        self.assertEqual(self.widget.panel.specs()[0].precision, "float32")
        self.assertEqual(self.outputs()[0].domain.attributes[0].name, "n0")

    def test_fast_mode_does_not_become_the_default(self) -> None:
        # a workflow without it, opened after it was used elsewhere, is to stay exact
        self.widget.fast = True
        defaults = self.widget.settingsHandler.defaults
        self.widget.settingsHandler.update_defaults(self.widget)
        self.addCleanup(defaults.clear)
        self.assertFalse(self.create_widget(OWImageEmbedding).fast)

    def test_damaged_settings_of_the_engine(self) -> None:
        damaged = {"engine": 3, "fast": "yes", "place": "first"}
        settings = {"network": "squeezenet1_1", **damaged}
        OWImageEmbedding.migrate_settings(settings, 3)
        self.assertTrue(settings.keys().isdisjoint(damaged))

    def test_what_was_computed_is_found_again(self) -> None:
        self.send(self.data)
        first = self.outputs()[0].X
        self.assertEqual(self.widget.info_label.text()[:18], "3 images embedded.")
        (self.folder / "a" / "2.png").rename(self.folder / "a" / "moved.png")
        picture(7).save(self.folder / "a" / "new.png")
        widget = self.create_widget(OWImageEmbedding)
        data = table_from_folder(self.folder).table
        self.send_signal(widget.Inputs.images, data, widget=widget)
        self.wait_until_finished(widget)
        self.assertIn("4 images embedded, 3 from the cache", widget.info_label.text())
        np.testing.assert_array_equal(
            self.get_output("Embeddings", widget).X[:3], first
        )
        widget.commit.now()
        self.wait_until_finished(widget)
        self.assertIn("4 images embedded, all from the cache", widget.info_label.text())
        panel = widget.cache_panel
        wait_for(lambda: not panel.background.is_busy)
        self.assertIn("Cache: 4 embeddings, ", panel.label.text())

    def test_cancelled_work_goes_on_where_it_stopped(self) -> None:
        for index in range(3, 60):
            picture(index).save(self.folder / "a" / f"{index}.png")
        data = table_from_folder(self.folder).table
        stopped = threading.Event()
        put_many = VectorStore.put_many

        def put(store: VectorStore, rows: object) -> None:
            put_many(store, rows)
            stopped.wait(20)

        with patch.object(VectorStore, "put_many", put):
            self.send_signal(self.widget.Inputs.images, data)
            wait_for(lambda: shared_store().n_vectors())
            self.widget.cancel_button.click()
            stopped.set()
        self.assertIn("is kept", str(self.widget.Information.cancelled))
        self.assertTrue(self.widget.Information.cancelled.is_shown())
        n_kept = shared_store().n_vectors()
        self.assertLess(n_kept, 60)
        self.widget.cancel_button.click()
        self.wait_until_finished()
        text = self.widget.info_label.text()
        self.assertRegex(text, r"^60 images embedded, \d+ from the cache")
        n_known = int(text.split()[3])
        self.assertTrue(n_kept <= n_known < 60)
        self.assertFalse(self.widget.Information.cancelled.is_shown())

    def test_progress_is_told_in_words(self) -> None:
        texts = []
        label = self.widget.info_label
        with patch.object(label, "setText", texts.append):
            self.send(self.data)
        self.assertIn("Embedding 3 images…", texts)
        self.assertIn("0 of 3 images", texts)
        self.assertEqual(texts[-1], "3 images embedded.")

    def test_a_damaged_cache_is_told(self) -> None:
        self.send(self.data)
        store = shared_store()
        panel = self.widget.cache_panel
        # which would open it again
        wait_for(lambda: not panel.background.is_busy)
        store.close()
        store.path.write_bytes(b"nothing of ours" * 999)
        self.widget.commit.now()
        self.wait_until_finished()
        wait_for(lambda: not panel.background.is_busy)
        self.assertIn("set aside as vectors-damaged-", str(self.widget.Warning.cache))
        self.assertTrue(self.widget.Warning.cache.is_shown())
        self.assertEqual(len(self.outputs()[0]), 3)
        for path in store.path.parent.glob("*damaged*"):
            path.unlink()

    # weights -------------------------------------------------------------------------

    def test_weights_are_fetched_when_asked_for(self) -> None:
        fetched = []

        def fetch(weights: Weights, progress: Progress) -> None:
            progress(0.5, "half")
            fetched.append(weights.title)

        with patch.object(embedderwork, "fetch", fetch):
            self.send(self.data)
            self.choose("network", "vgg16")
            self.assertTrue(self.widget.Error.not_here.is_shown())
            self.assertIn("Press Download (528 MB)", str(self.widget.Error.not_here))
            self.assertIn("only when you press", self.widget.panel.note.text())
            self.assertEqual(fetched, [])
            button = self.widget.panel.download_button
            self.assertEqual(button.text(), "&Download (528 MB)")
            button.click()
            self.assertFalse(self.widget.panel.isEnabled())
            # data that come meanwhile do not stop it
            self.send_signal(self.widget.Inputs.images, self.data[:2])
            self.wait_for_network(self.widget)
        self.assertEqual(fetched, ["VGG-16"])
        self.assertTrue(self.widget.panel.isEnabled())

    def test_fetching_fails(self) -> None:
        text = "… could not be fetched from https://… put it into the folder …"
        with patch.object(embedderwork, "fetch", side_effect=WeightsError(text)):
            self.choose("network", "vgg16")
            self.widget.panel.download_button.click()
            self.wait_until_finished()
        self.assertEqual(str(self.widget.Error.failed), text)
        self.assertTrue(self.widget.panel.isEnabled())
        self.assertEqual(self.widget.network, "vgg16")

    def test_fetching_is_cancelled(self) -> None:
        stopped = threading.Event()

        def fetch(weights: Weights, progress: Progress) -> None:
            try:
                while True:
                    progress(0.1, "")
            except TaskCancelled:
                stopped.set()
                raise

        with patch.object(embedderwork, "fetch", fetch):
            self.choose("network", "vgg16")
            self.widget.panel.download_button.click()
            self.widget.cancel_button.click()
            self.assertTrue(stopped.wait(20))
        self.assertTrue(self.widget.Information.not_brought.is_shown())
        self.assertTrue(self.widget.panel.isEnabled())
        self.assertFalse(self.widget.cancel_button.isEnabled())

    def test_weights_from_a_file(self) -> None:
        path = self.folder / "other.pth"
        path.write_bytes(b"<!DOCTYPE html><title>Not found</title>")
        self.choose("network", "vgg16")
        with patch.object(
            QFileDialog, "getOpenFileName", return_value=(str(path), "")
        ) as dialog:
            self.widget.panel.file_button.click()
            self.wait_until_finished()
            self.assertIn("web page", str(self.widget.Error.failed))
            dialog.return_value = ("", "")
            self.widget.panel.file_button.click()
        with patch.object(embedderwork, "import_file") as taken:
            dialog.return_value = (str(path), "")
            with patch.object(
                QFileDialog, "getOpenFileName", return_value=(str(path), "")
            ):
                self.widget.panel.file_button.click()
                self.wait_until_finished()
        self.assertEqual(taken.call_args.args, ("vgg16", path))

    def test_damaged_settings_begin_anew(self) -> None:
        for name in ("network", "layer", "fit", "others"):
            for odd in (None, 5, ["x"], {"a": 1}):
                with self.subTest(setting=name, value=odd):
                    widget = self.create_widget(
                        OWImageEmbedding, stored_settings={name: odd, "views": 8}
                    )
                    self.assertIsInstance(widget.network, str)
                    self.assertEqual(widget.others, [])
                    self.assertEqual(widget.views, 8)

    # own networks --------------------------------------------------------------------

    def test_timm_names_what_is_missing(self) -> None:
        self.send(self.data)
        before = self.widget.network
        answer = patch.object(
            QInputDialog, "getText", return_value=(" no_such_network ", True)
        )
        with answer:
            self.widget.panel.timm_button.click()
        self.wait_for_network(self.widget)
        text = str(self.widget.Error.failed)
        # without timm, how to get it; with it, that it has no such network
        self.assertRegex(text, r"Orange3-ImageMining\[timm\]|no_such_network")
        self.assertEqual(self.widget.network, before)
        self.assertTrue(self.widget.panel.isEnabled())

    def add_own(self, path: Path) -> None:
        with patch.object(QFileDialog, "getOpenFileName", return_value=(str(path), "")):
            self.widget.panel.own_button.click()
        self.wait_for_network(self.widget)

    def wait_for_network(self, widget: OWImageEmbedding) -> None:
        """Wait until nothing is on its way: looked into, asked about, tried, run."""
        wait_for(
            lambda: (
                not widget._bringing and widget._arrived is None and widget.task is None
            )
        )

    def test_own_network(self) -> None:
        path = onnx_network(self.folder / "own.onnx")
        self.send(self.data)

        def fill(dialog: OwnNetworkDialog) -> int:
            dialog.width_spin.setValue(10)
            dialog.mean_edit.setText("1; 2; 3")
            dialog.deviation_edit.setText("2")
            dialog.title_edit.setText("Cells")
            return int(OwnNetworkDialog.DialogCode.Accepted)

        with patch.object(OwnNetworkDialog, "exec", fill):
            self.add_own(path)
        card = load_card(path)
        self.assertEqual((card.size, card.title), ((6, 10), "Cells"))
        self.assertEqual((card.mean, card.deviation), ((1, 2, 3), (2, 2, 2)))
        self.assertTrue(self.widget.network.startswith("onnx:"))
        panel = self.widget.panel
        self.assertEqual(panel.network_combo.currentText(), "Cells")
        self.assertTrue(panel.download_button.isHidden())
        self.wait_until_finished()
        embedded = self.outputs()[0]
        self.assertEqual(embedded.domain.attributes[0].name, "own_vector_0")
        image = Image.open(self.folder / "a" / "0.png").resize((10, 6), 2)
        pixels = (np.asarray(image, float) - (1, 2, 3)) / 2
        np.testing.assert_allclose(embedded.X[0], pixels.mean((0, 1)), rtol=1e-4)
        # it turns no image: it is not square
        self.assertEqual(panel.views_combo.findData(8), -1)
        # another time there is a card, and nothing to ask
        other = self.create_widget(OWImageEmbedding)
        with (
            patch.object(QFileDialog, "getOpenFileName", return_value=(str(path), "")),
            patch.object(OwnNetworkDialog, "exec", side_effect=AssertionError),
        ):
            other.panel.own_button.click()
            self.wait_for_network(other)
        self.assertEqual(other.network, self.widget.network)

    def test_own_network_that_is_none(self) -> None:
        path = self.folder / "own.onnx"
        path.write_text("<html>")
        self.send(self.data)
        self.add_own(path)
        self.assertIn("web page", str(self.widget.Error.failed))
        self.assertEqual(self.widget.network, "squeezenet1_1")
        self.assertEqual(list(self.folder.glob("*.json")), [])

    def test_own_network_given_up(self) -> None:
        path = onnx_network(self.folder / "own.onnx")
        self.send(self.data)
        with patch.object(OwnNetworkDialog, "exec", return_value=0):
            self.add_own(path)
        self.assertFalse(path.with_name("own.onnx.json").exists())
        self.assertEqual(len(self.outputs()[0]), 3)

    def test_what_the_dialog_takes(self) -> None:
        file = inspect_network(onnx_network(self.folder / "own.onnx"))
        dialog = OwnNetworkDialog(self.widget, file)
        self.assertFalse(dialog.height_spin.isEnabled())  # the file says 6
        for edit, text, reason in (
            ("mean_edit", "a lot", "is no number"),
            ("mean_edit", "1 2", "one number, or 3"),
            ("deviation_edit", "0", "above 0"),
            ("deviation_edit", "", "is no number"),
        ):
            before = getattr(dialog, edit).text()
            getattr(dialog, edit).setText(text)
            with self.assertRaisesRegex(ValueError, reason):
                dialog.settings()
            dialog._on_ok()
            self.assertRegex(dialog.problem.text(), reason)
            getattr(dialog, edit).setText(before)
        dialog.scale_combo.setCurrentIndex(1)
        settings = dialog.settings()
        self.assertEqual(settings["scale"], 1 / 255)
        self.assertEqual(settings["mean"], [0, 0, 0])
        self.assertEqual(settings["colours"], "RGB")
        dialog.outputs.item(0).setCheckState(Qt.CheckState.Unchecked)
        with self.assertRaisesRegex(ValueError, "at least one output"):
            dialog.settings()

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
    assert (
        len(run(data, data.domain["image"], [spec], False, "auto", "", state).embedded)
        == 2
    )
    assert state.set_progress_value.call_args.args == (100,)
    state.is_interruption_requested.return_value = True
    with pytest.raises(TaskCancelled):
        run(data, data.domain["image"], [spec], False, "auto", "", state)

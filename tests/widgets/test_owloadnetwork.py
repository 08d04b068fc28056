from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock, patch

import numpy as np
import torch
from AnyQt.QtCore import QMimeData, QPointF, Qt, QUrl
from AnyQt.QtGui import QDropEvent
from conftest import picture
from onnx import TensorProto, helper, numpy_helper, save_model
from Orange.widgets.tests import base
from trained_networks import compressed_network, network_of

from orangecontrib.imagemining.embedders.onnxexport import export_onnx
from orangecontrib.imagemining.tables import table_from_folder
from orangecontrib.imagemining.weights.cards import card_path, load_card
from orangecontrib.imagemining.weights.image_network import ImageNetwork, OnnxNetwork
from orangecontrib.imagemining.weights.network_file import save_network
from orangecontrib.imagemining.widgets import owloadnetwork
from orangecontrib.imagemining.widgets.owloadnetwork import OWLoadNetwork
from orangecontrib.imagemining.widgets.utils.drop import LoadNetworkDropHandler
from orangecontrib.imagemining.widgets.utils.networkfiles import (
    describe_network,
    megabytes,
)

_LONG = 60_000  # ms; a busy machine is no reason to fail


def write_plain_onnx(path: Path) -> None:
    """Write a network that does not tell how it is to be fed."""
    numbers = np.ones((2, 3, 3, 3), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "kernel"], ["map"])],
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 12, 12])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, ["n", 2, 10, 10])],
        [numpy_helper.from_array(numbers, "kernel")],
    )
    opsets = [helper.make_opsetid("", 17)]
    save_model(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def test_networks_are_named_as_people_call_them() -> None:
    for architecture, options, words in (
        ("squeezenet1_1", {"last_relu": False}, "SqueezeNet 1.1, "),
        (
            "squeezenet1_1",
            {"base_e": 64, "freq": 2, "small_images": True, "reshaped": {"a": [1]}},
            "SqueezeNet 1.1, expand filters in the first modules (base_e) 64, begin as"
            " images of about 32 × 32 pixels need it, smaller layers, ",
        ),
        ("inception_resnet_v2", {"scales": [0.17, 0.1, 0.2]}, "Inception-ResNet-v2, "),
        ("resnet20_cifar", {}, "ResNet-20 for small images, "),
        ("of_another_package", {"depth": 3}, "of_another_package, depth 3, "),
    ):
        card = network_of().card
        card = replace(card, architecture=architecture, options=options)
        text = describe_network(ImageNetwork(card, {}))["Network"]
        assert text == f"{words}images of 16 × 16 pixels"


class TestOWLoadNetwork(base.WidgetTest):
    def setUp(self) -> None:
        self.widget: OWLoadNetwork = self.create_widget(OWLoadNetwork)
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        self.network = network_of(
            figures={"accuracy": 0.875}, license="CC0", trained_on="30 cells"
        )
        self.path = self.home / "cells.safetensors"
        save_network(self.network, self.path)

    def load(self, path: Path, widget: OWLoadNetwork | None = None) -> None:
        widget = widget or self.widget
        widget.choose(str(path))
        self.finish(widget)

    def finish(self, widget: OWLoadNetwork | None = None) -> None:
        widget = widget or self.widget
        self.process_events(lambda: widget.task is None, _LONG)

    def test_nothing_at_first(self) -> None:
        self.assertFalse(self.widget.reload_button.isEnabled())
        self.assertFalse(self.widget.cancel_button.isEnabled())
        self.assertTrue(self.widget.describe_button.isHidden())
        self.assertIsNone(self.get_output("Network"))

    def test_network_and_model(self) -> None:
        self.load(self.path)
        network = self.get_output("Network")
        self.assertIsInstance(network, ImageNetwork)
        self.assertEqual(network, self.network)
        text = self.widget.info_label.text()
        for words in (
            "My cells",
            "Toy network",
            "3: a, b, c",
            "87.5 %",
            "30 cells",
            "CC0",
        ):
            self.assertIn(words, text)
        for name, seed in (("a/1", 1), ("b/2", 2), ("c/3", 3)):
            image = self.home / "images" / f"{name}.png"
            image.parent.mkdir(parents=True)
            picture(seed).save(image)
        data = table_from_folder(self.home / "images").table
        model = self.get_output("Model")
        probabilities = model(data, model.Probs)
        self.assertEqual(probabilities.shape, (3, 3))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)

    def test_compressed(self) -> None:
        path = self.home / "cells.imnet"
        saved = compressed_network()
        size = save_network(saved, path)
        self.load(path)
        network = self.get_output("Network")
        self.assertEqual(network, saved)
        self.assertEqual([*network.stored], [*saved.stored])
        self.assertIsNotNone(self.get_output("Model"))
        text = self.widget.info_label.text()
        self.assertIn(f"File: {megabytes(size)}, compressed", text)
        self.assertTrue(LoadNetworkDropHandler().canDropFile(str(path)))
        self.assertIn("*.imnet", owloadnetwork._KINDS)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 16
        path.write_bytes(content)
        self.load(path)
        self.assertIn("is damaged", str(self.widget.Error.failed))
        self.assertIsNone(self.get_output("Network"))

    def test_onnx_with_its_card(self) -> None:
        path = self.home / "cells.onnx"
        export_onnx(self.network, path)
        self.load(path)
        network = self.get_output("Network")
        self.assertIsInstance(network, OnnxNetwork)
        self.assertEqual(network.classes, ("a", "b", "c"))
        self.assertIsNotNone(self.get_output("Model"))
        self.assertIn("30 cells", self.widget.info_label.text())

    def test_onnx_without_a_card_is_described(self) -> None:
        path = self.home / "strange.onnx"
        write_plain_onnx(path)
        self.load(path)
        self.assertTrue(self.widget.Error.no_card.is_shown())
        self.assertFalse(self.widget.describe_button.isHidden())
        self.assertIsNone(self.get_output("Network"))
        dialog = Mock()
        dialog.exec.return_value = 1
        dialog.settings.return_value = {"size": (12, 12), "title": "Strange"}
        kind = Mock(return_value=dialog)
        kind.DialogCode.Accepted = 1
        with patch.object(owloadnetwork, "OwnNetworkDialog", kind):
            self.widget.describe_button.click()
        self.finish()
        self.assertFalse(self.widget.Error.no_card.is_shown())
        self.assertEqual(self.get_output("Network").title, "Strange")
        self.assertTrue(self.widget.Warning.no_classes.is_shown())
        self.assertIsNone(self.get_output("Model"))
        self.assertEqual(load_card(path).title, "Strange")
        self.assertTrue(self.widget.describe_button.isHidden())

    def test_damaged_and_missing_files(self) -> None:
        self.load(self.path)
        bad = self.home / "bad.safetensors"
        bad.write_bytes(self.path.read_bytes()[:-1])
        for path, words in (
            (bad, "cut short"),
            (self.home / "none.safetensors", "cannot be read"),
            (self.home / "none.onnx", "is not there any more"),
        ):
            self.load(path)
            self.assertTrue(self.widget.Error.failed.is_shown())
            self.assertIn(words, str(self.widget.Error.failed))
            self.assertIsNone(self.get_output("Network"))
            self.assertIsNone(self.get_output("Model"))
        self.load(self.path)
        self.assertFalse(self.widget.Error.failed.is_shown())

    def test_onnx_that_has_changed(self) -> None:
        path = self.home / "cells.onnx"
        export_onnx(self.network, path)
        card = card_path(path).read_text()
        export_onnx(network_of(seed=1), path, replace=True)
        card_path(path).write_text(card)
        self.load(path)
        self.assertIn("has changed since its card", str(self.widget.Error.failed))

    def test_network_of_an_architecture_that_is_gone(self) -> None:
        path = self.home / "gone.safetensors"
        gone = replace(network_of().card, architecture="gone")
        save_network(ImageNetwork(gone, self.network.tensors), path)
        self.load(path)
        self.assertIn("does not have: gone", str(self.widget.Error.failed))

    def test_reload(self) -> None:
        self.load(self.path)
        other = network_of(seed=1)
        save_network(other, self.path, replace=True)
        self.widget.reload_button.click()
        self.finish()
        self.assertEqual(self.get_output("Network"), other)

    def test_cancelled(self) -> None:
        started = []

        def slow(path, state):  # type: ignore[no-untyped-def]
            started.append(path)
            while not state.is_interruption_requested():
                pass

        with patch.object(owloadnetwork, "run_load", slow):
            self.widget.choose(str(self.path))
            self.process_events(lambda: started, _LONG)
            self.widget.cancel_button.click()
        self.finish()
        self.assertIn("Cancelled", self.widget.info_label.text())
        self.assertIsNone(self.get_output("Network"))

    def test_recent_files(self) -> None:
        other = self.home / "other.safetensors"
        save_network(network_of(seed=1), other)
        self.load(self.path)
        self.load(other)
        combo = self.widget.file_combo
        names = [combo.itemText(row) for row in range(combo.count())]
        self.assertEqual(names[:2], ["other.safetensors", "cells.safetensors"])
        combo.setCurrentIndex(1)
        combo.activated.emit(1)
        self.finish()
        self.assertEqual(self.get_output("Network"), self.network)
        self.assertEqual(combo.currentText(), "cells.safetensors")
        # a workflow is given to others, the files used lately are not
        settings = self.widget.settingsHandler.pack_data(self.widget)
        self.assertNotIn("recent_files", settings)

    def test_workflow_moves_with_its_file(self) -> None:
        with patch.object(
            OWLoadNetwork, "workflowEnv", lambda self: {"basedir": str(base_folder)}
        ):
            base_folder = self.home
            self.load(self.path)
            self.widget.settingsAboutToBePacked.emit()
            self.assertEqual(self.widget.path, "./cells.safetensors")
            settings = self.widget.settingsHandler.pack_data(self.widget)
            base_folder = self.home / "moved"
            base_folder.mkdir()
            self.path.rename(base_folder / "cells.safetensors")
            again = self.create_widget(OWLoadNetwork, stored_settings=settings)
            self.process_events(lambda: again.loaded is not None, _LONG)
            self.assertEqual(self.get_output("Network", again), self.network)

    def test_dropped_on_the_window(self) -> None:
        def drop(path: Path) -> None:
            data = QMimeData()
            data.setUrls([QUrl.fromLocalFile(str(path))])
            event = QDropEvent(
                QPointF(1, 1),
                Qt.DropAction.CopyAction,
                data,
                Qt.MouseButton.LeftButton,
                Qt.KeyboardModifier.NoModifier,
            )
            self.widget.dropEvent(event)

        image = self.home / "1.png"
        picture(1).save(image)
        drop(image)
        self.assertEqual(self.widget.current_path, "")
        drop(self.path)
        self.finish()
        self.assertEqual(self.get_output("Network"), self.network)

    def test_dropped_on_the_canvas(self) -> None:
        handler = LoadNetworkDropHandler()
        self.assertTrue(handler.canDropFile(str(self.path)))
        self.assertFalse(handler.canDropFile(str(self.home)))
        self.assertFalse(handler.canDropFile(str(self.home / "none.onnx")))
        parameters = handler.parametersFromFile(Mock(), str(self.path))
        self.assertEqual(parameters, {"path": os.path.abspath(self.path)})
        again = self.create_widget(OWLoadNetwork, stored_settings=parameters)
        self.process_events(lambda: again.loaded is not None, _LONG)
        self.assertEqual(self.get_output("Network", again), self.network)

    def test_report(self) -> None:
        self.load(self.path)
        self.widget.send_report()
        self.assertIn("30 cells", self.widget.report_html)

    def test_torch_is_left_as_it_was(self) -> None:
        before = torch.get_num_threads(), torch.get_default_dtype()
        self.load(self.path)
        self.assertEqual((torch.get_num_threads(), torch.get_default_dtype()), before)

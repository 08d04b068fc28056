from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
from AnyQt.QtCore import QEvent, Qt
from AnyQt.QtGui import QKeyEvent
from AnyQt.QtWidgets import QApplication
from conftest import picture
from Orange.data import Table
from Orange.widgets.tests import base
from trained_networks import compressed_network, network_of

from orangecontrib.imagemining.embedders.catalog import name_of_file, network_from
from orangecontrib.imagemining.embedders.onnxexport import export_onnx
from orangecontrib.imagemining.tables import table_from_folder
from orangecontrib.imagemining.tables.networkmodel import ImageNetworkModel
from orangecontrib.imagemining.weights.image_network import AnyNetwork, ImageNetwork
from orangecontrib.imagemining.widgets import ownetworkinfo
from orangecontrib.imagemining.widgets.ownetworkinfo import OWNetworkInfo

_LONG = 60_000  # ms; a busy machine is no reason to fail


class TestOWNetworkInfo(base.WidgetTest):
    def setUp(self) -> None:
        self.widget: OWNetworkInfo = self.new()

    def new(self, **settings: object) -> OWNetworkInfo:
        # what takes two seconds a network is tried by itself
        stored = {"measuring": False, **settings}
        return self.create_widget(OWNetworkInfo, stored_settings=stored)

    def send(self, *networks: AnyNetwork | None) -> None:
        for number, network in enumerate(networks):
            self.send_signal(self.widget.Inputs.networks, network, number)
        self.finish()

    def finish(self) -> None:
        self.process_events(lambda: self.widget.task is None, _LONG)

    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.text(self.widget.comparison)][1:]

    @staticmethod
    def text(table: object) -> list[str]:
        table.clearSelection()  # type: ignore[attr-defined]
        return table.as_text().split("\n")  # type: ignore[attr-defined,no-any-return]

    def test_nothing_at_first(self) -> None:
        self.assertEqual(self.rows(), [])
        self.assertIn("Connect networks", self.widget.panel.info_label.text())
        panel = self.widget.panel
        for button in (
            self.widget.cancel_button,
            panel.remove_button,
            panel.judge_button,
        ):
            self.assertFalse(button.isEnabled())

    def test_networks_side_by_side(self) -> None:
        self.send(network_of(figures={"accuracy": 0.875}), compressed_network())
        rows = self.rows()
        whole, packed = (float(r) for r in self.get_output("Comparison").X[:, 0])
        self.assertEqual(whole, 4 * 435)
        self.assertEqual(rows[0][1:6], ["1.7 kB", "1.0 ×", "435", "435", "7.91 K"])
        self.assertEqual(rows[0][6:], ["–", "87.50 %", "–"])
        self.assertTrue(self.widget.comparison.item(0, 7).font().italic())
        self.assertEqual(rows[1][2], f"{whole / packed:.1f} ×")
        self.assertEqual(rows[1][7:], ["–", "–"])
        compared = self.get_output("Comparison")
        np.testing.assert_allclose(
            compared.get_column("times smaller"), [1, whole / packed]
        )
        self.assertEqual(self.widget.panel.info_label.text(), "2 networks.")
        # another one to hold against
        combo = self.widget.panel.reference_combo
        self.assertEqual(combo.currentText(), "The largest one")
        self.send(network_of(title="One"), network_of(title="Two"), None)
        combo.setCurrentIndex(combo.findData("Two"))
        combo.activated.emit(combo.currentIndex())
        self.assertEqual(self.widget.reference, "Two")

    def test_layers_of_the_chosen_one(self) -> None:
        self.send(network_of(), network_of("resnet20_cifar", size=(32, 32), title="2"))
        layers = self.get_output("Layers")
        self.assertEqual(
            [*layers.get_column("layer")], ["stem.0", "body.0", "mean", "classifier"]
        )
        self.assertEqual([*layers.get_column("parameters")], [112, 296, 0, 27])
        self.widget.comparison.selectRow(1)
        self.assertEqual(self.widget.shown, "2")
        self.assertEqual(len(self.get_output("Layers")), 49)
        lines = self.text(self.widget.layers)
        self.assertEqual(
            lines[1].split("\t")[:6],
            ["1", "conv1", "convolution 3×3", "16 × 3 × 3 × 3", "16 × 32 × 32", "432"],
        )
        # the network goes, and the other one is shown
        self.send_signal(self.widget.Inputs.networks, None, 1)
        self.finish()
        self.assertEqual(len(self.get_output("Layers")), 4)
        self.send_signal(self.widget.Inputs.networks, None, 0)
        self.finish()
        self.assertIsNone(self.get_output("Layers"))
        self.assertIsNone(self.get_output("Comparison"))
        self.assertEqual(self.widget.layers.rowCount(), 0)

    def test_boxes_and_rows_belong_together(self) -> None:
        self.send(network_of())
        boxes = {box.part.title: box for box in self.widget.drawing.boxes()}
        self.widget.drawing.pressed(boxes["body.0 · 3×3, step 2"].part)
        table = self.widget.layers
        self.assertEqual({i.row() for i in table.selectedIndexes()}, {1})
        self.assertTrue(boxes["body.0 · 3×3, step 2"].is_chosen)
        table.selectRow(0)
        self.assertTrue(boxes["stem.0 · 3×3, step 2"].is_chosen)
        self.assertFalse(boxes["body.0 · 3×3, step 2"].is_chosen)
        # sorted by parameters: the pooling, the classifier, …
        table.sortItems(5)
        self.assertEqual(
            [line.split("\t")[0] for line in self.text(table)[1:]], ["3", "4", "1", "2"]
        )

    def test_copied(self) -> None:
        self.send(network_of())
        self.widget.layers.selectRow(3)
        key = QKeyEvent(
            QEvent.Type.KeyPress, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier
        )
        self.widget.layers.keyPressEvent(key)
        lines = QApplication.clipboard().text().split("\n")
        self.assertEqual(len(lines), 2)
        self.assertTrue(lines[0].startswith("#\tLayer\tKind\t"))
        self.assertTrue(lines[1].startswith("4\tclassifier\tfully connected\t3 × 8"))

    def test_published_network_without_weights(self) -> None:
        combo = self.widget.panel.published_combo
        combo.setCurrentIndex(combo.findData("resnet18"))
        self.widget.panel.add_button.click()
        self.finish()
        self.assertEqual(self.widget.published, ["resnet18"])
        row = self.rows()[0]
        self.assertEqual(row[:2], ["ResNet-18", "46.8 MB"])
        self.assertEqual(row[3:6], ["11,689,512", "–", "1.81 G"])
        self.assertEqual(row[7:], ["69.76 %", "89.08 %"])
        self.assertTrue(self.widget.Information.architecture_only.is_shown())
        self.assertTrue(self.widget.panel.remove_button.isEnabled())
        self.widget.panel.add_button.click()  # it is there already
        self.assertEqual(self.widget.published, ["resnet18"])
        self.widget.panel.remove_button.click()
        self.finish()
        self.assertEqual(self.rows(), [])
        self.assertFalse(self.widget.Information.architecture_only.is_shown())

    def test_settings_of_a_workflow(self) -> None:
        settings = {"published": ["resnet18", "gone"], "detail": "blocks", "shown": "2"}
        self.widget = self.new(**settings)
        self.send(network_of(), network_of(title="2"))
        rows = self.rows()
        self.assertEqual(
            [row[0] for row in rows], ["My cells", "2", "ResNet-18", "gone"]
        )
        self.assertEqual(rows[3][1:], ["–"] * 8)
        self.assertIn("no published network 'gone'", str(self.widget.Error.failed))
        self.assertEqual(self.widget.panel.detail_combo.currentText(), "Blocks")
        self.assertEqual(self.widget.comparison.currentRow(), 1)

    def test_measured(self) -> None:
        self.widget = self.new(measuring=True)
        with patch("orangecontrib.imagemining.widgets.utils.infowork._SECONDS", 0):
            self.send(network_of())
        self.assertRegex(self.rows()[0][6], r"^\d.* ms$")
        self.assertGreater(
            self.get_output("Comparison").get_column("ms per image")[0], 0
        )
        self.assertTrue((self.get_output("Layers").get_column("ms") > 0).all())

    def test_damaged_network_is_told(self) -> None:
        given = network_of(title="Broken")
        tensors = dict(given.tensors)
        del tensors["stem.0.weight"]
        self.send(ImageNetwork(given.card, tensors), network_of())
        self.assertIn("The numbers of Broken are not", str(self.widget.Error.failed))
        self.assertEqual(self.rows()[0][1:], ["–"] * 8)
        self.assertEqual(self.rows()[1][3], "435")
        self.assertEqual(len(self.get_output("Comparison")), 1)

    def test_cancelled_and_continued(self) -> None:
        started = []

        def slow(entries, measuring, state):  # type: ignore[no-untyped-def]
            started.append(entries)
            while not state.is_interruption_requested():
                pass

        with patch.object(ownetworkinfo, "run_info", slow):
            self.send_signal(self.widget.Inputs.networks, network_of(), 0)
            self.process_events(lambda: started, _LONG)
            self.assertEqual(self.rows()[0][1], "…")
            self.widget.cancel_button.click()
        self.finish()
        self.assertEqual(self.widget.cancel_button.text(), "Go &on")
        self.widget.cancel_button.click()
        self.finish()
        self.assertEqual(self.rows()[0][3], "435")
        self.assertFalse(self.widget.cancel_button.isEnabled())

    def test_report(self) -> None:
        self.send(network_of())
        self.widget.send_report()
        self.assertIn("body.0", self.widget.report_html)


class TestOnImages(base.WidgetTest):
    def setUp(self) -> None:
        settings = {"measuring": False}
        self.widget = self.create_widget(OWNetworkInfo, stored_settings=settings)
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        for seed, name in enumerate(("a/1", "b/1", "c/1", "d/1")):
            path = self.home / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            picture(seed).save(path)

    def finish(self) -> None:
        self.process_events(lambda: self.widget.task is None, _LONG)

    def test_accuracy(self) -> None:
        widget = self.widget
        self.send_signal(widget.Inputs.data, Table("iris"))
        self.assertTrue(widget.Error.no_image_column.is_shown())
        self.send_signal(widget.Inputs.data, table_from_folder(self.home).table)
        self.assertFalse(widget.Error.no_image_column.is_shown())
        known = network_of(classes=tuple("abcdef"))
        self.send_signal(widget.Inputs.networks, known, 0)
        self.send_signal(widget.Inputs.networks, network_of(title="Three"), 1)
        self.send_signal(widget.Inputs.networks, network_of(classes=("x", "y")), 2)
        self.finish()
        self.assertTrue(widget.panel.judge_button.isEnabled())
        widget.panel.judge_button.click()
        self.finish()
        compared = self.get_output("Comparison")
        data = widget.data
        model = ImageNetworkModel(known, column=data.domain["image"])
        right = model(data) == data.get_column(data.domain.class_var)
        self.assertEqual(compared.get_column("top-1")[0], right.mean())
        self.assertFalse(np.isnan(compared.get_column("top-5")[0]))
        self.assertTrue(np.isnan(compared.get_column("top-5")[1]))
        self.assertEqual(
            [*compared.get_column("accuracy from")],
            ["4 images of the data", "3 images of the data", ""],
        )
        self.assertIn("Three: 1 of 4", str(widget.Warning.left_out))
        self.assertEqual(
            str(widget.Warning.not_tried), "My cells does not know the class a"
        )
        self.assertFalse(widget.Error.failed.is_shown())
        # other data: what was found holds no more
        self.send_signal(widget.Inputs.data, None)
        self.finish()
        self.assertTrue(
            np.isnan(self.get_output("Comparison").get_column("top-1")).all()
        )
        self.assertFalse(widget.Warning.not_tried.is_shown())
        self.assertFalse(widget.panel.judge_button.isEnabled())

    def test_onnx(self) -> None:
        path = self.home / "cells.onnx"
        given = network_of()
        export_onnx(given, path)
        self.send_signal(
            self.widget.Inputs.networks, network_from(name_of_file(path)), 0
        )
        self.finish()
        row = self.get_output("Comparison")[0]
        self.assertEqual(row["file bytes"], path.stat().st_size)
        self.assertEqual(row["parameters"], 435)
        self.assertEqual(row["multiply-adds"], 4 * 49 * 27 + 8 * 9 * 36 + 24)
        layers = self.get_output("Layers")
        self.assertEqual(
            [*layers.get_column("kind")],
            ["convolution", "convolution", "mean", "fully connected"],
        )
        self.assertEqual([*layers.get_column("output")][:2], ["4 × 7 × 7", "8 × 3 × 3"])
        self.assertEqual([*layers.get_column("activation")][:2], ["ReLU", "ReLU"])
        with patch.dict(sys.modules, {"onnx": None}):  # as if it were not installed
            self.send_signal(self.widget.Inputs.networks, None, 0)
            self.send_signal(
                self.widget.Inputs.networks, network_from(name_of_file(path)), 0
            )
            self.finish()
        row = self.get_output("Comparison")[0]
        self.assertEqual(row["file bytes"], path.stat().st_size)
        self.assertTrue(np.isnan(float(row["parameters"])))
        self.assertIn("package onnx", self.widget.comparison.item(0, 0).toolTip())
        self.assertEqual(len(self.get_output("Layers")), 0)
        path.write_bytes(path.read_bytes()[:200])
        self.send_signal(
            self.widget.Inputs.networks, network_from(name_of_file(path)), 0
        )
        self.finish()
        self.assertIn("damaged, or no ONNX file", str(self.widget.Error.failed))

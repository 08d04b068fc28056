from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from conftest import picture
from Orange.data import Domain, Table
from Orange.widgets.tests import base
from orangewidget.utils.signals import get_input_meta
from trained_networks import network_of

from orangecontrib.imagemining.embedders import trained as trained_module
from orangecontrib.imagemining.tables import table_from_folder
from orangecontrib.imagemining.weights.image_network import AnyNetwork
from orangecontrib.imagemining.widgets import owevaluatenetworks
from orangecontrib.imagemining.widgets.owevaluatenetworks import OWEvaluateNetworks

_LONG = 60_000  # ms; a busy machine is no reason to fail


class TestOWEvaluateNetworks(base.WidgetTest):
    def setUp(self) -> None:
        self.widget: OWEvaluateNetworks = self.create_widget(OWEvaluateNetworks)
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        for seed, name in enumerate(("a/1", "a/2", "b/1", "c/1", "c/2")):
            path = self.home / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            picture(seed).save(path)
        self.data = table_from_folder(self.home).table
        self.networks = [
            network_of(),
            network_of("resnet20_cifar", size=(32, 32), title="Second"),
        ]

    def send(self, data: Table | None, *networks: AnyNetwork) -> None:
        self.send_signal(self.widget.Inputs.data, data)
        for number, network in enumerate(networks):
            self.send_signal(self.widget.Inputs.networks, network, number)
        self.finish()

    def finish(self) -> None:
        widget = self.widget
        self.process_events(
            lambda: widget.task is None and not widget._next.isActive(), _LONG
        )

    def cells(self) -> list[list[str]]:
        table = self.widget.table
        return [
            [table.item(row, column).text() for column in range(table.columnCount())]
            for row in range(table.rowCount())
        ]

    def choose(self, combo: object, key: object) -> None:
        index = combo.findData(key)  # type: ignore[attr-defined]
        self.assertGreaterEqual(index, 0)
        combo.setCurrentIndex(index)  # type: ignore[attr-defined]
        combo.activated.emit(index)  # type: ignore[attr-defined]

    def test_nothing_at_first(self) -> None:
        self.assertEqual(self.cells(), [])
        self.assertFalse(self.widget.views_combo.isEnabled())
        self.assertFalse(self.widget.cancel_button.isEnabled())
        self.assertFalse(get_input_meta(OWEvaluateNetworks, "Networks").single)

    def test_two_networks_and_their_ensemble(self) -> None:
        self.send(self.data, *self.networks)
        rows = self.cells()
        self.assertEqual([row[0] for row in rows], ["My cells", "Second", "Ensemble"])
        self.assertTrue(self.widget.table.item(2, 0).font().bold())
        self.assertFalse(self.widget.table.item(1, 0).font().bold())
        evaluation = self.get_output("Evaluation")
        self.assertEqual(
            [row[1] for row in rows],
            [f"{100 * share:.2f} %" for share in evaluation.get_column("top-1")],
        )
        self.assertEqual([row[2] for row in rows], ["–"] * 3)
        self.assertEqual(rows[0][5:], ["435", "1.7 kB"])
        self.assertEqual(self.widget.info_label.text(), "Tried on 5 images.")
        predictions = self.get_output("Predictions")
        model = self.get_output("Model")
        self.assertEqual(model.domain.class_var, self.data.domain.class_var)
        np.testing.assert_allclose(
            model(self.data, model.Probs),
            np.column_stack([predictions.get_column(f"p({c})") for c in "abc"]),
            atol=1e-6,
        )

    def test_names_are_read_whole(self) -> None:
        title = "a network with quite a long name for its images, compressed"
        named = replace(
            self.networks[0], card=replace(self.networks[0].card, title=title)
        )
        self.send(self.data, self.networks[0], named)
        widget, table = self.widget, self.widget.table
        widget.show()
        needs = table.fontMetrics().horizontalAdvance(title)
        for width in (640, 1600, 640):
            widget.resize(width, 400)
            self.process_events()
            self.assertGreater(table.columnWidth(0), needs)
            total = table.horizontalHeader().length()
            self.assertGreaterEqual(total, table.viewport().width())
        header = table.horizontalHeaderItem(6)
        self.assertEqual(header.text(), "Size in memory")
        self.assertIn("file", header.toolTip())
        widget.close()

    def test_one_network(self) -> None:
        self.send(self.data, self.networks[0])
        self.assertEqual([row[0] for row in self.cells()], ["My cells"])
        self.assertFalse(self.widget.table.item(0, 0).font().bold())
        self.assertIsNotNone(self.get_output("Model"))

    def test_networks_without_images_give_a_model(self) -> None:
        self.send(None, *self.networks)
        self.assertEqual(self.widget.info_label.text(), "Connect labelled images.")
        model = self.get_output("Model")
        self.assertEqual(len(model.networks), 2)
        self.assertIsNone(self.get_output("Evaluation"))
        self.assertTrue(self.widget.views_combo.isEnabled())

    def test_networks_come_and_go(self) -> None:
        self.send(self.data, *self.networks)
        self.send_signal(self.widget.Inputs.networks, None, 0)
        self.finish()
        self.assertEqual(len(self.cells()), 1)
        self.assertEqual(self.cells()[0][0], "Second")
        self.send_signal(self.widget.Inputs.networks, None, 1)
        self.finish()
        self.assertEqual(self.cells(), [])
        self.assertIsNone(self.get_output("Model"))
        self.assertEqual(
            self.widget.info_label.text(), "Connect networks and labelled images."
        )

    def test_views_that_all_have(self) -> None:
        combo = self.widget.views_combo
        self.send(self.data, self.networks[0])
        keys = [combo.itemData(row) for row in range(combo.count())]
        self.assertEqual(keys, [1, 2, 8, 10, 12, 144])
        self.send_signal(
            self.widget.Inputs.networks, network_of(size=(16, 24), title="Long"), 1
        )
        self.finish()
        keys = [combo.itemData(row) for row in range(combo.count())]
        self.assertEqual(keys, [1, 2, 10, 12, 144])
        before = self.get_output("Evaluation").get_column("log loss")
        self.choose(combo, 10)
        self.finish()
        after = self.get_output("Evaluation")
        self.assertEqual([str(v) for v in after.get_column("views")], ["10"] * 3)
        self.assertGreater(np.abs(after.get_column("log loss") - before).max(), 1e-6)
        self.assertEqual(self.get_output("Model").views, 10)

    def test_views_of_a_workflow_stay(self) -> None:
        self.widget = self.create_widget(
            OWEvaluateNetworks, stored_settings={"views": "dense"}
        )
        self.send(self.data, self.networks[0])
        self.assertTrue(self.widget.Error.failed.is_shown())
        self.assertIn("not available", self.widget.views_combo.currentText())
        large = network_of(size=(224, 224))
        self.send_signal(self.widget.Inputs.networks, large, 0)
        self.finish()
        self.assertFalse(self.widget.Error.failed.is_shown())
        views = self.get_output("Evaluation").get_column("views")
        self.assertEqual([*map(str, views)], ["dense"])

    def test_what_is_left_out_is_told(self) -> None:
        (self.home / "a" / "1.png").write_text("no picture")
        self.send(self.data, network_of(classes=("a", "b")))
        text = str(self.widget.Warning.left_out)
        self.assertIn("3 of 5 images are left out", text)
        self.assertIn("My cells does not know the class c (2 ×)", text)
        self.assertIn("A text file, not an image (1 ×)", text)
        self.assertEqual(self.widget.info_label.text(), "Tried on 2 images.")

    def test_other_classes_are_no_ensemble(self) -> None:
        self.send(self.data, self.networks[0], network_of(classes=("a", "b", "c", "d")))
        self.assertTrue(self.widget.Information.no_ensemble.is_shown())
        self.assertEqual(len(self.cells()), 2)
        self.assertIsNone(self.get_output("Model"))

    def test_data_that_will_not_do(self) -> None:
        self.send(Table("iris"), self.networks[0])
        self.assertTrue(self.widget.Error.no_image_column.is_shown())
        no_class = self.data.transform(Domain([], None, self.data.domain.metas))
        self.send_signal(self.widget.Inputs.data, no_class)
        self.finish()
        self.assertFalse(self.widget.Error.no_image_column.is_shown())
        self.assertIn("no categorical class", str(self.widget.Error.failed))
        self.send_signal(self.widget.Inputs.data, self.data)
        self.finish()
        self.assertFalse(self.widget.Error.failed.is_shown())
        self.assertEqual(len(self.cells()), 1)
        self.send_signal(self.widget.Inputs.data, self.data[:0])
        self.finish()
        self.assertEqual(self.cells(), [])

    def test_cancelled_and_continued(self) -> None:
        started = []

        def slow(networks, data, column, views, state):  # type: ignore[no-untyped-def]
            started.append(views)
            while not state.is_interruption_requested():
                pass

        with patch.object(owevaluatenetworks, "run_evaluate", slow):
            self.send_signal(self.widget.Inputs.data, self.data)
            self.send_signal(self.widget.Inputs.networks, self.networks[0], 0)
            self.process_events(lambda: started, _LONG)
            self.assertTrue(self.widget.cancel_button.isEnabled())
            self.widget.cancel_button.click()
        self.finish()
        self.assertTrue(self.widget.Information.cancelled.is_shown())
        self.assertEqual(self.widget.cancel_button.text(), "Go &on")
        self.assertIsNone(self.get_output("Evaluation"))
        self.widget.cancel_button.click()
        self.finish()
        self.assertEqual(len(self.cells()), 1)
        self.assertFalse(self.widget.cancel_button.isEnabled())

    def test_nothing_is_left_in_the_users_folder(self) -> None:
        self.send(self.data, *self.networks)
        self.assertEqual([*trained_module.kept_networks()], [])

    def test_report(self) -> None:
        self.send(self.data, *self.networks)
        self.widget.send_report()
        self.assertIn("Ensemble", self.widget.report_html)

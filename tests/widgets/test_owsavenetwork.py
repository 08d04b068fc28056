from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

from AnyQt.QtWidgets import QMessageBox
from Orange.widgets.tests import base
from trained_networks import compressed_network, network_of

from orangecontrib.imagemining.embedders.catalog import name_of_file, network_from
from orangecontrib.imagemining.embedders.onnxexport import export_onnx
from orangecontrib.imagemining.weights.cards import card_path, load_card
from orangecontrib.imagemining.weights.image_network import AnyNetwork, ImageNetwork
from orangecontrib.imagemining.weights.network_file import (
    load_network_file,
    save_network,
)
from orangecontrib.imagemining.widgets import owsavenetwork
from orangecontrib.imagemining.widgets.owsavenetwork import OWSaveNetwork
from orangecontrib.imagemining.widgets.utils.networkfiles import megabytes

_LONG = 60_000  # ms; a busy machine is no reason to fail
_YES, _NO = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No


class TestOWSaveNetwork(base.WidgetTest):
    def setUp(self) -> None:
        self.widget: OWSaveNetwork = self.create_widget(OWSaveNetwork)
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        self.path = self.home / "cells.safetensors"
        self.network = network_of()

    def send(self, network: AnyNetwork | None) -> None:
        self.send_signal(self.widget.Inputs.network, network)
        self.finish()

    def finish(self) -> None:
        self.process_events(lambda: self.widget.task is None, _LONG)

    def save(self, path: Path | None = None) -> None:
        """Save as to that file, as the dialog would; or to the same one again."""
        if path is None:
            self.widget.bt_save.click()
        else:
            kinds = {suffix: kind for kind, suffix in owsavenetwork._SUFFIXES.items()}
            kind = kinds[path.suffix]
            with patch.object(
                OWSaveNetwork, "get_save_filename", return_value=(str(path), kind)
            ):
                self.widget.save_file_as()
        self.finish()

    def asked(self, answer: object) -> object:
        return patch.object(QMessageBox, "question", return_value=answer)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.home.iterdir())

    # what is written ---------------------------------------------------------

    def test_nothing_at_first(self) -> None:
        self.assertFalse(self.widget.bt_save.isEnabled())
        self.assertFalse(self.widget.cancel_button.isEnabled())
        self.assertIn("No network yet", self.widget.network_label.text())

    def test_saved_with_its_card(self) -> None:
        self.send(self.network)
        self.assertIn("My cells", self.widget.network_label.text())
        self.assertIn("3: a, b, c", self.widget.network_label.text())
        self.save(self.path)
        loaded = load_network_file(self.path)
        self.assertEqual(loaded, self.network)
        self.assertEqual(loaded.card.layers[0].name, "logits")
        text = self.widget.info_label.text()
        self.assertTrue(text.startswith("Saved cells.safetensors, "), text)
        self.assertTrue(text.endswith(" kB."), text)
        self.assertEqual(self.files(), ["cells.safetensors"])

    def test_saved_for_other_programs(self) -> None:
        path = self.home / "cells.onnx"
        self.send(self.network)
        self.save(path)
        self.assertEqual(self.files(), ["cells.onnx", "cells.onnx.json"])
        self.assertEqual(load_card(path).classes, ("a", "b", "c"))
        self.assertIn("cells.onnx and its card", self.widget.info_label.text())

    def test_onnx_networks_are_copied(self) -> None:
        source = self.home / "first.onnx"
        export_onnx(self.network, source)
        network = network_from(name_of_file(source))
        self.send(network)
        self.assertEqual(self.widget.valid_filters(), [owsavenetwork._ONNX])
        self.assertEqual(self.widget.default_valid_filter(), owsavenetwork._ONNX)
        self.save(self.home / "second.onnx")
        self.assertEqual((self.home / "second.onnx").read_bytes(), source.read_bytes())
        self.save(self.path)
        self.assertIn("as ONNX only", str(self.widget.Error.failed))
        self.assertTrue(self.widget.Error.failed.is_shown())
        self.assertFalse(self.path.exists())

    def test_name_is_suggested(self) -> None:
        self.send(network_of(title='a/b: "c"?'))
        start = self.widget.initial_start_dir()
        self.assertEqual(os.path.basename(start), "a_b_ _c_.safetensors")
        self.widget.filter = owsavenetwork._ONNX
        start = self.widget.initial_start_dir()
        self.assertEqual(os.path.basename(start), "a_b_ _c_.onnx")

    def test_pruned_networks_are_compressed_ones(self) -> None:
        # their zeros are written as any other numbers, but for a compressed file
        recipe = {"compression": {"steps": [{"kind": "prune"}]}}
        self.send(network_of(recipe=recipe))
        self.finish()
        self.assertIn(" as .imnet, ", self.widget.network_label.text())
        start = self.widget.initial_start_dir()
        self.assertEqual(os.path.basename(start), "My cells.imnet")

    def test_compressed_networks_are_measured_and_saved_as_such(self) -> None:
        self.widget.filter = owsavenetwork._ONNX
        self.send_signal(self.widget.Inputs.network, compressed_network())
        self.assertIn("being measured", self.widget.network_label.text())
        self.assertTrue(self.widget.bt_save.isEnabled())
        self.finish()
        start = self.widget.initial_start_dir()
        self.assertEqual(os.path.basename(start), "My cells.imnet")
        path = self.home / "cells.imnet"
        self.save(path)
        size = megabytes(path.stat().st_size)
        text = self.widget.network_label.text()
        times = compressed_network().n_bytes / path.stat().st_size
        self.assertIn(f"Compressed: {size} as .imnet, {times:.1f} × smaller", text)
        self.assertIn(f"Saved cells.imnet, {size}.", self.widget.info_label.text())
        loaded = load_network_file(path)
        self.assertEqual(loaded, compressed_network())
        self.assertEqual([*loaded.stored], [*compressed_network().stored])
        # the other kinds stay possible, and the file that was chosen is kept to
        self.save(self.path)
        self.assertEqual(load_network_file(self.path), compressed_network())
        self.assertEqual(self.widget.default_valid_filter(), owsavenetwork._OWN)
        self.send(self.network)
        self.assertNotIn("Compressed", self.widget.network_label.text())

    def test_compressed_is_not_the_default_for_others(self) -> None:
        self.widget.filter = owsavenetwork._COMPRESSED
        self.send(self.network)
        self.assertEqual(self.widget.default_valid_filter(), owsavenetwork._OWN)
        self.assertIn(owsavenetwork._COMPRESSED, self.widget.valid_filters())

    def test_measuring_can_be_ended(self) -> None:
        def slow(network, state):  # type: ignore[no-untyped-def]
            while not state.is_interruption_requested():
                pass

        with patch.object(owsavenetwork, "run_measure", slow):
            self.send_signal(self.widget.Inputs.network, compressed_network())
            self.widget.cancel_button.click()
            self.assertIn("Compressed: yes", self.widget.network_label.text())
            self.assertIn("Nothing saved yet", self.widget.info_label.text())
            self.send_signal(self.widget.Inputs.network, compressed_network())
            self.save(self.home / "cells.imnet")
        self.assertEqual(self.files(), ["cells.imnet"])

    # what is there already ---------------------------------------------------

    def test_own_file_is_replaced_without_a_question(self) -> None:
        self.send(self.network)
        self.save(self.path)
        other = network_of(seed=1)
        self.send(other)
        with self.asked(_NO) as question:
            self.save()
        question.assert_not_called()
        self.assertEqual(load_network_file(self.path), other)

    def test_file_that_has_changed_is_asked_about(self) -> None:
        self.send(self.network)
        self.save(self.path)
        self.path.write_text("somebody else's")
        with self.asked(_NO) as question:
            self.save()
        question.assert_called_once()
        self.assertIn("cells.safetensors is in this folder", question.call_args[0][2])
        self.assertEqual(self.path.read_text(), "somebody else's")
        self.assertEqual(self.widget.info_label.text(), "Nothing was saved.")
        with self.asked(_YES):
            self.save()
        self.assertEqual(load_network_file(self.path), self.network)

    def test_card_is_asked_about_too(self) -> None:
        path = self.home / "cells.onnx"
        export_onnx(self.network, path)
        path.unlink()
        self.send(network_of(title="Second"))
        with self.asked(_NO) as question:
            self.save(path)
        self.assertIn("cells.onnx.json is in", question.call_args[0][2])
        self.assertEqual(self.files(), ["cells.onnx.json"])
        with self.asked(_YES):
            self.save(path)
        self.assertEqual(load_card(path).title, "Second")

    def test_what_is_no_card_stays(self) -> None:
        path = self.home / "cells.onnx"
        card_path(path).write_text("notes")
        self.send(self.network)
        with self.asked(_YES):
            self.save(path)
        self.assertTrue(self.widget.Error.failed.is_shown())
        self.assertEqual(card_path(path).read_text(), "notes")
        self.assertEqual(self.files(), ["cells.onnx.json"])

    def test_saved_automatically(self) -> None:
        self.send(self.network)
        self.save(self.path)
        self.widget.auto_save = True
        other = network_of(seed=1)
        self.send(other)
        self.assertEqual(load_network_file(self.path), other)
        self.path.write_text("somebody else's")
        with self.asked(_YES) as question:
            self.send(self.network)
        question.assert_not_called()
        self.assertTrue(self.widget.Warning.exists.is_shown())
        self.assertEqual(self.path.read_text(), "somebody else's")

    def test_workflow_remembers_the_file(self) -> None:
        self.send(self.network)
        self.save(self.path)
        settings = self.widget.settingsHandler.pack_data(self.widget)
        self.assertEqual(settings["stored_name"], "cells.safetensors")
        again = self.create_widget(OWSaveNetwork, stored_settings=settings)
        self.assertEqual(again.filename, str(self.path))
        self.assertEqual(again.bt_save.text(), "Save as cells.safetensors")

    # what goes wrong ---------------------------------------------------------

    def test_no_folder(self) -> None:
        self.send(self.network)
        self.save(self.home / "gone" / "cells.safetensors")
        self.assertTrue(self.widget.Error.no_folder.is_shown())
        self.save(self.path)
        self.assertFalse(self.widget.Error.no_folder.is_shown())
        self.assertTrue(self.path.exists())

    def test_failed_networks(self) -> None:
        tensors = {name: t.copy() for name, t in self.network.tensors.items()}
        tensors["classifier.bias"][0] = float("nan")
        self.send(ImageNetwork(self.network.card, tensors))
        self.save(self.path)
        self.assertIn("training has failed", str(self.widget.Error.failed))
        self.assertEqual(self.files(), [])
        self.send(self.network)
        self.assertFalse(self.widget.Error.failed.is_shown())

    def test_cancelled(self) -> None:
        save_network(network_of(seed=1), self.path)
        before = self.path.read_bytes()
        self.send(self.network)
        started = []

        def slow(network, path, state):  # type: ignore[no-untyped-def]
            started.append(path)
            while not state.is_interruption_requested():
                pass

        kind = owsavenetwork._OWN
        with (
            patch.object(owsavenetwork, "run_save", slow),
            patch.object(
                OWSaveNetwork, "get_save_filename", return_value=(str(self.path), kind)
            ),
        ):
            self.widget.save_file_as()
            self.process_events(lambda: started, _LONG)
            self.assertFalse(self.widget.bt_save.isEnabled())
            self.widget.cancel_button.click()
        self.finish()
        self.assertEqual(self.widget.info_label.text(), "Cancelled. Nothing was saved.")
        self.assertTrue(self.widget.bt_save.isEnabled())
        self.assertEqual(self.path.read_bytes(), before)

    def test_report(self) -> None:
        self.send(self.network)
        self.save(self.path)
        self.widget.send_report()
        self.assertIn("cells.safetensors", self.widget.report_html)

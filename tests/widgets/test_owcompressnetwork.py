from __future__ import annotations

import shutil
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import pytest
import torch
from conftest import wait_for
from Orange.data import Domain, Table
from Orange.widgets.tests import base
from test_owtrainnetwork import write_images
from trained_networks import network_of

from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    Distil,
    FineTune,
    Half,
    LowBits,
    Prune,
    Share,
    plan_to_json,
)
from orangecontrib.imagemining.compression.presets import DEFAULT_PRESET, PRESETS
from orangecontrib.imagemining.compression.results import Candidate
from orangecontrib.imagemining.embedders.trained import lent_network
from orangecontrib.imagemining.training.plan import Augmentation
from orangecontrib.imagemining.weights.compressed_file import compressed_size
from orangecontrib.imagemining.weights.image_network import OnnxNetwork
from orangecontrib.imagemining.widgets.owcompressnetwork import OWCompressNetwork
from orangecontrib.imagemining.widgets.utils import (
    compressstore,
    publishednetwork,
    trainstore,
)
from orangecontrib.imagemining.widgets.utils.compresschoices import CUSTOM, Choices
from orangecontrib.imagemining.widgets.utils.compressfields import (
    LAYER_FIELDS,
    PLAN_FIELDS,
    fields_of,
)
from orangecontrib.imagemining.widgets.utils.compresspanel import PlanDialog
from orangecontrib.imagemining.widgets.utils.compresssteps import StepDialog, new_step
from orangecontrib.imagemining.widgets.utils.compresstables import TrailTable
from orangecontrib.imagemining.widgets.utils.compresstexts import (
    ABOUT_STEPS,
    STEP_TITLES,
    points,
    size,
)
from orangecontrib.imagemining.widgets.utils.compresswork import Restored
from orangecontrib.imagemining.widgets.utils.publishednetwork import choice_problem

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:Orange")

CLASSES = ("blue", "green", "red")
#: A compression of a moment: three networks on the way of 435 numbers.
STEPS = (Prune(share=0.6, by="layer", rounds=2, epochs=1), Share(bits=4, epochs=0))


def custom(*steps: Any, **choices: Any) -> dict[str, Any]:
    """Return choices as a workflow has them, with these steps."""
    plan = CompressionPlan(
        steps=steps or STEPS,
        batch=8,
        precision="float32",
        device="cpu",
        augmentation=Augmentation(mirror=False),
    )
    stored = {"preset": CUSTOM, "custom": plan_to_json(plan), "goal": "any"}
    return {**stored, **choices}


class CompressTest(base.WidgetTest):
    __test__ = False  # its heirs are

    def setUp(self) -> None:
        self.addCleanup(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)
        shutil.rmtree(trainstore.training_folder(), ignore_errors=True)
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.data = write_images(self.folder / "a", {"red": 6, "green": 6, "blue": 6})
        self.network = network_of(classes=CLASSES)

    def create(self, choices: dict | None = None, **settings: Any) -> OWCompressNetwork:
        stored = {"choices": custom() if choices is None else choices, **settings}
        widget = self.create_widget(OWCompressNetwork, stored_settings=stored)
        self.settle(widget)
        return widget

    def give(self, widget: OWCompressNetwork, **inputs: object) -> None:
        for name, value in inputs.items():
            signal = getattr(widget.Inputs, name)
            self.send_signal(signal, value, widget=widget)
        self.settle(widget)

    def settle(self, widget: OWCompressNetwork) -> None:
        wait_for(
            lambda: (
                not widget.background.is_busy
                and not widget._timer.isActive()
                and (widget.task is None or widget.job is not None)
            )
        )

    def compress(self, widget: OWCompressNetwork) -> None:
        self.assertTrue(widget.start_button.isEnabled(), widget.facts.problem)
        widget.start_button.click()
        wait_for(lambda: widget.job is None and widget.task is None, 60)
        self.settle(widget)

    def out(self, widget: OWCompressNetwork) -> tuple:
        outputs = widget.Outputs
        return tuple(
            self.get_output(output, widget=widget)
            for output in (outputs.network, outputs.report, outputs.trail)
        )


class TestCompressing(CompressTest):
    __test__ = True

    def test_compresses_when_asked_and_not_before(self) -> None:
        widget = self.create()
        self.give(widget, network=self.network, data=self.data)
        self.assertIsNone(widget.job)
        self.assertEqual(self.out(widget), (None, None, None))
        self.assertIn("18 images of 3 classes", widget.view.facts_label.text())
        self.compress(widget)
        network, report, trail = self.out(widget)
        self.assertEqual(network.classes, CLASSES)
        # as many zeros, and as few values, as the steps say
        weights = network.tensors["body.0.weight"]
        self.assertAlmostEqual((weights == 0).mean(), 0.6, delta=0.02)
        self.assertLessEqual(len(np.unique(weights)), 16)
        candidates = widget.view.trail
        self.assertEqual([each.step for each in candidates], [0, 1, 1, 2])
        np.testing.assert_array_equal(
            trail.get_column("bytes"), [each.n_bytes for each in candidates]
        )
        self.assertEqual(list(trail.get_column("chosen")), ["", "", "", "result"])
        # what is said of the layers is what the network has
        n_zeros = sum(int((tensor == 0).sum()) for tensor in network.tensors.values())
        before, after = (
            report.get_column(f"parameters {when}").sum()
            for when in ("before", "after")
        )
        self.assertEqual(before - after, n_zeros)
        table = widget.view.layers_table
        self.assertEqual(table.rowCount(), len(report) + 1)
        self.assertEqual(table.item(len(report), 5).text(), f"{int(after):,}")
        self.assertIn("Result (3, Share values, 4 bits)", self.figures(widget))
        x, y = widget.view.plot.points.getData()
        np.testing.assert_allclose(10**x, trail.get_column("bytes"))
        np.testing.assert_allclose(y, 100 * trail.get_column("top-1"))
        self.assertEqual(lent_network(network.name), network)  # embedding finds it

    def figures(self, widget: OWCompressNetwork) -> str:
        return widget.view.figures_label.text()

    def test_no_images_and_the_name(self) -> None:
        widget = self.create({"preset": "Half precision", "title": "Small cells"})
        self.give(widget, network=self.network)
        self.assertIn("No images", widget.view.facts_label.text())
        self.compress(widget)
        network, _, _ = self.out(widget)
        self.assertEqual(network.title, "Small cells")
        before = self.network.tensors["body.0.weight"]
        np.testing.assert_array_equal(
            network.tensors["body.0.weight"],
            before.astype(np.float16).astype(np.float32),
        )
        self.assertLess(compressed_size(network), compressed_size(self.network))
        self.assertEqual(widget.view.trail_table.item(1, 4).text(), "–")
        drawn = widget.view.plot.points.getData()  # sizes alone are drawn
        sizes = [each.n_bytes for each in widget.view.trail]
        np.testing.assert_allclose(10 ** drawn[0], sizes)
        np.testing.assert_array_equal(drawn[1], 0)
        widget.panel.name_edit.setText("Other cells")
        widget.panel.renamed.emit()
        self.assertEqual(self.out(widget)[0].title, "Other cells")
        self.assertTrue(self.out(widget)[0].stored)

    def test_without_classes_its_own_answers_are_followed(self) -> None:
        domain = self.data.domain
        bare = self.data.transform(Domain([], [], domain.metas))
        widget = self.create(custom(FineTune(epochs=1)))
        self.give(widget, network=self.network, data=bare, validation=bare[:5])
        self.assertIn("own answers are followed", widget.view.facts_label.text())
        self.assertIn("5 others", widget.view.facts_label.text())
        self.compress(widget)
        self.assertEqual(widget.view.trail[0].accuracy, 1)
        self.assertIn("same answers", widget.view.figures_label.text())

    def test_another_network_on_the_way_is_taken(self) -> None:
        widget = self.create()
        self.give(widget, network=self.network, data=self.data)
        self.compress(widget)
        widget.view.plot.clicked.emit(1)
        wait_for(lambda: widget.task is None)
        network, report, trail = self.out(widget)
        weights = network.tensors["body.0.weight"]
        share = (weights == 0).mean()
        self.assertLess(share, 0.59)
        self.assertAlmostEqual(report.get_column("sparsity")[1], share, places=6)
        self.assertEqual(list(trail.get_column("chosen")), ["", "result", "", ""])
        self.assertIn("Result (1,", self.figures(widget))
        widget.view.trail_table.taken.emit(0)
        wait_for(lambda: widget.task is None)
        self.assertEqual(self.out(widget)[0], self.network)
        # one that is not there any more is told, and changes nothing
        gone = [replace(e, network=None) for e in widget.outcome.compressed.trail]
        widget.outcome.compressed.trail[:] = gone
        widget.view.plot.clicked.emit(2)
        self.assertTrue(widget.Information.not_held.is_shown())
        self.assertEqual(self.out(widget)[0], self.network)

    def test_stop_keeps_the_best_so_far(self) -> None:
        widget = self.create(custom(Prune(by="layer", rounds=1), FineTune(epochs=9999)))
        self.give(widget, network=self.network, data=self.data)
        widget.start_button.click()
        wait_for(lambda: len(widget.view.trail) > 1)
        self.assertIn("Pause", widget.start_button.text())
        self.assertFalse(widget.panel.isEnabled())
        widget.start_button.click()
        self.assertIn("Continue", widget.start_button.text())
        widget.stop_button.click()
        wait_for(lambda: widget.job is None and widget.task is None)
        self.settle(widget)
        network = self.out(widget)[0]
        self.assertGreater((network.tensors["body.0.weight"] == 0).mean(), 0.5)
        self.assertIn("Stopped", widget.view.state_label.text())
        self.assertIsNone(compressstore.find(widget.facts.key))

    def test_start_takes_what_was_chosen_a_moment_ago(self) -> None:
        widget = self.create(custom(Half(), goal="size"))
        self.give(widget, network=self.network, data=self.data)
        widget.panel.size_spin.setValue(3)
        widget.start_button.click()
        wait_for(lambda: widget.outcome is not None, 60)
        self.settle(widget)
        self.assertEqual(widget.outcome.plan.target_bytes, 3000)
        self.assertFalse(widget.Information.other_data.is_shown())

    def test_a_narrow_table_hides_no_words(self) -> None:
        table = TrailTable()
        trail = [Candidate(0, "as it was", 100, 25, 0.5, 1.0, 0.0)]
        table.show_trail(trail, None, 100)
        table.resize(2000, 200)
        table.grab()  # lays it out
        self.assertGreater(table.columnWidth(1), 1000)
        table.resize(150, 200)
        table.grab()
        self.assertGreaterEqual(table.columnWidth(1), table.sizeHintForColumn(1))

    def test_stops_where_other_images_come(self) -> None:
        widget = self.create(custom(FineTune(epochs=9999)))
        self.give(widget, network=self.network, data=self.data)
        widget.start_button.click()
        wait_for(lambda: len(widget.view.trail))
        self.give(widget, data=self.data[:9])
        self.assertIsNone(widget.job)
        self.assertTrue(widget.Information.other_data.is_shown())
        self.assertTrue(widget.start_button.isEnabled())
        self.assertEqual(self.out(widget), (None, None, None))

    def test_an_opened_workflow_has_its_network(self) -> None:
        widget = self.create(automatic=True)
        self.give(widget, network=self.network, data=self.data)
        wait_for(lambda: widget.outcome is not None, 60)
        self.settle(widget)
        network, report, trail = self.out(widget)
        settings = widget.settingsHandler.pack_data(widget)
        again = self.create_widget(OWCompressNetwork, stored_settings=settings)
        self.give(again, network=self.network, data=self.data)
        wait_for(lambda: again.outcome is not None)
        self.assertIsInstance(again.outcome, Restored)
        self.assertTrue(again.Information.restored.is_shown())
        other, other_report, other_trail = self.out(again)
        self.assertEqual(other, network)
        self.assertEqual(set(other.stored), set(network.stored))
        np.testing.assert_array_equal(other_report.X, report.X)
        np.testing.assert_array_equal(other_trail.X, trail.X)
        again.view.plot.clicked.emit(1)  # but the networks on the way are gone
        self.assertTrue(again.Information.not_held.is_shown())
        # what is kept is damaged: it is told, and can be compressed anew
        path = trainstore.training_folder() / f"{again.facts.key}.imnet"
        path.write_bytes(path.read_bytes()[:-3])
        third = self.create_widget(OWCompressNetwork, stored_settings=settings)
        third.automatic = False
        self.give(third, network=self.network, data=self.data)
        self.assertTrue(third.Error.failed.is_shown())
        self.compress(third)
        self.assertEqual(self.out(third)[0], network)

    def test_other_settings_leave_what_goes_out(self) -> None:
        widget = self.create(custom(Half()))
        self.give(widget, network=self.network)
        self.compress(widget)
        before = self.out(widget)[0]
        widget.panel.steps.add(Share(bits=8))
        self.settle(widget)
        self.assertTrue(widget.Error.plan.is_shown())  # it cannot come after Half
        widget.panel.steps.move_by(-1)
        self.settle(widget)
        self.assertFalse(widget.Error.plan.is_shown())
        self.assertTrue(widget.Information.other_settings.is_shown())
        self.assertIs(self.out(widget)[0], before)
        self.give(widget, network=None)
        self.assertIsNone(self.out(widget)[0])


class TestBadInput(CompressTest):
    __test__ = True

    def test_no_network(self) -> None:
        widget = self.create()
        self.assertEqual([*widget.Error.active], [])  # new, and without any images
        self.give(widget, data=self.data)
        self.assertIn("Connect a network", str(widget.Information.no_network))
        self.assertFalse(widget.start_button.isEnabled())
        self.assertIn("no published network", choice_problem("moon", None))
        onnx = OnnxNetwork("onnx:/there/cells.onnx", "Cells", CLASSES)
        self.give(widget, network=onnx)
        self.assertIn("ONNX", str(widget.Error.network))
        self.assertFalse(widget.start_button.isEnabled())

    def test_published_networks(self) -> None:
        # they are not on every computer that tests
        read = Mock(return_value=self.network)
        with (
            patch.object(publishednetwork, "is_here", lambda card: "VGG" in card.title),
            patch.object(publishednetwork.catalog, "network_from", read),
        ):
            items = list(publishednetwork.published_items().values())
            self.assertIn("VGG", items[0])
            self.assertIn("(not downloaded)", items[-1])
            self.assertIn("Download", choice_problem("squeezenet1_1", None))
            widget = self.create(custom(Half(), network="vgg16"))
            self.assertIs(widget.facts.network, self.network)
            widget.panel.validation_spin.setValue(33)
            self.settle(widget)
            read.assert_called_once_with("vgg16")  # not anew at each choice
            self.compress(widget)
            self.assertEqual(self.out(widget)[0].classes, CLASSES)
            # what is connected is meant, unless a published one was chosen beside it
            self.give(widget, network=network_of(seed=1))
            self.assertEqual(widget.panel.choices.network, publishednetwork.GIVEN)
            stored = {"choices": custom(network="vgg16"), "was_given": True}
            again = self.create_widget(OWCompressNetwork, stored_settings=stored)
            self.give(again, network=network_of(seed=1))
            self.assertEqual(again.panel.choices.network, "vgg16")

    def test_images_that_do_not_do(self) -> None:
        widget = self.create()
        self.give(widget, network=self.network)
        self.assertIn("needs images", str(widget.Error.plan))
        self.give(widget, data=self.data[:0])
        self.assertIn("no rows", str(widget.Error.data))
        self.give(widget, data=Table("iris"))
        self.assertIn("no column of images", str(widget.Error.data))
        others = write_images(self.folder / "b", {"red": 2, "pink": 2, "teal": 2})
        self.give(widget, data=others)
        self.assertIn("does not know pink, teal", str(widget.Error.data))
        self.assertFalse(widget.start_button.isEnabled())
        self.give(widget, data=self.data, validation=others)
        self.assertIn("Validation Data: ", str(widget.Error.data))
        self.give(widget, validation=None)
        self.assertTrue(widget.start_button.isEnabled())

    def test_unreadable_images_are_counted(self) -> None:
        (self.folder / "a" / "red" / "0.png").write_bytes(b"no picture")
        widget = self.create(custom(Share(bits=8)))
        self.give(widget, network=self.network, data=self.data)
        self.compress(widget)
        self.assertIn("1 of 18 images left out", str(widget.Warning.left_out))
        for path in (self.folder / "a").rglob("*.png"):
            path.write_bytes(b"no picture")
        widget = self.create(custom(Share(bits=7)))
        self.give(widget, network=self.network, data=self.data)
        self.compress(widget)
        self.assertIn("No image can be read", str(widget.Error.failed))
        self.assertEqual(self.out(widget), (None, None, None))
        self.give(widget, data=self.data[:9])  # what was told is of other images
        self.assertFalse(widget.Error.failed.is_shown())

    def test_impossible_target_is_told_with_the_nearest(self) -> None:
        widget = self.create(custom(Half(), goal="size", kilobytes=0.2))
        self.give(widget, network=self.network)
        self.compress(widget)
        nearest = min(each.n_bytes for each in widget.view.trail)
        self.assertIn(f"{nearest:,}", str(widget.Warning.missed))
        self.assertIn("not reached", str(widget.Warning.missed))
        self.give(widget, network=network_of(seed=1))
        self.assertFalse(widget.Warning.missed.is_shown())


class TestChoices(CompressTest):
    __test__ = True

    def test_every_preset_is_shown_and_stored_by_name(self) -> None:
        widget = self.create({})
        panel = widget.panel
        for name, preset in PRESETS.items():
            panel.preset_combo.setCurrentIndex(panel.preset_combo.findData(name))
            panel.preset_combo.activated.emit(panel.preset_combo.currentIndex())
            self.assertEqual(panel.steps.steps, preset.plan.steps)
            self.assertEqual(panel.note.text(), preset.about)
            settings = widget.settingsHandler.pack_data(widget)
            again = Choices.of(settings["choices"])
            self.assertEqual(again.plan(), panel.choices.plan())
            self.assertEqual(again.plan().tolerance, preset.plan.tolerance)

    def test_an_edited_preset_becomes_custom(self) -> None:
        widget = self.create({})
        panel = widget.panel
        steps = panel.steps
        last = len(steps.steps) - 1
        steps.list.setCurrentRow(last)
        dialog = StepDialog(None, steps.steps[last], [("features.0", (6, 3, 3, 3))])
        dialog.grid.editors["bits"].setText("5")
        dialog.grid.editors["bits"].editingFinished.emit()
        dialog.layers.item(0, 2).setText("7")
        steps.replace(last, dialog.step())
        self.assertEqual(panel.choices.preset, CUSTOM)
        self.assertEqual(panel.preset_combo.currentText(), "Custom")
        steps.list.setCurrentRow(0)
        steps.remove()
        steps.add(new_step(LowBits))
        steps.move_by(-1)
        settings = widget.settingsHandler.pack_data(widget)
        again = self.create(settings["choices"]).panel.choices
        kinds = [type(step) for step in again.plan().steps]
        self.assertEqual(kinds, [type(step) for step in steps.steps])
        (shared,) = [step for step in again.plan().steps if isinstance(step, Share)]
        self.assertEqual((shared.bits, dict(shared.layer_bits)), (5, {"features.0": 7}))

    def test_what_cannot_be_used_is_replaced_and_told(self) -> None:
        newer = custom()
        newer["custom"]["steps"].append({"kind": "teleport", "epochs": 1})
        wrong = custom(Prune(share="much"))
        none = {"preset": CUSTOM, "custom": 3}
        for stored in (newer, wrong, none, {"preset": "Deepest"}):
            widget = self.create(stored)
            self.assertEqual(widget.panel.choices.preset, DEFAULT_PRESET)
            self.assertTrue(widget.Warning.settings.is_shown())
        strange = {"goal": "moon", "points": -1, "minutes": "x", "limited": 1}
        self.assertEqual(Choices.of(strange), Choices())
        self.assertEqual(Choices.of("nothing"), Choices())

    def test_every_number_can_be_changed(self) -> None:
        for kind in STEP_TITLES:
            step = new_step(kind)
            shown = {field.name for field in fields_of(step)}
            if kind in LAYER_FIELDS:
                shown.add(LAYER_FIELDS[kind][0])
            if kind is Distil:
                shown.add("options")
            if kind is Half:
                shown.add("epochs")  # there is nothing to train
            self.assertEqual(shown, {field.name for field in fields(kind)})
            self.assertEqual(StepDialog(None, step).step(), step)
            self.assertIn(kind, ABOUT_STEPS)
        plan = replace(CompressionPlan(), temperature=3.0, batch=7, distil=False)
        dialog = PlanDialog(None, plan)
        self.assertEqual(dialog.plan(), plan)
        self.assertEqual(len(dialog.grids), 4)
        self.assertTrue(all(hasattr(plan, field.name) for field in PLAN_FIELDS))

    def test_distillation_into_a_design(self) -> None:
        dialog = StepDialog(None, Distil(network="squeezenet1_1"))
        editor = dialog.design.editors["squeeze_ratio"]
        editor.setText("0.25")
        editor.editingFinished.emit()
        self.assertEqual(dict(dialog.step().options), {"squeeze_ratio": 0.25})


def test_words() -> None:
    assert [size(n) for n in (421, 4_210, 663_100, 4_940_000, 553e6)] == [
        "421 B",
        "4.21 kB",
        "663 kB",
        "4.94 MB",
        "553 MB",
    ]
    assert [points(x) for x in (0.004, -0.002, -0.0001, float("nan"))] == [
        "0.4",
        "−0.2",
        "0.0",
        "–",
    ]

from __future__ import annotations

import math
import pickle
import shutil
import tempfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from conftest import wait_for
from Orange.data import DiscreteVariable, Domain, Table
from Orange.widgets.evaluate.owpredictions import OWPredictions
from Orange.widgets.tests import base
from PIL import Image

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.tables import table_from_folder
from orangecontrib.imagemining.tables.learner import TrainNetworkLearner
from orangecontrib.imagemining.weights.image_network import OnnxNetwork
from orangecontrib.imagemining.widgets.owtrainnetwork import OWTrainNetwork
from orangecontrib.imagemining.widgets.utils import trainstore
from orangecontrib.imagemining.widgets.utils.trainchoices import Choices
from orangecontrib.imagemining.widgets.utils.trainwork import Restored

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:Orange")

#: A training of a moment: 498 numbers, images of 16 pixels.
TOY = {
    "network": "toy",
    "start": "nothing",
    "size": 16,
    "batch": 8,
    "epochs": 3,
    "validation": 25,
    "precision": "float32",
    "device": "cpu",
    "numbers": {"learning_rate": 0.1},
    "augmentation": "none",
}
LONG = {**TOY, "epochs": 20_000}


def write_images(folder: Path, counts: dict[str, int], seed: int = 0) -> Table:
    """Return a table of images of 16 pixels; classes are colours."""
    rng = np.random.default_rng(seed)
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 90, (16, 16, 3), dtype=np.uint8)
            pixels[:, :, number % 3] += 150
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return table_from_folder(folder).table


class TrainTest(base.WidgetTest):
    __test__ = False  # its heirs are

    def setUp(self) -> None:
        # networks this small only wait for each other on several cores
        self.addCleanup(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)
        shutil.rmtree(trainstore.training_folder(), ignore_errors=True)
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.data = write_images(self.folder / "a", {"red": 8, "green": 8, "blue": 8})

    def create(self, choices: dict = TOY, **settings: object) -> OWTrainNetwork:
        stored = {"choices": choices, **settings}
        return self.create_widget(OWTrainNetwork, stored_settings=stored)

    def send(self, data: Table | None, widget: OWTrainNetwork) -> None:
        self.send_signal(widget.Inputs.data, data, widget=widget)
        self.settle(widget)

    def settle(self, widget: OWTrainNetwork) -> None:
        """Wait until the facts are known, and nothing but a training goes on."""
        wait_for(
            lambda: (
                not widget.background.is_busy
                and not widget._timer.isActive()
                and (widget.task is None or widget.job is not None)
            )
        )

    def train(self, widget: OWTrainNetwork) -> None:
        self.assertTrue(widget.start_button.isEnabled())
        widget.start_button.click()
        self.wait(widget)

    def wait(self, widget: OWTrainNetwork) -> None:
        wait_for(lambda: widget.job is None and widget.task is None, 60)
        self.settle(widget)

    def out(self, widget: OWTrainNetwork) -> tuple:
        outputs = widget.Outputs
        return tuple(
            self.get_output(output, widget=widget)
            for output in (outputs.model, outputs.network, outputs.log)
        )


class TestTraining(TrainTest):
    __test__ = True

    def test_learner_is_there_at_once(self) -> None:
        widget = self.create()
        learner = self.get_output(widget.Outputs.learner, widget=widget)
        self.assertIsInstance(learner, TrainNetworkLearner)
        self.assertEqual(learner.plan.network, "toy")
        self.assertEqual(learner.plan.recipe.learning_rate, 0.1)
        widget.panel.epochs_spin.setValue(7)
        self.settle(widget)
        learner = self.get_output(widget.Outputs.learner, widget=widget)
        self.assertEqual(learner.plan.epochs, 7)

    def test_learner_does_not_change_at_every_key(self) -> None:
        # whatever takes it trains it, fold after fold
        widget = self.create()
        before = self.get_output(widget.Outputs.learner, widget=widget)
        for text in ("C", "Ce", "Cells"):
            widget.panel.name_edit.setText(text)
        self.assertIs(self.get_output(widget.Outputs.learner, widget=widget), before)
        self.settle(widget)
        learner = self.get_output(widget.Outputs.learner, widget=widget)
        self.assertEqual(learner.name, "Cells")
        with self.assertRaises(TaskCancelled):  # two do not train at once
            before(self.data)
        widget._ask()
        self.send(self.data, widget)
        self.assertIs(self.get_output(widget.Outputs.learner, widget=widget), learner)
        widget.onDeleteWidget()
        with self.assertRaises(TaskCancelled):
            learner(self.data)

    def test_learner_takes_the_column_that_was_chosen(self) -> None:
        other = self.data.domain["image"].copy(name="other")
        two = self.data.add_column(
            other, self.data.get_column("image")[::-1], to_metas=True
        )
        widget = self.create({**TOY, "column": "other"})
        self.send(two, widget)
        learner = self.get_output(widget.Outputs.learner, widget=widget)
        self.assertEqual(learner.column, "other")

    def test_trains_when_asked_and_not_before(self) -> None:
        widget = self.create()
        self.send(self.data, widget)
        self.assertIsNone(widget.job)
        self.assertEqual(self.out(widget), (None, None, None))
        self.assertIn("24 images of 3 classes", widget.view.facts_label.text())
        self.assertIn("6 of them for validation", widget.view.facts_label.text())
        self.train(widget)
        model, network, log = self.out(widget)
        self.assertEqual(network.classes, ("blue", "green", "red"))
        self.assertEqual(network.card.architecture, "toy")
        self.assertEqual(len(log), 3)
        shown = widget.view.view
        self.assertEqual(list(shown.validation_loss[0]), [1, 2, 3])
        np.testing.assert_allclose(shown.loss[1], log.get_column("loss"), rtol=1e-6)
        self.assertEqual(widget.view.confusion.counts.sum(), 6)
        self.assertIn("Done: 3 epochs", widget.view.state_label.text())
        # the model predicts the pictures that it is shown as its own probabilities say
        values, probabilities = model(self.data, model.ValueProbs)
        np.testing.assert_array_equal(values, probabilities.argmax(axis=1))

    def test_automatic(self) -> None:
        widget = self.create(automatic=True)
        self.send(self.data, widget)
        self.wait(widget)
        self.assertIsNotNone(self.out(widget)[1])

    def test_mistakes_name_the_right_images(self) -> None:
        # labels that nothing can be learned of, so that there are mistakes
        folder = self.folder / "mixed"
        for index, name in enumerate(("x", "y") * 12):
            (folder / name).mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng(index)
            pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{name}{index}.png")
        data = table_from_folder(folder).table
        widget = self.create({**TOY, "validation": 50})
        self.send(data, widget)
        self.train(widget)
        mistakes = widget.view.mistakes.mistakes
        self.assertTrue(mistakes)
        counts = widget.view.confusion.counts
        self.assertEqual(len(mistakes), counts.sum() - np.trace(counts))
        for mistake in mistakes:
            self.assertEqual(mistake.truth, Path(mistake.source).parent.name)
            self.assertNotEqual(mistake.predicted, mistake.truth)
            self.assertLessEqual(mistake.probability, 0.5)
        p = [mistake.probability for mistake in mistakes]
        self.assertEqual(p, sorted(p))

    def test_validation_data(self) -> None:
        others = write_images(self.folder / "b", {"red": 5, "blue": 4, "pink": 2}, 9)
        widget = self.create()
        self.send_signal(widget.Inputs.validation, others, widget=widget)
        self.send(self.data, widget)
        self.assertIn("9 others for validation", widget.view.facts_label.text())
        self.train(widget)
        self.assertEqual(widget.view.confusion.counts.sum(axis=1).tolist(), [4, 0, 5])

    def test_same_seed_same_network(self) -> None:
        names = []
        for seed in (1, 1, 2):
            shutil.rmtree(trainstore.training_folder(), ignore_errors=True)
            widget = self.create({**TOY, "seed": seed})
            self.send(self.data, widget)
            self.train(widget)
            names.append(self.out(widget)[1].sha256)
        self.assertEqual(names[0], names[1])
        self.assertNotEqual(names[0], names[2])

    def test_head_only(self) -> None:
        widget = self.create({"learns": "head", "size": 32, "validation": 25})
        self.send(self.data, widget)
        self.train(widget)
        self.assertFalse(widget.Error.failed.is_shown(), str(widget.Error.failed))
        model, network, log = self.out(widget)
        self.assertEqual(network.card.architecture, "squeezenet1_1")
        self.assertGreaterEqual(len(log), 1)
        right = model(self.data) == self.data.Y
        self.assertGreater(right.mean(), 0.9)

    def test_given_network(self) -> None:
        widget = self.create()
        self.send(self.data, widget)
        self.train(widget)
        network = self.out(widget)[1]
        second = self.create({**TOY, "start": "published", "network": "squeezenet1_1"})
        self.send_signal(second.Inputs.network, network, widget=second)
        self.assertEqual(second.panel.choices.start, "given")
        self.send(self.data, second)
        self.train(second)
        trained = self.out(second)[1]
        self.assertEqual(trained.card.architecture, "toy")
        self.assertNotEqual(trained, network)
        # what the user chooses afterwards holds, also when the workflow is opened again
        second.panel.choices.start = "published"
        second.panel.refresh()
        second._store()
        settings = second.settingsHandler.pack_data(second)
        third = self.create_widget(OWTrainNetwork, stored_settings=settings)
        self.send_signal(third.Inputs.network, network, widget=third)
        self.assertEqual(third.panel.choices.start, "published")
        self.send_signal(second.Inputs.network, None, widget=second)
        self.assertEqual(second.panel.choices.start, "published")

    def test_closing_the_window_does_not_stop_it(self) -> None:
        widget = self.create(LONG)
        widget.show()
        self.send(self.data, widget)
        widget.start_button.click()
        wait_for(lambda: widget.view.view is not None)
        widget.close()
        self.assertFalse(widget.isVisible())
        done = widget.view.view.done
        wait_for(lambda: widget.view.view.done > done + 1)
        widget.show()
        widget.stop_button.click()
        self.wait(widget)
        self.assertIsNotNone(self.out(widget)[1])


class TestButtons(TrainTest):
    __test__ = True

    def begin(self) -> OWTrainNetwork:
        widget = self.create(LONG)
        self.send(self.data, widget)
        widget.start_button.click()
        wait_for(lambda: widget.view.view is not None and widget.view.view.done > 2)
        return widget

    def test_pause_and_continue(self) -> None:
        widget = self.begin()
        self.assertIn("Pause", widget.start_button.text())
        self.assertFalse(widget.panel.isEnabled())
        widget.start_button.click()
        self.assertIn("Continue", widget.start_button.text())
        checkpoint = trainstore.checkpoint_of(widget.job.key)
        wait_for(checkpoint.exists)  # it is written before waiting
        widget.start_button.click()
        done = widget.view.view.done
        wait_for(lambda: widget.view.view.done > done + 1)
        widget.stop_button.click()
        self.wait(widget)
        self.assertTrue(widget.panel.isEnabled())

    def test_stop_keeps_the_best_and_can_be_continued(self) -> None:
        widget = self.begin()
        widget.stop_button.click()
        self.assertFalse(widget.stop_button.isEnabled())
        self.wait(widget)
        model, network, log = self.out(widget)
        accuracies = log.get_column("validation accuracy")
        self.assertAlmostEqual(
            network.card.figures["accuracy"], accuracies.max(), places=6
        )
        self.assertLess(len(log), 20_000)
        self.assertTrue(widget.Information.to_continue.is_shown())
        self.assertIn("Continue", widget.start_button.text())
        self.assertFalse(widget.anew_button.isHidden())
        n_before = len(log)
        widget.start_button.click()
        wait_for(
            lambda: (
                widget.view.view is not None
                and len(widget.view.view.loss[0]) > n_before
            )
        )
        # what was seen before is still there
        before = log.get_column("loss")[: n_before - 1]
        np.testing.assert_allclose(
            widget.view.view.loss[1][: n_before - 1], before, rtol=1e-6
        )
        widget.stop_button.click()
        self.wait(widget)

    def test_start_anew(self) -> None:
        widget = self.begin()
        widget.stop_button.click()
        self.wait(widget)
        n_before = len(self.out(widget)[2])
        self.assertGreater(n_before, 2)
        seen: list[int] = []
        show = widget.view.show_view
        widget.view.show_view = lambda view, state="": (
            seen.append(len(view.loss[0])),
            show(view, state),
        )
        widget.anew_button.click()
        wait_for(lambda: len(seen) > 1)
        self.assertLess(seen[0], 2)
        widget.stop_button.click()
        self.wait(widget)

    def test_stop_before_anything_was_learned(self) -> None:
        widget = self.create(LONG)
        self.send(self.data, widget)
        widget.start_button.click()
        future = widget.task.future
        widget.stop_button.click()  # nothing was shown yet
        self.assertIsNone(widget.job)
        wait_for(future.done)
        self.assertEqual(self.out(widget), (None, None, None))
        self.assertIn("before anything", widget.view.state_label.text())

    def test_stop_while_paused(self) -> None:
        widget = self.begin()
        widget.start_button.click()
        widget.stop_button.click()
        self.wait(widget)
        self.assertIsNotNone(self.out(widget)[1])

    def test_other_data_end_it(self) -> None:
        widget = self.begin()
        key = widget.job.key
        future = widget.task.future
        other = write_images(self.folder / "other", {"red": 4, "green": 4})
        self.send(other, widget)
        self.assertIsNone(widget.job)
        self.assertTrue(widget.Information.other_data.is_shown())
        self.assertEqual(self.out(widget), (None, None, None))
        self.assertIn("8 images of 2 classes", widget.view.facts_label.text())
        wait_for(future.done)
        self.assertTrue(trainstore.checkpoint_of(key).exists())
        # the old ones again: it can be continued
        self.send(self.data, widget)
        self.assertEqual(widget.facts.key, key)
        self.assertTrue(widget.Information.to_continue.is_shown())

    def test_the_same_data_again_do_not(self) -> None:
        widget = self.begin()
        job = widget.job
        self.send(self.data.copy(), widget)
        self.assertIs(widget.job, job)
        self.assertFalse(widget.Information.other_data.is_shown())
        widget.stop_button.click()
        self.wait(widget)

    def test_other_outputs_wait_the_learner_does_not(self) -> None:
        widget = self.begin()
        self.assertFalse(widget.isInvalidated())
        invalid = self.signal_manager.invalidated_outputs(widget)
        self.assertEqual(len(invalid), 3)
        self.assertIsNotNone(self.get_output(widget.Outputs.learner, widget=widget))
        widget.stop_button.click()
        self.wait(widget)
        self.assertEqual(self.signal_manager.invalidated_outputs(widget), [])


class TestSurviving(TrainTest):
    __test__ = True

    def test_removed_while_training_it_goes_on_where_it_was(self) -> None:
        # long enough to be removed in between
        choices = {**TOY, "epochs": 60}
        widget = self.create(choices)
        self.send(self.data, widget)
        widget.start_button.click()
        wait_for(lambda: widget.view.view is not None and widget.view.view.done > 2)
        key, future = widget.job.key, widget.task.future
        widget.onDeleteWidget()
        wait_for(future.done)
        self.assertTrue(trainstore.checkpoint_of(key).exists())

        again = self.create(choices)
        self.send(self.data, again)
        self.assertEqual(again.facts.key, key)
        self.assertGreater(again.facts.epochs_done, 2)
        self.assertTrue(again.Information.to_continue.is_shown())
        self.train(again)
        continued = self.out(again)
        self.assertFalse(trainstore.checkpoint_of(key).exists())

        trainstore.forget(key)
        whole = self.create(choices)
        self.send(self.data, whole)
        self.train(whole)
        uninterrupted = self.out(whole)
        self.assertEqual(continued[1], uninterrupted[1])
        for column in ("loss", "accuracy", "validation loss"):
            np.testing.assert_array_equal(
                continued[2].get_column(column), uninterrupted[2].get_column(column)
            )

    def test_result_is_there_when_the_workflow_is_opened_again(self) -> None:
        widget = self.create()
        self.send(self.data, widget)
        self.train(widget)
        model, network, log = self.out(widget)
        again = self.create()
        self.send(self.data, again)
        self.wait(again)
        self.assertIsInstance(again.outcome, Restored)
        self.assertTrue(again.Information.restored.is_shown())
        restored = self.out(again)
        self.assertEqual(restored[1], network)
        self.assertEqual(restored[0], model)
        np.testing.assert_array_equal(restored[2].X, log.X)
        self.assertEqual(again.view.confusion.counts.sum(), 6)
        # and can be trained anew
        self.train(again)
        self.assertNotIsInstance(again.outcome, Restored)
        self.assertFalse(again.Information.restored.is_shown())

    def test_no_warning_where_the_user_had_it_end(self) -> None:
        choices = {**LONG, "limited": True, "minutes": 0.01}
        widget = self.create(choices)
        self.send(self.data, widget)
        self.train(widget)
        again = self.create(choices)
        self.send(self.data, again)
        self.wait(again)
        self.assertIsInstance(again.outcome, Restored)
        for each in (widget, again):
            self.assertIn("minutes are over", each.view.state_label.text())
            self.assertFalse(each.Warning.stopped.is_shown())

    def test_other_settings_are_said(self) -> None:
        widget = self.create()
        self.send(self.data, widget)
        self.train(widget)
        network = self.out(widget)[1]
        widget.panel.epochs_spin.setValue(2)
        self.settle(widget)
        self.assertTrue(widget.Information.other_settings.is_shown())
        self.assertIs(self.out(widget)[1], network)
        widget.panel.epochs_spin.setValue(3)
        self.settle(widget)
        self.assertFalse(widget.Information.other_settings.is_shown())

    def test_another_name_needs_no_training(self) -> None:
        widget = self.create()
        self.send(self.data, widget)
        self.train(widget)
        before = self.out(widget)[1]
        widget.panel.name_edit.setText("Cells of Jiangxi")
        widget.panel.name_edit.editingFinished.emit()
        self.settle(widget)
        model, network, _ = self.out(widget)
        self.assertEqual(network.title, "Cells of Jiangxi")
        self.assertEqual(network, before)
        self.assertEqual(model.name, "Cells of Jiangxi")
        self.assertFalse(widget.Information.other_settings.is_shown())
        again = self.create({**TOY, "title": "Cells of Jiangxi"})
        self.send(self.data, again)
        self.wait(again)
        self.assertEqual(self.out(again)[1].title, "Cells of Jiangxi")

    def test_damaged_checkpoint(self) -> None:
        widget = self.create()
        self.send(self.data, widget)
        path = trainstore.checkpoint_of(widget.facts.key)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"nothing of the kind")
        widget._ask()
        self.settle(widget)
        widget.start_button.click()
        self.wait(widget)
        self.assertTrue(widget.Error.failed.is_shown())
        widget.anew_button.click()
        self.wait(widget)
        self.assertFalse(widget.Error.failed.is_shown())
        self.assertIsNotNone(self.out(widget)[1])

    def test_checkpoint_that_cannot_be_removed(self) -> None:
        widget = self.create()
        self.send(self.data, widget)
        path = trainstore.checkpoint_of(widget.facts.key)
        path.mkdir(parents=True)  # even an administrator cannot unlink it
        widget._on_anew()
        self.assertIsNone(widget.job)  # it would go on instead of beginning anew
        self.assertIn("cannot be removed", str(widget.Error.failed))

    def test_damaged_result_is_tried_once(self) -> None:
        widget = self.create()
        self.send(self.data, widget)
        self.train(widget)
        network = self.out(widget)[1]
        folder = trainstore.training_folder()
        path = folder / f"{widget.facts.key}.safetensors"
        path.write_bytes(path.read_bytes()[:-9])
        again = self.create()
        found = []
        on_exception = again.on_exception
        again.on_exception = lambda ex: (found.append(ex), on_exception(ex))
        self.send(self.data, again)
        wait_for(lambda: found)
        for _ in range(3):
            again._ask()
            self.settle(again)
        self.assertEqual(len(found), 1)
        self.assertTrue(again.Error.failed.is_shown())
        self.train(again)
        self.assertFalse(again.Error.failed.is_shown())
        self.assertEqual(self.out(again)[1], network)
        self.assertEqual(trainstore.load_result(again.facts.key).network, network)

    def test_result_stays_until_there_is_another(self) -> None:
        widget = self.create(LONG)
        self.send(self.data, widget)
        widget.start_button.click()
        wait_for(lambda: widget.view.view is not None and widget.view.view.done > 2)
        widget.stop_button.click()
        self.wait(widget)
        network = self.out(widget)[1]
        trainstore.checkpoint_of(widget.facts.key).unlink()
        widget._ask()
        self.settle(widget)
        widget.start_button.click()  # by mistake
        wait_for(lambda: widget.view.view is not None and widget.view.view.done > 0)
        self.send(None, widget)
        self.send(self.data, widget)
        self.wait(widget)
        self.assertEqual(self.out(widget)[1], network)

    def test_full_disk_is_said_at_once(self) -> None:
        folder = trainstore.training_folder()
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.write_text("no folder can be made")
        self.addCleanup(folder.unlink)
        widget = self.create(LONG)
        self.send(self.data, widget)
        widget.start_button.click()
        wait_for(lambda: widget.Information.notes.is_shown())
        self.assertIsNotNone(widget.job)
        self.assertIn("The training goes on", str(widget.Information.notes))
        widget.stop_button.click()
        self.wait(widget)
        self.assertIn("cannot be kept", str(widget.Warning.not_kept))

    def test_images_changed_on_disk_are_others(self) -> None:
        widget = self.create()
        self.send(self.data, widget)
        key = widget.facts.key
        path = next((self.folder / "a" / "red").iterdir())
        Image.new("RGB", (20, 20)).save(path)
        widget._ask()
        self.settle(widget)
        self.assertNotEqual(widget.facts.key, key)


class TestBadInput(TrainTest):
    __test__ = True

    def test_no_class(self) -> None:
        widget = self.create()
        data = self.data.transform(Domain([], [], self.data.domain.metas))
        self.send(data, widget)
        self.assertIn("no class", str(widget.Error.data))
        self.assertFalse(widget.start_button.isEnabled())

    def test_one_class(self) -> None:
        widget = self.create()
        self.send(self.data[self.data.Y == 0], widget)
        self.assertIn("one class, blue", str(widget.Error.data))

    def test_numbers_to_predict(self) -> None:
        iris = Table("iris")
        domain = Domain([], iris.domain.attributes[0], self.data.domain.metas)
        widget = self.create()
        self.send(self.data.transform(domain), widget)
        self.assertIn("only categories", str(widget.Error.data))

    def test_no_images(self) -> None:
        widget = self.create()
        self.send(Table("iris"), widget)
        self.assertIn("Import Images", str(widget.Error.data))
        self.send(None, widget)
        self.assertFalse(widget.Error.data.is_shown())
        self.assertIn("No images yet", widget.view.facts_label.text())

    def test_unreadable_images_are_left_out(self) -> None:
        (self.folder / "a" / "red" / "0.png").write_text("words")
        (self.folder / "a" / "blue" / "1.png").unlink()
        widget = self.create()
        self.send(self.data, widget)
        self.train(widget)
        self.assertIsNotNone(self.out(widget)[1])
        self.assertIn("2 of 24 images left out", str(widget.Warning.left_out))

    def test_class_of_one_image(self) -> None:
        data = write_images(self.folder / "c", {"red": 6, "green": 6, "blue": 1})
        widget = self.create()
        self.send(data, widget)
        self.assertIn("single image of blue", widget.view.facts_label.text())
        self.train(widget)
        self.assertEqual(self.out(widget)[1].classes, ("blue", "green", "red"))

    def test_images_too_small_for_the_network(self) -> None:
        widget = self.create({**TOY, "network": "squeezenet1_1", "size": 8})
        self.send(self.data, widget)
        self.train(widget)
        self.assertTrue(widget.Error.failed.is_shown())
        self.assertEqual(self.out(widget), (None, None, None))

    def test_weights_that_are_not_here(self) -> None:
        widget = self.create({"network": "vgg16"})
        self.send(self.data, widget)
        self.assertIn("Image Embedding", str(widget.Error.plan))
        self.assertFalse(widget.start_button.isEnabled())

    def test_networks_that_cannot_be_trained(self) -> None:
        widget = self.create()
        self.send(self.data, widget)
        network = OnnxNetwork("onnx:/a.onnx", "Somebody's")
        self.send_signal(widget.Inputs.network, network, widget=widget)
        self.settle(widget)
        self.assertIn("ONNX", str(widget.Error.plan))
        self.send_signal(widget.Inputs.network, None, widget=widget)
        self.settle(widget)
        self.assertFalse(widget.Error.plan.is_shown())

    def test_given_none(self) -> None:
        widget = self.create({**TOY, "start": "given"})
        self.send(self.data, widget)
        self.assertIn("No network is given", str(widget.Error.plan))

    def test_diverging_loss(self) -> None:
        numbers = {"learning_rate": 900.0, "schedule": "constant"}
        widget = self.create({**TOY, "numbers": numbers, "epochs": 60})
        self.send(self.data, widget)
        self.train(widget)
        told = str(widget.Error.failed) + str(widget.Warning.stopped)
        self.assertIn("learning rate", told)

    def test_loss_that_diverges_late(self) -> None:
        numbers = {
            "learning_rate": 1000.0,
            "schedule": "one-cycle",
            "warmup": 1.0,
            "clip": None,
        }
        widget = self.create({**TOY, "numbers": numbers, "epochs": 1000})
        self.send(self.data, widget)
        self.train(widget)
        self.assertIn("came apart", str(widget.Warning.stopped))
        self.assertFalse(widget.Information.notes.is_shown())  # not said twice
        values = np.concatenate(
            [t.ravel() for t in self.out(widget)[1].tensors.values()]
        )
        self.assertTrue(np.isfinite(values).all())

    def test_values_unknown_to_validation(self) -> None:
        other = write_images(self.folder / "d", {"pink": 3, "grey": 3})
        widget = self.create()
        self.send_signal(widget.Inputs.validation, other, widget=widget)
        self.send(self.data, widget)
        self.assertIn("Validation Data", str(widget.Error.data))


class TestSettings(TrainTest):
    __test__ = True

    def setUp(self) -> None:
        super().setUp()
        self.widget = self.create()  # for the tests that all widgets share

    def test_round_trip(self) -> None:
        widget = self.create()
        widget.panel.epochs_spin.setValue(5)
        widget.panel.limit_box.click()
        widget.panel.minutes_spin.setValue(2.5)
        widget.panel.weights_box.click()
        widget.panel.name_edit.setText("Cells")
        settings = widget.settingsHandler.pack_data(widget)
        self.assertEqual(settings["choices"]["epochs"], 5)
        again = self.create_widget(
            OWTrainNetwork, stored_settings=pickle.loads(pickle.dumps(settings))
        )
        self.assertEqual(again.panel.choices, widget.panel.choices)
        self.assertEqual(again.panel.choices.title, "Cells")
        self.assertEqual(again.panel.choices.plan().minutes, 2.5)
        self.assertEqual(again.panel.epochs_spin.value(), 5)

    def test_new_widgets_begin_with_what_is_right_for_most(self) -> None:
        widget = self.create()
        widget.saveSettings()
        plan = self.create_widget(OWTrainNetwork).panel.choices.plan()
        self.assertEqual(
            (plan.network, plan.start, plan.learns, plan.recipe.name, plan.epochs),
            ("squeezenet1_1", "published", "all", "everyday", 10),
        )

    def test_damaged_settings(self) -> None:
        stored = {
            "epochs": -3,
            "batch": "many",
            "recipe": "magic",
            "learns": "last",
            "numbers": {"clip": 3, "colour": 1, "momentum": 7},
            "validation": 1000,
            "strange": 1,
        }
        choices = self.create(stored).panel.choices
        self.assertEqual(choices, Choices(learns="last", numbers={"clip": 3}))

    def test_report(self) -> None:
        widget = self.create()
        widget.send_report()
        self.send(self.data, widget)
        self.train(widget)
        widget.report_raw = Mock()
        widget.send_report()
        titles = [call.args[0] for call in widget.report_raw.call_args_list]
        self.assertEqual(titles, ["Curves", "Confusion matrix (validation)"])
        self.assertIn("<td", widget.report_raw.call_args_list[1].args[1])
        for epochs, are_others in ((3, False), (7, True)):
            widget.panel.epochs_spin.setValue(epochs)
            self.settle(widget)
            widget.report_items = Mock()
            widget.send_report()
            (result,) = (
                call.args[1]
                for call in widget.report_items.call_args_list
                if call.args[0] == "Result"
            )
            self.assertEqual("Trained with" in dict(result), are_others)


class TestUses(TrainTest):
    __test__ = True

    def test_predictions(self) -> None:
        widget = self.create({**TOY, "epochs": 10})
        self.send(self.data, widget)
        self.train(widget)
        model = self.out(widget)[0]
        predictions = self.create_widget(OWPredictions)
        self.send_signal(predictions.Inputs.predictors, model, 1, widget=predictions)
        new = write_images(self.folder / "new", {"green": 2, "red": 2}, seed=5)
        # the numbers of classes are others there
        new_class = DiscreteVariable("category", ("red", "green"))
        names = [str(row["category"]) for row in new]
        new = new.transform(Domain([], new_class, new.domain.metas))
        with new.unlocked(new.Y):
            new.Y[:] = [new_class.values.index(name) for name in names]
        self.send_signal(predictions.Inputs.data, new, widget=predictions)
        output = self.get_output(
            predictions.Outputs.annotated, widget=predictions, wait=20_000
        )
        predicted = [str(row[model.name]) for row in output]
        values, _ = model(new, model.ValueProbs)
        self.assertEqual(predicted, [new_class.values[int(v)] for v in values])
        self.assertTrue(all(math.isfinite(v) for v in values))

"""Parts of Train Network: choices, what is kept, estimates, the dialog of numbers."""

from __future__ import annotations

import json
import os
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from AnyQt.QtWidgets import QDialogButtonBox
from Orange.widgets.tests.base import GuiTest
from torch import nn

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.networks import create_network, network_names
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.training.history import Epoch, History, Step
from orangecontrib.imagemining.training.plan import Augmentation, Plan, Recipe
from orangecontrib.imagemining.training.recipes import RECIPES
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard
from orangecontrib.imagemining.widgets.utils import trainstore
from orangecontrib.imagemining.widgets.utils.trainchoices import (
    PRESETS,
    Choices,
    written,
)
from orangecontrib.imagemining.widgets.utils.trainconfusion import ConfusionView
from orangecontrib.imagemining.widgets.utils.trainestimate import COSTS, estimate
from orangecontrib.imagemining.widgets.utils.trainfields import NumberEdit
from orangecontrib.imagemining.widgets.utils.trainnumbers import NumbersDialog
from orangecontrib.imagemining.widgets.utils.trainpanel import TrainPanel
from orangecontrib.imagemining.widgets.utils.traintexts import (
    RECIPE_LABELS,
    UNPUBLISHED,
    network_items,
)
from orangecontrib.imagemining.widgets.utils.trainwork import view_of


class TestChoices:
    def test_every_recipe_and_preset_has_a_label(self) -> None:
        assert set(RECIPE_LABELS) == set(RECIPES)

    def test_plan_and_back(self) -> None:
        choices = Choices(
            network="resnet_cifar",
            design={"n": 5, "width": 16},
            start="nothing",
            learns="head",
            numbers={"learning_rate": 0.1, "clip": 3.0},
            augmentation="microscopy",
            changes={"area": (0.5, 1.0)},
            size=32,
            limited=True,
            minutes=2.5,
        )
        plan = choices.plan()
        assert plan.options == {"n": 5}  # 16 is what the network has anyway
        assert plan.learns == "all"  # a head on noise learns nothing
        assert plan.recipe.clip == 3.0 and plan.recipe.momentum == 0.9
        assert plan.augmentation.turn == "quarters"
        assert plan.augmentation.area == (0.5, 1.0)
        assert (plan.size, plan.minutes) == ((32, 32), 2.5)
        stored = json.loads(json.dumps(choices.to_store()))
        assert Choices.of(stored) == choices

    def test_what_others_wrote(self) -> None:
        assert Choices.of(None) == Choices()
        assert Choices.of({"network": 3, "minutes": "x", "seed": True}) == Choices()
        assert Choices.of({"minutes": 0, "size": -3, "batch": 0}) == Choices()
        assert (
            Choices.of({"augmentation": "none"}).plan().augmentation
            == (PRESETS["none"])
        )

    @pytest.mark.parametrize(
        "value, text",
        [(0.00045, "0.00045"), (1.0, "1"), (None, "none"), ((1.0, 2.5), "1 to 2.5")],
    )
    def test_written(self, value: object, text: str) -> None:
        assert written(value) == text

    def test_written_tiny(self) -> None:
        assert float(written(1e-9)) == 1e-9


class TestTexts:
    def test_all_networks_are_offered(self) -> None:
        offered = set(network_items("squeezenet1_1"))
        assert set(network_names()) - offered == {"toy", "squeezenet_imageanalytics"}
        assert set(UNPUBLISHED) <= set(network_names())

    def test_costs_of_all_networks(self) -> None:
        assert set(COSTS) == set(network_names())

    @pytest.mark.parametrize("name", ["squeezenet1_1", "resnet20_cifar"])
    def test_costs_are_counted(self, name: str) -> None:
        network = create_network(name, num_classes=1000).eval()
        count = 0

        def add(module: nn.Module, _: object, output: torch.Tensor) -> None:
            nonlocal count
            places = output[0, 0].numel() if output.ndim == 4 else 1
            count += places * module.weight.numel()

        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(add)
        cost, side = COSTS[name]
        with torch.inference_mode():
            network(torch.zeros(1, 3, side, side))
        assert count / 1e9 == pytest.approx(cost, abs=0.0006)

    def test_estimates(self) -> None:
        plan = Plan()
        alone = estimate(plan, 300)
        assert alone is not None
        assert estimate(plan, 3000) > 5 * alone
        assert estimate(Plan(learns="head"), 300) < alone / 3
        assert estimate(Plan(minutes=0.1, epochs=10_000), 300) < 30
        assert estimate(Plan(network="somebody's", start="nothing"), 300) is None
        measured = {"squeezenet1_1 227 all auto": 1e9}
        assert estimate(plan, 300, speeds=measured) < alone


def network(seed: int = 0) -> ImageNetwork:
    state = create_network("toy", num_classes=2).state_dict()
    rng = np.random.default_rng(seed)
    tensors = {
        name: rng.normal(size=value.shape).astype(np.float32)
        for name, value in state.items()
    }
    card = NetworkCard("Cells", "toy", ("a", "b"), Preprocess((16, 16)))
    return ImageNetwork(card, tensors)


def history() -> History:
    epochs = [
        Epoch(1, 2.0, 50.0, 0.01, 0.7, 0.5, 0.6, 0.75, np.array([[3, 1], [0, 4]])),
        Epoch(1.5, 1.0, 50.0, 0.02, 0.6, 0.6, 0.5, 0.5, np.array([[2, 2], [2, 2]])),
    ]
    return History(epochs, [Step(0.5, 0.8, 0.01)], stopped="Stopped as asked", best=0)


@pytest.fixture
def _no_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMINING_HOME", str(tmp_path))


@pytest.mark.usefixtures("_no_trainings")
class TestStore:
    def result(self) -> trainstore.Result:
        mistakes = [("/a.png", "a", "b", 0.1), (None, "b", "a", 0.2)]
        left_out = [(3, "It has no class")]
        return trainstore.Result(
            network(), history(), left_out, ["So."], mistakes, {"a": 0.25, "b": 0.75}
        )

    def key(self, number: int) -> str:
        return f"{number:024x}"

    def test_kept_and_loaded(self) -> None:
        key, result = self.key(1), self.result()
        assert trainstore.find(key).result is None
        trainstore.keep_result(key, result)
        assert trainstore.find(key).result is not None
        again = trainstore.load_result(key)
        assert again.network == result.network
        assert again.network.title == "Cells"
        assert again.history.to_json() == result.history.to_json()
        assert (again.left_out, again.notes) == (result.left_out, result.notes)
        assert again.mistakes == result.mistakes
        assert again.shares == result.shares

    @pytest.mark.parametrize("is_whole", [True, False])
    def test_checkpoint_is_kept_as_long_as_it_is_needed(self, is_whole: bool) -> None:
        path = trainstore.checkpoint_of(self.key(2))
        path.parent.mkdir()
        path.touch()
        trainstore.keep_result(self.key(2), self.result(), is_whole)
        assert path.exists() is not is_whole

    def test_time_of_training_stays_when_it_is_loaded(self) -> None:
        trainstore.keep_result(self.key(7), self.result())
        then = time.time() - 100
        for path in trainstore.training_folder().glob(f"{self.key(7)}*"):
            os.utime(path, (then, then))
        trainstore.load_result(self.key(7))
        assert trainstore.find(self.key(7)).result == pytest.approx(then, abs=1)
        assert trainstore.clean(longest=50) == []  # it is in use

    def test_damaged(self) -> None:
        key = self.key(3)
        with pytest.raises(WeightsError):
            trainstore.load_result(key)
        trainstore.keep_result(key, self.result())
        path = trainstore.training_folder() / f"{key}.json"
        for content in ("", "[]", "{}", '{"version": 1}', '{"version": 2}'):
            path.write_text(content)
            with pytest.raises(WeightsError):
                trainstore.load_result(key)

    def test_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "training").write_text("a file")
        with pytest.raises(WeightsError, match="cannot be kept"):
            trainstore.keep_result(self.key(4), self.result())

    def test_files_that_cannot_be_removed(self) -> None:
        path = trainstore.checkpoint_of(self.key(6))
        path.mkdir(parents=True)  # even an administrator cannot unlink it
        with pytest.raises(WeightsError, match="cannot be removed"):
            trainstore.forget(self.key(6))
        os.utime(path, (0, 0))
        assert trainstore.clean() == []
        path.rmdir()

    def test_old_ones_go_and_what_is_not_ours_stays(self) -> None:
        folder = trainstore.training_folder()
        for number in range(3):
            trainstore.keep_result(self.key(number), self.result())
            for path in folder.glob(f"{self.key(number)}*"):
                os.utime(path, (time.time() - 100 * number,) * 2)
        size = sum(path.stat().st_size for path in folder.glob(f"{self.key(0)}*"))
        (folder / "letter.json").write_text("mine")
        for name, age in ((".tmpAbC12d", 90_000), (".tmpNewOne", 0)):
            (folder / name).write_bytes(b"of a program that was killed, or writes")
            os.utime(folder / name, (time.time() - age,) * 2)
        assert trainstore.clean() == []
        assert not (folder / ".tmpAbC12d").exists()
        (folder / ".tmpNewOne").unlink()  # it was left alone
        assert trainstore.clean(longest=150) == [self.key(2)]
        trainstore.keep_result(self.key(5), self.result())
        os.utime(folder / f"{self.key(5)}.json", (0, 0))
        os.utime(folder / f"{self.key(5)}.safetensors", (0, 0))
        gone = trainstore.clean(keep=self.key(5), most=size + size // 2)
        assert gone == [self.key(0), self.key(1)]
        left = sorted(path.name for path in folder.iterdir())
        assert left == sorted(
            [f"{self.key(5)}.json", f"{self.key(5)}.safetensors", "letter.json"]
        )

    def test_keys(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(b"1")
        images = ([str(path)], [0])
        plan = Plan()

        def key(classes: tuple[str, ...] = ("a", "b"), plan: Plan = plan) -> str:
            of_images = trainstore.images_key(classes, [images])
            return trainstore.key_of(plan, of_images, network())

        first = key()
        assert key() == first and len(first) == 24
        assert key(("b", "a")) != first
        assert key(plan=Plan(seed=1)) != first
        # the network at the input counts where it is begun with
        given = Plan(start="given")
        of_images = trainstore.images_key(("a", "b"), [images])
        assert trainstore.key_of(given, of_images, network(1)) != (
            trainstore.key_of(given, of_images, network(2))
        )
        path.write_bytes(b"12")
        assert key() != first


def test_view_of_a_history() -> None:
    view = view_of(history(), 10, ("a", "b"))
    assert view.done == 1.5 and view.fraction == pytest.approx(0.15)
    assert view.best == (0.75, 1)
    assert view.confusion.tolist() == [[2, 2], [2, 2]]
    assert view.validation_accuracy == ([1, 1.5], [0.75, 0.5])
    assert view.steps == ([0.5], [0.8]) and view.rates == ([0.5], [0.01])
    nothing = view_of(History(), 10, ())
    assert nothing.best is None and nothing.confusion is None and nothing.done == 0


class TestFields(GuiTest):
    def test_number(self) -> None:
        edit = NumberEdit(0, 1)
        seen = []
        edit.changed.connect(lambda: seen.append(edit.value))
        edit.set_value(0.5)
        for text in ("0,25", "x", "7", "", "0.25"):
            edit.setText(text)
            edit.editingFinished.emit()
            self.assertEqual(edit.text(), "0.25")
        self.assertEqual(seen, [0.25])

    def test_whole_and_optional(self) -> None:
        edit = NumberEdit(1, 10, whole=True, optional="none")
        edit.set_value(3)
        edit.setText("2.5")
        edit.editingFinished.emit()
        self.assertEqual(edit.value, 3)
        edit.setText("")
        edit.editingFinished.emit()
        self.assertIsNone(edit.value)

    def test_every_field_is_in_the_dialog(self) -> None:
        dialog = NumbersDialog(None, Choices())
        names = {field.name for field in fields(Recipe)} - {"name"}
        self.assertEqual(set(dialog.recipe.editors), names)
        names = {field.name for field in fields(Augmentation)}
        self.assertEqual(set(dialog.augmentation.editors), names)

    def test_nothing_changes_by_looking(self) -> None:
        for recipe in RECIPES:
            choices = Choices(recipe=recipe, start="nothing")
            self.assertEqual(
                NumbersDialog(None, choices).choices().plan(), choices.plan()
            )

    def test_nothing_changes_by_looking_at_designs(self) -> None:
        for network in network_items("toy"):
            choices = Choices(network=network, start="nothing")
            plan = NumbersDialog(None, choices).choices().plan()
            self.assertEqual(plan.options, {}, network)

    def test_change_and_put_back(self) -> None:
        choices = Choices(recipe="squeezenet", start="nothing")
        dialog = NumbersDialog(None, choices)
        edit = dialog.recipe.editors["learning_rate"]
        self.assertEqual(edit.text(), "0.04")
        self.assertIn("0.04", edit.toolTip())
        edit.setText("0.02")
        edit.editingFinished.emit()
        dialog.design.editors["squeeze_ratio"].setText("0.25")
        dialog.design.editors["squeeze_ratio"].editingFinished.emit()
        dialog.run.editors["size"].setText("64")
        dialog.run.editors["size"].editingFinished.emit()
        plan = dialog.choices().plan()
        self.assertEqual(plan.recipe.learning_rate, 0.02)
        self.assertEqual(plan.options, {"squeeze_ratio": 0.25})
        self.assertEqual(plan.size, (64, 64))
        self.assertEqual(choices.numbers, {})  # as long as it is not accepted
        self.assertIn("scaled", dialog.note.text())
        dialog.tabs.setCurrentWidget(dialog.recipe)
        dialog._reset()
        self.assertEqual(dialog.choices().numbers, {})
        self.assertEqual(dialog.choices().plan().options, {"squeeze_ratio": 0.25})

    def test_what_makes_no_sense_cannot_be_accepted(self) -> None:
        dialog = NumbersDialog(None, Choices())
        ok = dialog.buttons.button(QDialogButtonBox.StandardButton.Ok)
        self.assertTrue(ok.isEnabled())
        edit = dialog.recipe.editors["decay"]
        edit.set_value(5.0)
        edit.changed.emit()
        self.assertFalse(ok.isEnabled())
        self.assertIn("decay", dialog.note.text())

    def test_panel(self) -> None:
        choices = Choices()
        panel = TrainPanel(choices)
        seen = []
        panel.changed.connect(lambda: seen.append(choices.plan()))
        self.choose(panel.network_combo, "resnet20_cifar")
        self.assertEqual(choices.start, "nothing")  # nothing is published of it
        self.assertFalse(panel.learns_combo.isEnabled())
        self.choose(panel.network_combo, "squeezenet1_1")
        self.choose(panel.start_combo, "nothing")
        self.assertFalse(panel.design_row.isHidden())
        choices.numbers = {"clip": 1.0}
        self.choose(panel.recipe_combo, "vgg")
        self.assertEqual(seen[-1].recipe, RECIPES["vgg"])
        self.choose(panel.augmentation_combo, "microscopy")
        self.assertEqual(seen[-1].augmentation, PRESETS["microscopy"])
        panel.limit_box.click()
        self.assertEqual(seen[-1].minutes, 10)
        self.choose(panel.start_combo, "published")
        self.choose(panel.learns_combo, "head")
        self.assertFalse(panel.recipe_combo.isEnabled())
        self.assertEqual(seen[-1].learns, "head")

    def choose(self, combo: object, key: str) -> None:
        combo.setCurrentIndex(combo.findData(key))
        combo.activated.emit(combo.currentIndex())

    def test_confusions(self) -> None:
        view = ConfusionView()
        view.show_counts(("a & b", "<c>"), np.array([[3, 1], [0, 4]]))
        model = view.model()
        self.assertEqual(model.index(0, 1).data(), "1")
        self.assertEqual(model.index(1, 0).data(), "")
        tip = model.index(0, 1).data(3)
        self.assertEqual(tip, "1 of 4 of “a & b” taken for “<c>” (25 %)")
        self.assertIn("&lt;c&gt;", view.html())
        view.show_counts((), None)
        self.assertEqual((model.rowCount(), view.html()), (0, ""))

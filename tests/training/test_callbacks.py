"""Stopping early, averaging, and what goes wrong on the way."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_trainings import CLASSES, RESNET, images, same_numbers, train

from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.training.callbacks import (
    Callback,
    Checkpoint,
    DivergenceGuard,
    EarlyStopping,
    StopOnRequest,
    with_those_of,
)
from orangecontrib.imagemining.training.plan import Augmentation, Recipe
from orangecontrib.imagemining.training.task import Classification
from orangecontrib.imagemining.training.trainer import Trainer

TOY = replace(
    RESNET, network="toy", options={}, augmentation=Augmentation(mirror=False)
)


class Names(Callback):
    """Remembers what it was told."""

    def __init__(self):
        self.told = []

    def on_begin(self, trainer):
        self.told.append("begin")

    def on_step(self, trainer):
        self.told.append(trainer.position.step)

    def on_epoch(self, trainer, epoch):
        self.told.append(f"epoch {epoch.epoch:g}")
        assert trainer.history.epochs[-1] is epoch

    def on_end(self, trainer):
        self.told.append("end")


def test_what_callbacks_are_told():
    names = Names()
    train(replace(TOY, batch=16, epochs=2), callbacks=[names])
    expected = ["begin", 1, 2, 3, "epoch 1", 4, 5, 6, "epoch 2", "end"]
    assert names.told == expected


def test_early_stopping():
    plan = replace(TOY, recipe=Recipe(learning_rate=1e-12), epochs=50, patience=4)
    trained = train(plan)
    merits = [epoch.merit for epoch in trained.history.epochs]
    assert len(merits) < 50
    assert len(merits) - 1 - merits.index(max(merits)) == 4
    assert trained.history.stopped == "It has not become better for 4 epochs"
    assert trained.history.events[-1].kind == "stopped"


def test_plateau():
    recipe = Recipe(learning_rate=0.01, batch=8, schedule="plateau", stall=1, drops=2)
    trained = train(replace(RESNET, recipe=recipe, epochs=100))
    rates = [epoch.learning_rate for epoch in trained.history.epochs]
    assert sorted(set(rates), reverse=True) == pytest.approx([1e-2, 1e-3, 1e-4])
    assert rates == sorted(rates, reverse=True)
    assert "dropped 2 times" in trained.history.stopped


def test_rates_follow_the_schedule():
    rates = []

    class Look(Callback):
        def on_step(self, trainer):
            rates.append(trainer.optimizer.param_groups[0]["lr"])

    recipe = Recipe(learning_rate=0.1, batch=16, schedule="linear")
    plan = replace(TOY, recipe=recipe, validation=0, batch=12, epochs=2)
    trained = train(plan, callbacks=[Look()])
    highest = 0.1 * 12 / 16
    assert rates == pytest.approx([highest * (1 - step / 8) for step in range(8)])
    assert [step.learning_rate for step in trained.history.steps] == rates
    assert any("scaled to 12" in event.text for event in trained.history.events)


def test_averages():
    """What is judged and kept are the running averages, by hand."""
    states = []

    class Look(Callback):
        def on_begin(self, trainer):
            states.append(trainer.copied_state())

        def on_step(self, trainer):
            states.append(trainer.copied_state())

    recipe = Recipe(learning_rate=0.05, batch=8, averaging=0.6)
    plan = replace(RESNET, recipe=recipe, validation=0)
    trained = train(plan, callbacks=[Look()])
    assert len(states) == 19
    for name, first in states[0].items():
        average = first.double().numpy()
        for step, state in enumerate(states[1:], start=1):
            decay = min(0.6, (1 + step) / (10 + step))
            average = decay * average + (1 - decay) * state[name].double().numpy()
        if not first.is_floating_point():
            average = states[-1][name].numpy()
        assert np.allclose(trained.network.tensors[name], average, atol=1e-6), name
    last = states[-1]["fc.weight"].numpy()
    assert not np.allclose(trained.network.tensors["fc.weight"], last, atol=1e-4)


def test_averages_do_not_change_what_is_trained():
    plain = []
    averaged = []

    class Look(Callback):
        def __init__(self, to):
            self.to = to

        def on_end(self, trainer):
            self.to.append(trainer.copied_state())

    train(RESNET, callbacks=[Look(plain)])
    recipe = replace(RESNET.recipe, averaging=0.9)
    train(replace(RESNET, recipe=recipe), callbacks=[Look(averaged)])
    for name, tensor in plain[0].items():
        assert torch.equal(averaged[0][name], tensor)


class Poison(Callback):
    def __init__(self, step):
        self.step = step

    def on_step(self, trainer):
        if trainer.position.step == self.step:
            with torch.no_grad():
                for parameter in trainer.network.parameters():
                    parameter.fill_(float("nan"))


def test_came_apart_in_the_first_epoch():
    recipe = Recipe(learning_rate=1e3, batch=1, schedule="constant", clip=None)
    with pytest.raises(TrainingError, match="came apart in epoch 1.*smaller learning"):
        train(replace(TOY, recipe=recipe, epochs=30))


def test_came_apart_later(tmp_path):
    """The best so far is kept, and said."""
    trained = train(RESNET, callbacks=[Poison(12)], checkpoint=tmp_path / "run")
    assert "came apart in epoch 3: the loss is no number" in trained.history.stopped
    assert len(trained.history.epochs) == 2
    for tensor in trained.network.tensors.values():
        assert np.isfinite(tensor).all()
    # what was written before is good
    continued = train(RESNET, checkpoint=tmp_path / "run")
    assert same_numbers(continued, train(RESNET))


def test_far_above_guessing():
    class Bad(Classification):
        def __call__(self, network, pixels, labels):
            result = super().__call__(network, pixels, labels)
            return {**result, "loss": result["loss"] + 100}

    trained = train(replace(TOY, epochs=3), task=Bad())
    assert "far above guessing" in trained.history.stopped
    assert trained.history.steps[-1].epoch == 2  # the tenth step
    patient = DivergenceGuard(steps=1000)
    assert train(TOY, task=Bad(), callbacks=[patient]).history.stopped == ""


class Narrow(Classification):
    """Does not have memory for more than some images at once."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def __call__(self, network, pixels, labels):
        if len(pixels) > self.most:
            raise MemoryError
        return super().__call__(network, pixels, labels)


def test_batch_is_halved_once():
    trained = train(TOY, task=Narrow(4))
    whole = train(TOY)
    warnings = [e for e in trained.history.events if e.kind == "warning"]
    assert len(warnings) == 1
    assert "not enough memory for 8 images" in warnings[0].text
    for name, tensor in whole.network.tensors.items():
        assert np.allclose(trained.network.tensors[name], tensor, atol=1e-5)
    assert len(trained.history.steps) == len(whole.history.steps)


def test_halving_does_not_help():
    with pytest.raises(TrainingError, match="nor with half as many; choose a smaller"):
        train(TOY, task=Narrow(3))


def test_other_errors_are_not_taken_for_memory():
    class Broken(Classification):
        def __call__(self, network, pixels, labels):
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        train(TOY, task=Broken())


def test_stop_from_another_thread():
    stop = StopOnRequest()

    class Ask(Callback):
        def on_epoch(self, trainer, epoch):
            thread = threading.Thread(target=stop.stop)
            thread.start()
            thread.join()

    trained = train(replace(RESNET, epochs=1000), callbacks=[Ask(), stop])
    # one whole epoch, and what was begun of the next
    assert [epoch.epoch for epoch in trained.history.epochs] == [1, 1.2]


def test_order_of_calls(tmp_path):
    plan = replace(RESNET, patience=3, minutes=1)
    own = [Checkpoint(), Callback()]
    names = [type(each).__name__ for each in with_those_of(plan, own, tmp_path)]
    assert names == [
        "DivergenceGuard",
        "EarlyStopping",
        "TimeBudget",
        "Callback",
        "Checkpoint",
    ]
    assert not any(
        isinstance(each, Checkpoint) for each in with_those_of(plan, [], None)
    )
    stopper = EarlyStopping(2)
    listeners = with_those_of(RESNET, [stopper], tmp_path)
    assert [type(each).__name__ for each in listeners] == [
        "DivergenceGuard",
        "EarlyStopping",
        "Checkpoint",
    ]


def test_curve_of_steps_stays_thin(monkeypatch):
    from orangecontrib.imagemining.training import running

    monkeypatch.setattr(running, "MAX_STEPS", 8)
    full = []

    class Look(Callback):
        def on_step(self, trainer):
            full.append(trainer.loss)

    plan = replace(TOY, validation=0, batch=12, epochs=5)
    steps = train(plan, callbacks=[Look()]).history.steps
    assert len(full) == 20
    assert len(steps) == 5
    assert [step.epoch for step in steps] == [1, 2, 3, 4, 5]
    assert [s.loss for s in steps] == pytest.approx(
        [np.mean(full[i : i + 4]) for i in range(0, 20, 4)]
    )


def test_trainer_asks_for_time_left():
    seen = []

    class Look(Callback):
        def on_step(self, trainer):
            seen.append((trainer.fraction, trainer.seconds, trainer.seconds_left))

    Trainer(TOY, CLASSES, images(), callbacks=[Look()]).fit()
    for fraction, seconds, left in seen:
        assert left == pytest.approx(seconds * (1 - fraction) / fraction, rel=0.5)
    assert seen[-1][0] == 1

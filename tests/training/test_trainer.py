"""The loop: what comes out, that it reproduces, what it refuses."""

from __future__ import annotations

import doctest
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_trainings import (
    CLASSES,
    RESNET,
    SQUEEZENET,
    curve,
    images,
    same_numbers,
    train,
)

from orangecontrib.imagemining.exceptions import (
    TaskCancelled,
    TrainingError,
    UnknownNameError,
)
from orangecontrib.imagemining.training import trainer as module
from orangecontrib.imagemining.training.batches import normalised
from orangecontrib.imagemining.training.callbacks import Callback
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.inputs import preprocess_of
from orangecontrib.imagemining.training.plan import Augmentation, plan_from_json
from orangecontrib.imagemining.training.starting import rebuilt
from orangecontrib.imagemining.training.trainer import Trainer


def test_example_of_the_docstring():
    assert doctest.testmod(module).failed == 0


def test_learns():
    trained = train(replace(RESNET, epochs=12))
    assert trained.history.epochs[-1].validation_accuracy >= 0.9
    assert trained.history.epochs[-1].loss < trained.history.epochs[0].loss / 2


@pytest.mark.parametrize("plan", [RESNET, SQUEEZENET], ids=["resnet", "squeezenet"])
def test_same_plan_same_network(plan):
    first = train(plan)
    torch.rand(7)  # what others draw does not matter
    state = torch.get_rng_state()
    second = train(plan)
    assert torch.equal(torch.get_rng_state(), state)
    assert same_numbers(first, second)
    assert curve(first.history) == curve(second.history)
    assert not same_numbers(first, train(replace(plan, seed=4)))


def test_dropout_is_drawn_anew_for_each_step():
    seen = []

    class Look(Callback):
        def on_begin(self, trainer):
            def note(module, inputs, output):
                if module.training:
                    seen.append((inputs[0] != 0, output != 0))

            trainer.network.classifier[0].register_forward_hook(note)

    train(replace(SQUEEZENET, epochs=2, batch=12), callbacks=[Look()])
    assert len(seen) == 6
    for number, (there, kept) in enumerate(seen):
        assert (there & ~kept).any()
        for before, kept_before in seen[:number]:
            both = there & before
            assert not torch.equal(kept[both], kept_before[both])


def test_network_built_anew_gives_the_same_logits():
    data = images(12, seed=1)
    trainer = Trainer(replace(SQUEEZENET, validation=0), CLASSES, images())
    trained = trainer.fit()
    pixels = torch.from_numpy(data.prepared(np.arange(12)))
    x = normalised(pixels, preprocess_of(SQUEEZENET))
    trainer.network.eval()
    with torch.inference_mode():
        expected = trainer.network(x)
        got = rebuilt(trained.network)(x)
    assert expected.std() > 1e-4
    assert torch.allclose(got, expected, atol=1e-5)


def test_card():
    trained = train(SQUEEZENET, title="My cells", about={"trained_on": "48 images"})
    card = trained.network.card
    assert (card.title, card.architecture) == ("My cells", "squeezenet1_1")
    assert card.classes == CLASSES
    assert card.preprocess.size == (16, 16)
    assert card.options["base_e"] == 8
    assert card.options["last_relu"] is False
    assert plan_from_json(card.recipe) == SQUEEZENET
    assert (card.start, card.license, card.trained_on) == ("", "", "48 images")
    best = trained.history.epochs[trained.history.best]
    assert card.figures["accuracy"] == best.validation_accuracy
    assert card.figures["validation_images"] == 12
    assert card.figures["images"] == 36
    assert {layer.name for layer in card.layers} >= {"features", "stages"}


def test_the_best_is_kept():
    kept = []

    class Look(Callback):
        def on_epoch(self, trainer, epoch):
            kept.append(trainer.copied_state())

    trained = train(replace(RESNET, epochs=6), callbacks=[Look()])
    merits = [epoch.merit for epoch in trained.history.epochs]
    best = merits.index(max(merits))
    assert trained.history.best == best
    for name, tensor in kept[best].items():
        assert np.array_equal(trained.network.tensors[name], tensor.numpy())


def test_validation_is_of_the_network_as_it_is():
    """Confusion and mistakes agree with what the network says."""
    trainer = Trainer(replace(RESNET, epochs=1), CLASSES, images())
    trained = trainer.fit()
    epoch = trained.history.epochs[0]
    rows = trainer.validation_rows
    data = images()
    x = normalised(torch.from_numpy(data.prepared(rows)), preprocess_of(RESNET))
    with torch.inference_mode():
        logits = rebuilt(trained.network)(x).double()
    truth = data.labels[rows]
    guess = logits.argmax(1).numpy()
    confusion = np.zeros((3, 3), int)
    for t, g in zip(truth, guess, strict=True):
        confusion[t, g] += 1
    assert np.array_equal(epoch.confusion, confusion)
    assert epoch.validation_accuracy == (truth == guess).mean()
    probabilities = logits.softmax(1).numpy()[range(12), truth]
    expected = sorted(
        (p, row)
        for p, row, t, g in zip(probabilities, rows, truth, guess, strict=True)
        if t != g
    )
    assert [m.row for m in epoch.worst] == [row for _, row in expected][:12]
    assert [m.probability for m in epoch.worst] == pytest.approx(
        [p for p, _ in expected], abs=1e-5
    )
    assert epoch.validation_loss == pytest.approx(-np.log(probabilities).mean(), 1e-4)


def test_accumulating_equals_a_larger_batch():
    """Without batch normalisation and dropout, two halves make a whole."""
    plan = replace(
        RESNET,
        network="toy",
        options={},
        augmentation=Augmentation(mirror=False),
        validation=0,
        epochs=2,
        batch=16,
    )
    whole = train(plan)
    halves = train(replace(plan, batch=8, accumulate=2))
    for name, tensor in whole.network.tensors.items():
        assert np.allclose(halves.network.tensors[name], tensor, atol=1e-6)
    assert [s.loss for s in halves.history.steps] == pytest.approx(
        [s.loss for s in whole.history.steps], abs=1e-5
    )


def test_clipping():
    norms = []

    class Look(Callback):
        def on_step(self, trainer):
            parameters = trainer.network.parameters()
            norms.append(sum(p.grad.square().sum() for p in parameters).sqrt().item())

    train(RESNET, callbacks=[Look()])
    assert max(norms) > 0.05
    norms.clear()
    clipped = replace(RESNET, recipe=replace(RESNET.recipe, clip=0.05))
    train(clipped, callbacks=[Look()])
    assert max(norms) <= 0.0501


def test_class_weights_count_rare_classes_as_much():
    data = images()
    few = data.subset([i for i in range(48) if data.labels[i] != 2 or i < 9])
    trainer = Trainer(
        replace(RESNET, class_weights=True, validation=0, epochs=1), CLASSES, few
    )
    trainer.fit()
    weights = trainer._task.weights
    assert weights.tolist() == pytest.approx([35 / 48, 35 / 48, 35 / 9])


@pytest.mark.parametrize("learns", ["head", "last"])
def test_only_what_learns_changes(learns):
    first = train(RESNET)
    plan = replace(RESNET, start="given", network="", learns=learns, epochs=1)
    second = train(plan, start=first.network)
    changed = {
        name
        for name, tensor in second.network.tensors.items()
        if not np.array_equal(tensor, first.network.tensors[name])
    }
    begin = ("fc",) if learns == "head" else ("fc", "layer3")
    assert changed
    assert all(name.startswith(begin) for name in changed)
    if learns == "last":
        assert any("running_mean" in name for name in changed)


def test_progress_and_cancelling():
    fractions = []

    def progress(fraction, status=""):
        fractions.append(fraction)
        if "Epoch 2" in status:
            assert "left" in status
            raise TaskCancelled

    with pytest.raises(TaskCancelled):
        Trainer(RESNET, CLASSES, images()).fit(progress)
    assert fractions == sorted(fractions)
    assert 1 / 3 < fractions[-1] < 2 / 3


def test_one_image_at_the_end_of_an_epoch():
    plan = replace(RESNET, validation=0, epochs=1)
    (epoch,) = train(plan, images=images(17)).history.epochs
    assert epoch.epoch == 1 and np.isfinite(epoch.loss)


def test_one_image_a_batch():
    with pytest.raises(TrainingError, match="normalises batches.*larger batch"):
        train(replace(RESNET, size=(4, 4), batch=1), images=images(side=4))


def test_minutes_end_it():
    plan = replace(RESNET, minutes=1e-6, epochs=1000)
    trained = train(plan)
    assert len(trained.history.epochs) == 1
    assert 0 < trained.history.epochs[0].epoch < 1
    assert "minutes" in trained.history.stopped


@pytest.mark.parametrize(
    "change, words",
    [
        ({"classes": ()}, "no classes"),
        ({"classes": ("one",)}, "3|2"),
        ({"images": ImageSet.from_arrays(np.zeros((0, 16, 16, 3), np.uint8),
                                         np.zeros(0, np.int64))}, "no images"),
        ({"images": images(1)}, "one class, 'dark'"),
        ({"images": images(side=20)}, "20 × 20"),
        ({"size": (2, 2), "images": images(side=2), "network": "toy"}, "too few"),
        ({"start": "given"}, "none is given"),
        ({"network": "resnet20_cifar", "start": "published"}, "No weights"),
        ({"device": "mps"}, "device"),
        ({"options": {"n": 0}}, "resnet_cifar"),
    ],
)  # fmt: skip
def test_refused_before_training(change, words):
    change = dict(change)
    classes = change.pop("classes", CLASSES)
    data = change.pop("images", images())
    if change.get("network") in ("toy", "resnet20_cifar"):
        change["options"] = {}
    if change.get("device") == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(TrainingError, match=words):
        Trainer(replace(RESNET, **change), classes, data).fit()


def test_trains_once():
    trainer = Trainer(replace(RESNET, epochs=1), CLASSES, images())
    trainer.fit()
    with pytest.raises(RuntimeError, match="once"):
        trainer.fit()


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="no network 'nonsense'"):
        train(replace(RESNET, network="nonsense"))
    with pytest.raises(UnknownNameError, match="colour"):
        train(replace(RESNET, options={"colour": 3}))

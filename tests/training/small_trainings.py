"""Trainings that take a moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.history import History
from orangecontrib.imagemining.training.plan import Augmentation, Plan, Recipe
from orangecontrib.imagemining.training.trainer import Trained, Trainer

CLASSES = ("dark", "light", "striped")

#: Batch normalisation, 16 pixels.
RESNET = Plan(
    network="resnet_cifar",
    options={"n": 1, "width": 4},
    start="nothing",
    recipe=Recipe(learning_rate=0.05, batch=8, clip=None),
    augmentation=Augmentation(crop="shift", shift=2),
    size=(16, 16),
    batch=8,
    epochs=3,
    validation=0.25,
    precision="float32",
    device="cpu",
    seed=3,
)

#: Dropout.
SQUEEZENET = replace(
    RESNET,
    network="squeezenet1_1",
    options={"base_e": 8, "incr_e": 8, "small_images": True},
)


def images(n: int = 48, side: int = 16, seed: int = 0) -> ImageSet:
    """Return images of the three classes, in turn."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    pixels = rng.integers(0, 60, (n, side, side, 3), dtype=np.uint8)
    pixels[labels == 1] += 150
    pixels[labels == 2, ::4] += 180
    return ImageSet.from_arrays(pixels, labels)


def train(plan: Plan, **arguments: Any) -> Trained:
    return Trainer(plan, CLASSES, arguments.pop("images", images()), **arguments).fit()


def curve(history: History) -> list[tuple[float, ...]]:
    """Return all of a history that time does not decide."""
    return [
        (
            epoch.epoch,
            epoch.learning_rate,
            epoch.loss,
            epoch.accuracy,
            epoch.validation_loss,
            epoch.validation_accuracy,
        )
        for epoch in history.epochs
    ] + [tuple(step) for step in history.steps]


def same_numbers(first: Trained, second: Trained) -> bool:
    """Tell whether two networks are the same to the last bit."""
    a, b = first.network.tensors, second.network.tensors
    return a.keys() == b.keys() and all(
        a[name].tobytes() == b[name].tobytes() and a[name].dtype == b[name].dtype
        for name in a
    )
